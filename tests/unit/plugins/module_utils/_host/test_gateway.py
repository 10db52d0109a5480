# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._host import gateway
from ansible_collections.slipway.ops.plugins.module_utils._host.gateway import Completed, Host, HostError
from ansible_collections.slipway.ops.plugins.module_utils._host.wish import File, Wish


class Apt(Host):
    def __init__(self, answers: dict[str, list[Completed]]) -> None:
        super().__init__()
        self.answers = answers
        self.ran: list[str] = []

    def run(self, argv: Sequence[str], environment: Mapping[str, str] | None = None) -> Completed:
        assert environment is not None
        assert environment["DEBIAN_FRONTEND"] == "noninteractive"
        self.ran.append(argv[1])
        queue = self.answers.get(argv[1], [])
        return queue.pop(0) if queue else Completed(0, "", "")


UNKNOWN = Completed(100, "", "E: Unable to locate package x")


@pytest.mark.parametrize(
    ("fresh", "answers", "ran"),
    [
        pytest.param(True, {}, ["install"], id="fresh"),
        pytest.param(False, {}, ["update", "install"], id="stale"),
        pytest.param(True, {"install": [UNKNOWN]}, ["install", "update", "install"], id="unknown-in-fresh-lists"),
    ],
)
def test_lists_are_updated_only_when_needed(
    monkeypatch: pytest.MonkeyPatch, fresh: bool, answers: dict[str, list[Completed]], ran: list[str]
) -> None:
    host = Apt(answers)
    monkeypatch.setattr(host, "_lists_are_fresh", lambda: fresh)
    host.install(["x"])
    assert host.ran == ran


def test_a_failed_installation_names_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Apt({"install": [UNKNOWN, UNKNOWN]})
    monkeypatch.setattr(host, "_lists_are_fresh", lambda: True)
    with pytest.raises(HostError, match="packages x: apt-get install failed: E: Unable to locate"):
        host.install(["x"])


def test_what_is_held_back_does_not_start_by_itself(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "usr/sbin").mkdir(parents=True)
    (tmp_path / "etc/passwd").write_text(f"root:x:{os.getuid()}:{os.getgid()}::/root:/bin/sh\n")
    (tmp_path / "etc/group").write_text(f"root:x:{os.getgid()}:\n")
    policy = tmp_path / "usr/sbin/policy-rc.d"
    asked: dict[str, int] = {}

    class Asking(Host):
        def run(self, argv: Sequence[str], environment: Mapping[str, str] | None = None, stdin: str = "") -> Completed:
            for words in ("docker.service start", "docker start", "docker restart", "containerd.service start"):
                asked[words] = subprocess.run([str(policy), *words.split()], check=False).returncode
            return Completed(0, "", "")

    Asking(str(tmp_path)).install(["docker.io"], ["docker.service", "x.timer"])
    assert asked == {
        "docker.service start": 101,
        "docker start": 101,
        "docker restart": 0,
        "containerd.service start": 0,
    }
    assert not policy.exists()


def test_a_policy_of_somebody_else_stays(tmp_path: Path) -> None:
    (tmp_path / "usr/sbin").mkdir(parents=True)
    policy = tmp_path / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 0\n")
    host = Apt({})
    host.root = str(tmp_path)
    host.install(["x"], ["x.service"])
    assert policy.read_text() == "#!/bin/sh\nexit 0\n"


def test_the_policy_of_an_installation_that_died_lets_everything_start(tmp_path: Path) -> None:
    policy = tmp_path / "policy"
    policy.write_text(gateway.START_POLICY_TEXT.format(process=4194999, names="docker"))
    assert subprocess.run(["sh", str(policy), "docker", "start"], check=False).returncode == 0


def test_lists_age(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "APT_LISTS", str(tmp_path))
    host = Host()
    assert not host._lists_are_fresh()
    (tmp_path / "partial").mkdir()
    (tmp_path / "archive_InRelease").touch()
    assert host._lists_are_fresh()
    old = time.time() - 25 * 3600
    os.utime(tmp_path / "partial", (old, old))
    assert not host._lists_are_fresh()


def test_release(tmp_path: Path) -> None:
    assert Host(str(tmp_path)).release() == ""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text('ID=debian\nVERSION_CODENAME="trixie"\n')
    assert Host(str(tmp_path)).release() == "trixie"


def test_a_program_that_is_not_there_says_so() -> None:
    done = Host().run(["slipway-no-such-program"])
    assert done.code == 127
    assert "no such program" in done.said


def test_observation_follows_no_links(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/file").write_bytes(b"\x00x")
    (tmp_path / "etc/link").symlink_to("file")
    host = Host(str(tmp_path))
    wish = Wish(files=tuple(File(path, b"") for path in ("/etc/file", "/etc/link", "/etc/none/deep")))
    seen = host.observe(wish)
    assert seen.path("/etc/file").content == b"\x00x"
    assert seen.path("/etc/link").target == "file"
    assert seen.path("/etc/none").kind == "missing"
    assert not seen.path("/etc").empty


def test_pending_survives_rubbish(tmp_path: Path) -> None:
    host = Host(str(tmp_path))
    file = tmp_path / gateway.PENDING.lstrip("/")
    assert host.pending() == {}
    file.parent.mkdir(parents=True)
    file.write_text("{rubbish")
    assert host.pending() == {}


def test_an_unknown_owner_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="user ghost does not exist; declare it under users"):
        Host(str(tmp_path)).ids("ghost", "0")
    assert Host(str(tmp_path)).ids("12", "34") == (12, 34)
