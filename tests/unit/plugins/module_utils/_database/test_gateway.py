from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._database.gateway import (
    Database,
    DatabaseError,
    NoContainer,
)
from ansible_collections.slipway.ops.plugins.module_utils._database.model import MYSQL, Table
from ansible_collections.slipway.ops.plugins.module_utils._database.sql import dialect


class Docker:
    """Answers docker ps and docker exec, and keeps what it was asked."""

    def __init__(self, ps: tuple[int, str, str] = (0, "c1\n", ""), sql: tuple[int, str, str] = (0, "", "")) -> None:
        self.ps, self.sql = ps, sql
        self.calls: list[tuple[list[str], str]] = []

    def __call__(self, command: Sequence[str], data: str) -> tuple[int, str, str]:
        self.calls.append((list(command), data))
        return self.ps if command[1] == "ps" else self.sql


def database(run: Any, **changes: str) -> Database:
    values = {"name": "shop", "user": "root", "password_variable": "ROOT_PASSWORD", **changes}
    return Database("fleet", "database", dialect(MYSQL), run=run, **values)


def test_finds_the_container_by_its_labels_and_gives_sql_by_standard_input() -> None:
    docker = Docker()
    assert database(docker).execute("SELECT 1;") == []
    (ps, _data), (execute, data) = docker.calls
    assert "label=com.docker.compose.project=fleet" in ps
    assert "label=com.docker.compose.service=database" in ps
    assert "status=running" in ps
    assert execute[:4] == ["docker", "exec", "--interactive", "c1"]
    assert "SELECT" not in " ".join(execute)
    assert data.splitlines() == ["SET SESSION lock_wait_timeout = 30;", "SELECT 1;"]


def test_asks_nothing_about_no_table() -> None:
    docker = Docker()
    assert database(docker).observe([]) == {}
    assert docker.calls == []


@pytest.mark.parametrize(
    ("ps", "message"),
    [
        ((0, "\n", ""), "service database of stack fleet: no container runs; deploy the stack first"),
        ((1, "", "Cannot connect to the Docker daemon\nmore"), "docker ps failed: Cannot connect to the Docker daemon"),
    ],
)
def test_no_container_is_an_error_of_its_own(ps: tuple[int, str, str], message: str) -> None:
    with pytest.raises(NoContainer) as caught:
        database(Docker(ps)).observe([Table("orders")])
    assert message in str(caught.value)


def test_no_docker_is_no_container() -> None:
    def run(command: Sequence[str], data: str) -> tuple[int, str, str]:
        raise FileNotFoundError("docker")

    with pytest.raises(NoContainer, match="install Docker first"):
        database(run).container()


def test_two_containers_are_refused() -> None:
    with pytest.raises(DatabaseError, match="2 containers run"):
        database(Docker((0, "a\nb\n", ""))).container()


def test_refused_sql_names_database_attempt_and_reason() -> None:
    docker = Docker(sql=(1, "", "\nERROR 1205 (HY000): Lock wait timeout exceeded\n"))
    with pytest.raises(DatabaseError) as caught:
        database(docker).execute("ALTER TABLE `orders`;")
    assert str(caught.value) == (
        "database shop in service database of stack fleet: ERROR 1205 (HY000): Lock wait timeout exceeded; "
        "attempted: ALTER TABLE `orders`;"
    )


@pytest.mark.parametrize(
    "changes", [{"name": "--help"}, {"user": "a b"}, {"password_variable": "X}; rm -rf /; {"}, {"name": ""}]
)
def test_names_that_are_not_plain_are_refused(changes: dict[str, str]) -> None:
    with pytest.raises(DatabaseError, match="is not a plain name"):
        database(Docker(), **changes)
