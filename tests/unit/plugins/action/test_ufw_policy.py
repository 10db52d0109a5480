# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.slipway.ops.plugins.action import ufw_policy

Make = Callable[..., Any]


@pytest.fixture
def action(recording: Callable[[Any, dict[str, Any]], Make]) -> Make:
    return recording(ufw_policy, {"changed": True, "plan": []})


def test_renders_what_the_policy_needs(action: Make, tmp_path: Path) -> None:
    (tmp_path / "templates/etc").mkdir(parents=True)
    (tmp_path / "templates/etc/x.j2").write_text("{{ greeting }}\n")
    found = action(tmp_path, rules=[{"port": 22}], host={"packages": ["ufw"], "files": [{"path": "/etc/x"}]})
    result = found.run(task_vars={"greeting": "hello"})
    assert found.sent["host"]["files"] == [{"path": "/etc/x", "content": "hello\n"}]
    assert found.sent["host"]["packages"] == ["ufw"]
    assert found.sent["rules"] == [{"port": 22}]
    assert "invocation" not in result


def test_sends_a_policy_alone_as_it_is(action: Make, tmp_path: Path) -> None:
    found = action(tmp_path, state="absent")
    found.run(task_vars={})
    assert found.sent == {"state": "absent"}


def test_refuses_before_anything_is_sent(action: Make, tmp_path: Path) -> None:
    with pytest.raises(AnsibleActionFail, match=r"host\.files\[0\]\.path"):
        action(tmp_path, host={"files": [{"path": "etc/x"}]}).run(task_vars={})
