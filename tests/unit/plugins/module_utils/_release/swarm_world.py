"""A Swarm, its proxies and a clock in memory."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._lease.lease import lease
from ansible_collections.slipway.ops.plugins.module_utils._proxy.traffic import Answer, Tally
from ansible_collections.slipway.ops.plugins.module_utils._raft.serving import Following, ProxyReport, Served
from ansible_collections.slipway.ops.plugins.module_utils._release import report
from ansible_collections.slipway.ops.plugins.module_utils._release.compose import Limits
from ansible_collections.slipway.ops.plugins.module_utils._release.engine import EngineError
from ansible_collections.slipway.ops.plugins.module_utils._release.records import Kept, Records
from ansible_collections.slipway.ops.plugins.module_utils._release.release import Policy, Release
from ansible_collections.slipway.ops.plugins.module_utils._release.rollback import Target, choose
from ansible_collections.slipway.ops.plugins.module_utils._release.swarm import SwarmEngine
from ansible_collections.slipway.ops.plugins.module_utils._release.swarm_gateway import scaled
from ansible_collections.slipway.ops.plugins.module_utils._release.wiring import EMPTY, Parts
from ansible_collections.slipway.ops.plugins.module_utils._stack.load import load
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Stack

RESTART_SECONDS = 5.0


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.sleeping: Callable[[], None] = lambda: None

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float, /) -> None:
        self.now += seconds
        self.sleeping()


class Killed(BaseException):
    """Nothing more comes of the process that releases."""


class Swarm:
    """What Swarm does with tasks, by a word in the image's name: unhealthy, ends, crashes, rejected, nowhere, later."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.local = {"LocalNodeState": "active", "ControlAvailable": True, "NodeID": "n1"}
        self.hosts = {"n1": "ready", "n2": "ready"}
        self.proxies = {"n1"}
        self.engine = "26.1.5+dfsg1"
        self.leader = True
        self.registry: dict[str, str] = {}
        self.here: dict[str, dict[str, Any]] = {}
        self.there: dict[str, dict[str, Any]] = {}
        self.every_task: list[dict[str, Any]] = []
        self.nets: dict[str, dict[str, Any]] = {}
        self.stored: dict[str, dict[str, dict[str, Any]]] = {"config": {}, "secret": {}}
        self.vols: list[str] = []
        self.full: set[str] = set()
        self.calls: list[str] = []
        self.fail_on: dict[str, str] = {}
        self.grace = 1.0
        self.killed_before = self.killed_after = ""
        self.dead = False
        self._ids = itertools.count(1)

    def _call(self, what: str) -> None:
        if self.killed_after and self.calls[-1:] == [self.killed_after]:
            self.dead = True
        self._live()
        self.calls.append(what)
        if what == self.killed_before:
            self.dead = True
        self._live()
        for start, message in self.fail_on.items():
            if what.startswith(start):
                raise EngineError(message)

    def _live(self) -> None:
        if self.dead:
            raise Killed

    # The gateway

    def swarm(self) -> dict[str, Any]:
        return dict(self.local)

    def nodes(self) -> list[dict[str, Any]]:
        if not self.leader:
            raise EngineError("nodes of the Swarm: rpc error: The swarm does not have a leader")
        return [
            {
                "ID": node,
                "Description": {"Hostname": f"host-{node}", "Engine": {"EngineVersion": self.engine}},
                "Status": {"State": how, "Addr": f"192.0.2.{node[1:]}"},
                "Spec": {"Labels": {"ops.slipway.proxy": "true"} if node in self.proxies else {}},
            }
            for node, how in self.hosts.items()
        ]

    def services(self, stack: str) -> list[dict[str, Any]]:
        self._live()
        return copy.deepcopy(list(self.there.values()))

    def tasks(self, stack: str) -> list[dict[str, Any]]:
        self._work()
        return copy.deepcopy(self.every_task)

    def create_service(self, body: Mapping[str, Any]) -> str:
        self._call(f"create {body['Name']}")
        if any(each["Spec"]["Name"] == body["Name"] for each in self.there.values()):
            raise EngineError(f"service {body['Name']}: name conflicts with an existing object")
        key = f"s{next(self._ids)}"
        self.there[key] = {"ID": key, "Version": {"Index": 1}, "Spec": copy.deepcopy(dict(body))}
        return key

    def scale(self, name: str, replicas: int) -> None:
        self._call(f"scale {name} {replicas}")
        entry = self._named(name)
        entry["Spec"] = scaled(entry["Spec"], replicas)
        self._work()

    def remove_service(self, name: str) -> None:
        self._call(f"remove {name}")
        for key, entry in list(self.there.items()):
            if entry["Spec"]["Name"] == name:
                del self.there[key]
        self._work()

    def task_logs(self, task: str, terminal: bool, lines: int) -> str:
        return "first line\nthe password is hunter2-secret\nlast line\n"

    def objects(self, kind: str, stack: str) -> list[dict[str, Any]]:
        return list(self.stored[kind].values())

    def create_object(self, kind: str, body: Mapping[str, Any]) -> None:
        self._call(f"{kind} {body['Name']}")
        key = f"o{next(self._ids)}"
        self.stored[kind][key] = {"ID": key, "Spec": {"Name": body["Name"], "Data": body["Data"]}}

    def remove_object(self, kind: str, identity: str, name: str) -> None:
        self._call(f"remove {kind} {name}")
        if any(f"'{identity}'" in str(entry["Spec"]) for entry in self.there.values()):
            raise EngineError(f"{kind} {name}: is in use")
        del self.stored[kind][identity]

    def distribution(self, reference: str) -> str:
        self._call(f"digest {reference}")
        if reference not in self.registry:
            raise EngineError(f"image {reference}: manifest unknown")
        return self.registry[reference]

    def image(self, reference: str) -> dict[str, Any] | None:
        return self.here.get(reference)

    def networks(self) -> list[dict[str, Any]]:
        return [{"Scope": "local", "Name": "bridge"}, *self.nets.values()]

    def create_network(self, body: Mapping[str, Any]) -> None:
        self._call(f"network {body['Name']}")
        self.nets[body["Name"]] = dict(body)

    def remove_network(self, name: str) -> None:
        self._call(f"remove network {name}")
        del self.nets[name]

    def volumes(self) -> list[str]:
        return list(self.vols)

    def has_data(self, volume: str) -> bool:
        return volume in self.full

    # What the managers and nodes do

    def _named(self, name: str) -> dict[str, Any]:
        return next(entry for entry in self.there.values() if entry["Spec"]["Name"] == name)

    def _work(self) -> None:
        for task in self.every_task:
            entry = self.there.get(task["ServiceID"])
            if task["DesiredState"] != "shutdown" and (entry is None or task["Slot"] > self._wanted(entry)):
                self._let_go(task)
        gone = [each for each in self.every_task if each["DesiredState"] == "remove" and self._may_go(each)]
        self.every_task = [each for each in self.every_task if each not in gone and self._kept(each)]
        for entry in self.there.values():
            for slot in range(1, self._wanted(entry) + 1):
                if not any(each["ServiceID"] == entry["ID"] and each["Slot"] == slot for each in self.every_task):
                    self._new_task(entry, slot, self.clock.now)
        for task in list(self.every_task):
            self._advance(task)

    def _kept(self, task: Mapping[str, Any]) -> bool:
        return task["ServiceID"] in self.there or task["DesiredState"] == "remove"

    def _let_go(self, task: dict[str, Any]) -> None:
        if task["DesiredState"] != "remove":
            task.update(DesiredState="remove", until=self.clock.now + self.grace)

    def _may_go(self, task: Mapping[str, Any]) -> bool:
        return self.clock.now >= task["until"] and self.hosts.get(task["NodeID"]) != "down"

    def _wanted(self, entry: Mapping[str, Any]) -> int:
        mode = entry["Spec"]["Mode"]
        if "ReplicatedJob" in mode:
            return int(mode["ReplicatedJob"]["TotalCompletions"])
        if "Global" in mode:
            stopped = "nowhere" in str(entry["Spec"]["TaskTemplate"].get("Placement"))
            return 0 if stopped else sum(how == "ready" for how in self.hosts.values())
        return int(mode["Replicated"]["Replicas"])

    def _new_task(self, entry: Mapping[str, Any], slot: int, since: float) -> None:
        up = [node for node, how in self.hosts.items() if how != "down"]
        self.every_task.append(
            {
                "ID": f"t{next(self._ids):03d}",
                "ServiceID": entry["ID"],
                "Slot": slot,
                "NodeID": up[slot % len(up)],
                "DesiredState": "running",
                "CreatedAt": f"{self.clock.now:012.3f}",
                "Spec": {"ContainerSpec": entry["Spec"]["TaskTemplate"]["ContainerSpec"]},
                "Status": {"State": "preparing"},
                "since": since,
            }
        )

    def _advance(self, task: dict[str, Any]) -> None:
        if task["DesiredState"] != "running":
            return
        entry = self.there[task["ServiceID"]]
        image = task["Spec"]["ContainerSpec"]["Image"]
        checked = task["Spec"]["ContainerSpec"].get("Healthcheck", {}).get("Test", ["NONE"]) != ["NONE"]
        age = self.clock.now - task["since"]
        if self.hosts.get(task["NodeID"]) == "down":
            self._again(entry, task, "shutdown", "")
        elif "nowhere" in image:
            task.update(
                NodeID="", Status={"State": "pending", "Err": "no suitable node (insufficient resources on 2 nodes)"}
            )
        elif "rejected" in image:
            self._again(entry, task, "rejected", "No such image: " + image)
        elif "ReplicatedJob" in entry["Spec"]["Mode"]:
            self._run_job(task, image, age)
        elif age < 1:
            task["Status"] = {"State": "starting", "ContainerStatus": {"ContainerID": "c"}}
        elif "ends" in image or "crashes" in image:
            self._again(entry, task, "failed", "task: non-zero exit (3)", 3)
        elif "unhealthy" in image and age >= 3:
            self._again(entry, task, "failed", "task: non-zero exit (137): dockerexec: unhealthy container", 137)
        elif "later" in image and age >= 6:
            self._again(entry, task, "failed", "task: non-zero exit (4)", 4)
        elif "unhealthy" not in image and (not checked or age >= 2):
            task["Status"] = {"State": "running", "ContainerStatus": {"ContainerID": "c"}}

    def _run_job(self, task: dict[str, Any], image: str, age: float) -> None:
        task["Status"] = {"State": "running", "ContainerStatus": {"ContainerID": "c"}}
        if age >= 1:
            bad = "badmigration" in image or "badjob" in image
            status = {"State": "failed", "Err": "task: non-zero exit (9)"} if bad else {"State": "complete"}
            task["Status"] = {**status, "ContainerStatus": {"ContainerID": "c", "ExitCode": 9 if bad else 0}}
            task["DesiredState"] = "shutdown"

    def _again(self, entry: Mapping[str, Any], task: dict[str, Any], how: str, error: str, code: int = 0) -> None:
        container = {"ContainerID": "c" if code else "", "ExitCode": code}
        task.update(DesiredState="shutdown", Status={"State": how, "Err": error, "ContainerStatus": container})
        if entry["Spec"]["TaskTemplate"]["RestartPolicy"]["Condition"] != "none" or not error:
            self._new_task(entry, task["Slot"], self.clock.now + (RESTART_SECONDS if error else 0))

    # For tests

    def running(self) -> dict[str, int]:
        """How many tasks of each service of the Swarm run."""
        found: dict[str, int] = {}
        for raw in self.tasks(""):
            if raw["Status"]["State"] == "running" and raw["DesiredState"] == "running":
                name = self.there[raw["ServiceID"]]["Spec"]["Name"]
                found[name] = found.get(name, 0) + 1
        return found

    def names(self) -> list[str]:
        return sorted(entry["Spec"]["Name"] for entry in self.there.values())


class Serving:
    """What the proxies were told; `served` is every state that they took over, by names of Swarm services."""

    def __init__(self, swarm: Swarm) -> None:
        self.swarm = swarm
        self.state: dict[str, dict[str, int]] = {}
        self.served: list[dict[str, list[str]]] = []
        self.generation = 0
        self.deaf = ""
        self.drains_until = 0.0
        self.judging = ""
        self.following: dict[str, Following] = {}
        self.shares: list[float] = []  # of the requests that the next version was given, each time it was told
        self.answer: Callable[[str], int] = lambda name: 200

    def current(self) -> dict[str, dict[str, int]]:
        return copy.deepcopy(self.state)

    def set(self, serving: Served, following: Mapping[str, Following] | None = None, judging: str = "") -> int:
        self.judging = judging
        if (self.state, self.following) == (serving, dict(following or {})):
            return self.generation
        self.following = dict(following or {})
        self.shares += [each.of_next for each in self.following.values()] or [1.0]
        self.swarm._call("serve")
        self.state = {name: dict(weights) for name, weights in serving.items()}
        self.generation += 1
        return self.generation

    def await_acknowledged(self, generation: int, timeout_seconds: float) -> list[ProxyReport]:
        assert generation == self.generation
        if self.deaf:
            raise EngineError(self.deaf)
        self.served.append(self.names())
        return self.reports()

    def reports(self) -> list[ProxyReport]:
        draining = self.swarm.clock.now < self.drains_until
        names = {key: entry["Spec"]["Name"] for key, entry in self.swarm.there.items()}
        tallies: dict[str, Tally] = {}
        served = [key for weights in self.state.values() for key in weights]
        served += [key for entry in self.following.values() for key in entry.services]
        for key in (key for key in served if self.judging and key in names):
            tallies[key] = Tally()
            for _request in range(20):
                tallies[key].add(Answer(names[key], self.answer(names[key]), 0.01))
        return [ProxyReport("host-n1", True, self.generation, draining, self.judging, tallies)]

    def names(self) -> dict[str, list[str]]:
        names = {key: entry["Spec"]["Name"] for key, entry in self.swarm.there.items()}
        return {service: sorted(names.get(key, key) for key in ids) for service, ids in self.state.items() if ids}


class Points:
    def configured(self) -> bool:
        return False

    def make(self) -> str:
        raise AssertionError("no point is to be made")

    def age_seconds(self) -> float | None:
        return None


class Cluster:
    """Everything of one Swarm, and releases on it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock = Clock()
        self.swarm = Swarm(self.clock)
        self.serving = Serving(self.swarm)
        self.policy = Policy()
        self.variables = {"SECRET": "hunter2-secret"}
        self.limits = Limits(health=60, settle=2, drain=10)

    def records(self, name: str = "t") -> Records:
        return Records(name, str(self.directory / "etc"), str(self.directory / "var"))

    def stack(self, document: Mapping[str, Any]) -> Stack:
        model = load(document, "t", self.variables, lambda path: b"", "swarm")
        for service in model["services"].values():
            self.swarm.registry.setdefault(service["image"], f"sha256:{service['image']}")
        return Stack(model)

    def rollback(self, wanted: int | None = None) -> tuple[Release, Target]:
        records = self.records()
        target = choose("t", records.history(), records.kept_release, wanted, records.model())
        return self.release(Stack(target.kept.model), target.kept), target

    def parts(self, name: str) -> Parts:
        book = self.records(name)
        return Parts(self.engine(Stack(book.model() or {**EMPTY, "name": name})), book, lease, str)

    def engine(self, stack: Stack) -> SwarmEngine:
        secrets = report.secrets_of(stack, self.variables)
        return SwarmEngine(lambda: self.swarm, self.serving, self.clock, self.limits, secrets)

    def release(self, document: Mapping[str, Any] | Stack, back_to: Kept | None = None) -> Release:
        stack = document if isinstance(document, Stack) else self.stack(document)
        return Release(
            self.engine(stack),
            self.records(stack.name),
            lambda owner: lease(stack.name, owner, directory=str(self.directory / "lease")),
            stack,
            self.variables if back_to is None else back_to.variables,
            "tester",
            Points(),
            self.policy,
            back_to,
        )


def document(version: str = "1", **web: Any) -> dict[str, Any]:
    """A web service with routes and a migration, a worker that stops first, and a pinned database."""
    return {
        "services": {
            "web": {
                "image": f"web:{version}",
                "environment": {"PASSWORD": "${SECRET}"},
                "networks": ["inside"],
                "depends_on": {"db": {"condition": "service_healthy"}},
                "healthcheck": {"test": ["CMD", "true"]},
                "deploy": {"replicas": 2},
                "x-slipway": {"routes": [{"host": "a.example", "port": 80}], "migrate": ["migrate"]},
                **web,
            },
            "worker": {"image": f"web:{version}", "networks": ["inside"], "depends_on": ["db"]},
            "db": {
                "image": "db:1",
                "networks": ["inside"],
                "volumes": ["data:/data"],
                "healthcheck": {"test": ["CMD", "true"]},
                "stop_grace_period": "60s",
                "deploy": {"placement": {"constraints": ["node.hostname == host-n1"]}},
            },
        },
        "networks": {"inside": {}},
        "volumes": {"data": {}},
    }
