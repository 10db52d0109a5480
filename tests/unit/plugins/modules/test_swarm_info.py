# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.slipway.ops.plugins.modules import swarm_info

from tests.unit.plugins.module_utils._swarm.fake_swarm import FakeGateway


def test_it_tells_everything_but_secrets(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(swarm_info, "SwarmGateway", lambda: FakeGateway("a", "b"))
    with patch_module_args({"raft": True, "services": True}), pytest.raises(SystemExit):
        swarm_info.main()
    said = capsys.readouterr().out
    result = json.loads(said)
    assert not result["changed"]
    assert result["swarm"]["local"]["node_id"] == "id-a"
    assert [node["hostname"] for node in result["swarm"]["cluster"]["nodes"]] == ["a", "b"]
    assert result["swarm"]["raft"] == {"term": 2, "index": 41, "committed": 41}
    assert "SWMTKN" not in said
