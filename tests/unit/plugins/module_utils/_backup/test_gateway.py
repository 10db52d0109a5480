# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.gateway import (
    Docker,
    Host,
    Repository,
    run,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    BackupError,
    Place,
    RepositoryMissing,
    Settings,
)

RECORD: dict[str, Any] = {
    "Id": "abc",
    "Name": "/fleet-database-1",
    "Image": "sha256:1",
    "RestartCount": 2,
    "Config": {"Image": "mysql:8.4", "Labels": {"com.docker.compose.service": "database"}},
    "State": {"Running": True, "Restarting": False, "Status": "running", "Health": {"Status": "healthy"}},
    "Mounts": [
        {"Type": "volume", "Name": "fleet_mysql", "Source": "/v/_data", "Destination": "/var/lib/mysql"},
        {"Type": "bind", "Source": "/etc/x", "Destination": "/x"},
    ],
}


def test_output_is_returned_or_goes_to_the_sink() -> None:
    assert run(["sh", "-c", "echo out; echo err >&2; exit 3"]).__dict__ == {
        "status": 3,
        "stdout": "out\n",
        "stderr": "err\n",
    }
    chunks: list[bytes] = []
    outcome = run(["printf", "x%.0s", "1", "2", "3"], sink=chunks.append)
    assert (b"".join(chunks), outcome.stdout) == (b"xxx", "")


def test_input_is_a_text_or_a_file(tmp_path: Path) -> None:
    assert run(["cat"], text="é").stdout == "é"
    (tmp_path / "f").write_text("file", encoding="utf-8")
    assert run(["cat"], source=str(tmp_path / "f")).stdout == "file"
    assert run(["cat"]).stdout == ""


def test_a_command_that_reads_nothing_does_not_hurt() -> None:
    assert run(["true"], text="x" * 1_000_000).status == 0


def test_a_chatty_command_does_not_hang_and_its_last_words_are_kept() -> None:
    outcome = run(["sh", "-c", "yes warning | head -c 1000000 >&2; echo last >&2"])
    assert outcome.stderr.endswith("last\n")
    assert len(outcome.stderr) <= 64 * 1024


def test_limits_and_decisive_words_end_a_command() -> None:
    begun = time.monotonic()
    assert "ended by the limit of 0 s" in run(["sleep", "30"], limit_seconds=0.2).stderr
    outcome = run(
        ["sh", "-c", "echo 'connection refused, retrying' >&2; exec sleep 30"], decisive=["connection refused"]
    )
    assert outcome.status != 0
    assert time.monotonic() - begun < 10


def test_a_program_that_is_missing_is_named() -> None:
    with pytest.raises(BackupError, match="no-such-program: is not installed"):
        run(["no-such-program"])


def test_an_error_in_the_sink_ends_the_command() -> None:
    def refuse(chunk: bytes) -> None:
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        run(["yes"], sink=refuse)


def test_a_container_is_what_docker_says() -> None:
    container = Docker._container(RECORD)
    assert (container.name, container.service, container.ready, container.restarts) == (
        *("fleet-database-1", "database", True),
        2,
    )
    assert container.volumes == {"/var/lib/mysql": ("fleet_mysql", "/v/_data")}


@pytest.mark.parametrize(
    ("state", "ready", "ended"),
    [
        ({"Running": True, "Status": "running"}, True, False),
        ({"Running": True, "Status": "running", "Health": {"Status": "starting"}}, False, False),
        ({"Running": True, "Restarting": True, "Status": "restarting"}, False, False),
        ({"Running": False, "Status": "exited"}, False, True),
    ],
)
def test_when_a_container_is_ready(state: dict[str, Any], ready: bool, ended: bool) -> None:
    container = Docker._container({**RECORD, "State": state})
    assert (container.ready, container.ended) == (ready, ended)


def test_measuring_and_emptying(tmp_path: Path) -> None:
    host = Host()
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/f").write_text("12345", encoding="utf-8")
    (tmp_path / "a/link").symlink_to("/nowhere")
    assert host.measure(str(tmp_path / "a"))[0] == 2
    assert host.measure(str(tmp_path / "a/b/f")) == (1, 5)
    assert host.measure(str(tmp_path / "nothing")) == (0, 0)
    assert host.free_bytes(str(tmp_path / "not/there/yet")) > 0
    host.make_empty(str(tmp_path / "a"))
    assert host.names(str(tmp_path / "a")) == []
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o700
    assert host.names(str(tmp_path / "nothing")) == []


def test_a_directory_like_another(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir(mode=0o750)
    os.chmod(tmp_path / "model", 0o2751)
    Host().make_like(str(tmp_path / "new"), str(tmp_path / "model"))
    assert (tmp_path / "new").stat().st_mode & 0o7777 == 0o2751
    Host().make_like(str(tmp_path / "other"), str(tmp_path / "missing"))
    assert (tmp_path / "other").is_dir()


needs_restic = pytest.mark.skipif(shutil.which("restic") is None, reason="restic is not installed on this machine")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    place = Place("fleet", configuration_root=str(tmp_path / "etc"), cache=str(tmp_path / "cache"))
    Path(place.configuration).mkdir(parents=True)
    Path(place.password).write_text("secret\n", encoding="utf-8")
    return Repository(Settings("fleet", str(tmp_path / "repository"), ()), place)


def test_a_missing_password_file_is_named(repository: Repository, tmp_path: Path) -> None:
    os.unlink(tmp_path / "etc/fleet/repository.password")
    with pytest.raises(BackupError, match=r"repository.password: is missing"):
        repository.points()


@needs_restic
def test_a_real_repository(repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(RepositoryMissing):
        repository.probe()
    repository.initialise()
    repository.probe()
    (tmp_path / "data").mkdir()
    (tmp_path / "data/f").write_text("hello", encoding="utf-8")
    path = str(tmp_path / "data")
    with pytest.raises(BackupError, match="has gone while the backup ran"):
        repository.store("20260101T020000Z", "manual", [path, f"{path}/nothing"])
    stored, warnings = repository.store("20260101T020000Z", "scheduled", [path])
    assert warnings == []
    (point,) = repository.points()
    assert (point.name, point.kind, point.verified) == ("20260101T020000Z", "scheduled", False)
    assert point.snapshot.startswith(stored["snapshot_id"])
    repository.mark_verified(point.name, {"ok": True})
    (point,) = repository.points()
    assert point.verified
    assert repository.fetch(point.snapshot, f"{path}/f", str(tmp_path / "back")) == (
        "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
        5,
    )
    assert (tmp_path / "back").read_text(encoding="utf-8") == "hello"
    assert repository.fetch_text(point.snapshot, f"{path}/f") == "hello"
    assert repository.count(point.snapshot, [path, "/nothing"]) == {path: (1, 5), "/nothing": (0, 0)}
    repository.unpack(point.snapshot, str(tmp_path / "look"), path)
    assert Path(f"{tmp_path}/look{path}/f").read_text(encoding="utf-8") == "hello"
    repository.check()
    repository.remove([point])
    assert repository.points() == []


@needs_restic
def test_a_wrong_password_is_one_line(repository: Repository, tmp_path: Path) -> None:
    repository.initialise()
    (tmp_path / "etc/fleet/repository.password").write_text("other\n", encoding="utf-8")
    with pytest.raises(BackupError, match="the repository's password is wrong"):
        repository.points()
