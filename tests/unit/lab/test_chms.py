"""What the stand-in of ChMS's backend adds, without its databases and caches."""

from __future__ import annotations

import json
from typing import Any

import app
import chms
import pytest


class Store:
    """Stands for PostgreSQL and Redis."""

    def __init__(self) -> None:
        self.added: list[str] = []

    def checks(self) -> dict[str, bool]:
        return {"database": True, "redis": True, "queue": True, "readers": False}

    def members(self, limit: int, source: str) -> list[dict[str, Any]]:
        return [{"limit": limit, "source": source}]

    def add_member(self, email: str) -> dict[str, Any]:
        self.added.append(email)
        return {"id": len(self.added), "email": email}


def ask(method: str, path: str, body: bytes = b"", **query: str) -> app.Answer:
    backend = chms.Backend(app.Settings(version="1.0.0"), Store())  # type: ignore[arg-type]
    return backend.answer(app.Asked(method, path, query, "", body))


def test_a_reader_that_is_away_degrades() -> None:
    answer = ask("GET", "/api/monitoring/health")
    assert (answer.status, answer.body["status"]) == (503, "degraded")


def test_members_are_read_from_the_readers_unless_asked_otherwise() -> None:
    assert ask("GET", "/api/members").body == [{"limit": 50, "source": "reader"}]
    assert ask("GET", "/api/members", **{"from": "primary", "limit": "3"}).body == [{"limit": 3, "source": "primary"}]


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{no", 422), (b"[]", 422), (b"{}", 422), (json.dumps({"email": "a@chms.example"}).encode(), 201)],
)
def test_a_member_has_an_email(body: bytes, status: int) -> None:
    assert ask("POST", "/api/members", body).status == status


def test_a_release_brings_its_own_migrations() -> None:
    first, second = (app.migrations_for(version, chms.MIGRATIONS) for version in ("1.0.0", "1.1.0"))
    assert len(first) == 3
    assert [name for name, _sql in second][3:] == ["2025_06_01_000001_add_phone_to_members_table"]


def test_hosts_are_listed_by_commas() -> None:
    assert chms.listed("10.0.0.1, 10.0.0.2,") == ["10.0.0.1", "10.0.0.2"]
