# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.filter import audit_verdicts
from ansible_collections.slipway.ops.plugins.module_utils._audit import gateway


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> dict[str, Any]:
    """What a machine without anything looks like."""
    monkeypatch.setattr(gateway, "DOCKER_SOCKET", str(tmp_path / "docker.sock"))
    monkeypatch.setattr(gateway, "_SYSTEM_PATH", str(tmp_path))
    return gateway.observe("try-audit-none", [], [], [], str(tmp_path))


def test_answers_every_line(bare: dict[str, Any]) -> None:
    found = audit_verdicts.FilterModule().filters()["audit_verdicts"](bare, {"ssh_port": 2222})
    assert len(found) == 37
    assert {verdict["status"] for verdict in found} <= {"pass", "fail", "not applicable"}


def test_a_skipped_alert_was_not_asked_for(bare: dict[str, Any]) -> None:
    bare["host_program"] = True
    found = audit_verdicts.audit_verdicts(bare, alert={"skipped": True})
    assert next(verdict for verdict in found if verdict["id"] == "post-alerts")["status"] == "not applicable"


def test_unknown_expectations_are_refused(bare: dict[str, Any]) -> None:
    with pytest.raises(AnsibleFilterError, match="does not know sshport; known are addresses"):
        audit_verdicts.audit_verdicts(bare, {"sshport": 22})


@pytest.mark.parametrize("value", [None, [], {}, "x"])
def test_other_input_is_refused(value: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="audit_verdicts: needs what audit_facts returns"):
        audit_verdicts.audit_verdicts(value)
