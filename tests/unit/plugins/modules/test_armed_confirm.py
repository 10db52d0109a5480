# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.slipway.ops.plugins.module_utils._armed.gateway import (
    ARMED,
    CONFIRMED,
    NOTHING,
    REVERTED,
    Status,
)
from ansible_collections.slipway.ops.plugins.modules import armed_confirm


class Store:
    """Answers as it is told."""

    confirmed = CONFIRMED
    asked: list[str] = []

    def __init__(self, host: object) -> None:
        return

    def confirm(self, name: str) -> Status:
        self.asked.append("confirm")
        return Status(name, self.confirmed, why="it was late", at=1.0)

    def revert(self, name: str, why: str) -> Status:
        self.asked.append(f"revert: {why}")
        return Status(name, REVERTED, why=why)

    def status(self, name: str) -> Status:
        return Status(name, ARMED)


def run(capsys: pytest.CaptureFixture[str], **arguments: Any) -> dict[str, Any]:
    with patch_module_args({"name": "ssh", **arguments}), pytest.raises(SystemExit):
        armed_confirm.main()
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


@pytest.mark.parametrize(
    ("state", "failed"), [(CONFIRMED, False), (REVERTED, True), (NOTHING, True)], ids=[CONFIRMED, REVERTED, NOTHING]
)
def test_confirm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], state: str, failed: bool) -> None:
    monkeypatch.setattr(armed_confirm, "Store", Store)
    monkeypatch.setattr(Store, "confirmed", state)
    result = run(capsys)
    assert result.get("failed", False) is failed
    assert result["state"] == state
    if state == REVERTED:
        assert "put back at 1970-01-01 00:00:01 UTC, it was late; the change is not confirmed" in result["msg"]


def test_revert_and_check_mode(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(armed_confirm, "Store", Store)
    Store.asked.clear()
    assert run(capsys, state="reverted", reason="it was wrong")["state"] == REVERTED
    assert run(capsys, _ansible_check_mode=True)["state"] == ARMED
    assert Store.asked == ["revert: it was wrong"]
