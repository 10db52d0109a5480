from __future__ import annotations

import io
import os
import stat
from pathlib import Path

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._state import files


def test_write_whole_replaces_content_and_mode(tmp_path: Path) -> None:
    path = tmp_path / "value"
    path.write_text("old")
    files.write_whole(str(path), "new", 0o640)
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["value"]


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "value"
    path.write_text("old")

    def full(*_arguments: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(files.os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        files.write_whole(str(path), "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["value"]


def test_json_round_trip_and_missing(tmp_path: Path) -> None:
    path = str(tmp_path / "value.json")
    assert files.read_json(path) is None
    files.write_json(path, {"a": [1, "é"]})
    assert files.read_json(path) == {"a": [1, "é"]}


def test_broken_json_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    path.write_text("{")
    with pytest.raises(ValueError, match=r"value\.json is not JSON"):
        files.read_json(str(path))


def test_lines_survive_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    files.append_json_line(str(path), {"release": 1})
    with path.open("a") as stream:
        stream.write('{"release": ')
    files.append_json_line(str(path), {"release": 2})
    assert [record["release"] for record in files.read_json_lines(str(path))] == [1, 2]


def test_remove_says_whether_it_was_there(tmp_path: Path) -> None:
    path = tmp_path / "value"
    path.write_text("x")
    assert files.remove(str(path)) is True
    assert files.remove(str(path)) is False


def test_ensure_directory_gives_missing_parents_the_mode(tmp_path: Path) -> None:
    files.ensure_directory(str(tmp_path / "a" / "b"), 0o700)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700


def test_a_file_of_a_process_that_ends_while_it_is_read_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def read(self, size: int | None = -1, /) -> str:
            raise ProcessLookupError(3, "No such process")

    monkeypatch.setattr("builtins.open", lambda *arguments, **options: Gone())
    assert files.read_text("/proc/4711/cmdline") is None


def test_what_killed_writers_left_is_swept(tmp_path: Path) -> None:
    for name in (".journal.json.abc", ".pull.abc", ".other.json.abc", "journal.json"):
        (tmp_path / name).write_text("x")
    files.sweep(str(tmp_path), ".journal.json.")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".other.json.abc", ".pull.abc", "journal.json"]
    files.sweep(str(tmp_path), but=".pull.")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".pull.abc", "journal.json"]
    files.sweep(str(tmp_path / "nowhere"))
