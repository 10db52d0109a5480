# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a module so that its arguments reach neither the host's log nor the result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.slipway.ops.plugins.plugin_utils._packed import kept


def run_quietly(
    action: ActionBase, module_name: str, module_args: Mapping[str, Any], task_vars: Mapping[str, Any]
) -> dict[str, Any]:
    """Execute `module_name` on the host; its arguments are not logged there and not returned.

    `no_log` holds for the call alone: the result (plan, diff, message) stays readable, so the module
    must keep secrets out of what it returns.
    """
    task = action._task
    before = task.no_log
    task.no_log = True
    try:
        with kept(module_name):
            result: dict[str, Any] = action._execute_module(
                module_name=module_name, module_args=dict(module_args), task_vars=dict(task_vars)
            )
    finally:
        task.no_log = before
    result.pop("invocation", None)
    return result
