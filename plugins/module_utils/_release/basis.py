# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a plan stands on: everything that, when it is another, makes it another plan; and what moved since."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._release import report
from ansible_collections.slipway.ops.plugins.module_utils._release.observed import Observed
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import digest

# A plan leaves the host, and variables hold passwords: whoever reads it must not be able to try them out quickly.
ROUNDS = 200_000

Basis = dict[str, Any]


def inputs(model: Mapping[str, Any], variables: Mapping[str, str], salt: str) -> str:
    """The model and the variables in one number, without a way back to them."""
    text = json.dumps([model, dict(variables)], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.pbkdf2_hmac("sha256", text.encode("utf-8"), salt.encode("ascii"), ROUNDS).hex()


def basis(
    model: Mapping[str, Any],
    variables: Mapping[str, str],
    deployed: Mapping[str, Any] | None,
    written: str | None,
    last_release: int,
    phase: str,
    observed: Observed,
    digests: Mapping[str, str],
    lines: Iterable[str],
    salt: str,
) -> Basis:
    """`deployed` and `written` are the records; `digests` is what names stand for that have to be pulled."""
    here = {name: image.digest or image.id for name, image in observed.images.items()}
    return {
        "salt": salt,
        "inputs": inputs(model, variables, salt),
        "view": report.view(model).splitlines(),
        "deployed": inputs(deployed or {}, {"environment": written or ""}, salt),
        "release": last_release,
        "phase": phase,
        "engine": observed.available,
        "containers": {
            each.name: [each.id, each.image_id, "serves" if each.serving else each.state]
            for each in observed.containers
        },
        "images": {**here, **digests},
        "networks": sorted(observed.networks),
        "volumes": sorted(observed.volumes),
        "upstreams": {name: digest(content) for name, content in observed.upstreams.items()},
        "plan": list(lines),
    }


def moved(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What is other than when the plan was made, each with its name."""
    found: list[str] = []
    if then["inputs"] != now["inputs"]:
        changed = [line.strip() for line in now["view"] if line not in then["view"]]
        what = f" ({'; '.join(changed[:3])})" if changed else " (values that are not shown)"
        found.append(f"the Compose file or its variables{what}")
    if then["release"] != now["release"]:
        found.append(f"a release was made since: the last one was {then['release']} and is {now['release']}")
    elif then["deployed"] != now["deployed"]:
        found.append("the records of what is deployed")
    if then["phase"] != now["phase"]:
        found.append(f"an interrupted release: {then['phase'] or 'none'} then, {now['phase'] or 'none'} now")
    if then["engine"] != now["engine"]:
        found.append("the engine " + ("answers now" if now["engine"] else "does not answer any more"))
    found += _differences("the container", then["containers"], now["containers"], _of_container)
    # Another file names other images, and that was said above.
    common = set(then["images"]) & set(now["images"])
    had, has = ({name: each["images"][name] for name in common} for each in (then, now))
    found += _differences("the image", had, has, lambda before, after: f"{before or 'unknown'} -> {after or 'unknown'}")
    for section in ("networks", "volumes"):
        before, after = dict.fromkeys(then[section]), dict.fromkeys(now[section])
        found += _differences(f"the {section[:-1]}", before, after, lambda *_values: "")
    found += _differences("the upstream", then["upstreams"], now["upstreams"], lambda *_values: "")
    if not found and then["plan"] != now["plan"]:
        changed = [line for line in now["plan"] if line not in then["plan"]] or ["less is to do"]
        found.append(f"the plan itself ({'; '.join(changed[:3])})")
    return found


def _differences(
    what: str, then: Mapping[str, Any], now: Mapping[str, Any], say: Callable[[Any, Any], str]
) -> list[str]:
    found = [f"{what} {name} is gone" for name in sorted(set(then) - set(now))]
    found += [f"{what} {name} is new" for name in sorted(set(now) - set(then))]
    for name in sorted(set(then) & set(now)):
        if then[name] != now[name]:
            told = say(then[name], now[name])
            found.append(f"{what} {name} is another one{f' ({told})' if told else ''}")
    return found


def _of_container(before: list[str], after: list[str]) -> str:
    if before[0] != after[0]:
        return "it was made anew"
    return f"{before[2]} -> {after[2]}"
