# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a bare host is complete and true: what is not there fails, and says so."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

EXPECTED = {
    "pre-environment": ("fail", "environment file is not on the host"),
    "pre-certificate": ("fail", "no certificate on the host"),
    "pre-backup": ("fail", "no backup has been read back"),
    "pre-monitoring": ("fail", "is not installed"),
    "pre-load": ("not applicable", "no load was asked for"),
    "pre-features": ("not applicable", "for people"),
    "deploy-server": ("fail", "missing users: deploy"),
    "deploy-docker": ("fail", "there is no Docker engine"),
    "deploy-application": ("fail", "no release is recorded"),
    "deploy-firewall": ("fail", "UFW is not installed"),
    "deploy-tls": ("fail", "fleet.example.test"),
    "deploy-backups": ("fail", "slipway-backup-fleet.timer is not installed"),
    "post-health": ("fail", "fleet.example.test"),
    "post-services": ("fail", "the stack is not deployed"),
    "post-alerts": ("fail", "not installed"),
    "recover-dns": ("fail", "does not resolve"),
    "recover-database": ("not applicable", "no restore is recorded"),
}


@pytest.fixture(scope="module")
def verdicts() -> dict[str, dict[str, Any]]:
    report = json.loads((Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "audit.json").read_text(encoding="utf-8"))
    assert report["host"] == "audit-trixie"
    return {verdict["id"]: verdict for verdict in report["verdicts"]}


def test_report_has_every_line(verdicts: dict[str, dict[str, Any]]) -> None:
    assert len(verdicts) == 37
    assert all(verdict["reason"] and verdict["how"] for verdict in verdicts.values())


@pytest.mark.parametrize(("line", "status", "words"), [(line, *answer) for line, answer in EXPECTED.items()])
def test_line_is_true(verdicts: dict[str, dict[str, Any]], line: str, status: str, words: str) -> None:
    assert verdicts[line]["status"] == status
    assert words in verdicts[line]["reason"]


def test_nothing_passes_on_a_bare_host(verdicts: dict[str, dict[str, Any]]) -> None:
    assert [line for line, verdict in verdicts.items() if verdict["status"] == "pass"] == []


def test_sshd_was_asked_for_its_effective_settings(verdicts: dict[str, dict[str, Any]]) -> None:
    assert "sshd accepts passwords" in verdicts["pre-security"]["reason"]


def test_the_process_behind_an_undeclared_port_is_named(verdicts: dict[str, dict[str, Any]]) -> None:
    assert "port 8099/tcp (python3) is open and not declared" in verdicts["pre-security"]["reason"]


def test_nothing_was_left_on_the_host(host: Any) -> None:
    assert not host.file("/etc/slipway").exists
    assert not host.file("/var/lib/slipway").exists
