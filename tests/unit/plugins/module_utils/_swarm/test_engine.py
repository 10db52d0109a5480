# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""dockerd halted for a moment."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._swarm.engine import Dockerd
from ansible_collections.slipway.ops.plugins.module_utils._swarm.gateway import SwarmError


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[tuple[Dockerd, int]]:
    """A process that is called dockerd."""
    program = tmp_path / "dockerd"
    program.symlink_to("/bin/sleep")
    running = subprocess.Popen([str(program), "60"])
    (tmp_path / "pid").write_text(f"{running.pid}\n")
    while Path(f"/proc/{running.pid}/comm").read_text().strip() != "dockerd":
        time.sleep(0.01)
    yield Dockerd(str(tmp_path / "pid")), running.pid
    running.kill()
    running.wait()


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_it_is_halted_meanwhile_and_goes_on(daemon: tuple[Dockerd, int]) -> None:
    dockerd, pid = daemon
    with dockerd.paused():
        assert state(pid) == "T"
    assert state(pid) != "T"


def test_it_goes_on_when_something_breaks(daemon: tuple[Dockerd, int]) -> None:
    dockerd, pid = daemon
    with pytest.raises(OSError, match="disk"), dockerd.paused():
        raise OSError("disk")
    assert state(pid) != "T"


def test_it_goes_on_by_itself_and_the_copy_does_not_count(daemon: tuple[Dockerd, int]) -> None:
    dockerd, pid = daemon
    with pytest.raises(SwarmError, match="before its state was copied"), dockerd.paused(0.2):  # noqa: PT012
        time.sleep(0.6)
        assert state(pid) != "T"


def test_another_process_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "pid").write_text("1\n")
    with pytest.raises(SwarmError, match="names process 1, which is"):
        Dockerd(str(tmp_path / "pid")).pid()
    with pytest.raises(SwarmError, match="dockerd does not run"):
        Dockerd(str(tmp_path / "none")).pid()
