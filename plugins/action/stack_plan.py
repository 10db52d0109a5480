# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plan on the host and print the plan for people; documented in plugins/modules/stack_plan.py."""

from __future__ import annotations

from typing import Any

from ansible.utils.color import stringc
from ansible_collections.slipway.ops.plugins.plugin_utils._model_action import ModelAction

COLOURS = {
    "head": "bright gray",
    "add": "green",
    "change": "yellow",
    "drop": "red",
    "same": "dark gray",
    "note": "cyan",
}


class ActionModule(ModelAction):
    """Plan in one call to the host; its lines in one piece, so that those of several hosts do not mix."""

    MODULE = "stack_plan"

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        styles = result.pop("styles", [])
        if self._task.args.get("show", True) and styles:
            host = (task_vars or {}).get("inventory_hostname", "")
            lines = [stringc(text, COLOURS[style]) for style, text in zip(styles, result["text"], strict=True)]
            self._display.display("\n".join([stringc(f"[{host}]", COLOURS["head"]), *lines]))
        return result
