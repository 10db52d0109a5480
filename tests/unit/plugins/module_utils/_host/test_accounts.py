# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._host import accounts
from ansible_collections.slipway.ops.plugins.module_utils._host.observed import (
    Account,
    AccountGroup,
    Login,
    Observation,
    PathState,
)
from ansible_collections.slipway.ops.plugins.module_utils._host.steps import RunCommand
from ansible_collections.slipway.ops.plugins.module_utils._host.wish import Group, User, Wish, fingerprint

DEPLOY = Account("deploy", 1001, 1001, "", "/home/deploy", "/bin/bash")
SEEN = Observation(
    accounts={"deploy": DEPLOY},
    groups={"deploy": AccountGroup("deploy", 1001, ()), "docker": AccountGroup("docker", 990, ("deploy",))},
)


def argv(user: User, seen: Observation = SEEN, groups: tuple[Group, ...] = (), predict: bool = False) -> list[str]:
    problems: list[str] = []
    steps = accounts.plan_users(Wish(users=(user,), groups=groups), seen, predict, problems)
    assert problems == []
    return [" ".join(step.argv) for step in steps if isinstance(step, RunCommand)]


@pytest.mark.parametrize(
    ("user", "commands"),
    [
        pytest.param(User("deploy"), [], id="as-it-is"),
        pytest.param(User("deploy", groups=("docker",), shell="/bin/bash"), [], id="member-already"),
        pytest.param(User("deploy", comment="D"), ["usermod --comment D deploy"], id="comment"),
        pytest.param(
            User("deploy", shell="/bin/sh", home="/srv/d"), ["usermod --shell /bin/sh --home /srv/d deploy"], id="shell"
        ),
        pytest.param(
            User("new", comment="N", groups=("docker",)),
            [
                "useradd --create-home --user-group --key PASS_MAX_DAYS=-1 --shell /bin/bash --comment N "
                "--groups docker new"
            ],
            id="new",
        ),
        pytest.param(
            User("svc", system=True, uid=990, home="/var/lib/svc"),
            [
                "useradd --system --no-create-home --user-group --uid 990 --home-dir /var/lib/svc "
                "--shell /usr/sbin/nologin svc"
            ],
            id="system",
        ),
        pytest.param(
            User("docker"),
            ["useradd --create-home --gid docker --key PASS_MAX_DAYS=-1 --shell /bin/bash docker"],
            id="group-of-that-name",
        ),
        pytest.param(
            User("new", password="$y$x"),
            ["useradd --create-home --user-group --shell /bin/bash new", "chpasswd --encrypted"],
            id="a-password-ages",
        ),
    ],
)
def test_users(user: User, commands: list[str]) -> None:
    assert argv(user) == commands


def test_a_group_to_come_is_fine_when_it_is_declared_or_predicted() -> None:
    user = User("deploy", groups=("later",))
    wanted = ["usermod --append --groups later deploy"]
    assert argv(user, groups=(Group("later"),)) == wanted
    assert argv(user, predict=True) == wanted
    problems: list[str] = []
    accounts.plan_users(Wish(users=(user,)), SEEN, False, problems)
    assert "group later does not exist" in problems[0]


def test_groups() -> None:
    problems: list[str] = []
    steps = accounts.plan_groups(
        Wish(groups=(Group("docker"), Group("new", system=True, gid=900), Group("deploy", gid=5))), SEEN, problems
    )
    assert [step.argv for step in steps if isinstance(step, RunCommand)] == [
        ("groupadd", "--system", "--gid", "900", "new")
    ]
    assert "exists with gid 1001" in problems[0]


@pytest.mark.parametrize(
    ("current", "exclusive", "wanted"),
    [
        pytest.param(b"", False, b"a\nb\n", id="none-yet"),
        pytest.param(b"# note\nb\na\n", False, b"# note\nb\na\n", id="all-there-in-another-order"),
        pytest.param(b"x\na", False, b"x\na\nb\n", id="one-missing-and-no-line-end"),
        pytest.param(b"x\na\nb\n", True, b"a\nb\n", id="exclusive"),
    ],
)
def test_authorized_keys(current: bytes, exclusive: bool, wanted: bytes) -> None:
    user = User("deploy", authorized_keys=("a", "b"), authorized_keys_exclusive=exclusive)
    assert accounts.authorized_keys(user, current) == wanted


def test_belongings() -> None:
    problems: list[str] = []
    wish = Wish(users=(User("deploy", authorized_keys=("k",), sudo="passwordless"), User("other", sudo="none")))
    directories, files, absent = accounts.belongings(wish, SEEN, problems)
    assert [(item.path, item.mode, item.owner) for item in directories] == [("/home/deploy/.ssh", "0700", "deploy")]
    assert [item.path for item in files] == ["/home/deploy/.ssh/authorized_keys", "/etc/sudoers.d/slipway-deploy"]
    assert files[1].content == b"deploy ALL=(ALL:ALL) NOPASSWD: ALL\n"
    assert files[1].validate == "visudo -c -q -f %s"
    assert absent == ["/etc/sudoers.d/slipway-other"]
    assert problems == []


def test_a_link_in_a_users_home_is_not_followed() -> None:
    problems: list[str] = []
    seen = Observation(
        accounts=SEEN.accounts, groups=SEEN.groups, paths={"/home/deploy/.ssh": PathState("link", target="/root/.ssh")}
    )
    accounts.belongings(Wish(users=(User("deploy", authorized_keys=("k",)),)), seen, problems)
    assert "is a symbolic link" in problems[0]


FIRST = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHA5c2dczsWP1BiO664mVlI0UArUM2QHorIeK+ZkX0Br first"
SECOND = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHA5c2dczsWP1BiO664mVlI0UArUM2QHorIeK+ZkX0Bs second"
BOTH = f"# mine\n{FIRST}\n\nrestrict {SECOND}\n".encode()


@pytest.mark.parametrize(
    ("keys", "exclusive", "login", "says"),
    [
        pytest.param((SECOND,), True, Login("deploy", fingerprint(FIRST)), "the key that this play is", id="used"),
        pytest.param((SECOND,), True, Login("deploy", fingerprint(SECOND)), "", id="another"),
        pytest.param((SECOND,), True, Login("deploy"), "", id="not-known"),
        pytest.param((SECOND,), True, None, "", id="not-by-ssh"),
        pytest.param((SECOND,), True, Login("operator", fingerprint(FIRST)), "", id="another-user"),
        pytest.param(
            (FIRST.replace("first", "new comment"),), True, Login("deploy", fingerprint(FIRST)), "", id="same"
        ),
        pytest.param((), True, Login("deploy"), "no key is left", id="every-key"),
        pytest.param((SECOND,), False, Login("deploy", fingerprint(FIRST)), "", id="nothing-goes"),
    ],
)
def test_the_way_in_that_is_used_stays(keys: tuple[str, ...], exclusive: bool, login: Login | None, says: str) -> None:
    path = PathState("file", "0600", "deploy", "deploy", BOTH)
    seen = replace(SEEN, paths={"/home/deploy/.ssh/authorized_keys": path}, login=login)
    problems: list[str] = []
    user = User("deploy", authorized_keys=keys, authorized_keys_exclusive=exclusive)
    accounts.belongings(Wish(users=(user,)), seen, problems)
    assert len(problems) == (1 if says else 0)
    assert all(line.startswith("users.deploy.authorized_keys: ") and says in line for line in problems)


@pytest.mark.parametrize(
    ("user", "login", "says"),
    [
        pytest.param(User("deploy", shell="/usr/sbin/nologin"), Login("deploy"), "lets nobody in", id="shell"),
        pytest.param(User("deploy", shell="/bin/false"), Login("deploy"), "lets nobody in", id="false"),
        pytest.param(User("deploy", shell="/bin/sh"), Login("deploy"), "", id="another-shell"),
        pytest.param(User("deploy", shell="/usr/sbin/nologin"), Login("operator"), "", id="another-user"),
        pytest.param(User("deploy", shell="/usr/sbin/nologin"), None, "", id="not-by-ssh"),
        pytest.param(User("deploy", home="/srv/d"), Login("deploy"), "would have no key in /srv/d", id="home"),
        pytest.param(User("deploy", home="/srv/d", authorized_keys=(FIRST,)), Login("deploy"), "", id="keys-go-along"),
    ],
)
def test_the_account_that_is_connected_stays_open(user: User, login: Login | None, says: str) -> None:
    problems: list[str] = []
    accounts.plan_users(Wish(users=(user,)), replace(SEEN, login=login), False, problems)
    assert len(problems) == (1 if says else 0)
    assert all(line.startswith("users.deploy.") and says in line for line in problems)


def test_removed_keys() -> None:
    user = User("deploy", authorized_keys=(FIRST,), authorized_keys_exclusive=True)
    assert accounts.removed_keys(user, BOTH) == (fingerprint(SECOND),)
    assert fingerprint(f'from="192.0.2.1" {FIRST}') == fingerprint(FIRST)
    assert fingerprint("# no key") == fingerprint("rubbish") == ""


@pytest.mark.parametrize(
    ("user", "keys", "password", "says"),
    [
        pytest.param(User("deploy", login=True), b"", "", "neither a key nor a password", id="nothing"),
        pytest.param(User("deploy", login=True), b"", "!", "neither a key nor a password", id="locked"),
        pytest.param(User("deploy", login=True, password="*"), b"", "$y$j", "neither a key", id="to-be-locked"),
        pytest.param(User("deploy", login=True), b"ssh-ed25519 AAAA x\n", "", "", id="a-key-that-is-there"),
        pytest.param(User("deploy", login=True), b"", "$y$j9T$x", "", id="a-password-that-is-there"),
        pytest.param(User("deploy", login=True, authorized_keys=("k",)), b"", "", "", id="a-key-to-come"),
        pytest.param(User("deploy", login=True, shell="/usr/sbin/nologin"), b"", "", "", id="no-shell"),
        pytest.param(User("deploy", login=True, system=True), b"", "", "", id="system"),
        pytest.param(User("deploy"), b"", "", "", id="not-asked"),
        pytest.param(
            User("deploy", login=True, authorized_keys=("k",), sudo="password"),
            b"",
            "!",
            "users.deploy.sudo: asks for a password",
            id="sudo-without-its-password",
        ),
    ],
)
def test_who_is_to_log_in_can(user: User, keys: bytes, password: str, says: str) -> None:
    paths = {"/home/deploy/.ssh/authorized_keys": PathState("file", "0600", "deploy", "deploy", content=keys)}
    seen = replace(SEEN, paths=paths, passwords={"deploy": password})
    problems: list[str] = []
    accounts.plan_users(Wish(users=(user,)), seen, False, problems)
    assert [says in problem for problem in problems] == ([True] if says else [])


def test_a_password_is_set_where_no_process_list_shows_it() -> None:
    problems: list[str] = []
    wish = Wish(users=(User("deploy", password="$y$new"),))
    seen = replace(SEEN, passwords={"deploy": "$y$old"})
    (step,) = accounts.plan_users(wish, seen, False, problems)
    assert isinstance(step, RunCommand)
    assert (step.argv, step.stdin) == (("chpasswd", "--encrypted"), "deploy:$y$new\n")
    assert "$y" not in step.line
    seen = replace(SEEN, passwords={"deploy": "$y$new"})
    assert accounts.plan_users(wish, seen, False, problems) == []
