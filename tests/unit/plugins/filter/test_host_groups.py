# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.filter.host_groups import FilterModule

host_groups = FilterModule().filters()["host_groups"]


def test_gives_each_group_once() -> None:
    assert host_groups([{"name": "a", "groups": ["x"]}, {"name": "b", "groups": ["x"]}]) == [
        {"name": "x", "system": True}
    ]


@pytest.mark.parametrize("given", ["text", {"name": "a"}, ["a"]])
def test_says_what_is_wrong(given: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="a list of users"):
        host_groups(given)
