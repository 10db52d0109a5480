from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.slipway.ops.plugins.modules import database_indexes

ARGUMENTS = {
    "stack": "fleet",
    "service": "database",
    "kind": "mysql",
    "database": "shop",
    "user": "root",
    "password_variable": "ROOT_PASSWORD",
    "indexes": [
        {"table": "orders", "name": "idx_status", "columns": ["status"]},
        {"table": "later", "name": "idx_x", "columns": ["x"]},
    ],
}
ALTER = "ALTER TABLE `orders` ADD INDEX `idx_status` (`status`), ALGORITHM=INPLACE, LOCK=NONE;"


class Server:
    """A MySQL server with one table, behind docker."""

    def __init__(self, present: bool = True, deaf: bool = False) -> None:
        self.present, self.deaf = present, deaf
        self.indexed = False
        self.statements: list[str] = []

    def __call__(self, command: Sequence[str], data: str) -> tuple[int, str, str]:
        if command[1] == "ps":
            return 0, "c1\n" if self.present else "", ""
        if "information_schema" in data:
            index = "index\torders\tidx_status\t1\t1\tstatus\n" if self.indexed else ""
            return 0, f"table\torders\tInnoDB\ncolumn\torders\tstatus\n{index}", ""
        self.statements += data.splitlines()[1:]
        self.indexed = self.indexed or ("ADD INDEX" in data and not self.deaf)
        if "OPTIMIZE" in data:
            return 0, "shop.orders\toptimize\terror\tno room\n", ""
        return 0, "", ""


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], server: Server, **changes: Any
) -> dict[str, Any]:
    monkeypatch.setattr(database_indexes, "run", server)
    monkeypatch.setattr(basic, "_ANSIBLE_ARGS", None, raising=False)
    with patch_module_args({**ARGUMENTS, **changes}), pytest.raises(SystemExit):
        database_indexes.main()
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def test_creates_then_changes_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    server = Server()
    first = run(monkeypatch, capsys, server)
    assert first["changed"]
    assert first["statements"] == [ALTER, "OPTIMIZE TABLE `orders`;", "ANALYZE TABLE `orders`;"]
    assert first["diff"]["after"].splitlines() == first["statements"]
    assert server.statements == first["statements"]
    second = run(monkeypatch, capsys, server)
    assert not second["changed"]
    assert second["present"] == ["orders.idx_status"]
    assert second["pending"] == ["later: the table does not exist yet; not created: idx_x"]


def test_warns_of_what_is_pending_and_of_what_the_server_complains_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(basic.AnsibleModule, "warn", lambda _module, warning: warnings.append(warning))
    run(monkeypatch, capsys, Server())
    assert warnings == [
        "optimize of shop.orders: no room",
        "later: the table does not exist yet; not created: idx_x",
    ]


def test_check_mode_changes_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    server = Server()
    result = run(monkeypatch, capsys, server, _ansible_check_mode=True)
    assert result["changed"]
    assert result["created"] == ["orders.idx_status"]
    assert server.statements == []


def test_check_mode_predicts_where_nothing_is_deployed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run(monkeypatch, capsys, Server(present=False), _ansible_check_mode=True)
    assert result["created"] == ["orders.idx_status", "later.idx_x"]


def test_fails_where_nothing_is_deployed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(monkeypatch, capsys, Server(present=False))
    assert result["failed"]
    assert result["msg"].endswith("no container runs; deploy the stack first")


def test_fails_when_the_index_is_not_there_afterwards(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "the indexes are not there" in run(monkeypatch, capsys, Server(deaf=True))["msg"]


def test_says_what_is_wrong_with_the_indexes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run(monkeypatch, capsys, Server(), indexes=[{"table": "a b", "name": "x", "columns": []}])
    assert result["msg"].count("indexes[0].") == 2
