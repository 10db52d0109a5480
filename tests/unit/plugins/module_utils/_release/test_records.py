from __future__ import annotations

import os
import stat
from pathlib import Path

from ansible_collections.slipway.ops.plugins.module_utils._release import records
from ansible_collections.slipway.ops.plugins.module_utils._release.container import HostFile
from ansible_collections.slipway.ops.plugins.module_utils._release.records import Records


def make(directory: Path) -> Records:
    return Records("t", str(directory / "etc"), str(directory / "var"))


def test_deployed_files_are_private(tmp_path: Path) -> None:
    mine = make(tmp_path)
    assert mine.model() is None
    mine.write_deployed({"name": "t"}, {"B": "2", "A": "one\ntwo"})
    assert mine.model() == {"name": "t"}
    assert mine.environment() == 'A="one\\ntwo"\nB=2\n'
    for name in ("stack.json", "environment"):
        assert stat.S_IMODE((tmp_path / "etc" / "t" / name).stat().st_mode) == 0o600
    assert records.stacks(str(tmp_path / "etc")) == ["t"]
    mine.remove_deployed()
    assert records.stacks(str(tmp_path / "etc")) == []


def test_history_and_journal(tmp_path: Path) -> None:
    mine = make(tmp_path)
    assert mine.last_release() == 0
    mine.add_history({"release": 1})
    mine.add_history({"release": 2})
    assert mine.last_release() == 2
    assert mine.journal() is None
    mine.write_journal({"phase": "start"})
    assert mine.journal() == {"phase": "start"}
    mine.clear_journal()
    mine.clear_journal()
    assert mine.journal() is None


def test_mounted_files_are_written_once_and_collected(tmp_path: Path) -> None:
    mine = make(tmp_path)
    one = HostFile("one", {"content": "text"}, 0o440, os.getuid(), os.getgid())
    two = HostFile("two", {"content_base64": "//4="}, 0o444, os.getuid(), os.getgid())
    mine.write_files({"one": one, "two": two})
    path = tmp_path / "var" / "t" / "files"
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert (path / "one").read_text() == "text"
    assert stat.S_IMODE((path / "one").stat().st_mode) == 0o440
    assert (path / "two").read_bytes() == b"\xff\xfe"
    inode = (path / "one").stat().st_ino
    mine.write_files({"one": one})
    assert (path / "one").stat().st_ino == inode
    mine.collect_files({"one": one})
    assert mine.mounted_files() == {"one"}
    assert sorted(os.listdir(tmp_path / "var" / "t")) == ["files"]


def test_what_killed_releases_left_half_written_is_swept(tmp_path: Path) -> None:
    records = make(tmp_path)
    records.write_journal({"phase": "start"})
    left = Path(records.state) / ".journal.json.vitl5ygm"
    left.write_text("{")
    records.sweep()
    assert not left.exists()
    assert records.journal() == {"phase": "start"}
