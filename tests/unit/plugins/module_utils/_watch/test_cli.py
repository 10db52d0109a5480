from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Optional

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import Place
from ansible_collections.slipway.ops.plugins.module_utils._watch import gateway
from ansible_collections.slipway.ops.plugins.module_utils._watch.cli import watch
from ansible_collections.slipway.ops.plugins.module_utils._watch.model import Check, Email, InvalidWatch
from ansible_collections.slipway.ops.plugins.module_utils._watch.reading import DiskUse, Reading


class Host:
    """A host with a disk to watch and two receivers, all of which can fail."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.used = 10.0
        self.away: tuple[str, ...] = ()
        self.mails: list[str] = []
        self.hooks: list[dict[str, Any]] = []
        self.beats = 0
        monkeypatch.setattr(gateway, "read", self.read)
        monkeypatch.setattr(gateway, "send_email", self.send_email)
        monkeypatch.setattr(gateway, "call", self.call)
        self.configure(
            {
                "host": "web1",
                "textfile": str(folder / "watch.prom"),
                "checks": [{"name": "disk", "kind": "disk"}],
                "email": {"to": ["a@b.org"], "from": "c@b.org", "host": "smtp"},
            },
            {"webhook_url": "https://hook.example.org/x"},
        )

    def configure(self, config: dict[str, Any], secrets: Optional[dict[str, Any]] = None) -> None:
        (self.folder / "watch.json").write_text(json.dumps(config))
        (self.folder / "secrets.json").unlink(missing_ok=True)
        if secrets is not None:
            (self.folder / "secrets.json").write_text(json.dumps(secrets))

    def read(self, check: Check) -> Reading:
        return DiskUse(self.used, 1)

    def send_email(self, email: Email, subject: str, body: str) -> None:
        if "email" in self.away:
            raise gateway.NotSent("mail server smtp:25: away")
        self.mails.append(subject)

    def call(self, url: str, value: Optional[dict[str, Any]] = None) -> None:
        name = "heartbeat" if value is None else "webhook"
        if name in self.away:
            raise gateway.NotSent(f"{name} away")
        if value is None:
            self.beats += 1
        else:
            self.hooks.append(value)

    def watch(self, *arguments: str) -> int:
        files = (("--config", "watch.json"), ("--secrets", "secrets.json"), ("--state", "state/state.json"))
        return watch([*arguments, *(word for option, name in files for word in (option, str(self.folder / name)))])

    @property
    def metrics(self) -> str:
        return (self.folder / "watch.prom").read_text()


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


def test_tells_once_and_again_when_recovered(host: Host) -> None:
    assert host.watch() == 0
    host.used = 99
    assert host.watch() == 0
    assert host.watch() == 0
    assert host.mails == ["[slipway] web1 BAD: disk"]
    assert 'slipway_check_ok{check="disk"} 0' in host.metrics
    host.used = 10
    assert host.watch() == 0
    assert host.mails[1:] == ["[slipway] web1 recovered: disk"]
    assert len(host.hooks) == 2
    assert 'slipway_check_ok{check="disk"} 1' in host.metrics


def test_one_dead_channel_fails_the_pass_and_is_retried_alone(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.used, host.away = 99, ("email",)
    assert host.watch() == 1
    assert "NOT SENT by email: mail server smtp:25: away" in capsys.readouterr().out
    assert "slipway_watch_undelivered_alerts 1" in host.metrics
    host.away = ()
    assert host.watch() == 0
    assert len(host.mails) == 1
    assert len(host.hooks) == 1
    assert "slipway_watch_undelivered_alerts 0" in host.metrics


def test_heartbeat_follows_only_passes_that_told_everybody(host: Host) -> None:
    host.configure(
        {"host": "web1", "checks": [{"name": "disk", "kind": "disk"}]},
        {"webhook_url": "https://h.example.org/", "heartbeat_url": "https://beat.example.org/"},
    )
    assert host.watch() == 0
    assert host.beats == 1
    host.used, host.away = 99, ("webhook",)
    assert host.watch() == 1
    assert host.beats == 1
    host.away = ("heartbeat",)
    assert host.watch() == 1
    assert len(host.hooks) == 1


def test_dry_run_sends_and_writes_nothing(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.used = 99
    assert host.watch("--dry-run", "--json") == 0
    assert json.loads(capsys.readouterr().out)["checks"][0]["ok"] is False
    assert host.mails == []
    assert sorted(path.name for path in host.folder.iterdir()) == ["secrets.json", "watch.json"]


def test_test_alert_goes_the_whole_way_and_leaves_no_trace(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    assert host.watch("--test", "--token", "abc", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"token": "abc", "sent": ["email", "webhook"], "failed": {}}
    assert host.mails == ["[slipway] web1 test: test-abc"]
    assert "token abc" in host.hooks[0]["notices"][0]["message"]
    assert not (host.folder / "state").exists()


def test_test_alert_that_does_not_arrive_fails(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.away = ("webhook",)
    assert host.watch("--test", "--json") == 1
    result = json.loads(capsys.readouterr().out)
    assert result["sent"] == ["email"]
    assert result["failed"] == {"webhook": "webhook away"}


def test_test_alert_without_receivers_is_an_error(host: Host) -> None:
    host.configure({"host": "web1"})
    with pytest.raises(ValueError, match="nobody would be told"):
        host.watch("--test")


def test_damaged_state_does_not_blind(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.used = 99
    host.watch()
    (host.folder / "state/state.json").write_text("{")
    assert host.watch() == 0
    assert "it starts anew" in capsys.readouterr().err
    assert len(host.mails) == 2


def test_state_is_private(host: Host) -> None:
    host.watch()
    assert (host.folder / "state").stat().st_mode & 0o777 == 0o700
    assert (host.folder / "state/state.json").stat().st_mode & 0o777 == 0o600
    assert (host.folder / "watch.prom").stat().st_mode & 0o777 == 0o644


def test_missing_and_bad_configuration_are_said(host: Host) -> None:
    host.configure({"host": "web1", "checks": [{"name": "x", "kind": "htp"}]})
    with pytest.raises(InvalidWatch, match="did you mean http"):
        host.watch()
    (host.folder / "watch.json").unlink()
    with pytest.raises(ValueError, match="the role monitoring writes it"):
        host.watch()


ALERTS = {
    "backup overdue": ({"last_success": 1}, {}, ["backup"]),
    "backup failed": ({"ok": False, "error": "disk full"}, {}, ["backup"]),
    "RPO broken": ({"last_success": 2, "last_success_epoch": 2}, {}, ["backup", "rpo"]),
    "RTO broken": ({}, {"rto_seconds": 61}, ["rto"]),
    "drill failed": ({}, {"ok": False, "error": "the newest point cannot be restored"}, ["drill"]),
    "drill late": ({}, {"last_success_epoch": 1}, ["drill"]),
}


@pytest.mark.parametrize("name", ALERTS)
def test_every_rule_of_backups_fires_and_recovers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """From the files on the host to the message."""
    read = gateway.read
    host = Host(tmp_path, monkeypatch)
    monkeypatch.setattr(gateway, "read", read)
    place = Place("fleet", configuration_root=str(tmp_path / "etc"), state_root=str(tmp_path / "backup"))
    monkeypatch.setattr(gateway, "Place", lambda stack: place)
    monkeypatch.setattr(gateway, "BACKUP_STATUS_FILE", str(tmp_path / "backup/{stack}/status.json"))
    for path in (place.configuration, place.state):
        Path(path).mkdir(parents=True)
    document = {
        "stack": "fleet",
        "repositories": [{"name": "main", "url": "/srv"}],
        "sources": [{"kind": "volume", "volume": "uploads"}],
        "drill": {"interval_seconds": 604800},
        "promises": {"rto_seconds": 60, "rpo_seconds": 3600},
    }
    Path(place.settings).write_text(json.dumps(document), encoding="utf-8")
    now = time.time()
    good = {"ok": True, "last_success": now, "last_success_epoch": now}

    def write(backup: dict[str, Any], drill: dict[str, Any]) -> None:
        Path(place.status).write_text(json.dumps({**good, **backup}), encoding="utf-8")
        Path(place.drill).write_text(json.dumps({**good, "rto_seconds": 5, **drill}), encoding="utf-8")

    checks = [
        {"name": "backup", "kind": "backup", "stack": "fleet"},
        {"name": "drill", "kind": "drill", "stack": "fleet"},
        {"name": "rpo", "kind": "promise", "stack": "fleet", "promise": "rpo"},
        {"name": "rto", "kind": "promise", "stack": "fleet", "promise": "rto"},
    ]
    host.configure({"host": "web1", "checks": checks}, {"webhook_url": "https://hook.example.org/x"})
    write({}, {})
    assert host.watch() == 0
    assert host.hooks == []
    backup, drill, fired = ALERTS[name]
    write(backup, drill)
    assert host.watch() == 0
    assert [(notice["check"], notice["event"]) for notice in host.hooks[-1]["notices"]] == [
        (check, "bad") for check in fired
    ]
    write({}, {})
    assert host.watch() == 0
    assert {notice["event"] for notice in host.hooks[-1]["notices"]} == {"recovered"}
