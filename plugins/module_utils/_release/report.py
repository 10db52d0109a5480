# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people and the diff may see: key names and references, never values; and the mask for foreign text."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Stack, digest

_SECRET_KEY = re.compile(r"PASS|SECRET|TOKEN|KEY|CREDENTIAL|AUTH|DSN|_PW$|PRIVATE", re.IGNORECASE)
MASK = "********"


def secrets_of(stack: Stack, variables: Mapping[str, str]) -> list[str]:
    """Values that must not appear in any text, longest first."""
    public = {service.image for service in stack.services.values()}
    public |= {route["host"] for service in stack.services.values() for route in service.routes}
    found = {value for value in variables.values() if not any(value in text for text in public)}
    for service in stack.services.values():
        found |= {value for key, value in service.environment.items() if _SECRET_KEY.search(key)}
    for key in stack.plain["secrets"]:
        content = stack.content("secrets", key)
        text = content.get("content")
        if text is None:
            text = base64.b64decode(content["content_base64"]).decode("utf-8", "replace")
        found |= {text.strip(), *(line.strip() for line in text.splitlines())}
    return sorted((value for value in found if len(value) > 3), key=len, reverse=True)


def mask(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text


def view(model: Mapping[str, Any] | None, other: Mapping[str, Any] | None = None) -> str:
    """The model for a diff. A value that differs from `other` is marked `(changed)` behind its key."""
    if not model:
        return ""
    lines = [f"name: {model['name']}"]
    for name, service in model["services"].items():
        had = ((other or {}).get("services") or {}).get(name) or {}
        lines.append(f"services.{name}:")
        for key in sorted(service):
            lines.extend(f"  {line}" for line in _lines(key, service[key], had.get(key), bool(had)))
    for section in ("networks", "volumes"):
        for name in model[section]:
            lines.append(f"{section}.{name}: {digest(model[section][name])[:12]}")
    for section in ("configs", "secrets"):
        for name, value in model[section].items():
            before = ((other or {}).get(section) or {}).get(name)
            lines.append(f"{section}.{name}{' (changed)' if before is not None and before != value else ''}")
    return "\n".join(lines) + "\n"


def _lines(key: str, value: Any, before: Any, known: bool) -> list[str]:
    changed = known and value != before
    if key == "environment":
        had = before or {}
        return [
            f"environment.{name}{' (changed)' if known and name in had and had[name] != value[name] else ''}"
            for name in sorted(value)
        ]
    if key == "image":
        return [f"image: {value}"]
    if key in ("configs", "secrets"):
        return [f"{key}: {grant['source']} -> {grant['target']}" for grant in value]
    if key == "deploy":
        return [f"replicas: {value['replicas']}", f"deploy{' (changed)' if changed else ''}"]
    return [f"{key}{' (changed)' if changed else ''}"] if value else []


def changed_keys(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """The names of variables that differ."""
    return sorted(key for key in {*before, *after} if before.get(key) != after.get(key))


def last_lines(text: str, count: int = 10) -> str:
    """The end of a log in one line, for a message."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(lines[-count:])


def failures_of_hosts(results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Why hosts that release together cannot go on, a line each: failed, not reached, or with other images."""
    found: list[str] = []
    seen: dict[str, tuple[str, str]] = {}
    for host, result in results.items():
        if result.get("unreachable"):
            found.append(f"{host}: cannot be reached; it gives up by itself")
        elif result.get("failed"):
            found.append(f"{host}: {result.get('msg') or 'failed without a word'}")
        elif result.get("reason"):
            found.append(f"{host}: {result['reason']}")
        for service, image in (result.get("images") or {}).items():
            if "@" not in image:  # built on the host itself, so only the host's own
                continue
            first, other = seen.setdefault(service, (host, image))
            if other != image:
                found.append(f"{host}: services.{service}: the image is {image}, but {other} on {first}; pull again")
    return found
