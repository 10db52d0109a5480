# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.slipway.ops.plugins.action import docker_engine

Make = Callable[..., Any]


@pytest.fixture
def action(recording: Callable[[Any, dict[str, Any]], Make]) -> Make:
    return recording(docker_engine, {"changed": False, "plan": []})


def test_renders_the_templates_of_every_state(action: Make, tmp_path: Path) -> None:
    (tmp_path / "templates/etc").mkdir(parents=True)
    (tmp_path / "templates/etc/a.j2").write_text("{{ word }}\n")
    found = action(tmp_path, states=[{"packages": ["nginx"]}, {"files": [{"path": "/etc/a"}]}])
    result = found.run(task_vars={"word": "hello"})
    assert "invocation" not in result
    assert found.sent["states"][1]["files"] == [{"path": "/etc/a", "content": "hello\n"}]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({}, "docker_engine.states: must be a list"),
        ({"states": [{"unit": []}]}, "did you mean units"),
        ({"states": [], "logins": [{"registry": "a/b", "username": "u", "password": "p"}]}, "is no registry"),
    ],
)
def test_refuses_before_the_host_is_asked(action: Make, tmp_path: Path, arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(AnsibleActionFail, match=told.replace("[", r"\[")):
        action(tmp_path, **arguments).run(task_vars={})
