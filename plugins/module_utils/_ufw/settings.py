# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""/etc/default/ufw and /etc/ufw/ufw.conf: shell assignments, read and changed in place as ufw does."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ansible_collections.slipway.ops.plugins.module_utils._ufw.model import ALLOW, DENY, REJECT, Policy

TARGETS = {ALLOW: "ACCEPT", DENY: "DROP", REJECT: "REJECT"}
_ASSIGNMENT = re.compile(r"^([A-Z_0-9]+)=(.*)$")


def read(text: str) -> dict[str, str]:
    """Every assignment, unquoted; the last one wins as in a shell."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        match = _ASSIGNMENT.match(line.strip())
        if match:
            found[match.group(1)] = match.group(2).strip().strip("\"'")
    return found


def change(text: str, values: Mapping[str, str]) -> str:
    """The text with these assignments, comments and order kept; missing ones are added at the end."""
    lines: list[str] = []
    missing = dict(values)
    for line in text.splitlines():
        match = _ASSIGNMENT.match(line)
        if match and match.group(1) in values:
            line = f"{match.group(1)}={values[match.group(1)]}"
            missing.pop(match.group(1), None)
        lines.append(line)
    lines += [f"{name}={value}" for name, value in missing.items()]
    return "\n".join(lines) + "\n"


def defaults_of(policy: Policy) -> dict[str, str]:
    """/etc/default/ufw, as the policy wants it."""
    return {
        "IPV6": "yes" if policy.ipv6 else "no",
        "DEFAULT_INPUT_POLICY": f'"{TARGETS[policy.incoming]}"',
        "DEFAULT_OUTPUT_POLICY": f'"{TARGETS[policy.outgoing]}"',
        "DEFAULT_FORWARD_POLICY": f'"{TARGETS[policy.routed]}"',
    }


def default_word(target: str) -> str:
    """deny for DROP, as ufw prints it."""
    return {value: word for word, value in TARGETS.items()}.get(target.upper(), target.lower())
