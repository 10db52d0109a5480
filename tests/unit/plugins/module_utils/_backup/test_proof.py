# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.backup import make_point
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError
from ansible_collections.slipway.ops.plugins.module_utils._backup.proof import prove
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.world import World


def test_what_cannot_be_read_back_is_not_marked(tmp_path: Path) -> None:
    world = World(tmp_path)
    point = world.points[make_point(world.tools, "manual")["point"]]
    marks = world.events.count("mark")
    prove(world.tools, point)
    assert world.events.count("mark") == marks + 1
    world.faults["read back"] = "json"
    with pytest.raises(BackupError, match="its manifest cannot be read back"):
        prove(world.tools, point)
    assert world.events.count("mark") == marks + 1
