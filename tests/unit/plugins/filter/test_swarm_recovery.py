# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.filter.swarm_recovery import FilterModule
from ansible_collections.slipway.ops.plugins.module_utils._swarm.values import Local

swarm_recovery = FilterModule().filters()["swarm_recovery"]


def host(name: str, index: int) -> dict[str, Any]:
    seen = {"local": Local(name, "active", f"id-{name}").plain(), "cluster": None}
    return {"host": name, "seen": {**seen, "raft": {"term": 1, "index": index, "committed": index}}}


def test_the_newest_raft() -> None:
    found = swarm_recovery([host("a", 5), host("b", 6)], lost=["c"])
    assert (found["seed"], found["aside"], len(found["lines"]), found["problems"]) == ("b", ["a"], 3, [])


@pytest.mark.parametrize("wrong", ["text", 5, [{}], [{"host": "a", "seen": {"local": {}}}]])
def test_what_cannot_be_read_is_said(wrong: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="swarm_recovery: "):
        swarm_recovery(wrong)
