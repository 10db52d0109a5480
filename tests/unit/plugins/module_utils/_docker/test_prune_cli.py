# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verb, against an engine in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._docker import cli, prune, pruning
from ansible_collections.slipway.ops.plugins.module_utils._docker.prune import GIB, Image, Usage
from ansible_collections.slipway.ops.plugins.module_utils._lease.lease import lease
from ansible_collections.slipway.ops.plugins.module_utils._release.quiet import Busy
from ansible_collections.slipway.ops.plugins.module_utils._release.wiring import Places
from ansible_collections.slipway.ops.plugins.module_utils._state import files


class Engine:
    def __init__(self, *names: str, cache: int = 0, refuses: str = "") -> None:
        self.images = [Image(f"sha256:{name}", (name,), (), GIB, GIB, float(at)) for at, name in enumerate(names)]
        self.cache = cache
        self.refuses = refuses

    def usage(self) -> Usage:
        return Usage(len(self.images) * GIB, self.cache, self.cache, tuple(self.images))

    def filesystem_bytes(self) -> int:
        return 100 * GIB

    def prune_cache(self, keep_bytes: int | None = None, unused_days: int = 0) -> int:
        if keep_bytes is None:
            return 0
        freed, self.cache = self.cache - keep_bytes, keep_bytes
        return freed

    def remove_image(self, image: Image) -> str:
        if image.tags[0] == self.refuses:
            return "it has dependent child images"
        self.images.remove(image)
        return ""


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    found = Places(str(tmp_path / "stacks"), str(tmp_path / "state"), str(tmp_path / "leases"), str(tmp_path))
    monkeypatch.setattr(cli, "Places", lambda: found)
    monkeypatch.setattr(prune, "STATUS_FILE", str(tmp_path / "status/prune.json"))
    deployed = tmp_path / "stacks/fleet"
    deployed.mkdir(parents=True)
    (deployed / "stack.json").write_text(json.dumps({"services": {"web": {"image": "web:2"}}}))
    state = tmp_path / "state/fleet"
    state.mkdir(parents=True)
    (state / "history.jsonl").write_text(json.dumps({"outcome": "succeeded", "images": {"web": "sha256:web:1"}}) + "\n")
    (tmp_path / "prune.json").write_text(json.dumps({"budget_gib": 3, "textfile": str(tmp_path / "docker.prom")}))
    return found


def call(monkeypatch: pytest.MonkeyPatch, places: Places, engine: Engine, *arguments: str) -> int:
    monkeypatch.setattr(cli.EngineDisk, "connect", lambda: engine)
    return cli.prune(["--config", f"{places.upstreams}/prune.json", *arguments])


def test_keeps_within_the_budget_and_what_is_needed(
    monkeypatch: pytest.MonkeyPatch, places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = Engine("web:1", "other:1", "web:2", "other:2", cache=GIB)
    assert call(monkeypatch, places, engine, "--json") == 0
    assert [each.tags[0] for each in engine.images] == ["web:1", "web:2", "other:2"]
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in said["removed"]] == ["other:1"]
    assert (said["before_bytes"], said["after_bytes"], said["build_cache_bytes"]) == (5 * GIB, 3 * GIB, GIB)
    assert files.read_json(prune.STATUS_FILE)["over_budget"] is False
    assert "slipway_docker_over_budget 0" in Path(places.upstreams, "docker.prom").read_text()


def test_a_dry_run_only_says_it(
    monkeypatch: pytest.MonkeyPatch, places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = Engine("other:1", "other:2", "other:3", "web:2")
    assert call(monkeypatch, places, engine, "--dry-run") == 0
    assert len(engine.images) == 4
    assert "would remove image other:1 (1.0 GiB): over the budget" in capsys.readouterr().out
    assert files.read_json(prune.STATUS_FILE) is None


def test_says_so_when_it_cannot_keep_within(
    monkeypatch: pytest.MonkeyPatch, places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = Engine("web:1", "web:2", "a:1", "b:1", refuses="a:1")
    engine.images += [Image("sha256:young", ("young:1",), (), GIB, GIB, 4e9)]
    assert call(monkeypatch, places, engine) == 1
    said = capsys.readouterr()
    assert "kept image a:1: it has dependent child images" in said.out
    assert "raise docker_disk_budget_" in said.err


def test_a_release_under_way_is_waited_for(monkeypatch: pytest.MonkeyPatch, places: Places) -> None:
    monkeypatch.setattr(cli, "LEASE_WAIT_SECONDS", 0)
    with lease("fleet", "release", directory=places.leases), pytest.raises(Busy, match="held by release"):
        call(monkeypatch, places, Engine())


def test_without_its_file_it_says_who_writes_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the role docker writes it"):
        pruning.load(str(tmp_path / "missing.json"))
