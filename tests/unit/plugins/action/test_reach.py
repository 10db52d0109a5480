# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any, Optional

import pytest
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.play_context import PlayContext
from ansible.playbook.task import Task
from ansible.template import Templar
from ansible_collections.slipway.ops.plugins.action import reach
from ansible_collections.slipway.ops.plugins.plugin_utils import _reach


class Shell:
    tmpdir = None


class Connection:
    """A connection that notes what is done with it."""

    transport = "ssh"
    _shell = Shell()
    become = None

    def __init__(self, answers: Optional[dict[int, Optional[str]]] = None) -> None:
        self.options: dict[str, Any] = {"host": "127.0.0.1", "ssh_executable": "ssh", "remote_user": "operator"}
        self.answers = answers or {}
        self.resets = 0

    def get_option(self, name: str) -> Any:
        return self.options.get(name)

    def set_option(self, name: str, value: Any) -> None:
        self.options[name] = value

    def reset(self) -> None:
        self.resets += 1

    def exec_command(self, command: str, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        failure = self.answers[self.options["port"]]
        if failure:
            raise AnsibleConnectionFailure(failure)
        return 0, b"", b""


@pytest.fixture
def server() -> Iterator[int]:
    """Something that greets like an SSH server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            while True:
                try:
                    accepted, _address = listener.accept()
                except OSError:
                    return
                with accepted:
                    accepted.sendall(b"SSH-2.0-OpenSSH_10.0p2\r\n")

        threading.Thread(target=greet, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def closed() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def make(arguments: dict[str, Any], connection: Optional[Connection] = None) -> reach.ActionModule:
    task = Task()
    task.action = "slipway.ops.reach"
    task.args = arguments
    loader = DataLoader()
    return reach.ActionModule(
        task=task,
        connection=connection or Connection(),
        play_context=PlayContext(),
        loader=loader,
        templar=Templar(loader=loader),
        shared_loader_obj=None,
    )


def run(arguments: dict[str, Any], connection: Optional[Connection] = None) -> dict[str, Any]:
    result: dict[str, Any] = make(arguments, connection).run(None, {"inventory_hostname": "fleet"})
    return result


def test_the_port_that_answers_is_found(server: int, closed: int) -> None:
    result = run({"ports": [closed, server]})
    assert result["port"] == server
    assert result["banner"] == "SSH-2.0-OpenSSH_10.0p2"
    assert "ansible_facts" not in result  # core refuses connection variables as facts, with a warning
    assert not result["changed"]


def test_nothing_answers(closed: int) -> None:
    with pytest.raises(AnsibleActionFail) as failure:
        run({"ports": [closed]})
    assert failure.value.message == (
        f"fleet (127.0.0.1): no SSH server answers on port {closed}: refused; check address, network, firewall"
    )


@pytest.mark.parametrize(
    ("ports", "message"), [([70000], "ports: 70000 is not 1 to 65535"), ([], "ports: name at least one")]
)
def test_ports_that_are_none(ports: list[int], message: str) -> None:
    with pytest.raises(AnsibleActionFail, match=message):
        run({"ports": ports})


def test_other_connections_are_left_alone() -> None:
    connection = Connection()
    connection.transport = "local"
    assert run({"ports": [2222]}, connection)["port"] == 22


def test_a_jump_host_is_gone_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_reach, "find_route", lambda *_: _reach.Route("127.0.0.1", indirect=True))
    connection = Connection({2222: "ssh: connect to host: Connection refused", 22: "Permission denied (publickey)."})
    result = run({"ports": [2222, 22]}, connection)
    assert result["port"] == 22
    assert connection.resets == 2


def test_a_jump_host_that_leads_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_reach, "find_route", lambda *_: _reach.Route("127.0.0.1", indirect=True))
    with pytest.raises(AnsibleActionFail, match="no SSH server answers on port 22: Connection refused"):
        run({"ports": [22]}, Connection({22: "Connection refused"}))


def test_a_login_goes_by_the_port_that_was_found(server: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach.ActionModule, "_execute_module", lambda *_args, **_options: {"ping": "pong"})
    connection = Connection()
    run({"ports": [server], "login": True}, connection)
    assert connection.options["port"] == server


def test_a_login_that_fails_is_one_line(server: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: Any, **_options: Any) -> None:
        raise AnsibleConnectionFailure("operator@127.0.0.1: Permission denied (publickey).")

    monkeypatch.setattr(reach.ActionModule, "_execute_module", refuse)
    with pytest.raises(AnsibleActionFail, match="the login as operator is refused") as failure:
        run({"ports": [server], "login": True})
    assert "\n" not in failure.value.message


def test_an_answer_that_is_no_pong(server: int, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {"failed": True, "module_stderr": "/bin/sh: /usr/bin/python3: not found"}
    monkeypatch.setattr(reach.ActionModule, "_execute_module", lambda *_args, **_options: answer)
    with pytest.raises(AnsibleActionFail, match="but Python is missing: install python3"):
        run({"ports": [server], "login": True})
