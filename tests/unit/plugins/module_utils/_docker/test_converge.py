# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's own concerns beside its state: what runs, holds, versions."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._docker import converge
from ansible_collections.slipway.ops.plugins.module_utils._docker.converge import EngineHost, Request
from ansible_collections.slipway.ops.plugins.module_utils._host.gateway import Completed, Host, HostError
from ansible_collections.slipway.ops.plugins.module_utils._host.wish import Wish

STATUS = """Package: docker.io
Status: {selection} ok installed
Priority: optional
Version: 26.1.5

Package: runc
Status: hold ok installed
Version: 1.1

Package: docker-ce
Status: deinstall ok config-files
Version: 5:1
"""


class Recorder(Host):
    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.ran: list[str] = []
        self.answers: dict[str, Completed] = {}

    def run(self, argv: Sequence[str], environment: Any = None) -> Completed:
        self.ran.append(" ".join(argv))
        return self.answers.get(argv[0], Completed(0, "", ""))

    def pause(self, seconds: float) -> None:
        pass


class Dockerd:
    """Runs with one log driver until it is restarted."""

    def __init__(self, host: Recorder, driver: str, then: str) -> None:
        self.host, self.driver, self.then = host, driver, then

    def information(self) -> dict[str, Any]:
        restarted = any(line.startswith("systemctl re") for line in self.host.ran)
        return {"LoggingDriver": self.then if restarted else self.driver, "LiveRestoreEnabled": True}


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    (tmp_path / "var/lib/dpkg").mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/status").write_text(STATUS.format(selection="hold"))
    monkeypatch.setattr(converge, "PID_FILE", os.devnull)
    monkeypatch.setattr(converge, "engine_started", lambda: 0.0)
    monkeypatch.setattr(converge, "ANSWER_SECONDS", 0.2)
    return Recorder(str(tmp_path))


def run(host: Recorder, driver: str = "local", then: str = "local", check: bool = False, **options: Any) -> list[str]:
    api: Any = Dockerd(host, driver, then)
    request = Request(states=(), daemon={"log-driver": "local", "live-restore": True}, **options)
    return EngineHost(host, api, check).converge(request).lines


def test_nothing_to_do_is_nothing_done(host: Recorder) -> None:
    assert run(host) == []
    assert host.ran == []


def test_a_daemon_that_runs_with_other_settings_is_restarted(host: Recorder) -> None:
    line = "unit docker.service: restart (it runs with other settings: log-driver)"
    assert run(host, driver="json-file", check=True) == [line]
    assert host.ran == []
    assert run(host, driver="json-file") == [line]
    assert host.ran == ["systemctl restart -- docker.service"]


def test_one_that_still_differs_is_a_failure(host: Recorder) -> None:
    with pytest.raises(HostError, match=r"log-driver; look for flags in: systemctl cat docker\.service"):
        run(host, driver="json-file", then="json-file")


def test_one_that_was_started_before_its_file_changed_is_restarted(
    host: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(converge, "engine_started", lambda: 200.0 if host.ran else 50.0)
    monkeypatch.setattr(converge, "modified", lambda _path: 100.0)
    assert run(host) == [
        "unit docker.service: restart (it runs with other settings: a file that changed after its start)"
    ]


class Foreign(Dockerd):
    """An engine that was here before, without live restore."""

    def information(self) -> dict[str, Any]:
        reloaded = "systemctl reload docker.service" in self.host.ran
        return {"LoggingDriver": "local", "LiveRestoreEnabled": reloaded, "ContainersRunning": 2}


def test_containers_of_an_engine_that_was_here_before_outlive_its_first_restart(host: Recorder) -> None:
    api: Any = Foreign(host, "local", "local")
    Path(host.root, "etc/docker").mkdir(parents=True)
    file = Path(host.root, "etc/docker/daemon.json")
    file.write_text('{"bip": "10.9.0.1/16"}')
    Path(host.root, "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    Path(host.root, "etc/group").write_text("root:x:0:\n")
    request = Request(states=(), daemon={"live-restore": True})
    line = "unit docker.service: reload, so that containers run on when it restarts"
    assert line in EngineHost(host, api, True).converge(request).lines
    assert host.ran == []
    assert EngineHost(host, api, False).converge(request).lines == [line]
    assert json.loads(file.read_text()) == {"bip": "10.9.0.1/16", "live-restore": True}
    assert "systemctl restart -- docker.service" not in host.ran


def test_installed_packages_of_the_engine_are_held_and_let_go(host: Recorder) -> None:
    Path(host.root, "var/lib/dpkg/status").write_text(STATUS.format(selection="install"))
    assert run(host) == ["hold the engine's packages"]
    assert run(host, hold=False) == ["unhold the engine's packages"]
    assert host.ran == ["apt-mark hold docker.io", "apt-mark unhold runc"]


def test_another_version_than_the_pinned_one_gives_a_warning(host: Recorder) -> None:
    api: Any = Dockerd(host, "local", "local")
    request = Request(states=(), daemon={}, version="27.*")
    assert "docker.io 26.1.5 is installed, not 27.*" in EngineHost(host, api, False).converge(request).warnings[0]
    request = Request(states=(), daemon={}, version="26.*")
    assert EngineHost(host, api, False).converge(request).warnings == []


def test_a_pinned_version_that_is_not_there_is_told_with_those_that_are(
    host: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: EngineHost, wish: Wish) -> None:
        raise HostError(
            "packages docker-ce: apt-get install failed: E: Package 'docker-ce' has no installation candidate"
        )

    monkeypatch.setattr(EngineHost, "_state", fail)
    host.answers["apt-cache"] = Completed(
        0, " docker-ce | 5:2.0 | http://r stable\n docker-ce | 5:1.0 | http://r stable\n", ""
    )
    api: Any = None
    with pytest.raises(HostError, match=r"^docker_version: 5:9\.\* of docker-ce .* have 5:2\.0, 5:1\.0; choose one"):
        EngineHost(host, api, False).converge(Request(states=(Wish(),), daemon={}, version="5:9.*"))
    with pytest.raises(HostError, match=r"^packages docker-ce"):
        EngineHost(host, api, False).converge(Request(states=(Wish(),), daemon={}, version="5:2.*"))


def test_this_process_was_started_in_the_past(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    pid.write_text(str(os.getpid()))
    assert converge.engine_started(str(pid)) > 1.6e9
    assert converge.engine_started(str(tmp_path / "none")) == 0.0
