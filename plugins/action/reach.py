# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find the port that a host's SSH server answers on; documented in plugins/modules/reach.py."""

from __future__ import annotations

from typing import Any, Optional

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.slipway.ops.plugins.plugin_utils import _reach

_SSH_PORT = 22
# ssh says this when there was an SSH server to talk to: the port is right, only the login is not.
_SERVER_ANSWERED = ("permission denied", "host key verification failed", "identification has changed", "too many auth")

ARGUMENT_SPEC: dict[str, Any] = {
    "ports": {"type": "list", "elements": "int", "default": [_SSH_PORT]},
    "timeout_seconds": {"type": "float", "default": 5.0},
    "login": {"type": "bool", "default": False},
}


class ActionModule(ActionBase):
    """Probe the candidate ports from the controller, or through the play's jump host."""

    TRANSFERS_FILES = False

    def run(self, tmp: Any = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        """Return the port that answers; fail with one line when none does."""
        result = super().run(tmp, task_vars)
        variables = task_vars or {}
        _validation, arguments = self.validate_argument_spec(argument_spec=ARGUMENT_SPEC)
        ports = list(dict.fromkeys(arguments["ports"]))
        wrong = [port for port in ports if not 0 < port < 65536]
        if wrong or not ports:
            raise AnsibleActionFail(f"ports: {wrong[0]} is not 1 to 65535" if wrong else "ports: name at least one")
        host = str(variables.get("inventory_hostname", self._play_context.remote_addr))
        result["changed"] = False
        if self._connection.transport != "ssh":
            port = self._play_context.port or _SSH_PORT
            result.update(port=port, msg=f"{host}: the connection {self._connection.transport} needs no port")
            return result

        address = str(self._connection.get_option("host") or self._play_context.remote_addr)
        route = _reach.find_route(
            self._connection.get_option("ssh_executable"),
            [self._connection.get_option(name) or "" for name in ("ssh_args", "ssh_common_args", "ssh_extra_args")],
            address,
        )
        if route.indirect:
            outcomes = self._probe_through_jump_host(ports)
        else:
            outcomes = _reach.probe_all(route.address, ports, arguments["timeout_seconds"])
        answered = next((outcome for outcome in outcomes if outcome.banner is not None), None)
        if answered is None:
            raise AnsibleActionFail(_reach.describe(host, route.address, outcomes))
        result.update(
            port=answered.port,
            banner=answered.banner,
            msg=f"{host} ({route.address}): SSH answers on port {answered.port}",
        )
        if arguments["login"]:
            self._log_in(host, route.address, answered.port, variables)
        return result

    def _use_port(self, port: int) -> None:
        self._connection.set_option("port", port)
        self._play_context.port = port

    def _probe_through_jump_host(self, ports: list[int]) -> list[_reach.Outcome]:
        outcomes: list[_reach.Outcome] = []
        for port in ports:
            self._use_port(port)
            # A connection kept open from before would answer for a server that no longer does.
            self._connection.reset()
            try:
                self._connection.exec_command("true", sudoable=False)
            except AnsibleConnectionFailure as error:
                reason = " ".join(str(error).split())
                if not any(words in reason.lower() for words in _SERVER_ANSWERED):
                    outcomes.append(_reach.Outcome(port, failure=reason))
                    continue
            outcomes.append(_reach.Outcome(port, banner="through a jump host"))
            break
        return outcomes

    def _log_in(self, host: str, address: str, port: int, variables: dict[str, Any]) -> None:
        self._use_port(port)
        user = self._connection.get_option("remote_user") or self._play_context.remote_user
        try:
            ping = self._execute_module(module_name="ansible.builtin.ping", module_args={}, task_vars=variables)
        except AnsibleError as error:
            raise AnsibleActionFail(_reach.explain_login(host, address, port, user, str(error))) from None
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)
        if ping.get("ping") != "pong":
            reason = str(ping.get("module_stderr") or ping.get("msg") or "no answer from Python on the host")
            raise AnsibleActionFail(_reach.explain_login(host, address, port, user, reason))
