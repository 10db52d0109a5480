# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hand on, from task to task of one run in check mode, what earlier tasks would have left behind on a host."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

from ansible import constants, context
from ansible.plugins.action import ActionBase
from ansible_collections.slipway.ops.plugins.plugin_utils._quiet import run_quietly

KEY = "foreseen"


def run_foreseeing(
    action: ActionBase, module_name: str, module_args: Mapping[str, Any], task_vars: Mapping[str, Any]
) -> dict[str, Any]:
    """Run a module quietly that takes `foreseen`, and in check mode returns it with what it would do itself.

    It is kept in the directory that Ansible makes for one run and removes at its end. A task that is alone in
    check mode leaves nothing to the others, which are real.
    """
    arguments = {key: value for key, value in module_args.items() if key != KEY}
    checking = bool(context.CLIARGS.get("check"))
    host = str(action._task.delegate_to or task_vars.get("inventory_hostname", ""))
    path = os.path.join(constants.DEFAULT_LOCAL_TMP, f"slipway-{hashlib.sha256(host.encode()).hexdigest()}.json")
    if checking and os.path.exists(path):
        with open(path, encoding="utf-8") as handle:
            arguments[KEY] = json.load(handle)
    result = run_quietly(action, module_name, arguments, task_vars)
    found = result.pop(KEY, None)
    if checking and found is not None:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as handle:
            json.dump(found, handle)
    return result
