# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Logins on a host, with the real files and a helper that is a script."""

from __future__ import annotations

import getpass
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._docker import login_keeper, logins
from ansible_collections.slipway.ops.plugins.module_utils._docker.api import ApiError
from ansible_collections.slipway.ops.plugins.module_utils._docker.login_keeper import LoginKeeper
from ansible_collections.slipway.ops.plugins.module_utils._docker.logins import Login
from ansible_collections.slipway.ops.plugins.module_utils._host.gateway import Host, HostError

ME = getpass.getuser()
LOGIN = Login("registry.test", "deploy", "right")
HELPER = """#!/bin/sh
store="$(dirname "$0")/kept"
case "$1" in
store) cat > "$store" ;;
erase) cat > /dev/null; rm -f "$store" ;;
get)
  cat > /dev/null
  if [ -e "$store" ]; then cat "$store"; else
    echo "credentials not found in native keychain"
    exit 1
  fi ;;
esac
"""


class Registry:
    def check_login(self, _address: str, username: str, password: str) -> None:
        if password != "right":
            raise ApiError(f"401 Unauthorized for {username}:{password}")


class Trial:
    def __init__(self, home: Path) -> None:
        self.config = home / ".docker/config.json"
        self.lines: list[str] = []
        self.warnings: list[str] = []

    def keep(self, wanted: list[Login], check: bool = False) -> list[str]:
        self.lines, self.warnings = [], []
        registry: Any = Registry()
        LoginKeeper(Host(), registry, check, self.lines.append, self.warnings.append).keep(wanted, [ME])
        return self.lines


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trial:
    monkeypatch.setattr(login_keeper, "home_of", lambda user: str(tmp_path) if user == ME else None)
    monkeypatch.setattr(logins, "RECORD_FILE", str(tmp_path / "logins.json"))
    return Trial(tmp_path)


def test_a_login_is_proved_written_and_removed_when_declared_no_more(trial: Trial) -> None:
    assert trial.keep([LOGIN], check=True) == [f"registry registry.test: log {ME} in as deploy"]
    assert not trial.config.exists()
    assert trial.keep([LOGIN]) == [f"registry registry.test: log {ME} in as deploy"]
    assert trial.config.stat().st_mode & 0o777 == 0o600
    assert trial.config.parent.stat().st_mode & 0o777 == 0o700
    assert "a credential helper" in trial.warnings[0]
    assert "right" not in trial.warnings[0]
    assert trial.keep([LOGIN]) == []
    assert trial.keep([]) == [f"registry registry.test: log {ME} out"]
    assert json.loads(trial.config.read_text()) == {}
    assert trial.keep([]) == []


def test_a_wrong_password_leaves_every_old_login_and_shows_in_no_message(trial: Trial) -> None:
    trial.keep([LOGIN])
    before = trial.config.read_text()
    with pytest.raises(HostError, match=r"registry\.test refused the login of deploy") as refused:
        trial.keep([Login("new.test", "deploy", "right"), Login("registry.test", "deploy", "wrong-one")])
    assert "wrong-one" not in str(refused.value)
    assert trial.config.read_text() == before


def test_a_helper_gets_the_password_and_the_file_loses_it(
    trial: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial.keep([LOGIN])
    program = tmp_path / "docker-credential-lab"
    program.write_text(HELPER)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    real = subprocess.run

    def as_me(argv: list[str], **options: Any) -> Any:
        assert argv[:4] == ["runuser", "-u", ME, "--"]
        return real(argv[4:], check=options.pop("check", False), **options)

    monkeypatch.setattr(login_keeper.subprocess, "run", as_me)
    trial.config.write_text(json.dumps({**json.loads(trial.config.read_text()), "credsStore": "lab"}))
    assert trial.keep([LOGIN]) == [f"registry registry.test: log {ME} in as deploy"]
    assert trial.warnings == []
    assert json.loads(trial.config.read_text()) == {"auths": {"registry.test": {}}, "credsStore": "lab"}
    assert json.loads((tmp_path / "kept").read_text())["Secret"] == "right"
    assert trial.keep([LOGIN]) == []
    trial.keep([])
    assert not (tmp_path / "kept").exists()
    program.unlink()
    with pytest.raises((HostError, FileNotFoundError)):
        trial.keep([LOGIN])


def test_a_directory_that_leads_elsewhere_is_refused(trial: Trial, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".docker").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(HostError, match="is a link"):
        trial.keep([LOGIN])


def test_a_user_that_does_not_exist_is_named(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login_keeper, "home_of", lambda _user: None)
    with pytest.raises(HostError, match="does not exist on this host"):
        trial.keep([LOGIN])
