"""On a Swarm, killed at any step: never two writers, nothing left over, one version in the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._release.records import Records
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._release import kill_everywhere as kills
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._release.swarm_world import (
    Cluster,
    document,
)
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._release.swarm_world import Killed as SwarmKilled

UP = ("running", "starting")


class Bench:
    def __init__(self, directory: Path) -> None:
        self.cluster = Cluster(directory)
        self.cluster.swarm.full.add("t_data")
        self.limit: int | None = None
        self.problems: list[str] = []
        self._count = 0
        swarm = self.cluster.swarm
        call, work = swarm._call, swarm._work

        def counted(what: str) -> None:
            self.step()
            call(what)

        def working() -> None:
            work()
            self._look_at_volumes()

        swarm._call, swarm._work = counted, working  # type: ignore[method-assign]

    def step(self) -> None:
        swarm = self.cluster.swarm
        if swarm.dead:
            raise kills.Killed
        if self.limit is not None:
            self._count += 1
            swarm.dead = self._count == self.limit
            if swarm.dead:
                raise kills.Killed

    def count_from_here(self, limit: int | None) -> None:
        self.limit, self._count, self.cluster.swarm.dead = limit, 0, False

    def release(self, document: kills.Document) -> bool:
        try:
            return bool(self.cluster.release(document).present(check=False).changed)
        except SwarmKilled as error:
            raise kills.Killed from error

    def between(self) -> None:
        """Nobody else changes a Swarm's services."""

    def _look_at_volumes(self) -> None:
        writing = {
            task["ServiceID"]
            for task in self.cluster.swarm.every_task
            if task["Status"]["State"] in UP
            and any(mount.get("Type") == "volume" for mount in task["Spec"]["ContainerSpec"].get("Mounts", []))
        }
        if len(writing) > 1:
            self.problems.append("two services write one volume")

    def look(self, ended: str, version: str) -> None:
        self.cluster.clock.now += 10
        swarm = self.cluster.swarm
        running = swarm.running()
        images = {
            entry["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"]
            for entry in swarm.there.values()
            if entry["Spec"]["Name"] in running
        }
        found = kills.versions(images)
        if len(found) != 1 or (ended == kills.DONE and found != {version}):
            self.problems.append(f"versions {sorted(found)} run, and {version} was asked for")
        strays = sorted(set(swarm.names()) - set(running))
        if strays and self.cluster.records().journal() is None:
            self.problems.append(f"left over: {strays}")


@pytest.fixture
def benches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Bench]:
    """A new world for each step; writes of records are steps as well."""
    current: list[Bench] = []
    for name in kills.WRITES:
        write = getattr(Records, name)

        def counted(self: Records, *arguments: Any, _write: Callable[..., Any] = write) -> Any:
            current[0].step()
            return _write(self, *arguments)

        monkeypatch.setattr(Records, name, counted)

    def new(step: int) -> Bench:
        current[:] = [Bench(tmp_path / str(step))]
        return current[0]

    return new


ALL = [
    (change, follow)
    for change in (kills.plain, kills.canary, kills.recreate, kills.renamed)
    for follow in (kills.SAME, kills.BACK, kills.THIRD, kills.FAILING, kills.FAILING_BACK)
]
SHORT = [(kills.plain, kills.FAILING_BACK), (kills.plain, kills.SAME), (kills.renamed, kills.BACK)]


@pytest.mark.parametrize(
    ("change", "follow"),
    [
        pytest.param(*each, marks=() if each in SHORT else pytest.mark.long, id=f"{each[0].__name__}, {each[1]}")
        for each in ALL
    ],
)
def test_whatever_step_it_was_killed_at(change: kills.Make, follow: str, benches: Callable[[int], Bench]) -> None:
    def made(version: str, broken: bool) -> kills.Document:
        whole: kills.Document = document(version)
        change(whole, version)
        if broken:
            kills.failing(whole)
        return whole

    assert kills.problems(benches, made, follow) == []
