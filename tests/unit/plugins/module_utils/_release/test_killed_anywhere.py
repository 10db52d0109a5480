"""On a Compose host, killed at any step: never two writers, never a request to what is not there, nothing left over."""

from __future__ import annotations

import collections
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._proxy.sync import sync
from ansible_collections.slipway.ops.plugins.module_utils._release.records import Records
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._release import kill_everywhere as kills
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._release.conftest import Host, document

READS = ("inspect", "containers", "image", "networks", "volumes")


class Bench:
    def __init__(self, directory: Path, synced: bool) -> None:
        self.host = Host(directory)
        self.host.docker.full.add("t_data")
        self.limit: int | None = None
        self.problems: list[str] = []
        self._synced = synced
        self._count = 0
        self._dead = False
        docker, proxy = self.host.docker, self.host.proxy
        docker._call = self._before(docker._call)
        docker.start = self._after(docker.start, self._look_at_volumes)
        proxy.apply = self._after(self._before(proxy.apply), self._look_at_proxy)
        for name in READS:
            setattr(docker, name, self._before(getattr(docker, name), counts=False))

    def _before(self, call: Callable[..., Any], counts: bool = True) -> Callable[..., Any]:
        def guarded(*arguments: Any, **named: Any) -> Any:
            self.step(counts)
            return call(*arguments, **named)

        return guarded

    @staticmethod
    def _after(call: Callable[..., Any], look: Callable[[], None]) -> Callable[..., Any]:
        def looked_at(*arguments: Any, **named: Any) -> Any:
            result = call(*arguments, **named)
            look()
            return result

        return looked_at

    def step(self, counts: bool = True) -> None:
        if self._dead:
            raise kills.Killed
        if self.limit is not None and counts:
            self._count += 1
            self._dead = self._count == self.limit
            if self._dead:
                raise kills.Killed

    def count_from_here(self, limit: int | None) -> None:
        self.limit, self._count, self._dead = limit, 0, False

    def release(self, document: kills.Document) -> bool:
        return bool(self.host.release(document).present(check=False).changed)

    def between(self) -> None:
        if self._synced:
            self.host.clock.now += 3
            self._sync()

    def _sync(self) -> None:
        sync(self.host.docker, self.host.places(), self.host.proxy)

    def _containers(self, *states: str) -> list[dict[str, Any]]:
        return [each for each in self.host.docker.there.values() if each["State"]["Status"] in states]

    def _look_at_volumes(self) -> None:
        writers = collections.Counter(
            mount["Source"]
            for each in self._containers("running")
            if (each["Config"]["Labels"] or {}).get("com.docker.compose.oneoff") != "True"
            for mount in each["Mounts"]
            if mount.get("Type") == "volume"
        )
        if any(count > 1 for count in writers.values()):
            self.problems.append("two containers write one volume")

    def _look_at_proxy(self) -> None:
        there = {
            network["IPAddress"]: each
            for each in self.host.docker.there.values()
            for network in each["NetworkSettings"]["Networks"].values()
        }
        text = self.host.proxy.files.get("slipway_t_web_80.conf", "")
        for address in (
            line.split()[1].split(":")[0] for line in text.splitlines() if line.strip().startswith("server")
        ):
            found = there.get(address)
            if found is None and not address.startswith("127."):
                self.problems.append("nginx sends requests to nobody")
            elif found is not None and (found["State"].get("Health") or {}).get("Status") == "starting":
                self.problems.append("nginx sends requests to what still starts")

    def look(self, ended: str, version: str) -> None:
        running = kills.versions({each["Config"]["Image"] for each in self._containers("running")})
        stood = bool(self.host.records().standing())  # the colour before stays for its time
        if ended == kills.DONE and running != {version} and not stood:
            self.problems.append(f"versions {sorted(running)} run, and {version} was asked for")
        if len(running) > 1 and not stood:
            self.problems.append(f"versions {sorted(running)} run beside one another")
        others = [each["Name"] for each in self._containers("created", "exited", "dead")]
        if others and self.host.records().journal() is None:
            self.problems.append(f"left over: {others}")
        self._sync()
        serving = [each for each in self.host.servers() if not each.startswith("127.")]
        if not serving:
            self.problems.append("nothing serves")


@pytest.fixture
def benches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], Callable[[int], Bench]]:
    """A new world for each step; writes of records are steps as well."""
    current: list[Bench] = []
    for name in (*kills.WRITES, "write_files", "collect_files"):
        write = getattr(Records, name)

        def counted(self: Records, *arguments: Any, _write: Callable[..., Any] = write) -> Any:
            current[0].step()
            return _write(self, *arguments)

        monkeypatch.setattr(Records, name, counted)

    def make(synced: bool) -> Callable[[int], Bench]:
        def new(step: int) -> Bench:
            current[:] = [Bench(tmp_path / str(step), synced)]
            return current[0]

        return new

    return make


ALL = [
    (change, follow)
    for change in (kills.plain, kills.canary, kills.blue_green, kills.recreate, kills.renamed, kills.fixed)
    for follow in (kills.SAME, kills.BACK, kills.THIRD, kills.FAILING, kills.FAILING_BACK)
]
SHORT = [
    (kills.plain, kills.FAILING_BACK),
    (kills.plain, kills.THIRD),
    (kills.canary, kills.SAME),
    (kills.recreate, kills.BACK),
    (kills.renamed, kills.BACK),
    (kills.renamed, kills.FAILING),
    (kills.fixed, kills.BACK),
]


@pytest.mark.parametrize(
    ("change", "follow"),
    [
        pytest.param(*each, marks=() if each in SHORT else pytest.mark.long, id=f"{each[0].__name__}, {each[1]}")
        for each in ALL
    ],
)
@pytest.mark.parametrize("synced", [True, pytest.param(False, marks=pytest.mark.long)], ids=["synced", "at once"])
def test_whatever_step_it_was_killed_at(
    change: kills.Make, follow: str, synced: bool, benches: Callable[[bool], Callable[[int], Bench]]
) -> None:
    def made(version: str, broken: bool) -> kills.Document:
        whole: kills.Document = document(version)
        change(whole, version)
        if broken:
            kills.failing(whole)
        return whole

    assert kills.problems(benches(synced), made, follow) == []
