# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._host.observed import Observation, UnitState
from ansible_collections.slipway.ops.plugins.module_utils._host.plan import (
    make_plan,
    paths_of_interest,
    programs_of_interest,
    refusals,
)
from ansible_collections.slipway.ops.plugins.module_utils._host.wish import Check, File, Link, Unit, User, Wish

NGINX = Wish(
    packages=("nginx",),
    files=(File("/etc/nginx/conf.d/x.conf", b"x", owner="www-data", validate="nginx -t -c %s"),),
    checks=(Check("nginx -t", ("/etc/nginx/",)), Check("other", ("/srv/",))),
    units=(Unit("nginx.service", True, "started", reload_on=("/etc/nginx/",)),),
    sysctls=(("net.core.somaxconn", "1024"), ("net.not.there", "1")),
    sysctls_file="/etc/sysctl.d/60-x.conf",
)
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
