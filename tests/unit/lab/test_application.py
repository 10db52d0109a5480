"""The application stand-in's rules, without its database and cache."""

from __future__ import annotations

import asyncio
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import app
import pytest

NOW = datetime(2025, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


class Store:
    """Stands for MySQL and Redis."""

    def __init__(self, **checks: bool) -> None:
        self.given = checks
        self.added: list[dict[str, Any]] = []

    def checks(self) -> dict[str, bool]:
        return {"database": True, "redis": True, "queue": True, **self.given}

    def add_order(self, wish: dict[str, Any]) -> dict[str, Any]:
        self.added.append(wish)
        return {"id": len(self.added), **wish}


def asked(method: str, path: str, body: bytes = b"", content_type: str = "", **query: str) -> app.Asked:
    return app.Asked(method, path, query, content_type, body)


def application(tmp_path: Path, store: Store | None = None, **faults: str) -> app.Application:
    return app.Application(app.Settings(version="1.0.0", faults=faults), store or Store(), tmp_path)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("checks", "status", "word"),
    [
        pytest.param({"database": True, "redis": True}, 200, "ok", id="all-good"),
        pytest.param({"database": True, "redis": False}, 503, "degraded", id="one-bad"),
        pytest.param({}, 200, "ok", id="nothing-to-check"),
    ],
)
def test_health(checks: dict[str, bool], status: int, word: str) -> None:
    code, body = app.health_of(checks, NOW)
    assert (code, body["status"]) == (status, word)
    assert body["timestamp"] == "2025-01-02T03:04:05+00:00"
    assert body["checks"] == checks


@pytest.mark.parametrize(
    ("faults", "age", "unhealthy"),
    [
        pytest.param({}, 100, False, id="none"),
        pytest.param({"FAULT_START_UNHEALTHY": "1"}, 0, True, id="from-the-start"),
        pytest.param({"FAULT_START_UNHEALTHY": "0"}, 0, False, id="switched-off"),
        pytest.param({"FAULT_UNHEALTHY_AFTER_SECONDS": "5"}, 4.9, False, id="not-yet"),
        pytest.param({"FAULT_UNHEALTHY_AFTER_SECONDS": "5"}, 5, True, id="now"),
    ],
)
def test_health_faults(faults: dict[str, str], age: float, unhealthy: bool) -> None:
    assert app.fault_says_unhealthy(faults, age) is unhealthy


def test_environment_beats_the_baked_fault() -> None:
    settings = app.read_settings({"FAULT_BAKED": "FAULT_A=1,FAULT_B=2", "FAULT_A": "0", "APP_VERSION": "9"})
    assert settings.faults == {"FAULT_A": "0", "FAULT_B": "2"}
    assert settings.version == "9"


@pytest.mark.parametrize(
    ("version", "count"),
    [("1.0.0", 4), ("1.0.9-x", 4), ("1.1.0", 5), ("1.2.0-broken", 5), ("0.9", 0)],
)
def test_migrations_belong_to_versions(version: str, count: int) -> None:
    assert len(app.migrations_for(version)) == count


@pytest.mark.parametrize(
    ("name", "safe"),
    [("photo.jpg", "photo.jpg"), ("../../etc/passwd", "passwd"), (".hidden", "hidden"), ("a b%2Fc", "c"), ("", "")],
)
def test_names_stay_in_their_directory(name: str, safe: str) -> None:
    assert app.safe_name(name) == safe


def test_a_form_carries_a_file() -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n\x00\x01\r\n--x--\r\n'
    assert app.upload_in("multipart/form-data; boundary=x", "", body) == ("a.bin", b"\x00\x01")


def test_an_upload_is_kept_and_given_back(tmp_path: Path) -> None:
    service = application(tmp_path)
    assert service.answer(asked("POST", "/api/uploads", b"content", name="a.txt")).status == 201
    assert service.answer(asked("GET", "/api/uploads/a.txt")).body == b"content"
    assert service.answer(asked("GET", "/api/uploads/b.txt")).status == 404
    assert service.answer(asked("POST", "/api/uploads", b"content")).status == 422


def test_an_order_must_be_json(tmp_path: Path) -> None:
    store = Store()
    service = application(tmp_path, store)
    assert service.answer(asked("POST", "/api/orders", b"{no")).status == 422
    assert service.answer(asked("POST", "/api/orders", b'{"reference": "A"}')).status == 201
    assert store.added == [{"reference": "A"}]


def test_errors_spare_health(tmp_path: Path) -> None:
    service = application(tmp_path, FAULT_ERROR_RATE="1")
    assert service.answer(asked("GET", "/api/version")).status == 500
    assert service.answer(asked("GET", "/api/health")).status == 200


def test_unknown_paths(tmp_path: Path) -> None:
    assert application(tmp_path).answer(asked("GET", "/api/nothing")).status == 404


@pytest.mark.parametrize(
    ("texts", "size"),
    [([], 64), (["[www]\npm.max_children = 50\n"], 50), (["pm.max_children=5", "; pm.max_children = 9"], 5)],
)
def test_pool_size(texts: list[str], size: int) -> None:
    assert app.pool_size(texts) == size


def test_websocket_accept_key() -> None:
    assert app.accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455, section 1.3


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
def test_frames_come_back(size: int) -> None:
    async def back() -> tuple[int, bytes]:
        reader = asyncio.StreamReader()
        reader.feed_data(app.frame(2, b"x" * size))
        return await app.read_frame(reader)

    assert asyncio.run(back()) == (2, b"x" * size)
