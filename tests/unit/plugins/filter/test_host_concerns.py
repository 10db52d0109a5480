# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.filter.host_concerns import FilterModule

host_concerns = FilterModule().filters()["host_concerns"]


def test_joins_what_is_switched_on() -> None:
    found = host_concerns({"a": {"packages": ["x"]}, "b": {"enabled": False, "packages": ["y"]}})
    assert found["packages"] == ["x"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["a"], "a mapping of concerns"),
        ({"a": "b"}, "each a mapping"),
        ({"a": {"packges": []}}, "a.packges: not a section"),
    ],
)
def test_says_what_is_wrong(given: Any, says: str) -> None:
    with pytest.raises(AnsibleFilterError, match=says):
        host_concerns(given)
