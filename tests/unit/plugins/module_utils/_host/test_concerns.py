# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._host.concerns import groups_of, merge


def test_merge() -> None:
    found = merge(
        {
            "time": {"packages": ["a", "b"], "sysctls": {"x.y": 1}},
            "off": {"enabled": False, "packages": ["no"], "sysctls": {"x.y": 3}},
            "more": {"enabled": True, "packages": ["b", "c"], "files": [{"path": "/x"}], "sysctls": {"x.y": 2}},
        }
    )
    assert found["packages"] == ["a", "b", "c"]
    assert found["files"] == [{"path": "/x"}]
    assert found["sysctls"] == {"x.y": 2}
    assert found["units"] == []


def test_merge_names_an_unknown_section() -> None:
    with pytest.raises(ValueError, match=r"time.file: not a section of host_state"):
        merge({"time": {"file": []}})


def test_groups_of() -> None:
    users: list[dict[str, Any]] = [
        {"name": "a", "groups": ["docker", "adm"]},
        {"name": "b"},
        {"name": "c", "groups": ["docker"]},
    ]
    assert groups_of(users) == [{"name": "docker", "system": True}, {"name": "adm", "system": True}]
