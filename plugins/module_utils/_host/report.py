# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell a plan: lines, and a diff in which no secret shows."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.slipway.ops.plugins.module_utils._host.observed import FILE, PathState
from ansible_collections.slipway.ops.plugins.module_utils._host.steps import Remove, Step, WriteFile

BINARY = "(binary content)\n"
HIDDEN = "(secret content)\n"
HIDDEN_NEW = "(secret content, changed)\n"


def lines(steps: Sequence[Step]) -> list[str]:
    return [step.line for step in steps]


def diff(steps: Sequence[Step]) -> list[dict[str, str]]:
    """One entry a file whose content changes, one for all other steps."""
    entries: list[dict[str, str]] = []
    others: list[str] = []
    for step in steps:
        if isinstance(step, WriteFile) and step.content_differs:
            entries.append(_file(step))
        elif isinstance(step, Remove) and step.before.kind == FILE:
            entries.append(
                {
                    "before_header": step.path,
                    "after_header": f"{step.path} (removed)",
                    "before": "(content of the removed file)\n",
                    "after": "",
                }
            )
        else:
            others.append(step.line)
    if others:
        entries.insert(
            0, {"before_header": "host", "after_header": "host", "before": "", "after": "\n".join(others) + "\n"}
        )
    return entries


def _file(step: WriteFile) -> dict[str, str]:
    file = step.file
    before_label = f"{file.path} (missing)"
    if step.before.kind == FILE:
        before_label = f"{file.path} ({step.before.mode} {step.before.owner}:{step.before.group})"
    entry = {
        "before_header": before_label,
        "after_header": f"{file.path} ({file.mode} {file.owner}:{file.group})",
        "before": _text(step.before),
        "after": _decoded(file.content),
    }
    if file.secret:
        entry["before"] = HIDDEN if step.before.kind == FILE else ""
        entry["after"] = HIDDEN_NEW
    return entry


def _text(state: PathState) -> str:
    if state.kind == "link":
        return f"(link to {state.target})\n"
    return _decoded(state.content) if state.content is not None else ""


def _decoded(content: bytes) -> str:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return BINARY
    return BINARY if "\0" in text else text
