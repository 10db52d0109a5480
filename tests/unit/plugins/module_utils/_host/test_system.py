# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._host import system
from ansible_collections.slipway.ops.plugins.module_utils._host.system import Settings, Swap
from ansible_collections.slipway.ops.plugins.module_utils._host.wish import parse


@pytest.mark.parametrize(
    ("current", "values", "wanted"),
    [
        pytest.param("UMASK 022\nA b\n", {"UMASK": "027"}, "UMASK 027\nA b\n", id="where-it-stands"),
        pytest.param("UMASK\t\t027\n", {"UMASK": "027"}, "UMASK\t\t027\n", id="says-it-already"),
        pytest.param("# UMASK 022\nA b\n", {"UMASK": "027"}, "# UMASK 022\nUMASK 027\nA b\n", id="after-its-comment"),
        pytest.param("UMASK 022\nUMASK 077\n", {"UMASK": "027"}, "UMASK 027\n", id="once"),
        pytest.param("UMASK_X 1\n", {"UMASK": "027"}, "UMASK_X 1\nUMASK 027\n", id="at-the-end"),
        pytest.param("", {"A": "1", "B": "2"}, "A 1\nB 2\n", id="empty"),
    ],
)
def test_settings_leave_the_other_lines(current: str, values: dict[str, str], wanted: str) -> None:
    item = Settings("/etc/x", tuple(values.items()))
    assert system.with_settings(current, item) == wanted
    assert system.with_settings(wanted, item) == wanted


def test_settings_with_an_equals_sign() -> None:
    item = Settings("/etc/x", (("CRON_CHECK", "weekly"),), "=")
    assert system.with_settings("CRON_CHECK=never\n", item) == "CRON_CHECK=weekly\n"
    assert system.with_settings("CRON_CHECK = weekly\n", item) == "CRON_CHECK = weekly\n"


@pytest.mark.parametrize(
    ("path", "unit"),
    [("/swapfile", "swapfile.swap"), ("/srv/a-b/swap.1", "srv-a\\x2db-swap.1.swap")],
)
def test_the_unit_of_a_swap_file(path: str, unit: str) -> None:
    assert Swap(path, 8).unit == unit


def test_items_of_the_same_file_are_joined() -> None:
    wish, problems = parse(
        {"settings": [{"path": "/etc/x", "values": {"A": 1}}, {"path": "/etc/x", "values": {"B": "2"}}]}
    )
    assert problems == []
    assert wish.settings == (Settings("/etc/x", (("A", "1"), ("B", "2"))),)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"mounts": [{"path": "/tmp"}]}, "mounts[0].options: is required"),
        ({"mounts": [{"path": "/tmp", "options": ["no exec"]}]}, "mounts[0].options[0]: 'no exec' is not a mount"),
        ({"swap": {"path": "/swapfile", "size_mib": 1}}, "swap.size_mib: must be a whole number from 8"),
        ({"swap": {"path": "swapfile", "size_mib": 8}}, "swap.path: 'swapfile' must be an absolute path"),
        ({"swap": {"path": "/swapfile"}}, "swap.size_mib: is required"),
        ({"settings": [{"path": "/etc/x", "values": {"A B": 1}}]}, "settings[0].values.A B: is not the name"),
        ({"settings": [{"path": "/etc/x", "values": {"A": True}}]}, "settings[0].values.A: must be a number or text"),
        (
            {"settings": [{"path": "/etc/x", "values": {"A": 1}}, {"path": "/etc/x", "values": {"A": 2}}]},
            "settings[1].values.A: is declared twice, as 1 and 2",
        ),
        (
            {"settings": [{"path": "/etc/x", "values": {"A": 1}}], "files": [{"path": "/etc/x", "content": "x"}]},
            "settings: /etc/x is also declared under files",
        ),
        ({"modes": [{"path": "/etc/x", "mode": 600}]}, "modes[0].mode: must be octal digits in quotes"),
        ({"armed": {"name": "x", "only": ["NET "]}}, "armed.only[0]: 'NET ' must be"),
        ({"users": [{"name": "x", "password": "secret"}]}, "users[0].password: is not a hash"),
    ],
)
def test_problems_name_their_path(arguments: dict[str, Any], says: str) -> None:
    _wish, problems = parse(arguments)
    assert len(problems) == 1
    assert problems[0].startswith(says)
