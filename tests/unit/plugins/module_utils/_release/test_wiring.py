"""Which adapter a release gets: by its model's engine alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._release import wiring
from ansible_collections.slipway.ops.plugins.module_utils._release.compose import ComposeEngine
from ansible_collections.slipway.ops.plugins.module_utils._release.docker_gateway import EngineMissing
from ansible_collections.slipway.ops.plugins.module_utils._release.engine import EngineError
from ansible_collections.slipway.ops.plugins.module_utils._release.records import Records
from ansible_collections.slipway.ops.plugins.module_utils._release.swarm import SwarmEngine
from ansible_collections.slipway.ops.plugins.module_utils._release.wiring import (
    EMPTY,
    Places,
    Settings,
    parts,
    release,
)
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Stack


def on(**model: Any) -> Stack:
    return Stack({"name": "t", **EMPTY, **model})


@pytest.mark.parametrize("model", [{}, {"engine": "compose"}])
def test_compose_is_the_engine_where_nothing_is_said(model: dict[str, str]) -> None:
    found = parts(on(**model), {}, Settings())
    assert isinstance(found.engine, ComposeEngine)
    assert isinstance(found.records, Records)


def test_an_engine_that_is_not_known_here_is_said_with_a_remedy() -> None:
    with pytest.raises(EngineError, match="its engine nomad is not one of compose"):
        parts(on(engine="nomad"), {}, Settings())


def test_a_stack_does_not_run_on_two_engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(places=Places(str(tmp_path / "etc"), str(tmp_path / "var")))
    parts(on(), {}, settings).records.write_deployed({"name": "t", **EMPTY}, {})
    monkeypatch.setattr(wiring, "_raft", lambda: wiring._NoSwarm(None))
    assert release(on(), {}, settings).stack.name == "t"
    with pytest.raises(EngineError, match=r"it runs on compose here, .* there first by remove\.yml -e stack_"):
        release(on(engine="swarm"), {}, settings)


def test_a_host_that_is_no_node_yet_has_no_records_of_a_swarm(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise EngineMissing("install python3-docker")

    monkeypatch.setattr(wiring.RaftGateway, "connect", missing)
    found = parts(on(engine="swarm"), {}, Settings())
    assert isinstance(found.engine, SwarmEngine)
    assert (found.records.model(), found.records.journal(), found.records.last_release()) == (None, None, 0)
    assert found.holder() == ""


def test_stacks_of_the_host_and_of_the_swarm_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = Places(str(tmp_path / "etc"), str(tmp_path / "var"))
    parts(on(), {}, Settings(places=places)).records.write_deployed({"name": "t", **EMPTY}, {})
    monkeypatch.setattr(wiring, "_raft", lambda: wiring._NoSwarm(None))
    monkeypatch.setattr(wiring, "cluster_stacks", lambda gateway: ["chms"])
    assert wiring.stacks(places) == ["chms", "t"]
    assert [each.model() is not None for each in wiring.ledgers(places)] == [True, False]

    def no_leader(_gateway: Any) -> list[str]:
        raise EngineError("the Swarm does not have a leader")

    monkeypatch.setattr(wiring, "cluster_stacks", no_leader)
    assert wiring.stacks(places) == ["t"]
