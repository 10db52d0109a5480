# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.filter.swarm_members import FilterModule
from ansible_collections.slipway.ops.plugins.module_utils._swarm.values import Local

swarm_members = FilterModule().filters()["swarm_members"]


def test_a_plan_of_plain_values() -> None:
    seen = {"local": Local("a", default_address="192.0.2.1").plain(), "cluster": None}
    hosts = [{"host": "a", "wish": {"role": "manager", "labels": {"zone": 1}}, "seen": seen}]
    found = swarm_members(hosts, settings={"task_history": 2}, expected=["a"])
    assert (found["init"], found["addresses"], found["lines"]) == ("a", ["192.0.2.1:2377"], ["a: labels zone=1"])


@pytest.mark.parametrize("wrong", ["text", 5, [{}], [{"host": "a", "wish": {"unknown": 1}, "seen": {"local": {}}}]])
def test_what_cannot_be_read_is_said(wrong: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="swarm_members: "):
        swarm_members(wrong)
