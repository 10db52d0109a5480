# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import shutil
from pathlib import Path
from unittest.mock import ANY

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.escrow import Entry, prove_escrow
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    BackupError,
    Catalogue,
    Place,
    RepositoryMissing,
    RepositorySettings,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.process import Outcome, Stream
from ansible_collections.slipway.ops.plugins.module_utils._backup.repository import Repository

needs_restic = pytest.mark.skipif(shutil.which("restic") is None, reason="restic is not installed on this machine")


def door(tmp_path: Path, name: str, password: str = "secret") -> Repository:
    """A repository of the stack on this machine's disk."""
    place = Place("fleet", configuration_root=str(tmp_path / "etc"), cache=str(tmp_path / "cache"))
    files = place.repository(name)
    Path(files.directory).mkdir(parents=True)
    Path(files.password).write_text(f"{password}\n", encoding="utf-8")
    # Where this machine has its restic: jobs have a path of their own.
    found = os.path.dirname(shutil.which("restic") or "")
    Path(files.environment).write_text(f"PATH={found}:/usr/bin:/bin\n", encoding="utf-8")
    url = str(tmp_path / ("repository" if name == "main" else name))
    return Repository("fleet", RepositorySettings(name, url), place)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return door(tmp_path, "main")


def test_a_missing_password_file_is_named(repository: Repository, tmp_path: Path) -> None:
    os.unlink(tmp_path / "etc/fleet/repositories/main/password")
    with pytest.raises(BackupError, match=r"repositories/main/password: is missing"):
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


class Whole:
    """Takes everything for whole, unless it is told otherwise."""

    def __init__(self, refuse: str = "") -> None:
        self._refuse = refuse

    def feed(self, chunk: bytes) -> None:
        return None

    def judge(self, outcome: Outcome) -> None:
        if outcome.status != 0 or self._refuse:
            raise BackupError(self._refuse or f"ended with {outcome.status}")


POINT = "20260101T020000Z"


def stream(script: str) -> Stream:
    return Stream(("sh", "-c", script))


@needs_restic
def test_a_stream_is_a_part_of_its_point(repository: Repository, tmp_path: Path) -> None:
    repository.initialise()
    part = repository.store_stream(POINT, "mysql-db-shop", "shop.sql", stream("printf hello"), Whole())
    assert (part.bytes, part.sha256[:8]) == (5, "2cf24dba")
    (orphan,) = repository.catalogue().orphans
    assert (orphan.point, orphan.key, orphan.proved) == (POINT, "mysql-db-shop", False)
    assert orphan.snapshot.startswith(part.snapshot)
    assert repository.points() == []
    (tmp_path / "manifest").write_text("{}", encoding="utf-8")
    repository.store(POINT, "manual", [str(tmp_path / "manifest")])
    (point,) = repository.points()
    assert [found.key for found in point.parts] == ["mysql-db-shop"]
    assert repository.catalogue().orphans == ()
    chunks: list[bytes] = []
    assert repository.fetch(part.snapshot, "/shop.sql", sink=chunks.append) == (part.sha256, 5)
    assert b"".join(chunks) == b"hello"
    repository.mark_verified(POINT, {})
    repository.remove(repository.points())
    assert repository.catalogue() == Catalogue()
    repository.check()


@needs_restic
@pytest.mark.parametrize(
    ("script", "refuse", "words"),
    [
        pytest.param("head -c 20000000 /dev/urandom; exit 3", "", "ended with 3", id="it fails"),
        pytest.param("printf half", "cut off", "cut off", id="it is not whole"),
        pytest.param("exit 0", "empty", "empty", id="nothing came"),
        pytest.param("exit 0", "", "store shop.sql", id="nothing came, and nobody minds"),
    ],
)
def test_a_stream_that_is_not_whole_makes_no_part(repository: Repository, script: str, refuse: str, words: str) -> None:
    repository.initialise()
    with pytest.raises(BackupError, match=words):
        repository.store_stream(POINT, "mysql-db-shop", "shop.sql", stream(script), Whole(refuse))
    assert [orphan for orphan in repository.catalogue().orphans if orphan.key == "mysql-db-shop"] in ([], [ANY])
    for orphan in repository.catalogue().orphans:
        # restic 0.18 makes a snapshot without a file of an input that was empty.
        assert repository.count(orphan.snapshot, ["/shop.sql"]) == {"/shop.sql": (0, 0)}
    repository.remove_orphans(repository.catalogue().orphans)
    repository.check()


@needs_restic
def test_a_repository_that_takes_no_more_ends_the_stream(repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(RepositoryMissing):
        repository.store_stream(POINT, "k", "shop.sql", stream("yes"), Whole())


@needs_restic
def test_orphans_go_and_nothing_else(repository: Repository, tmp_path: Path) -> None:
    repository.initialise()
    repository.store_stream("20250101T020000Z", "k", "a.sql", stream("printf one"), Whole())
    repository.store_stream(POINT, "k", "a.sql", stream("printf two"), Whole())
    repository.store(POINT, "manual", [str(tmp_path / "etc")])
    repository.remove_orphans(repository.catalogue().orphans)
    (point,) = repository.catalogue().points
    assert repository.fetch(point.parts[0].snapshot, "/a.sql")[1] == 3
    assert repository.catalogue().orphans == ()


@needs_restic
def test_a_snapshot_that_cannot_be_read_makes_the_list_a_short_one(repository: Repository, tmp_path: Path) -> None:
    repository.initialise()
    repository.store_stream(POINT, "k", "a.sql", stream("printf one"), Whole())
    stored, _warnings = repository.store(POINT, "manual", [str(tmp_path / "etc")])
    assert repository.catalogue().whole
    (path,) = (tmp_path / "repository/snapshots").glob(f"{stored['snapshot_id']}*")
    path.chmod(0o600)
    path.write_bytes(b"x" * path.stat().st_size)
    shutil.rmtree(tmp_path / "cache")
    try:
        catalogue = repository.catalogue()
    except BackupError:
        return
    assert catalogue.orphans
    assert not catalogue.whole


@needs_restic
def test_a_wrong_password_is_one_line(repository: Repository, tmp_path: Path) -> None:
    repository.initialise()
    (tmp_path / "etc/fleet/repositories/main/password").write_text("other\n", encoding="utf-8")
    with pytest.raises(BackupError, match="the repository's password is wrong"):
        repository.points()


@needs_restic
def test_a_point_in_another_repository(repository: Repository, tmp_path: Path) -> None:
    other = door(tmp_path, "other", "another secret")
    for one in (repository, other):
        one.initialise()
    part = repository.store_stream(POINT, "k", "a.sql", stream("printf one"), Whole())
    (tmp_path / "data").write_text("hello", encoding="utf-8")
    repository.store(POINT, "scheduled", [str(tmp_path / "data")])
    (point,) = repository.points()
    for _time in range(2):
        other.copy_from(repository, [*(one.snapshot for one in point.parts), point.snapshot])
        (copied,) = other.points()
        assert (copied.name, copied.kind, copied.verified) == (POINT, "scheduled", False)
        (held,) = copied.parts
        assert held.is_named(part.snapshot)
        assert other.catalogue().orphans == ()
    assert held.snapshot != point.parts[0].snapshot
    assert other.fetch(held.snapshot, "/a.sql") == (part.sha256, 3)
    other.mark_verified(POINT, {})
    # A copy of a copy still remembers what the manifest names.
    third = door(tmp_path, "third")
    third.initialise()
    (point,) = other.points()
    third.copy_from(other, [*(one.snapshot for one in point.parts), point.snapshot])
    assert third.points()[0].parts[0].is_named(part.snapshot)
    repository.remove(repository.points())
    assert other.fetch_text(copied.snapshot, str(tmp_path / "data")) == "hello"
    Path(f"{tmp_path}/etc/fleet/repositories/other/password").write_text("wrong\n", encoding="utf-8")
    with pytest.raises(BackupError, match="password is wrong"):
        other.copy_from(third, [point.snapshot])


@needs_restic
def test_the_escrow_copy_opens_the_repository_or_does_not(repository: Repository, tmp_path: Path) -> None:
    repository.initialise()
    place = Place("fleet", configuration_root=str(tmp_path / "etc"), cache=str(tmp_path / "cache"))
    entry = Entry(repository.settings.url, "secret", "a random text")
    assert prove_escrow(repository, place, [entry], dry_run=True) is True
    assert prove_escrow(repository, place, [entry]) is True
    assert prove_escrow(repository, place, [entry]) is False
    assert repository.catalogue() == Catalogue()
    with pytest.raises(BackupError, match=r"the escrow copy does not open it: .* password is wrong"):
        prove_escrow(repository, place, [Entry(entry.url, "forgotten", entry.proof)])
    with pytest.raises(BackupError, match="the escrow copy knows nothing of it"):
        prove_escrow(repository, place, [Entry("/elsewhere", "secret", entry.proof)])
    # Somebody else's object under the mark.
    repository.store_escrow(Entry("x", "x", "new").mark, "old")
    with pytest.raises(BackupError, match="its test object is not what the escrow copy says"):
        prove_escrow(repository, place, [Entry(entry.url, "secret", "new")])
