"""The stand-ins run together as the real images would."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import socket
import struct
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from slipway_lab import engine, images, standins
from slipway_lab.shell import LabError, run

NAME = f"slipway-smoke-{secrets.token_hex(3)}"
PASSWORD = secrets.token_hex(8)
ENVIRONMENT = {
    "DB_HOST": "database",
    "DB_DATABASE": "fleetbase",
    "DB_USERNAME": "fleetbase",
    "DB_PASSWORD": PASSWORD,
    "REDIS_HOST": "cache",
    "REDIS_PASSWORD": PASSWORD,
}


def until(ready: Callable[[], Any], seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError, LabError):
            answer = ready()
            if answer:
                return answer
        assert time.monotonic() < deadline, "gave up waiting"
        time.sleep(0.2)


class Stack:
    """Containers of the stand-ins on a network of their own."""

    def __init__(self) -> None:
        known = standins.servers() + standins.applications()
        self.images = {one.name: images.ensure(one.image) for one in known}

    def start(self, name: str, image: str, *command: str, environment: dict[str, str] | None = None) -> str:
        given = [f"--env={key}={value}" for key, value in (environment or {}).items()]
        volumes = [f"--volume={NAME}-uploads:/var/www/html/storage/app/public"] if "application" in image else []
        engine.docker(
            "run", "--detach", f"--name={NAME}-{name}", f"--network={NAME}", f"--network-alias={name}",
            *given, *volumes, self.images[image], *command,
        )  # fmt: skip
        return self.address(name)

    def address(self, name: str) -> str:
        found = engine.inspect("container", f"{NAME}-{name}")
        assert found is not None
        return str(found["NetworkSettings"]["Networks"][NAME]["IPAddress"])

    def execute(self, name: str, *command: str, environment: dict[str, str] | None = None) -> str:
        given = [f"--env={key}={value}" for key, value in (environment or {}).items()]
        return engine.docker("exec", *given, f"{NAME}-{name}", *command)

    def remove(self) -> None:
        names = engine.docker("ps", "--all", "--quiet", f"--filter=name={NAME}-").split()
        if names:
            engine.docker("rm", "--force", "--volumes", *names)
        run(["docker", "volume", "rm", f"{NAME}-uploads"], check=False)
        run(["docker", "network", "rm", NAME], check=False)


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    engine.ensure()
    made = Stack()
    engine.docker("network", "create", NAME)
    try:
        mysql = {"MYSQL_ROOT_PASSWORD": PASSWORD + "'x", "MYSQL_DATABASE": "fleetbase", "MYSQL_USER": "fleetbase"}
        made.start("database", "library/mysql:8.4", environment={**mysql, "MYSQL_PASSWORD": PASSWORD})
        made.start("cache", "library/redis:7.4-alpine", "redis-server", "--requirepass", PASSWORD)
        ping = ("mysqladmin", "--host=127.0.0.1", "--user=root", "ping")
        until(lambda: "alive" in made.execute("database", *ping, environment={"MYSQL_PWD": PASSWORD + "'x"}), 90)
        assert "DONE" in migrate(made, "1.0.0")
        made.start("application", "marinemaroc/application:1.0.0", environment=ENVIRONMENT)
        worker = ("php", "artisan", "queue:work", "--tries=3")
        made.start("queue", "marinemaroc/application:1.0.0", *worker, environment=ENVIRONMENT)
        made.start(
            "scheduler", "marinemaroc/application:1.0.0", "php", "artisan", "schedule:work", environment=ENVIRONMENT
        )
        made.start("console", "marinemaroc/console:1.0.0")
        made.start("socket", "marinemaroc/socket:1.0.0", environment=ENVIRONMENT)
        until(lambda: ask(f"http://{made.address('application')}:8000/health")[0] == 200, 20)
        yield made
    finally:
        made.remove()


def migrate(stack: Stack, version: str) -> str:
    given = [f"--env={key}={value}" for key, value in ENVIRONMENT.items()]
    image = stack.images[f"marinemaroc/application:{version}"]
    return engine.docker("run", "--rm", f"--network={NAME}", *given, image, "php", "artisan", "migrate", "--force")


def ask(url: str, body: bytes | None = None, content_type: str = "application/json") -> tuple[int, bytes]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    asked = urllib.request.Request(url, data=body, headers={"Content-Type": content_type})
    try:
        with opener.open(asked, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_health_names_its_checks(stack: Stack) -> None:
    status, body = ask(f"http://{stack.address('application')}:8000/api/health")
    answer = json.loads(body)
    assert status == 200
    assert answer["status"] == "ok"
    assert answer["checks"] == {"database": True, "redis": True, "queue": True}


def test_an_order_goes_through_database_and_queue(stack: Stack) -> None:
    url = f"http://{stack.address('application')}:8000/api/orders"
    status, body = ask(url, b'{"reference": "A-1", "driver_id": 7}')
    assert status == 201
    number = json.loads(body)["id"]
    until(lambda: {row["id"]: row["status"] for row in json.loads(ask(url)[1])}.get(number) == "processed", 10)


def test_the_scheduler_beats(stack: Stack) -> None:
    url = f"http://{stack.address('application')}:8000/api/queue"
    until(lambda: json.loads(ask(url)[1])["heartbeat"], 10)


def test_an_upload_comes_back(stack: Stack) -> None:
    url = f"http://{stack.address('application')}:8000/api/uploads"
    content = os.urandom(200_000)
    assert ask(f"{url}?name=../../photo.jpg", content, "image/jpeg")[0] == 201
    assert ask(f"{url}/photo.jpg") == (200, content)


def test_migrations_are_pending_once(stack: Stack) -> None:
    assert "Nothing to migrate" in migrate(stack, "1.0.0")
    assert "add_priority" in migrate(stack, "1.1.0")
    assert "Nothing to migrate" in migrate(stack, "1.1.0")
    with pytest.raises(LabError, match="SQLSTATE"):
        migrate(stack, "1.2.0-broken-migration")


def test_a_dump_holds_the_rows(stack: Stack) -> None:
    dump = stack.execute(
        "database", "mysqldump", "--user=root", "--single-transaction", "fleetbase", "orders",
        environment={"MYSQL_PWD": PASSWORD + "'x"},
    )  # fmt: skip
    assert "INSERT INTO `orders`" in dump


def test_the_server_runs_as_mysql(stack: Stack) -> None:
    assert "mysql" in stack.execute("database", "stat", "-c", "%U", "/proc/1")
    assert "redis" in stack.execute("cache", "stat", "-c", "%U", "/proc/1")


def test_the_console_says_its_version(stack: Stack) -> None:
    status, body = ask(f"http://{stack.address('console')}:4200/any/page")
    assert status == 200
    assert b"1.0.0" in body


def test_the_socket_echoes_and_says_goodbye(stack: Stack) -> None:
    address = stack.address("socket")
    assert ask(f"http://{address}:38000/health")[0] == 200
    with socket.create_connection((address, 38000), 5) as connection:
        key = base64.b64encode(os.urandom(16)).decode()
        head = "GET /socket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        connection.sendall(f"{head}Sec-WebSocket-Key: {key}\r\n\r\n".encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 101")
        connection.sendall(b"\x81\x82" + b"\0\0\0\0" + b"hi")
        assert connection.recv(16) == b"\x81\x02hi"
        engine.docker("kill", "--signal=TERM", f"{NAME}-socket")
        assert connection.recv(16) == b"\x88\x02" + struct.pack("!H", 1001)


def test_stopping_finishes_what_is_in_flight(stack: Stack) -> None:
    address = stack.start("leaving", "marinemaroc/application:1.1.0", environment=ENVIRONMENT)
    until(lambda: ask(f"http://{address}:8000/health")[0] == 200, 20)
    answers: list[tuple[int, bytes]] = []
    request = threading.Thread(target=lambda: answers.append(ask(f"http://{address}:8000/api/slow?seconds=2")))
    request.start()
    time.sleep(0.5)
    engine.docker("kill", "--signal=TERM", f"{NAME}-leaving")
    time.sleep(0.5)
    with pytest.raises(urllib.error.URLError, match="refused"):
        ask(f"http://{address}:8000/health")
    request.join()
    assert answers[0][0] == 200
    assert engine.docker("wait", f"{NAME}-leaving") == "0"


@pytest.mark.parametrize(
    ("version", "environment", "path", "status"),
    [
        pytest.param("1.2.0-broken", {}, "/health", 503, id="unhealthy"),
        pytest.param("1.2.0-broken-later", {}, "/health", 503, id="unhealthy-later"),
        pytest.param("1.1.0", {"FAULT_ERROR_RATE": "1"}, "/api/orders", 500, id="errors"),
        pytest.param("1.1.0", {"DB_HOST": "nowhere"}, "/health", 503, id="no-database"),
        pytest.param("1.1.0", {"FAULT_START_DELAY_SECONDS": "1"}, "/health", 200, id="slow-start"),
    ],
)
def test_faults(stack: Stack, version: str, environment: dict[str, str], path: str, status: int) -> None:
    name = f"fault-{secrets.token_hex(2)}"
    image = f"marinemaroc/application:{version}"
    address = stack.start(name, image, environment={**ENVIRONMENT, **environment})
    until(lambda: ask(f"http://{address}:8000{path}")[0] == status, 20)
    engine.docker("rm", "--force", f"{NAME}-{name}")
