"""The data stacks of ChMS as its inventory has them, on this machine's engine: what their own scripts promise.

Containers are made of the very Compose files; only addresses are the test's.
"""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.slipway.ops.plugins.module_utils._stack.load import load
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Stack
from slipway_lab import engine, images, settings, standins
from slipway_lab.shell import run
from test_standins import until

STACKS = settings.ROOT / "inventories/chms/stacks"
PREFIX = f"slipway-chms-{secrets.token_hex(3)}"
SUBNET = "172.30.77."
PASSWORD = secrets.token_hex(8)
VARIABLES = {
    "POSTGRES_PASSWORD": PASSWORD,
    "DB_PASSWORD": f"{PASSWORD}-chms",
    "REPLICATION_PASSWORD": f"{PASSWORD}'replication",
    "REDIS_PASSWORD": PASSWORD,
    "DB_SHARED_BUFFERS": "32MB",
    "REDIS_MEMORY": "32mb",
}


class Machine:
    """What stands for one data node: the containers of its stack, one address for all that it publishes."""

    def __init__(self, file: str, last: int, directory: Path, **variables: str) -> None:
        self.address = f"{SUBNET}{last}"
        self.name = f"{PREFIX}-{last}"
        self.directory = directory / self.name
        given = {**VARIABLES, "PRIVATE_ADDRESS": self.address, **variables}
        document = yaml.safe_load((STACKS / f"{file}.yaml").read_text(encoding="utf-8"))
        self.stack = Stack(load(document, None, given, lambda path: Path(path).read_bytes()))
        self.images = {one.name: one.image for one in standins.servers(further=True)}

    def container(self, service: str) -> str:
        return f"{self.name}-{service}"

    def start(self, service: str, last: int | None = None) -> None:
        plain = self.stack.services[service].plain
        command = ["run", "--detach", f"--name={self.container(service)}", f"--network={PREFIX}"]
        command += [f"--network-alias={service}", *([f"--ip={SUBNET}{last}"] if last else [])]
        command += ["--init"] if plain.get("init") else []
        command += [f"--env={key}={value}" for key, value in plain["environment"].items()]
        command += [f"--volume={self.name}-{mount['source']}:{mount['target']}" for mount in plain["volumes"]]
        for grant in plain["configs"]:
            path = self.directory / grant["source"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.stack.content("configs", grant["source"])["content"], encoding="utf-8")
            command += [f"--volume={path}:{grant['target']}:ro"]
        name = plain["image"] if "/" in plain["image"] else f"library/{plain['image']}"
        engine.docker(*command, images.ensure(self.images[name]), *plain.get("command", []))

    def healthy(self, service: str) -> bool:
        kind, *words = self.stack.services[service].plain["healthcheck"]["test"]
        return self.run(service, *(["sh", "-c", *words] if kind == "CMD-SHELL" else words)).returncode == 0

    def run(self, service: str, *command: str) -> subprocess.CompletedProcess[bytes]:
        return run(["docker", "exec", self.container(service), *command], check=False)

    def sql(self, statement: str) -> str:
        """As the application: over the pool."""
        login = f"--env=PGPASSWORD={VARIABLES['DB_PASSWORD']}"
        client = ["psql", "--host=127.0.0.1", "--port=6432", "--username=chms", "--no-psqlrc", "-Atqc"]
        command = ["docker", "exec", login, self.container("pool"), *client, statement, "chms"]
        done = run(command, check=False)
        return (done.stdout + done.stderr).decode().strip()

    def remove(self, service: str, volume: bool = False) -> None:
        run(["docker", "rm", "--force", self.container(service)], check=False)
        if volume:
            run(["docker", "volume", "rm", f"{self.name}-data"], check=False)


@pytest.fixture(scope="module")
def network() -> Iterator[None]:
    engine.ensure()
    engine.docker("network", "create", f"--subnet={SUBNET}0/24", PREFIX)
    yield
    for name in engine.docker("ps", "--all", "--quiet", f"--filter=name={PREFIX}-").split():
        run(["docker", "rm", "--force", "--volumes", name], check=False)
    for volume in engine.docker("volume", "ls", "--quiet", f"--filter=name={PREFIX}-").split():
        run(["docker", "volume", "rm", volume], check=False)
    run(["docker", "network", "rm", PREFIX], check=False)


@pytest.fixture(scope="module")
def databases(network: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Machine, Machine]:
    """The replica first: it waits for its primary."""
    directory = tmp_path_factory.mktemp("databases")
    primary = Machine("database", 10, directory)
    replica = Machine("replica", 11, directory, PRIMARY_HOST=primary.address, REPLICA_SLOT="replica_1")
    replica.start("replica")
    primary.start("database", 10)
    primary.start("pool")
    replica.start("pool")
    for machine, service in ((primary, "database"), (primary, "pool"), (replica, "replica"), (replica, "pool")):
        until(partial(machine.healthy, service), 60)
    return primary, replica


def test_a_write_reaches_the_replica_which_takes_none(databases: tuple[Machine, Machine]) -> None:
    primary, replica = databases
    assert primary.sql("CREATE TABLE seen (name text); INSERT INTO seen VALUES ('a row')") == ""
    until(lambda: replica.sql("SELECT name FROM seen") == "a row", 20)
    assert "cannot execute INSERT in a read-only transaction" in replica.sql("INSERT INTO seen VALUES ('b')")


def test_the_application_is_no_superuser(databases: tuple[Machine, Machine]) -> None:
    assert databases[0].sql("SELECT rolsuper OR rolreplication FROM pg_roles WHERE rolname = current_user") == "f"


def test_a_replica_that_was_away_goes_on_from_its_slot(databases: tuple[Machine, Machine]) -> None:
    primary, replica = databases
    began = replica.run("replica", "stat", "-c", "%W", "/var/lib/postgresql/data/cluster/PG_VERSION").stdout
    replica.remove("replica")
    assert primary.sql("INSERT INTO seen VALUES ('while it was away')") == ""
    replica.start("replica")
    until(lambda: "while it was away" in replica.sql("SELECT name FROM seen"), 40)
    again = replica.run("replica", "stat", "-c", "%W", "/var/lib/postgresql/data/cluster/PG_VERSION").stdout
    assert began == again, "the primary was copied anew"


def test_a_replica_with_an_empty_volume_is_made_anew(databases: tuple[Machine, Machine]) -> None:
    primary, replica = databases
    replica.remove("replica", volume=True)
    replica.start("replica")
    until(lambda: replica.healthy("replica"), 60)
    until(lambda: "while it was away" in replica.sql("SELECT name FROM seen"), 20)
    slots = primary.run("database", "psql", "-U", "postgres", "-Atqc", "SELECT slot_name FROM pg_replication_slots")
    assert slots.stdout.decode().split() == ["replica_1"]


@pytest.fixture(scope="module")
def caches(network: None, tmp_path_factory: pytest.TempPathFactory) -> list[Machine]:
    directory = tmp_path_factory.mktemp("caches")
    lasts = (21, 22, 23)
    nodes = " ".join(f"{SUBNET}{last}" for last in lasts)
    machines = [Machine("cache_cluster", last, directory, REDIS_NODES=nodes) for last in lasts]
    for machine, last in zip(machines, lasts):
        # One after the other, as the data nodes are released: none waits for those that do not exist yet.
        machine.start("cache", last)
        until(partial(machine.healthy, "cache"), 30)
    return machines


def cluster(machine: Machine) -> Mapping[str, Any]:
    lines = machine.run("cache", "redis-cli", "cluster", "info").stdout.decode().split()
    return dict(line.split(":", 1) for line in lines)


def formed(machine: Machine) -> bool:
    found = cluster(machine)
    return [found.get(f"cluster_{key}") for key in ("state", "known_nodes", "slots_ok", "size")] == [
        "ok", "3", "16384", "3",
    ]  # fmt: skip


def ids(machine: Machine) -> dict[str, str]:
    lines = machine.run("cache", "redis-cli", "cluster", "nodes").stdout.decode().splitlines()
    return {line.split()[1].partition(":")[0]: line.split()[0] for line in lines}


def test_the_nodes_form_one_cluster_by_themselves(caches: list[Machine]) -> None:
    for machine in caches:
        until(partial(formed, machine), 30)
    assert caches[0].run("cache", "redis-cli", "-c", "set", "name", "value").stdout.strip() == b"OK"
    assert caches[2].run("cache", "redis-cli", "-c", "get", "name").stdout.strip() == b"value"


def test_a_node_comes_back_as_itself(caches: list[Machine]) -> None:
    before = ids(caches[0])
    caches[1].remove("cache")
    caches[1].start("cache", 22)
    until(lambda: caches[1].healthy("cache") and formed(caches[1]) and formed(caches[0]), 40)
    assert ids(caches[0]) == before


def test_a_node_with_an_empty_volume_takes_the_place_of_the_lost_one(caches: list[Machine]) -> None:
    before = ids(caches[0])
    caches[1].remove("cache", volume=True)
    caches[1].start("cache", 22)
    for machine in caches:
        until(partial(formed, machine), 60)
    after = ids(caches[0])
    assert after.keys() == before.keys()
    assert after[f"{SUBNET}22"] != before[f"{SUBNET}22"]


def test_a_cluster_that_lost_slots_is_not_healthy(caches: list[Machine]) -> None:
    caches[2].remove("cache")
    until(lambda: not caches[0].healthy("cache"), 30)
