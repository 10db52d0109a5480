# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._armed.converge import Result
from ansible_collections.slipway.ops.plugins.module_utils._host.connection import Connection
from ansible_collections.slipway.ops.plugins.module_utils._host.gateway import HostError
from ansible_collections.slipway.ops.plugins.module_utils._host.steps import ActOnUnit
from ansible_collections.slipway.ops.plugins.module_utils._host.wish import Wish
from ansible_collections.slipway.ops.plugins.module_utils._sshd import dropin, request, server
from ansible_collections.slipway.ops.plugins.module_utils._sshd.access import Listener, Login
from ansible_collections.slipway.ops.plugins.module_utils._sshd.algorithms import SUITES
from ansible_collections.slipway.ops.plugins.module_utils._sshd.policy import Policy
from ansible_collections.slipway.ops.plugins.module_utils._sshd.server import Server
from ansible_collections.slipway.ops.plugins.module_utils._sshd.wire import Offer

ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHA5c2dczsWP1BiO664mVlI0UArUM2QHorIeK+ZkX0Br x"
TRIXIE = SUITES["debian", "13"]
NEW = Offer(TRIXIE.key_exchanges, ("ssh-ed25519",), TRIXIE.ciphers, TRIXIE.macs)
OLD = Offer(("curve25519-sha256",), ("ssh-ed25519",), TRIXIE.ciphers, TRIXIE.macs)
STOCK = {"port": ["22"], "kexalgorithms": ["curve25519-sha256"], "authorizedkeysfile": [".ssh/authorized_keys"]}


class World:
    """A host as small as it can be: one that runs what its drop-in says once it was converged."""

    def __init__(self) -> None:
        self.texts = {"/etc/ssh/sshd_config": "Include /etc/ssh/sshd_config.d/*.conf\n", "/etc/pam.d/sshd": "auth x\n"}
        self.installed = True
        self.ports = [22]
        self.keys = {"operator": 1, "deploy": 1}
        self.runs = OLD
        self.wishes: list[Wish] = []
        self.owing: list[bool] = []
        self.put_back: list[str] = []
        self.deaf = False  # a restart changes nothing
        self.asleep = False  # the old server listens still
        self.sockets = ["0"]
        self.by_socket = False
        self.strict = False  # whether keys were judged with their modes
        self.now: dict[str, list[str]] = dict(STOCK)


class FakeHost:
    def __init__(self, world: World) -> None:
        self.world = world

    def text(self, path: str) -> str:
        return self.world.texts.get(path, "")

    def pause(self, seconds: float) -> None:
        pass

    def install(self, names: Sequence[str], held: Sequence[str] = ()) -> None:
        assert held == (request.SERVICE,), "nobody gets in before it is configured"
        self.world.installed = True


class FakeSshd:
    def __init__(self, world: World) -> None:
        self.world = world

    @property
    def installed(self) -> bool:
        return self.world.installed

    @contextlib.contextmanager
    def runnable(self) -> Iterator[None]:
        yield

    def release(self) -> tuple[str, str]:
        return "debian", "13"

    def algorithms(self) -> frozenset[str]:
        return frozenset((*TRIXIE.key_exchanges, *TRIXIE.ciphers, *TRIXIE.macs, "ssh-ed25519"))

    def effective(self, user: str = "", address: str = "", port: int = 22) -> dict[str, list[str]]:
        return self.world.now

    def listeners(self) -> tuple[Listener, ...]:
        return tuple(Listener(port, "sshd") for port in self.world.ports)

    def socket_serves(self) -> bool:
        return self.world.by_socket

    def sockets(self) -> frozenset[str]:
        return frozenset(self.world.sockets)

    def files(self, pattern: str) -> list[tuple[str, str]]:
        start = pattern.partition("*")[0]
        return [
            item for item in self.world.texts.items() if item[0] == pattern or ("*" in pattern and start in item[0])
        ]

    def public_key(self, path: str) -> str:
        return ED25519 if path == request.ED25519_KEY else ""

    def bytes(self, path: str) -> bytes:
        return b"private"

    def names(self, directory: str) -> list[str]:
        return []

    def exists(self, user: str) -> bool:
        return user in self.world.keys

    def people(self) -> list[str]:
        return list(self.world.keys)

    def login(self, user: str, effective: Mapping[str, Sequence[str]], address: str, revoked: Collection[str]) -> Login:
        self.world.strict = effective.get("strictmodes") == ["yes"]
        return Login(user, address=address, keys=self.world.keys[user], key_files=("k",), code="has no secret")

    def offer(self, port: int) -> Offer:
        return self.world.runs


Run = Callable[..., tuple[server.Outcome, list[str]]]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def run(world: World, monkeypatch: pytest.MonkeyPatch) -> Run:
    def converge(host: Any, store: Any, wish: Wish, check_mode: bool, warn: Any, earlier: Any) -> Result:
        world.wishes.append(wish)
        world.owing.append(isinstance(host, server.Owing))
        content = next(file.content for file in wish.files if file.path == dropin.PATH).decode()
        if check_mode or (world.texts.get(dropin.PATH) == content and not world.owing[-1]):
            return Result([ActOnUnit("restart", "ssh.service")] if world.texts.get(dropin.PATH) != content else [])
        world.texts[dropin.PATH] = content
        if not world.deaf:
            lines = [line.partition(" ") for line in content.splitlines()[1:]]
            found: dict[str, list[str]] = {}
            for name, _space, value in lines:
                found.setdefault(name.lower(), []).append(value)
            world.now = {**found, "authorizedkeysfile": ["k"]}
            world.ports = [int(port) for port in found["port"]]
            world.runs = NEW
            world.sockets = world.sockets if world.asleep else [str(len(world.wishes))]
        return Result([ActOnUnit("restart", "ssh.service")], armed="ssh")

    def put_back(store: Any, wish: Wish, why: str) -> str:
        world.put_back.append(why)
        return f"{why}\nput back"

    monkeypatch.setattr(server, "converge", converge)
    monkeypatch.setattr(server, "put_back", put_back)
    monkeypatch.setattr(server, "connection", lambda: Connection("192.0.2.7", 50000, 22))
    monkeypatch.setattr(server, "connected_user", lambda: "operator")
    monkeypatch.setattr(server, "used_key", lambda user, came: "SHA256:used")

    def call(
        policy: Policy, check_mode: bool = False, earlier: Mapping[str, Any] | None = None
    ) -> tuple[server.Outcome, list[str]]:
        warned: list[str] = []
        host: Any = FakeHost(world)
        sshd: Any = FakeSshd(world)
        store: Any = None
        return Server(host, sshd, store, policy, warned.append, earlier).run(check_mode), warned

    return call


def test_first_run_and_second(run: Run, world: World) -> None:
    outcome, warned = run(Policy())
    assert outcome.armed == "ssh"
    assert outcome.policy == TRIXIE.policy
    assert warned == []
    assert run(Policy())[0].steps == []


@pytest.mark.parametrize("by_socket", [True, False])
def test_a_server_reads_its_files_again_unless_its_sockets_are_systemds(
    run: Run, world: World, by_socket: bool
) -> None:
    world.by_socket = by_socket
    run(Policy())
    (unit,) = [unit for unit in world.wishes[0].units if unit.name == request.SERVICE]
    assert bool(unit.restart_on) is by_socket
    assert bool(unit.reload_on) is not by_socket


def test_keys_are_judged_with_their_modes_though_sshd_does_not_care_yet(run: Run, world: World) -> None:
    world.now["strictmodes"] = ["no"]
    run(Policy())
    assert world.strict


def test_the_port_moves_in_two_steps(run: Run, world: World) -> None:
    first, _warned = run(Policy(port=2222))
    assert (first.moving, first.ports, world.ports) == (True, [2222, 22], [2222, 22])
    second, _warned = run(Policy(port=2222))
    assert (second.moving, second.ports, world.ports) == (False, [2222], [2222])
    third, _warned = run(Policy(port=2222))
    assert third.steps == []


def test_check_mode_foresees_both_steps(run: Run, world: World) -> None:
    first, _warned = run(Policy(port=2222), True)
    assert (first.moving, first.ports, first.foreseen["ssh_ports"]) == (True, [2222, 22], [2222, 22])
    second, _warned = run(Policy(port=2222), True, first.foreseen)
    assert (second.moving, second.ports) == (False, [2222])
    assert b"Port 22\n" not in b"".join(file.content for file in world.wishes[-1].files)


def test_a_process_older_than_its_files_is_restarted(run: Run, world: World) -> None:
    run(Policy())
    world.runs = OLD
    outcome, warned = run(Policy())
    assert world.owing[-1]
    assert outcome.steps
    assert "offers kexalgorithms curve25519-sha256, not mlkem768x25519-sha256" in warned[0]


def test_a_server_that_has_not_read_its_files_again_proves_nothing(run: Run, world: World) -> None:
    world.asleep = True
    with pytest.raises(HostError, match="it has not read its files again"):
        run(Policy())


def test_a_change_that_does_not_take_is_put_back(run: Run, world: World) -> None:
    world.deaf = True
    with pytest.raises(HostError, match="put back"):
        run(Policy())
    assert len(world.put_back) == 1


def test_lockouts_are_told_before_anything_changes(run: Run, world: World) -> None:
    world.keys["deploy"] = 0
    world.texts["/etc/ssh/sshd_config.d/90-port.conf"] = "Port 2200\n"
    with pytest.raises(HostError) as caught:
        run(Policy(allow_users=("deploy", "nobody-yet")))
    said = str(caught.value)
    assert "90-port.conf:1 says port 2200: remove it" in said
    assert "leaves out operator" in said
    assert "deploy has no usable key" in said
    assert world.wishes == []


def test_a_user_to_come_is_no_problem(run: Run) -> None:
    _outcome, warned = run(Policy(allow_users=("operator", "later")))
    assert "ssh_allow_users: later does not exist on this host (yet)" in warned


def test_everybody_with_a_key_needs_a_secret_for_codes(run: Run) -> None:
    with pytest.raises(HostError, match="deploy has no secret"):
        run(Policy(second_factor="totp", second_factor_exempt_users=("operator",)))
    outcome, _warned = run(Policy(second_factor="totp", second_factor_exempt_users=("operator", "deploy")), True)
    assert outcome.steps


def test_what_the_host_lacks_is_refused_by_name(run: Run) -> None:
    with pytest.raises(HostError, match="ssh_ciphers: this host's OpenSSH has no rot13; leave it out"):
        run(Policy(ciphers=("rot13",)))


def test_check_mode_on_a_bare_host(run: Run, world: World) -> None:
    world.installed = False
    outcome, _warned = run(Policy(port=2222), True)
    assert outcome.steps
    assert not outcome.moving
    assert not world.installed


def test_a_bare_host_gets_it(run: Run, world: World) -> None:
    world.installed = False
    outcome, _warned = run(Policy(port=2222))
    assert next(step.line for step in outcome.steps) == "install packages openssh-server"


def test_not_by_ssh_nobody_is_shut_out(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "connection", Connection)
    assert run(Policy(allow_users=("deploy",)))[0].connected_port == 0
