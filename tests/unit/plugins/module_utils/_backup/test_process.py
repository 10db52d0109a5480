# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError
from ansible_collections.slipway.ops.plugins.module_utils._backup.process import Outcome, Stream, pump, run


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


class Judge:
    """Sees what flows by, and refuses what the test wants refused."""

    def __init__(self, refuse_at: int = -1, refuse: bool = False) -> None:
        self.seen = b""
        self.outcome: Outcome | None = None
        self._refuse_at = refuse_at
        self._refuse = refuse

    def feed(self, chunk: bytes) -> None:
        self.seen += chunk
        if 0 <= self._refuse_at < len(self.seen):
            raise BackupError("that is no dump")

    def judge(self, outcome: Outcome) -> None:
        self.outcome = outcome
        if self._refuse or outcome.status != 0:
            raise BackupError(f"not whole: {outcome.status} {outcome.stderr.strip()}")


def shell(script: str) -> list[str]:
    return ["sh", "-c", script]


def keep(path: Path) -> Sequence[str]:
    """Stores its input only when it has come to its end, as restic does; says when it was interrupted."""
    return [
        *("python3", "-c"),
        "import os, signal, sys, threading, time\n"
        f"def note(text): open({str(path)!r} + '.' + text, 'w').close()\n"
        "def take():\n"
        "    data = sys.stdin.buffer.read()\n"
        f"    open({str(path)!r}, 'wb').write(data)\n"
        "    print('stored', len(data), flush=True)\n"
        "    os._exit(0)\n"
        "signal.signal(signal.SIGINT, lambda *_: (note('interrupted'), os._exit(130)))\n"
        "note('begun')\n"
        "threading.Thread(target=take).start()\n"
        "while True: time.sleep(0.02)\n",
    ]


def stored(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def waits_for(path: Path) -> str:
    """So that a test does not depend on which of two programs starts first."""
    return f"until [ -e {path}.begun ]; do sleep 0.02; done;"


def test_one_command_flows_into_another(tmp_path: Path) -> None:
    judge, path = Judge(), tmp_path / "kept"
    outcome = pump(
        Stream(tuple(shell("head -c 3000000 /dev/zero; echo done >&2"))),
        judge,
        keep(path),
        before=b"BEGIN",
        after=b"COMMIT",
    )
    assert (outcome.status, outcome.stdout) == (0, "stored 3000011\n")
    assert judge.seen == bytes(3000000)
    assert stored(path) == b"BEGIN" + bytes(3000000) + b"COMMIT"
    assert judge.outcome == Outcome(0, "", "done\n")


@pytest.mark.parametrize(
    ("script", "judge", "words"),
    [
        pytest.param("printf half; exit 3", Judge(), "not whole: 3", id="it fails"),
        pytest.param("printf half; kill -9 $$", Judge(), "not whole: -9", id="it is killed"),
        pytest.param("printf half; echo 'Access denied' >&2; exit 1", Judge(), "Access denied", id="it says why"),
        pytest.param("printf half", Judge(refuse=True), "not whole: 0", id="it ends well and is not whole"),
        pytest.param("printf half; sleep 60", Judge(refuse_at=2), "that is no dump", id="it is something else"),
    ],
)
def test_half_a_stream_is_never_taken_for_a_whole_one(tmp_path: Path, script: str, judge: Judge, words: str) -> None:
    path, ended = tmp_path / "kept", []
    begun = time.monotonic()
    with pytest.raises(BackupError, match=words):
        pump(
            Stream(tuple(shell(waits_for(path) + script)), lambda: ended.append("source")),
            judge,
            keep(path),
            before=b"BEGIN",
            after=b"COMMIT",
        )
    assert stored(path) is None
    assert Path(f"{path}.interrupted").exists()
    assert ended == ["source"]
    assert time.monotonic() - begun < 8


def test_a_target_that_fails_ends_the_source() -> None:
    ended: list[str] = []
    begun = time.monotonic()
    outcome = pump(
        Stream(tuple(shell("yes; sleep 60")), lambda: ended.append("source")),
        Judge(),
        shell("head -c 10; echo 'the disk is full' >&2; exit 5"),
    )
    assert (outcome.status, outcome.stderr) == (5, "the disk is full\n")
    assert ended == ["source"]
    assert time.monotonic() - begun < 8


def test_a_target_that_ends_early_has_not_taken_all() -> None:
    assert pump(Stream(tuple(shell("yes"))), Judge(), shell("head -c 10")).status == 1


def test_a_target_that_does_not_heed_an_interrupt_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{pump.__module__}.ORDERLY_SECONDS", 0.3)
    with pytest.raises(BackupError, match="not whole"):
        pump(Stream(tuple(shell("exit 1"))), Judge(), shell("trap '' INT; sleep 60"))


def test_being_told_to_stop_ends_both(tmp_path: Path) -> None:
    class Told(Judge):
        def feed(self, chunk: bytes) -> None:
            raise KeyboardInterrupt

    path, ended = tmp_path / "kept", []
    with pytest.raises(KeyboardInterrupt):
        pump(Stream(tuple(shell(waits_for(path) + "yes")), lambda: ended.append("source")), Told(), keep(path))
    assert stored(path) is None
    assert ended == ["source"]


def test_a_program_of_either_end_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="no-such-program: is not installed"):
        pump(Stream(("no-such-program",)), Judge(), keep(tmp_path / "kept"))
    with pytest.raises(BackupError, match="no-such-program: is not installed"):
        pump(Stream(("true",)), Judge(), ["no-such-program"])
    assert stored(tmp_path / "kept") is None
