# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._sshd import access
from ansible_collections.slipway.ops.plugins.module_utils._sshd.access import Listener, Login, Rules, lockouts

FILE = "/home/operator/.ssh/authorized_keys"
OPERATOR = Login("operator", ("operator", "sudo"), "192.0.2.7", 1, (FILE,))

# recorded on Debian 13: sshd under ssh.socket, nginx, and something whose process is not ours to see
SS = """\
LISTEN 0 4096   127.0.0.11:35285 0.0.0.0:*
LISTEN 0 511       0.0.0.0:8081  0.0.0.0:* users:(("nginx",pid=348,fd=13),("nginx",pid=347,fd=13))
LISTEN 0 4096            *:22          *:* users:(("sshd",pid=300,fd=3),("systemd",pid=1,fd=40))
LISTEN 0 4096            *:24          *:* users:(("systemd",pid=1,fd=41))
LISTEN 0 4096            *:25          *:* users:(("systemd",pid=1,fd=42))
LISTEN 0 128          [::]:2222     [::]:* users:(("sshd",pid=689,fd=7))
"""


@pytest.mark.parametrize(
    ("login", "rules", "says"),
    [
        pytest.param(OPERATOR, Rules(2222), [], id="fine"),
        pytest.param(Login("root", keys=1), Rules(22), ["root may not log in any more"], id="root"),
        pytest.param(Login("root", keys=1), Rules(22, root_login=True), [], id="root-allowed"),
        pytest.param(OPERATOR, Rules(22, allow_users=("deploy",)), ["leaves out operator"], id="users"),
        pytest.param(OPERATOR, Rules(22, allow_users=("oper*", "x")), [], id="pattern"),
        pytest.param(OPERATOR, Rules(22, allow_users=("operator@192.0.2.*",)), [], id="address"),
        pytest.param(
            OPERATOR, Rules(22, allow_users=("operator@198.51.100.9",)), ["leaves out operator"], id="other-address"
        ),
        pytest.param(OPERATOR, Rules(22, allow_users=("operator@192.0.2.0/24",)), [], id="network"),
        pytest.param(
            OPERATOR, Rules(22, allow_users=("operator@198.51.100.0/24",)), ["leaves out operator"], id="other-network"
        ),
        pytest.param(OPERATOR, Rules(22, allow_users=("operator@2001:db8::/32",)), ["leaves out"], id="other-family"),
        pytest.param(OPERATOR, Rules(22, allow_users=("operator@home.example",)), [], id="name-is-not-judged"),
        pytest.param(OPERATOR, Rules(22, deny_users=("oper*",)), ["ssh_deny_users (oper*) shuts out"], id="denied"),
        pytest.param(OPERATOR, Rules(22, deny_users=("root",)), [], id="another-denied"),
        pytest.param(OPERATOR, Rules(22, deny_groups=("sudo",)), ["ssh_deny_groups (sudo) has a group"], id="group-no"),
        pytest.param(
            access.used(OPERATOR, "SHA256:x"),
            Rules(22, revoked=frozenset({"SHA256:x"})),
            ["ssh_revoked_keys"],
            id="own",
        ),
        pytest.param(OPERATOR, Rules(22, codes=True), ["cannot type a code"], id="code"),
        pytest.param(OPERATOR, Rules(22, codes=True, exempt=("operator",)), [], id="no-code"),
        pytest.param(OPERATOR, Rules(22, allow_groups=("wheel",)), ["has no group of operator"], id="groups"),
        pytest.param(OPERATOR, Rules(22, allow_groups=("sudo",)), [], id="group"),
        pytest.param(Login("operator", key_files=(FILE,)), Rules(22), [f"no usable key in {FILE}"], id="no-key"),
        pytest.param(Login("operator"), Rules(22, passwords=True), [], id="passwords"),
        pytest.param(Login("operator", other_proof=True), Rules(22), [], id="certificates"),
        pytest.param(
            OPERATOR,
            Rules(2222, listeners=(Listener(2222, "nginx"), Listener(22, "sshd"))),
            ["port 2222 is taken by nginx"],
            id="taken",
        ),
        pytest.param(OPERATOR, Rules(22, listeners=(Listener(22, "ssh.socket"),)), [], id="socket"),
        pytest.param(
            Login("root"),
            Rules(22, allow_users=("x",)),
            ["root may not", "leaves out root", "no usable key"],
            id="all-at-once",
        ),
    ],
)
def test_lockouts(login: Login, rules: Rules, says: list[str]) -> None:
    found = lockouts(login, rules)
    assert len(found) == len(says)
    assert all(part in line for part, line in zip(says, found))


def test_listeners() -> None:
    found = access.parse_listeners(SS, frozenset({22, 24}))
    assert found == (
        Listener(22, "sshd"),
        Listener(24, "ssh.socket"),
        Listener(25, "systemd"),
        Listener(2222, "sshd"),
        Listener(8081, "nginx"),
        Listener(35285, "a process that cannot be seen"),
    )


def test_socket_ports() -> None:
    text = "ActiveState=active\nListen=[::]:22 (Stream)\nListen=0.0.0.0:2222 (Stream)\nListen=/run/x (Stream)\n"
    assert access.parse_socket_ports(text) == {22, 2222}


# Ubuntu 24.04's sshd-socket-generator writes addresses.conf from "Port 2222": an empty ListenStream and these two
GENERATED = """\
Listen=0.0.0.0:2222 (Stream)
Listen=[::]:2222 (Stream)
DropInPaths=/run/systemd/generator/ssh.socket.d/addresses.conf
ActiveState=active
"""


def test_a_socket_that_a_generator_writes() -> None:
    ports = access.parse_socket_ports(GENERATED)
    assert ports == {2222}
    line = 'LISTEN 0 4096 *:2222 *:* users:(("sshd",pid=9,fd=3),("systemd",pid=1,fd=90))\n'
    other = 'LISTEN 0 4096 *:2222 *:* users:(("systemd",pid=1,fd=90))\n'
    assert access.parse_listeners(line, ports) == (Listener(2222, "sshd"),)
    assert access.parse_listeners(other, ports) == (Listener(2222, "ssh.socket"),)


@pytest.mark.parametrize(
    ("login", "rules", "says"),
    [
        pytest.param(OPERATOR, Rules(22), [], id="fine"),
        pytest.param(
            Login("deploy", keys=0, key_files=("f",), unusable=("SHA256:x is revoked",)),
            Rules(22),
            ["ssh_allow_users: deploy has no usable key in f (SHA256:x is revoked)"],
            id="no-key",
        ),
        pytest.param(Login("deploy", other_proof=True), Rules(22), [], id="certificates"),
        pytest.param(
            Login("deploy", keys=1, code="has no /home/deploy/.google_authenticator"),
            Rules(22, codes=True),
            ["ssh_second_factor: deploy has no /home/deploy/.google_authenticator: let the user run"],
            id="no-secret",
        ),
        pytest.param(Login("deploy", keys=1, code="x"), Rules(22, codes=True, exempt=("deploy",)), [], id="exempt"),
        pytest.param(Login("deploy", keys=1), Rules(22, codes=True), [], id="has-a-secret"),
    ],
)
def test_powerless(login: Login, rules: Rules, says: list[str]) -> None:
    found = access.powerless(login, rules)
    assert len(found) == len(says)
    assert all(part in line for part, line in zip(says, found))


def test_users_that_a_list_names() -> None:
    assert access.named(("a", "b@192.0.2.1", "c*", "!d", "a@198.51.100.0/24")) == ["a", "b"]


@pytest.mark.parametrize(
    ("patterns", "paths"),
    [
        ([".ssh/authorized_keys .ssh/authorized_keys2"], ["/h/.ssh/authorized_keys", "/h/.ssh/authorized_keys2"]),
        (["/etc/keys/%u", "%h/k%%"], ["/etc/keys/u", "/h/k%"]),
        (["none"], []),
    ],
)
def test_key_paths(patterns: list[str], paths: list[str]) -> None:
    assert access.key_paths(patterns, "u", "/h", 1000) == paths


def test_sockets_are_told_apart() -> None:
    text = (
        'LISTEN 0 128 0.0.0.0:22 0.0.0.0:* users:(("sshd",pid=81,fd=6)) ino:150249 sk:93 cgroup:/x <->\n'
        'LISTEN 0 128 [::]:22 [::]:* users:(("sshd",pid=81,fd=7)) ino:150251 sk:94 v6only:1 <->\n'
        'LISTEN 0 5 0.0.0.0:80 0.0.0.0:* users:(("nginx",pid=9,fd=7)) ino:7 sk:95 <->\n'
    )
    assert access.parse_sockets(text) == frozenset({"150249", "150251"})


def test_a_socket_of_systemds_is_one_for_both_families() -> None:
    own = 'LISTEN 0 128 0.0.0.0:22 0.0.0.0:* users:(("sshd",pid=81,fd=6))\n'
    own += 'LISTEN 0 128 [::]:22 [::]:* users:(("sshd",pid=81,fd=7))\n'
    assert not access.has_dual_socket(own)
    assert not access.has_dual_socket('LISTEN 0 5 *:80 *:* users:(("nginx",pid=9,fd=7))\n')
    assert access.has_dual_socket('LISTEN 0 4096 *:22 *:* users:(("sshd",pid=81,fd=3))\n')
