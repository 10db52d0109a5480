# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Confirm an armed change over a connection that is really new."""

from __future__ import annotations

import os
import time
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.plugins.connection import ConnectionBase
from ansible.utils.display import Display

MODULE = "slipway.ops.armed_confirm"
# The first value given to ssh wins: whatever the configuration says about multiplexing comes too late.
ALONE = "-o ControlMaster=no -o ControlPath=none"
PAUSE_SECONDS = 1.0

display = Display()


class ActionModule(ActionBase):
    _connection: ConnectionBase
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        variables = dict(task_vars or {})
        result: dict[str, Any] = super().run(tmp, variables)
        arguments = dict(self._task.args)
        if arguments.get("state", "confirmed") != "confirmed" or self._task.check_mode:
            result.update(self._execute_module(module_name=MODULE, module_args=arguments, task_vars=variables))
            return result
        port = arguments.get("port")
        timeout = float(arguments.get("timeout_seconds", 30))
        ours = self._connection
        error = "no attempt was made"
        give_up_at = time.monotonic() + timeout
        try:
            while True:
                try:
                    self._connection = self.new_connection(ours, None if port is None else int(port))
                    answer = self._execute_module(module_name=MODULE, module_args=dict(arguments), task_vars=variables)
                    if "state" in answer:  # the module ran: its word is final
                        answer.pop("invocation", None)
                        result.update(answer)
                        return result
                    error = str(answer.get("msg") or answer.get("module_stderr") or answer)
                except AnsibleConnectionFailure as failure:
                    error = str(failure)
                except AnsibleError as failure:
                    error = str(failure)
                if time.monotonic() >= give_up_at:
                    break
                time.sleep(PAUSE_SECONDS)
        finally:
            self._connection = ours
        result.update(self._give_up(arguments, variables, port, timeout, " ".join(error.split())))
        return result

    def new_connection(self, ours: ConnectionBase, port: int | None) -> ConnectionBase:
        """The same settings, but nothing shared with the connection that the play holds open."""
        new: ConnectionBase = self._shared_loader_obj.connection_loader.get(
            ours.ansible_name or self._play_context.connection,
            self._play_context,
            new_stdin=None,
            task_uuid=self._task._uuid,
            ansible_playbook_pid=str(os.getppid()),
        )
        for option, value in ours.get_options().items():
            new.set_option(option, value)
        if port is not None:
            new.set_option("port", port)
        if ours.has_option("ssh_args"):
            new.set_option("ssh_args", f"{ALONE} {ours.get_option('ssh_args') or ''}".strip())
            new.set_option("reconnection_retries", 0)
        new._shell = ours._shell
        new.set_become_plugin(ours.become)
        return new

    def _give_up(
        self, arguments: dict[str, Any], variables: dict[str, Any], port: int | None, timeout: float, error: str
    ) -> dict[str, Any]:
        where = f"on port {port}" if port is not None else "on the port of the play"
        reason = f"no new login {where} was possible within {timeout:g} seconds"
        message = f"armed change {arguments['name']}: {reason} ({error})"
        try:
            answer = self._execute_module(
                module_name=MODULE,
                module_args={"name": arguments["name"], "state": "reverted", "reason": reason},
                task_vars=variables,
            )
            back, told = answer.get("state") == "reverted", str(answer.get("status", ""))
        except AnsibleError as failure:
            display.vvv(f"the old connection did not serve either: {failure}")
            back, told = False, ""
        end = "the host puts it back by itself when its time is over"
        if back:
            end = "it was put back at once" if reason in told else "the host had put it back by itself by then"
            _all, but, rest = told.partition("; could not put back:")
            end += f", but not everything:{rest}; look at the host now" if but else ""
        return {"failed": True, "msg": f"{message}; {end}", "state": "reverted" if back else "armed"}
