# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Render the templates of a host_state task on the controller, then do all of it in one module call."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.template import trust_as_template
from ansible_collections.slipway.ops.plugins.module_utils._host.wish import parse
from ansible_collections.slipway.ops.plugins.plugin_utils._foreseen import run_foreseeing

# Indented blocks leave no blanks behind; everything else is as in ansible.builtin.template.
OVERRIDES = {"trim_blocks": True, "lstrip_blocks": True}


class ActionModule(ActionBase):
    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        variables = dict(task_vars or {})
        result: dict[str, Any] = super().run(tmp, variables)
        arguments = dict(self._task.args)
        if isinstance(arguments.get("checks"), list):
            arguments["checks"] = [_unquoted_on(item) for item in arguments["checks"]]
        _wish, problems = parse(arguments, rendered=False)
        if problems:
            raise AnsibleActionFail("\n".join(problems))
        arguments["files"] = self._rendered(arguments.get("files") or [], variables)
        result.update(run_foreseeing(self, "slipway.ops.host_state", arguments, variables))
        self._remove_tmp_path(self._connection._shell.tmpdir)
        return result

    def _rendered(self, files: list[Mapping[str, Any]], variables: dict[str, Any]) -> list[dict[str, Any]]:
        """Give every file its content; report all templates that are missing or fail at once."""
        done: list[dict[str, Any]] = []
        problems: list[str] = []
        for index, given in enumerate(files):
            item = dict(given)
            extra = item.pop("variables", None) or {}
            template = item.pop("template", None)
            if item.get("content") is None and item.get("content_base64") is None:
                try:
                    item["content"] = self._render(template or f"{item['path'].lstrip('/')}.j2", extra, variables)
                except AnsibleError as error:
                    problems.append(f"files[{index}] ({item['path']}): {error}")
            done.append(item)
        if problems:
            raise AnsibleActionFail("\n".join(problems))
        return done

    def _render(self, template: str, extra: Mapping[str, Any], variables: dict[str, Any]) -> str:
        source = self._find_needle("templates", template)
        search: list[str] = [os.path.dirname(source)]
        for path in [*variables.get("ansible_search_path", []), self._loader.get_basedir()]:
            search += [os.path.join(path, "templates"), path]
        templar = self._templar.copy_with_new_env(searchpath=search, available_variables={**variables, **extra})
        text = templar.template(
            trust_as_template(self._loader.get_text_file_contents(source)),
            escape_backslashes=False,
            overrides=OVERRIDES,
        )
        if text is None:
            return ""
        if not isinstance(text, str):
            raise AnsibleError(f"{source} gives {type(text).__name__}, not text; end it with to_json or to_nice_yaml")
        return str(text)


def _unquoted_on(check: Any) -> Any:
    """YAML 1.1 reads the key `on` without quotes as true."""
    if not isinstance(check, Mapping):
        return check
    return {("on" if key is True else key): value for key, value in check.items()}
