# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import gzip
import os
import shutil
import stat
import zlib
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError
from ansible_collections.slipway.ops.plugins.module_utils._log import rclone, store
from ansible_collections.slipway.ops.plugins.module_utils._log.model import Lineage, Piece, Stream, UnreadableError
from ansible_collections.slipway.ops.plugins.module_utils._log.store import Access, Measure, Sender, Store

STREAM = Stream(Lineage("fleet", "database", "77"), "binlog.000001")
# A machine without the package can be given the program alone.
RCLONE = shutil.which("rclone") or os.environ.get("SLIPWAY_TEST_RCLONE", "")
needs_rclone = pytest.mark.skipif(not RCLONE, reason="rclone is not installed on this machine")


def put(root: Path, start: int, raw: bytes) -> Piece:
    """An object that waits to be sent."""
    piece = Piece(STREAM, start, start + len(raw))
    path = root / piece.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(raw, mtime=0))
    return piece


@pytest.fixture
def access(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Access:
    monkeypatch.setattr(rclone, "PATH", f"{os.path.dirname(RCLONE)}:{rclone.PATH}" if RCLONE else rclone.PATH)
    monkeypatch.setenv("PATH", f"{os.path.dirname(RCLONE)}:{os.environ['PATH']}" if RCLONE else os.environ["PATH"])
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository/config").write_text("restic's", encoding="utf-8")
    (tmp_path / "password").write_text("secret\n", encoding="utf-8")
    return Access(rclone.LogRepository("main", str(tmp_path / "repository"), str(tmp_path / "password")))


def test_measuring_what_flows_by() -> None:
    packed = gzip.compress(b"hello" * 1000, mtime=0)
    measure = Measure()
    for index in range(0, len(packed), 7):
        measure.feed(packed[index : index + 7])
    measure.demand(Piece(STREAM, 0, 5000))
    assert measure.crc == zlib.crc32(b"hello" * 1000)
    with pytest.raises(UnreadableError, match="it holds 5000 bytes"):
        measure.demand(Piece(STREAM, 0, 5001))


@pytest.mark.parametrize(
    ("packed", "problem"),
    [
        (gzip.compress(b"hello", mtime=0)[:-3], "it ends after 5 bytes"),
        (gzip.compress(b"hello", mtime=0)[:4], "it ends after 0 bytes"),
        (b"", "it ends after 0 bytes"),
        (b"hello", "incorrect header check"),
        (gzip.compress(b"hello", mtime=0)[:-8] + bytes(8), "incorrect data check"),
    ],
)
def test_an_object_that_is_torn_or_damaged(packed: bytes, problem: str, tmp_path: Path) -> None:
    (tmp_path / "object").write_bytes(packed)
    piece = Piece(STREAM, 0, 5)
    with pytest.raises(UnreadableError, match=problem) as error:
        store.measure_file(str(tmp_path / "object"), piece)
    assert error.value.piece == piece
    with pytest.raises(UnreadableError, match="No such file"):
        store.measure_file(str(tmp_path / "nothing"), piece)


def test_a_disk_that_is_not_mounted_is_not_written_over(access: Access, tmp_path: Path) -> None:
    os.unlink(tmp_path / "repository/config")
    piece = put(tmp_path / "out", 0, b"hello")
    wanted = [
        lambda: Store(access).pieces(),
        lambda: Store(access).fetch([piece], str(tmp_path / "in")),
        lambda: Store(access).check(piece),
        lambda: Sender(Store(access)).send(str(tmp_path / "out"), [piece]),
    ]
    for attempt in wanted:
        with pytest.raises(BackupError, match=r"there is none .*config is missing.; mount its disk"):
            attempt()
    assert os.listdir(tmp_path / "repository") == []


def test_a_missing_password_is_named(access: Access, tmp_path: Path) -> None:
    for content in ("", "\n"):
        (tmp_path / "password").write_text(content, encoding="utf-8")
        with pytest.raises(BackupError, match="password: is missing; run the play"):
            access.environment()


@needs_rclone
def test_a_real_repository(access: Access, tmp_path: Path) -> None:
    real, out = Store(access), tmp_path / "out"
    assert real.pieces() == []
    assert real.pieces("fleet/database") == []
    assert real.directories("fleet") == []
    pieces = [put(out, 0, b"hello"), put(out, 5, b" world"), put(out, 11, b"")]
    sender = Sender(real)
    try:
        assert sender.send(str(out), pieces).done == tuple(pieces)
        # Twice is no harm, and nobody is asked to overwrite anything.
        assert sender.send(str(out), pieces) == store.Sent(tuple(pieces))
        assert sender.send(str(out), [Piece(STREAM, 900, 901)]) == store.Sent(())
    finally:
        sender.close()
    listed = real.pieces("fleet/database")
    assert listed == pieces
    assert [piece.stored for piece in listed] == [os.path.getsize(out / piece.path) for piece in pieces]
    assert real.pieces() == pieces
    assert (real.directories(""), real.directories("fleet/database")) == (["fleet"], ["77"])
    assert real.check(pieces[1]) == zlib.crc32(b" world")
    real.fetch(pieces[:2], str(tmp_path / "in"))
    assert gzip.decompress((tmp_path / "in" / pieces[1].path).read_bytes()) == b" world"
    stored = tmp_path / "repository/slipway-log" / f"{pieces[0].path}.bin"
    assert stored.read_bytes().startswith(b"RCLONE\0\0")
    real.delete([pieces[0], Piece(STREAM, 900, 901)])
    assert real.pieces() == pieces[1:]
    with pytest.raises(UnreadableError, match="is not in the repository any more") as error:
        real.fetch(pieces[:2], str(tmp_path / "in2"))
    assert error.value.piece == pieces[0]


@needs_rclone
@pytest.mark.parametrize("left", [0, 20, 45, 60])
def test_what_a_killed_transfer_left_is_replaced(access: Access, tmp_path: Path, left: int) -> None:
    real, out = Store(access), tmp_path / "out"
    pieces = [put(out, 0, b"hello"), put(out, 5, b" world"), put(out, 11, b"!")]
    sender = Sender(real)
    try:
        sender.send(str(out), pieces[:2])
        stored = tmp_path / "repository/slipway-log" / f"{pieces[1].path}.bin"
        os.truncate(stored, left)
        with pytest.raises(UnreadableError):
            real.check(pieces[1])
        assert sender.send(str(out), pieces) == store.Sent(tuple(pieces))
    finally:
        sender.close()
    assert [real.check(piece) for piece in pieces] == [zlib.crc32(raw) for raw in (b"hello", b" world", b"!")]


@needs_rclone
def test_an_object_with_another_content_is_left_as_it_is(access: Access, tmp_path: Path) -> None:
    real = Store(access)
    before, piece = put(tmp_path / "one", 0, b"hello"), put(tmp_path / "two", 0, b"HELLO"[::-1])
    also = put(tmp_path / "two", 5, b"more")
    # rclone notices it by its size.
    (tmp_path / "two" / piece.path).write_bytes(gzip.compress(b"OLLEH", 0, mtime=0) + gzip.compress(b""))
    sender = Sender(real)
    try:
        sender.send(str(tmp_path / "one"), [before])
        assert sender.send(str(tmp_path / "two"), [piece, also]) == store.Sent((also,), (piece,))
    finally:
        sender.close()
    assert real.check(piece) == zlib.crc32(b"hello")


@needs_rclone
def test_the_same_content_packed_otherwise_counts_as_sent(access: Access, tmp_path: Path) -> None:
    """Another version of zlib may pack the same bytes into another size."""
    piece = put(tmp_path / "one", 0, b"hello" * 100)
    other = put(tmp_path / "two", 0, b"hello" * 100)
    (tmp_path / "two" / other.path).write_bytes(gzip.compress(b"hello" * 100, 0, mtime=0))
    sender = Sender(Store(access))
    try:
        sender.send(str(tmp_path / "one"), [piece])
        assert sender.send(str(tmp_path / "two"), [other]) == store.Sent((other,))
    finally:
        sender.close()


@needs_rclone
def test_another_password_reads_nothing(access: Access, tmp_path: Path) -> None:
    piece = put(tmp_path / "out", 0, b"hello")
    sender = Sender(Store(access))
    try:
        sender.send(str(tmp_path / "out"), [piece])
    finally:
        sender.close()
    (tmp_path / "password").write_text("other\n", encoding="utf-8")
    access.forget()
    with pytest.raises(UnreadableError):
        Store(access).check(piece)


@needs_rclone
def test_a_sender_that_was_killed_is_started_anew(access: Access, tmp_path: Path) -> None:
    pieces = [put(tmp_path / "out", 0, b"hello"), put(tmp_path / "out", 5, b" world")]
    sender = Sender(Store(access))
    try:
        sender.send(str(tmp_path / "out"), pieces[:1])
        assert sender._daemon is not None
        sender._daemon.stop()
        assert sender.send(str(tmp_path / "out"), pieces).done == tuple(pieces)
    finally:
        sender.close()


@needs_rclone
def test_a_repository_that_cannot_be_written_says_why(access: Access, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        # Root may write anywhere; a file where a directory should be stops it as well.
        (tmp_path / "repository/slipway-log").write_text("", encoding="utf-8")
    else:
        os.chmod(tmp_path / "repository", stat.S_IRUSR | stat.S_IXUSR)
    piece = put(tmp_path / "out", 0, b"hello")
    sender = Sender(Store(access))
    try:
        with pytest.raises(BackupError, match=r"repository .*: send the log: "):
            sender.send(str(tmp_path / "out"), [piece])
    finally:
        sender.close()


class FakeDaemon:
    """What the sender talks to, with the answers of a test."""

    def __init__(self, answers: list[Any]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, str]] = []
        self.alive = True

    def call(self, method: str, body: dict[str, Any], limit_seconds: float) -> tuple[int, dict[str, Any]]:
        text = ""
        if method == "sync/copy":
            text = Path(body["_filter"]["FilesFromRaw"][0]).read_text(encoding="utf-8")
        self.asked.append((method, text or str(body.get("remote"))))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, tuple) else (200, answer)

    def spoken(self) -> str:
        return "something was said"

    def stop(self) -> None:
        self.alive = False


def talking(access: Access, monkeypatch: pytest.MonkeyPatch, answers: list[Any]) -> tuple[Sender, FakeDaemon]:
    daemon, sender = FakeDaemon(answers), Sender(Store(access))
    monkeypatch.setattr(sender, "_daemon", daemon)
    monkeypatch.setattr(sender, "_make_durable", lambda pieces: None)
    return sender, daemon


def test_only_what_was_there_all_the_time_counts_as_sent(
    access: Access, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = [put(tmp_path / "out", 0, b"hello"), put(tmp_path / "out", 5, b" world")]
    sender, daemon = talking(access, monkeypatch, [{}])
    call = daemon.call

    def and_one_goes(*words: Any) -> Any:
        os.unlink(tmp_path / "out" / pieces[0].path)
        return call(*words)

    monkeypatch.setattr(daemon, "call", and_one_goes)
    assert sender.send(str(tmp_path / "out"), pieces).done == (pieces[1],)
    assert daemon.asked == [("sync/copy", f"{pieces[0].path}\n{pieces[1].path}\n")]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (TimeoutError("timed out"), "does not answer"),
        (ConnectionResetError("reset"), "something was said"),
        ((500, {"error": "RequestError: dial tcp 1.2.3.4:443: connect: connection refused"}), "nothing answers"),
    ],
)
def test_a_sender_that_fails_is_not_used_again(
    access: Access, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Any, message: str
) -> None:
    piece = put(tmp_path / "out", 0, b"hello")
    sender, daemon = talking(access, monkeypatch, [answer])
    with pytest.raises(BackupError, match=message):
        sender.send(str(tmp_path / "out"), [piece])
    assert not daemon.alive
    assert (tmp_path / "out" / piece.path).exists()


@pytest.mark.parametrize("denied", ["AccessDenied: Access Denied", "permission denied"])
def test_credentials_that_may_only_add_leave_a_conflict(
    access: Access, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, denied: str
) -> None:
    piece = put(tmp_path / "out", 0, b"hello")
    answers = [(500, {"error": rclone.IMMUTABLE}), {"item": {"Size": 3}}, (500, {"error": denied})]
    sender, _daemon = talking(access, monkeypatch, answers)
    monkeypatch.setattr(Store, "check", lambda self, piece: (step for step in ()).throw(UnreadableError("torn", piece)))
    assert sender.send(str(tmp_path / "out"), [piece]) == store.Sent((), (piece,))
