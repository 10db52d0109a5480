# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._host.observed import (
    Account,
    AccountGroup,
    Observation,
    PathState,
    UnitState,
)
from ansible_collections.slipway.ops.plugins.module_utils._host.plan import (
    make_plan,
    narrowed,
    paths_of_interest,
    programs_of_interest,
    refusals,
)
from ansible_collections.slipway.ops.plugins.module_utils._host.steps import WriteFile, path_of
from ansible_collections.slipway.ops.plugins.module_utils._host.system import Mode, Settings
from ansible_collections.slipway.ops.plugins.module_utils._host.wish import Check, File, Link, Unit, User, Wish

NGINX = Wish(
    packages=("nginx",),
    files=(File("/etc/nginx/conf.d/x.conf", b"x", owner="www-data", validate="nginx -t -c %s"),),
    checks=(Check("nginx -t", ("/etc/nginx/",)), Check("other", ("/srv/",))),
    units=(Unit("nginx.service", True, "started", reload_on=("/etc/nginx/",)),),
    sysctls=(("net.core.somaxconn", "1024"), ("net.not.there", "1")),
    sysctls_file="/etc/sysctl.d/60-x.conf",
)
ETC = PathState("directory", "0755", "root", "root", empty=False)
BARE = Observation(sysctls={"net.core.somaxconn": "128", "net.not.there": None})


def test_a_bare_host_is_predicted_to_the_end() -> None:
    plan = make_plan(NGINX, BARE, check_mode=True)
    assert plan.problems == ()
    assert [step.line for step in plan.steps] == [
        "install packages nginx",
        "directory /etc: create (0755 root:root)",
        "directory /etc/nginx: create (0755 root:root)",
        "directory /etc/nginx/conf.d: create (0755 root:root)",
        "directory /etc/sysctl.d: create (0755 root:root)",
        "file /etc/nginx/conf.d/x.conf: create (0644 www-data:root)",
        "file /etc/sysctl.d/60-x.conf: create (0644 root:root)",
        "sysctl net.core.somaxconn: 128 -> 1024",
        "unit nginx.service: enable",
        "unit nginx.service: start",
    ]
    assert plan.checks == ("nginx -t",)
    assert plan.warnings == ("sysctls that this kernel does not know (yet), so nothing to set: net.not.there",)


def test_once_the_packages_are_there_nothing_is_taken_as_given() -> None:
    plan = make_plan(NGINX, Observation(packages=frozenset({"nginx"}), sysctls=BARE.sysctls))
    assert any("its owner www-data does not exist" in line for line in plan.problems)


def test_nothing_to_do_runs_no_check() -> None:
    wish = Wish(checks=(Check("always"),), units=(Unit("x.service", True, "started"),))
    seen = Observation(units={"x.service": UnitState("x.service", "loaded", "active", file="enabled")})
    plan = make_plan(wish, seen)
    assert plan.steps == ()
    assert plan.checks == ()


def test_paths_of_interest() -> None:
    wish = Wish(
        files=(File("/etc/a/b", b""),),
        links=(Link("/l", "x"),),
        users=(User("u", authorized_keys=("k",), sudo="none"),),
    )
    assert paths_of_interest(wish, Observation()) == [
        "/etc", "/etc/a", "/etc/a/b", "/l", "/home", "/home/u", "/home/u/.ssh", "/home/u/.ssh/authorized_keys",
        "/etc/sudoers.d", "/etc/sudoers.d/slipway-u",
    ]  # fmt: skip


def test_programs_of_interest() -> None:
    assert programs_of_interest(NGINX) == ["nginx", "other"]
    assert programs_of_interest(Wish(users=(User("u", sudo="password"),))) == ["visudo"]


@pytest.mark.parametrize(("programs", "said"), [(frozenset(), []), (frozenset({"nginx"}), ["refused"])])
def test_refusals_need_a_program_that_is_there(programs: frozenset[str], said: list[str]) -> None:
    seen = Observation(programs=programs)
    plan = make_plan(NGINX, seen, check_mode=True)
    assert refusals(plan, seen, lambda path, content, command, secret: "refused") == said


def test_settings_keep_mode_and_owner_of_their_file() -> None:
    there = PathState("file", "0640", "root", "shadow", content=b"UMASK 022\nA b\n")
    wish = Wish(settings=(Settings("/etc/login.defs", (("UMASK", "027"),)),))
    (step,) = make_plan(wish, Observation(paths={"/etc": ETC, "/etc/login.defs": there})).paths
    assert isinstance(step, WriteFile)
    assert (step.file.content, step.file.mode, step.file.group) == (b"UMASK 027\nA b\n", "0640", "shadow")


def test_modes_are_for_what_is_there() -> None:
    wish = Wish(modes=(Mode("/etc/a", "0600"), Mode("/etc/b", "0700"), Mode("/etc/none", "0600")))
    seen = Observation(
        paths={
            "/etc": ETC,
            "/etc/a": PathState("file", "0644", "root", "root", content=b"x"),
            "/etc/b": PathState("directory", "0755", "root", "root"),
        }
    )
    assert [step.line for step in make_plan(wish, seen).steps] == [
        "file /etc/a: 0644 root:root -> 0600 root:root",
        "directory /etc/b: 0755 root:root -> 0700 root:root",
    ]


def test_a_required_sysctl_that_is_unknown_is_refused() -> None:
    wish = Wish(sysctls=(("net.ipv4.ip_forwad", "1"),), sysctls_required=("net.ipv4.ip_forwad",))
    assert make_plan(wish, Observation()).problems == (
        "sysctls.net.ipv4.ip_forwad: this kernel does not know it; correct the name, or load the module that brings it",
    )


def test_narrowed_to_what_is_armed() -> None:
    wish = Wish(
        files=(File("/etc/net/x", b"x"), File("/etc/other", b"x")),
        sysctls=(("net.core.somaxconn", "1"), ("kernel.x", "1")),
        units=(
            Unit("net.service", state="started", restart_on=("/etc/net/",)),
            Unit("other.service", state="started", restart_on=("/etc/other",)),
        ),
    )
    running = UnitState("", "loaded", "active", "running", "enabled")
    seen = Observation(
        paths={"/etc": ETC, "/etc/net": ETC},
        sysctls={"net.core.somaxconn": "0", "kernel.x": "0"},
        units={"net.service": running, "other.service": running},
    )
    plan = make_plan(wish, seen)
    assert [step.line for step in narrowed(plan, ("/etc/net/", "net.")).steps] == [
        "file /etc/net/x: create (0644 root:root)",
        "sysctl net.core.somaxconn: 0 -> 1",
        "unit net.service: restart (/etc/net/x changed)",
    ]
    assert narrowed(plan, ()) == plan


def test_keys_and_sudo_are_always_of_what_is_armed() -> None:
    home = "/home/deploy"
    user = User("deploy", authorized_keys=("ssh-ed25519 AAAA x",), sudo="passwordless")
    seen = Observation(
        accounts={"deploy": Account("deploy", 1001, 1001, "", home, "/bin/bash")},
        groups={"deploy": AccountGroup("deploy", 1001, ())},
        paths={"/etc/sudoers.d": ETC, home: replace(ETC, owner="deploy"), "/etc": ETC},
        programs=frozenset({"visudo"}),
    )
    plan = make_plan(Wish(users=(user,), files=(File("/etc/other", b"x"),)), seen)
    assert [path_of(step) for step in narrowed(plan, ("net.",)).paths] == [
        f"{home}/.ssh",
        f"{home}/.ssh/authorized_keys",
        "/etc/sudoers.d/slipway-deploy",
    ]
