"""The arena of a Swarm: three managers, each with nginx; a release is made on one of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from slipway_arena import audit
from slipway_arena.arena import Arena, Machine
from slipway_lab.shell import LabError, wait_until

NODES = 3


def for_swarm(document: dict[str, Any]) -> dict[str, Any]:
    """The same stack as a Swarm can have it: this kernel has no ESP, volumes are local, nothing runs inside a task."""
    document["networks"] = {"default": {"driver_opts": {"encrypted": "false"}}}
    for service in document["services"].values():
        service.pop("restart", None)
        service.get("x-slipway", {}).pop("after_release", None)
        if service.get("volumes"):
            service.setdefault("deploy", {})["placement"] = {"constraints": ["node.labels.proof.data==true"]}
    return document


class SwarmArena(Arena):
    engine = "swarm"
    steps = tuple(step for step in Arena.steps if step != "after_release")

    def prepare(self) -> None:
        super().prepare()
        first, *others = self.machines
        first.shell(f"docker swarm init --advertise-addr {first.address} >/dev/null")
        token = first.shell("docker swarm join-token -q manager").strip()
        for machine in others:
            machine.shell(f"docker swarm join --token {token} --advertise-addr {machine.address} {first.address}:2377")
        for machine in self.machines:
            first.shell(f"docker node update --label-add ops.slipway.proxy=true {machine.name}")
        # Volumes are local to a node: what has one is pinned.
        first.shell(f"docker node update --label-add proof.data=true {first.name}")

    def __enter__(self) -> SwarmArena:
        self.directory.mkdir(parents=True, exist_ok=True)
        document = for_swarm(yaml.safe_load(self.compose_file.read_text(encoding="utf-8")))
        self.compose_file = self.directory / self.compose_file.name
        self.compose_file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        super().__enter__()
        return self

    def inventory(self, version: str, environment: Mapping[str, str], **variables: Any) -> dict[str, Any]:
        given = {"stack_engine": "swarm", "docker_live_restore": False, **variables}
        return super().inventory(version, environment, **given)

    @property
    def releaser(self) -> Machine:
        return self.machines[0]

    def entrances_beside(self, victim: Machine) -> list[tuple[str, int]]:
        """Clients' way round a lost node is not the Swarm's to give."""
        return [(machine.address, 443) for machine in self.machines if machine is not victim]

    def audit(self, versions_wanted: Mapping[str, str]) -> list[str]:
        # Tasks that were stopped keep their containers for a moment after the release has ended.
        problems: list[str] = []

        def settled() -> bool:
            nonlocal problems
            problems = audit.cluster(self.everything(), versions_wanted, self.replicas)
            return not problems

        try:
            wait_until("a Swarm that is as released", settled, 20, 2)
        except LabError:
            return problems
        return []
