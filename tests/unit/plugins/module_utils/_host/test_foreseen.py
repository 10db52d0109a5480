# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

from ansible_collections.slipway.ops.plugins.module_utils._host.foreseen import after, overlay
from ansible_collections.slipway.ops.plugins.module_utils._host.observed import FILE, Observation, PathState, UnitState
from ansible_collections.slipway.ops.plugins.module_utils._host.plan import make_plan
from ansible_collections.slipway.ops.plugins.module_utils._host.wish import (
    Directory,
    File,
    Group,
    Link,
    Unit,
    User,
    Wish,
)

BARE = Observation(
    paths={
        **{path: PathState("directory", "0755", "root", "root") for path in ("/etc", "/home", "/var", "/var/lib")},
        "/etc/old": PathState(FILE, "0644", "root", "root", content=b"old"),
    },
    sysctls={"net.core.somaxconn": "128"},
    units={"x.service": UnitState("x.service")},
)
WISH = Wish(
    packages=("tool",),
    groups=(Group("docker"),),
    users=(User("deploy", shell="/bin/sh", groups=("docker",), authorized_keys=("ssh-ed25519 AAAA x",)),),
    directories=(Directory("/etc/x", "0750"),),
    files=(
        File("/etc/x/open", b"open", owner="deploy", group="deploy"),
        File("/etc/x/secret", b"hush", mode="0600", secret=True),
    ),
    absent=("/etc/old",),
    links=(Link("/etc/link", "x/open"),),
    sysctls=(("net.core.somaxconn", "1024"),),
    units=(Unit("x.service", True, "started", restart_on=("/etc/x",)),),
)


def lines(wish: Wish, seen: Observation) -> list[str]:
    plan = make_plan(wish, seen, check_mode=True)
    assert plan.problems == ()
    return [step.line for step in plan.steps]


def foresee(wish: Wish, seen: Observation = BARE, earlier: dict[str, object] | None = None) -> dict[str, object]:
    found = after(wish, make_plan(wish, seen, check_mode=True), seen, earlier or {})
    assert json.loads(json.dumps(found)) == found
    return found


def test_the_same_request_again_finds_nothing_to_do() -> None:
    assert len(lines(WISH, BARE)) > 8
    assert lines(WISH, overlay(BARE, WISH, foresee(WISH))) == []


def test_a_later_request_builds_on_an_earlier_one() -> None:
    later = Wish(
        packages=("tool", "other"),
        users=(User("deploy", groups=("docker", "adm")),),
        files=(
            File("/etc/x/open", b"changed", owner="deploy", group="deploy"),
            File("/etc/x/secret", b"louder", mode="0600", secret=True),
            File("/home/deploy/x", b""),
        ),
        units=(Unit("x.service", True, "started", restart_on=("/etc/x",)),),
    )
    assert lines(later, overlay(BARE, later, foresee(WISH))) == [
        "install packages other",
        "user deploy: add to adm",
        "file /etc/x/open: change content",
        "file /etc/x/secret: change content",
        "file /home/deploy/x: create (0644 root:root)",
        "unit x.service: restart (/etc/x/open changed)",
    ]


def test_what_is_foreseen_adds_up() -> None:
    second = Wish(packages=("other",))
    seen = overlay(BARE, second, foresee(second, earlier=foresee(WISH)))
    assert seen.packages == {"tool", "other"}
    assert seen.units["x.service"].running
    assert seen.path("/etc/old").kind == "missing"


def test_no_secret_is_kept() -> None:
    told = json.dumps(foresee(Wish(files=(File("/etc/secret", b"hush", secret=True),))))
    assert "hush" not in told
    assert "aHVzaA" not in told


def test_nothing_foreseen_changes_nothing() -> None:
    assert overlay(BARE, WISH, {}) == BARE
