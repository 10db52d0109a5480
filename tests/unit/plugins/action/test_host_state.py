# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from ansible.template import trust_as_template
from ansible_collections.slipway.ops.plugins.action import host_state

Make = Callable[..., Any]


@pytest.fixture
def action(recording: Callable[[Any, dict[str, Any]], Make]) -> Make:
    return recording(host_state, {"changed": True, "plan": []})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "templates/etc").mkdir(parents=True)
    (tmp_path / "templates/etc/x.conf.j2").write_text(
        "{% for host in hosts %}\n  {% if host %}\n{{ host }};\n  {% endif %}\n{% endfor %}\n"
    )
    (tmp_path / "templates/other.j2").write_text("{% include 'etc/part.j2' %}{{ greeting }}\n")
    (tmp_path / "templates/etc/part.j2").write_text("part of ")
    return tmp_path


def test_the_path_on_the_host_is_the_path_of_the_template(action: Make, folder: Path) -> None:
    found = action(
        folder,
        files=[
            {"path": "/etc/x.conf", "variables": {"hosts": ["a", "", "b"]}},
            {"path": "/etc/other", "template": "other.j2", "mode": "0600"},
            {"path": "/etc/given", "content": "{{ kept }}"},
        ],
    )
    result = found.run(task_vars={"greeting": trust_as_template("{{ 'hel' ~ 'lo' }}"), "hosts": []})
    assert "invocation" not in result
    assert found.sent["files"] == [
        {"path": "/etc/x.conf", "content": "a;\nb;\n"},
        {"path": "/etc/other", "mode": "0600", "content": "part of hello\n"},
        {"path": "/etc/given", "content": "{{ kept }}"},
    ]


def test_every_problem_is_told_before_the_host_is_asked(action: Make, folder: Path) -> None:
    with pytest.raises(AnsibleActionFail) as caught:
        action(folder, files=[{"path": "/x", "content": "", "mode": 420}], unit=[]).run(task_vars={})
    assert "unit: unknown key, did you mean units?\nfiles[0].mode: must be octal digits" in str(caught.value)


def test_every_template_that_fails_is_told(action: Make, folder: Path) -> None:
    with pytest.raises(AnsibleActionFail) as caught:
        action(folder, files=[{"path": "/etc/none"}, {"path": "/etc/x.conf"}]).run(task_vars={})
    assert "files[0] (/etc/none): " in str(caught.value)
    assert "files[1] (/etc/x.conf): " in str(caught.value)


def test_the_key_on_without_quotes(action: Make, folder: Path) -> None:
    found = action(folder, checks=[{"command": "x", True: ["/etc/"]}])
    found.run(task_vars={})
    assert found.sent["checks"] == [{"command": "x", "on": ["/etc/"]}]
