"""A Docker host, an nginx and a clock in memory."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._lease.lease import Lease, lease
from ansible_collections.slipway.ops.plugins.module_utils._proxy.gateway import ProxyError
from ansible_collections.slipway.ops.plugins.module_utils._proxy.traffic import Answer
from ansible_collections.slipway.ops.plugins.module_utils._release import report
from ansible_collections.slipway.ops.plugins.module_utils._release.compose import ComposeEngine, Limits
from ansible_collections.slipway.ops.plugins.module_utils._release.docker_gateway import EngineMissing
from ansible_collections.slipway.ops.plugins.module_utils._release.engine import EngineError
from ansible_collections.slipway.ops.plugins.module_utils._release.images import Images, Room, unchecked
from ansible_collections.slipway.ops.plugins.module_utils._release.records import Kept, Records
from ansible_collections.slipway.ops.plugins.module_utils._release.registry import Manifest
from ansible_collections.slipway.ops.plugins.module_utils._release.release import Policy, Release
from ansible_collections.slipway.ops.plugins.module_utils._release.rollback import Target, choose, serving
from ansible_collections.slipway.ops.plugins.module_utils._release.wiring import Parts, Places
from ansible_collections.slipway.ops.plugins.module_utils._stack.load import load
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Stack


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.sleeping: Callable[[], None] = lambda: None

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float, /) -> None:
        self.now += seconds
        self.sleeping()


class Answers:
    """What the servers in the upstream files answer to two requests a read."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy

    def read(self) -> list[Answer]:
        servers = re.findall(r"server (\d\S+?)[ ;]", "".join(self.proxy.files.values()))
        return [self.proxy.answer(server) for server in servers]


class Proxy:
    """nginx with its files; `served` is every set of files that it was reloaded with."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self.served: list[dict[str, str]] = []
        self.broken = False
        self.drains_until = 0.0
        self.clock: Clock | None = None
        self.answer: Callable[[str], Answer] = lambda server: Answer(server, 200, 0.01)

    def read(self, names: list[str]) -> dict[str, str]:
        return {name: self.files[name] for name in names if name in self.files}

    def apply(self, upstreams: Mapping[str, str]) -> bool:
        if all(self.files.get(name, "") == content for name, content in upstreams.items()):
            return False
        if self.broken:
            raise ProxyError("nginx did not take the new upstreams, the old ones are back: test")
        self.files.update(upstreams)
        self.files = {name: content for name, content in self.files.items() if content}
        self.served.append(dict(self.files))
        return True

    def load(self) -> None:
        self.served.append(dict(self.files))

    def follow(self) -> Answers:
        return Answers(self)

    def draining(self) -> bool:
        return self.clock is not None and self.clock.now < self.drains_until


class Docker:
    """What an engine does with containers, by the image's name: `unhealthy`, `ends`, `crashes`, else healthy."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.there: dict[str, dict[str, Any]] = {}
        self.images: dict[str, str] = {}
        self.registry: dict[str, str] = {}
        self.nets: dict[str, dict[str, Any]] = {}
        self.vols: list[str] = []
        self.full: set[str] = set()
        self.free = 100 * 1024**3
        self.calls: list[str] = []
        self.fail_on: dict[str, str] = {}
        self.exit_codes: dict[str, int] = {}
        self._ids = itertools.count(1)

    def _call(self, what: str) -> None:
        self.calls.append(what)
        for start, message in self.fail_on.items():
            if what.startswith(start):
                raise EngineError(message)

    def containers(self, stack: str) -> list[dict[str, Any]]:
        return [self.inspect(key) or {} for key in self.there]

    def inspect(self, container: str) -> dict[str, Any] | None:
        entry = self.there.get(container)
        if entry is None:
            return None
        image = entry["Config"]["Image"]
        state = entry["State"]
        if state["Status"] == "running":
            age = self.clock.now - entry["started"]
            if "crashes" in image and age >= 1:
                state.update(Status="restarting", ExitCode=7)
                entry["RestartCount"] = 3
            elif "ends" in image and age >= 1:
                state.update(Status="exited", ExitCode=3)
            elif entry["checked"] and age >= 2:
                state["Health"] = {"Status": "unhealthy" if "unhealthy" in image else "healthy", "Log": []}
            if "later" in image and age >= 6:
                state["Health"] = {"Status": "unhealthy", "Log": [{"Output": "degraded"}]}
        return entry

    def image(self, reference: str) -> dict[str, Any] | None:
        if reference in self.images.values():
            return {"Id": reference, "RepoDigests": []}
        if reference not in self.images:
            return None
        return {"Id": self.images[reference], "RepoDigests": [f"{reference.split(':')[0]}@{self.images[reference]}"]}

    def networks(self) -> list[dict[str, Any]]:
        return list(self.nets.values())

    def volumes(self) -> list[str]:
        return list(self.vols)

    def pull(self, reference: str, say: Callable[[Mapping[str, Any]], None] | None = None) -> None:
        self._call(f"pull {reference}")
        if say is not None:
            say({"status": "Downloading", "id": "1", "progressDetail": {"current": 1, "total": 2}})
        if "@" in reference:
            self.images[reference] = reference.partition("@")[2]
            return
        if reference not in self.registry:
            raise EngineError(f"pull {reference}: not found")
        self.images[reference] = self.registry[reference]

    def tag(self, image: str, reference: str) -> None:
        self._call(f"tag {image} {reference}")
        self.images[reference] = image

    def distribution(self, reference: str) -> str:
        if reference not in self.registry:
            raise EngineError(f"image {reference}: not found")
        return self.registry[reference]

    def layer_chains(self) -> list[tuple[str, ...]]:
        return []

    def free_bytes(self) -> int:
        return self.free

    def has_data(self, volume: str) -> bool:
        return volume in self.full

    def create_network(self, body: Mapping[str, Any]) -> None:
        self._call(f"network {body['Name']}")
        self.nets[body["Name"]] = dict(body)

    def remove_network(self, name: str) -> None:
        self._call(f"remove network {name}")
        del self.nets[name]

    def create_volume(self, body: Mapping[str, Any]) -> None:
        self._call(f"volume {body['Name']}")
        self.vols.append(body["Name"])

    def create(self, name: str, body: Mapping[str, Any]) -> str:
        self._call(f"create {name}")
        if any(entry["Name"] == f"/{name}" for entry in self.there.values()):
            raise EngineError(f"container {name}: the name is taken")
        key = f"id-{next(self._ids):03d}"
        endpoints = body.get("NetworkingConfig", {}).get("EndpointsConfig", {})
        self.there[key] = {
            "Id": key,
            "Name": f"/{name}",
            "Image": self.images[body["Image"]],
            "Config": {key: body.get(key) for key in ("Image", "Labels", "Cmd", "StopTimeout")},
            "HostConfig": {"NetworkMode": body["HostConfig"]["NetworkMode"]},
            "Mounts": body["HostConfig"].get("Mounts", []),
            "State": {"Status": "created", "ExitCode": 0},
            "RestartCount": 0,
            "NetworkSettings": {"Networks": {net: {"IPAddress": ""} for net in endpoints}},
            "checked": body.get("Healthcheck", {}).get("Test", ["NONE"]) != ["NONE"],
            "started": 0.0,
        }
        return key

    def join(self, container: str, network: str, endpoint: Mapping[str, Any]) -> None:
        self.there[container]["NetworkSettings"]["Networks"][network] = {"IPAddress": ""}

    def start(self, container: str, name: str) -> None:
        self._call(f"start {name}")
        entry = self.there[container]
        entry["started"] = self.clock.now
        entry["State"] = {"Status": "running", "ExitCode": 0, "StartedAt": f"{self.clock.now}"}
        if entry["checked"]:
            entry["State"]["Health"] = {"Status": "starting", "Log": []}
        for position, network in enumerate(entry["NetworkSettings"]["Networks"].values()):
            network["IPAddress"] = f"10.0.{position}.{int(container[3:])}"

    def stop_all(self, containers: Iterable[tuple[str, str, int]]) -> None:
        for container, name, grace in containers:
            self._call(f"stop {name} {grace}")
            self.there[container]["State"] = {"Status": "exited", "ExitCode": 0}
            for network in self.there[container]["NetworkSettings"]["Networks"].values():
                network["IPAddress"] = ""

    def remove(self, container: str, name: str, volumes: bool = False) -> None:
        self._call(f"remove {name}")
        self.there.pop(container, None)

    def rename(self, container: str, name: str) -> None:
        self._call(f"rename {self.there[container]['Name'][1:]} {name}")
        self.there[container]["Name"] = f"/{name}"

    def wait(self, container: str, name: str, timeout_seconds: float) -> int:
        self._call(f"wait {name}")
        image = self.there[container]["Config"]["Image"]
        return 9 if "badmigration" in image else 0

    def logs(self, container: str, lines: int) -> str:
        return "first line\nthe password is hunter2-secret\nlast line\n"

    def execute(self, container: str, name: str, command: list[str]) -> tuple[int, str]:
        self._call(f"exec {name} {' '.join(command)}")
        return self.exit_codes.get(" ".join(command), 0), "said"

    # For tests

    def forget(self, image: str) -> None:
        """As after a prune: the image is gone, under every name."""
        self.images = {name: there for name, there in self.images.items() if there != image}

    def names(self, *states: str) -> list[str]:
        return sorted(
            entry["Name"][1:] for entry in self.there.values() if not states or entry["State"]["Status"] in states
        )


class Points:
    """The stack's backups; `age` None is none at all."""

    def __init__(self, calls: list[str]) -> None:
        self.calls = calls
        self.set_up = False
        self.age: float | None = None
        self.broken = ""

    def configured(self) -> bool:
        return self.set_up

    def make(self) -> str:
        self.calls.append("recovery point")
        if self.broken:
            raise RuntimeError(self.broken)
        return "20260101T000000Z"

    def age_seconds(self) -> float | None:
        return self.age


class Host:
    """Everything on one host, and releases on it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock = Clock()
        self.docker = Docker(self.clock)
        self.points = Points(self.docker.calls)
        self.policy = Policy()
        self.proxy = Proxy()
        self.proxy.clock = self.clock
        self.connected = True
        self.variables = {"SECRET": "hunter2-secret"}
        self.manifest: Callable[[str], Manifest | None] = lambda reference: None
        self.verify: Callable[[str, str], None] = unchecked
        self.limits = Limits(health=60, settle=2, drain=10)

    def records(self, name: str = "t") -> Records:
        return Records(name, str(self.directory / "etc"), str(self.directory / "var"))

    def places(self) -> Places:
        return Places(
            stacks=str(self.directory / "etc"),
            state=str(self.directory / "var"),
            leases=str(self.directory / "lease"),
            upstreams=str(self.directory / "upstreams"),
        )

    def lease(self, stack: str = "t", steers: bool = True) -> AbstractContextManager[Lease]:
        return lease(stack, "tester", directory=self.places().leases, steers=steers)

    def connect(self) -> Docker:
        if not self.connected:
            raise EngineMissing("the Python package docker is missing; install python3-docker")
        return self.docker

    def rollback(self, wanted: int | None = None) -> tuple[Release, Target]:
        records = self.records()
        serves = serving(records.journal(), records.kept_release, records.model())
        target = choose("t", records.history(), records.kept_release, wanted, serves)
        return self.release(Stack(target.kept.model), target.kept), target

    def engine(self, name: str, secrets: Iterable[str] = ()) -> ComposeEngine:
        records = self.records(name)
        return ComposeEngine(
            self.connect,
            self.proxy,
            records,
            self.clock,
            self.limits,
            lambda gateway: Images(
                gateway, self.manifest, self.clock, Room(), lambda: 0, self.verify, records.say_pull
            ),
            secrets,
        )

    def parts(self, name: str) -> Parts:
        take = partial(lease, name, directory=str(self.directory / "lease"))
        return Parts(self.engine(name), self.records(name), take, str)

    def release(self, document: Mapping[str, Any] | Stack, back_to: Kept | None = None) -> Release:
        stack = document if isinstance(document, Stack) else self.stack(document)
        return Release(
            self.engine(stack.name, report.secrets_of(stack, self.variables)),
            self.records(stack.name),
            lambda owner: lease(stack.name, owner, directory=str(self.directory / "lease")),
            stack,
            self.variables if back_to is None else back_to.variables,
            "tester",
            self.points,
            self.policy,
            back_to,
        )

    def stack(self, document: Mapping[str, Any]) -> Stack:
        model = load(document, "t", self.variables, lambda path: b"")
        for service in model["services"].values():
            self.docker.registry.setdefault(service["image"], f"sha256:{service['image']}")
        return Stack(model)

    def servers(self) -> list[str]:
        """Who serves `web` now, by container name."""
        addresses = {
            network["IPAddress"]: entry["Name"][1:]
            for entry in self.docker.there.values()
            for network in entry["NetworkSettings"]["Networks"].values()
            if network["IPAddress"]
        }
        lines = self.proxy.files.get("slipway_t_web_80.conf", "").splitlines()
        found = [line.split()[1].split(":")[0] for line in lines if line.strip().startswith("server")]
        return [addresses.get(address, address) for address in found]


@pytest.fixture(autouse=True)
def _no_disk_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Durability is tested where files are written; here it would only take time."""
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def document(version: str = "1", **web: Any) -> dict[str, Any]:
    """A web service with routes and a migration, a worker that stops first, and a database."""
    return {
        "services": {
            "web": {
                "image": f"web:{version}",
                "environment": {"PASSWORD": "${SECRET}"},
                "networks": ["inside", "outside"],
                "depends_on": {"db": {"condition": "service_healthy"}},
                "healthcheck": {"test": ["CMD", "true"]},
                "deploy": {"replicas": 2},
                "x-slipway": {
                    "routes": [{"host": "a.example", "port": 80}],
                    "migrate": ["migrate"],
                    "after_release": [["clear"]],
                },
                **web,
            },
            "worker": {"image": f"web:{version}", "networks": ["inside"], "depends_on": ["db"]},
            "db": {
                "image": "db:1",
                "networks": ["inside"],
                "volumes": ["data:/data"],
                "healthcheck": {"test": ["CMD", "true"]},
                "stop_grace_period": "60s",
            },
        },
        "networks": {"inside": {"internal": True}, "outside": {}},
        "volumes": {"data": {}},
    }


@pytest.fixture(name="document")
def document_fixture() -> Callable[..., dict[str, Any]]:
    return document
