# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which certificates are wanted: one name for the files, the domains it covers, and what a public authority refuses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Let's Encrypt's limit for its default profile (tlsserver and shortlived allow 25).
MAXIMUM_DOMAINS = 100

_LABEL = re.compile(r"^(?!-)[a-z0-9-]{1,63}(?<!-)$")


@dataclass(frozen=True)
class Request:
    """One wanted certificate: the name of its directory and its domains, in the order they were given."""

    name: str
    domains: tuple[str, ...]


def domain_problem(domain: str) -> str | None:
    """Why an HTTP challenge cannot prove this domain; None when it can."""
    if domain.startswith("*."):
        return "a wildcard needs a DNS challenge, which this role does not make; name each host"
    if len(domain) > 253 or "." not in domain:
        return "is not a full host name"
    labels = domain.split(".")
    if not all(_LABEL.match(label) for label in labels):
        return "is not a host name; use letters, digits, hyphens and dots (an international name in its xn-- form)"
    if labels[-1].isdigit():
        return "is an address; certificates are issued for host names"
    return None


def _entry(value: Any, path: str, problems: list[str]) -> tuple[str, list[str]]:
    if isinstance(value, str):
        return str(value), [str(value)]
    if isinstance(value, Mapping):
        unknown = sorted(str(key) for key in value if key not in ("name", "domains"))
        problems.extend(f"{path}.{key}: unknown key; known keys: name, domains" for key in unknown)
        domains = value.get("domains") or ([value["name"]] if isinstance(value.get("name"), str) else [])
        if isinstance(domains, str) or not isinstance(domains, Sequence):
            problems.append(f"{path}.domains: must be a list of host names")
            domains = []
        listed = [str(domain) for domain in domains]
        return str(value.get("name") or (listed[0] if listed else "")), listed
    if isinstance(value, Sequence):
        listed = [str(domain) for domain in value]
        return (listed[0] if listed else ""), listed
    problems.append(f"{path}: must be a host name, a list of host names or a mapping of name and domains")
    return "", []


def parse_requests(values: Iterable[Any]) -> tuple[list[Request], list[str]]:
    """Read host names, lists of host names or mappings; report every problem with its path."""
    requests: list[Request] = []
    problems: list[str] = []
    seen: dict[str, str] = {}
    for index, value in enumerate(values):
        path = f"[{index}]"
        before = len(problems)
        name, raw = _entry(value, path, problems)
        domains = list(dict.fromkeys(domain.strip().lower().rstrip(".") for domain in raw))
        name = name.strip().lower().rstrip(".")
        if len(problems) > before:
            continue
        if not domains:
            problems.append(f"{path}: names no domain")
            continue
        for domain in domains:
            problem = domain_problem(domain)
            if problem:
                problems.append(f"{path}: {domain!r} {problem}")
        if domain_problem(name) and name not in domains:
            problems.append(f"{path}.name: {name!r} must have the form of a host name, because it names a directory")
        if len(domains) > MAXIMUM_DOMAINS:
            problems.append(
                f"{path}: has {len(domains)} domains, more than the {MAXIMUM_DOMAINS} a certificate can hold"
            )
        if name in seen:
            problems.append(f"{path}.name: {name} is already used by {seen[name]}")
        seen.setdefault(name, path)
        requests.append(Request(name, tuple(domains)))
    return requests, problems


def requests_for_hosts(host_names: Iterable[str]) -> list[dict[str, Any]]:
    """One certificate a host name, so that one name whose DNS is wrong cannot hold up the others."""
    names = sorted({str(name).strip().lower().rstrip(".") for name in host_names})
    return [{"name": name, "domains": [name]} for name in names]
