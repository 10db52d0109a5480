# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._host import paths
from ansible_collections.slipway.ops.plugins.module_utils._host.observed import Observation, PathState
from ansible_collections.slipway.ops.plugins.module_utils._host.wish import Directory, File, Link

ROOT = ("0755", "root", "root")
SEEN = Observation(
    paths={
        "/etc": PathState("directory", *ROOT, empty=False),
        "/etc/same": PathState("file", "0644", "root", "root", content=b"same"),
        "/etc/link": PathState("link", "0777", "root", "root", target="same"),
        "/etc/empty": PathState("directory", *ROOT, empty=True),
        "/etc/socket": PathState("other", *ROOT),
    }
)


@pytest.mark.parametrize(
    ("file", "lines"),
    [
        (File("/etc/same", b"same"), []),
        (File("/etc/same", b"other"), ["file /etc/same: change content"]),
        (File("/etc/same", b"same", mode="0600"), ["file /etc/same: 0644 root:root -> 0600 root:root"]),
        (File("/etc/same", b"other", seed=True), []),
        (File("/etc/new", b"x", owner="deploy"), ["file /etc/new: create (0644 deploy:root)"]),
        (File("/etc/link", b"x"), ["file /etc/link: create (0644 root:root)"]),
    ],
)
def test_files(file: File, lines: list[str]) -> None:
    problems: list[str] = []
    assert [step.line for step in paths.plan_files([file], SEEN, problems)] == lines
    assert problems == []


def test_a_directory_in_the_place_of_a_file_is_a_problem() -> None:
    problems: list[str] = []
    assert paths.plan_files([File("/etc/empty", b"")], SEEN, problems) == []
    assert problems == ["/etc/empty: is a directory, not a file; move it away or choose another path"]


def test_directories_above_are_made_once_and_first() -> None:
    problems: list[str] = []
    steps = paths.plan_directories(
        [Directory("/etc/a/b", "0700", "deploy")], ["/etc/a/c/file", "/etc/a/c/other"], [], SEEN, problems
    )
    assert [step.line for step in steps] == [
        "directory /etc/a: create (0755 root:root)",
        "directory /etc/a/b: create (0700 deploy:root)",
        "directory /etc/a/c: create (0755 root:root)",
    ]
    assert problems == []


def test_a_home_is_made_by_the_account_tools() -> None:
    homes = ["/home/new"]
    steps = paths.plan_directories([Directory("/home/new/.ssh", "0700", "new", "new")], [], homes, SEEN, [])
    assert "/home/new" not in [step.line.split()[1].rstrip(":") for step in steps]


@pytest.mark.parametrize(
    ("path", "says"), [("/etc/same/x", "/etc/same is a file"), ("/etc/socket/x", "/etc/socket is a other")]
)
def test_a_file_in_the_place_of_a_directory_is_a_problem(path: str, says: str) -> None:
    problems: list[str] = []
    paths.plan_directories([], [path], [], SEEN, problems)
    assert says in problems[0]


def test_links() -> None:
    problems: list[str] = []
    wanted = [Link("/etc/link", "same"), Link("/etc/other", "same"), Link("/etc/empty", "same")]
    assert [step.line for step in paths.plan_links(wanted, SEEN, problems)] == ["link /etc/other -> same"]
    assert len(problems) == 1


def test_absent() -> None:
    problems: list[str] = []
    wanted = ["/etc/same", "/etc/link", "/etc/empty", "/etc/none", "/etc"]
    lines = [step.line for step in paths.plan_absent(wanted, SEEN, problems)]
    assert lines == ["remove file /etc/same", "remove link /etc/link", "remove directory /etc/empty"]
    assert problems == [
        "/etc: is a directory with something in it; remove it by hand, host_state removes only what it could put back"
    ]
