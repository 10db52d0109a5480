#!/usr/bin/env python3
"""A STAND-IN for Marine Maroc's Laravel application, its console and its socket server: not the real thing.

It really uses MySQL, Redis and a Redis list as queue, answers on the same ports, takes the same environment and the
same `php artisan` commands, so that a release, a backup, a restore and a watch can be proved against it.

Faults, by environment or baked into an image (FAULT_BAKED="NAME=VALUE,..."):
  FAULT_START_UNHEALTHY=1           health says 503 from the start
  FAULT_UNHEALTHY_AFTER_SECONDS=N   health says 503 once N seconds old
  FAULT_MIGRATION=1                 the migration fails
  FAULT_ERROR_RATE=0.3              this part of the requests (not health) answers 500
  FAULT_START_DELAY_SECONDS=N       listens only after N seconds
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import email
import email.policy
import hashlib
import importlib
import json
import os
import random
import re
import shutil
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

QUEUE = "queues:default"
QUEUE_LIMIT = 1000
HEARTBEAT = "schedule:heartbeat"
UPLOADS = Path("storage/app/public")
POOL_FILES = Path("/usr/local/etc/php-fpm.d")
PORTS = {"application": 8000, "backend": 8000, "console": 4200, "socket": 38000}
STARTED = time.monotonic()

# Name, first version that carries it, statement.
MIGRATIONS = (
    (
        "2025_01_01_000001_create_orders_table",
        "1.0.0",
        """CREATE TABLE IF NOT EXISTS orders (
            id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
            reference VARCHAR(64) NOT NULL,
            status VARCHAR(32) NOT NULL DEFAULT 'created',
            driver_id BIGINT UNSIGNED NULL,
            created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
            updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP)""",
    ),
    (
        "2025_01_01_000002_create_tracking_statuses_table",
        "1.0.0",
        """CREATE TABLE IF NOT EXISTS tracking_statuses (
            id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
            order_id BIGINT UNSIGNED NULL,
            driver_id BIGINT UNSIGNED NULL,
            status VARCHAR(32) NOT NULL,
            created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP)""",
    ),
    (
        "2025_01_01_000003_create_drivers_table",
        "1.0.0",
        """CREATE TABLE IF NOT EXISTS drivers (
            id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
            name VARCHAR(128) NOT NULL,
            created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP)""",
    ),
    (
        "2025_01_01_000004_create_vehicles_table",
        "1.0.0",
        """CREATE TABLE IF NOT EXISTS vehicles (
            id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
            plate VARCHAR(32) NOT NULL,
            driver_id BIGINT UNSIGNED NULL,
            created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP)""",
    ),
    (
        "2025_06_01_000001_add_priority_to_orders_table",
        "1.1.0",
        "ALTER TABLE orders ADD COLUMN priority TINYINT NOT NULL DEFAULT 0",
    ),
)
MIGRATION_TABLE = """CREATE TABLE IF NOT EXISTS migrations (
    id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
    migration VARCHAR(255) NOT NULL UNIQUE,
    batch INT NOT NULL)"""


# ---- values -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Settings:
    """All that the environment says."""

    part: str = "application"
    version: str = "0.0.0"
    hostname: str = ""
    database: Mapping[str, Any] = field(default_factory=dict)
    cache: Mapping[str, Any] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


def read_settings(environment: Mapping[str, str]) -> Settings:
    baked = dict(item.split("=", 1) for item in environment.get("FAULT_BAKED", "").split(",") if "=" in item)
    given = {key: value for key, value in environment.items() if key.startswith("FAULT_") and key != "FAULT_BAKED"}
    return Settings(
        part=environment.get("APP_PART", "application"),
        version=environment.get("APP_VERSION", "0.0.0"),
        hostname=socket.gethostname(),
        database={
            "host": environment.get("DB_HOST", "database"),
            "port": int(environment.get("DB_PORT", "3306")),
            "user": environment.get("DB_USERNAME", ""),
            "password": environment.get("DB_PASSWORD", ""),
            "database": environment.get("DB_DATABASE", ""),
        },
        cache={
            "host": environment.get("REDIS_HOST", "cache"),
            "port": int(environment.get("REDIS_PORT", "6379")),
            "password": environment.get("REDIS_PASSWORD") or None,
        },
        faults={**baked, **given},
        environment=environment,
    )


def switched_on(faults: Mapping[str, str], name: str) -> bool:
    return faults.get(name, "") not in ("", "0", "false")


def fault_says_unhealthy(faults: Mapping[str, str], age_seconds: float) -> bool:
    after = faults.get("FAULT_UNHEALTHY_AFTER_SECONDS", "")
    return switched_on(faults, "FAULT_START_UNHEALTHY") or (after != "" and age_seconds >= float(after))


def release_of(version: str) -> tuple[int, ...]:
    """1.2.0-broken is of release (1, 2, 0)."""
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("-")[0]))


def migrations_for(version: str, migrations: Sequence[tuple[str, str, str]] = MIGRATIONS) -> list[tuple[str, str]]:
    return [(name, sql) for name, since, sql in migrations if release_of(since) <= release_of(version)]


def health_of(checks: Mapping[str, bool], now: datetime) -> tuple[int, dict[str, Any]]:
    """Status code and body; one failed check is enough to be degraded."""
    good = all(checks.values())
    body = {
        "status": "ok" if good else "degraded",
        "timestamp": now.isoformat(timespec="seconds"),
        "checks": dict(checks),
    }
    return (200 if good else 503), body


def safe_name(name: str) -> str:
    """A file's name without any path; empty when nothing is left of it."""
    cleaned = re.sub(r"[^A-Za-z0-9._-]", "_", Path(unquote(name)).name)
    return cleaned.lstrip(".")[:128]


def upload_in(content_type: str, query_name: str, body: bytes) -> tuple[str, bytes]:
    """Name and content of an uploaded file: the first one of a form, or the whole body with ?name=."""
    if not content_type.startswith("multipart/form-data"):
        return safe_name(query_name), body
    message = email.message_from_bytes(
        b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body, policy=email.policy.HTTP
    )
    for part in message.iter_parts() if message.is_multipart() else ():
        name = part.get_filename()
        if name:
            return safe_name(name), bytes(part.get_payload(decode=True) or b"")
    return "", b""


def pool_size(texts: list[str], default: int = 64) -> int:
    """pm.max_children of the last pool file that sets it: how many requests are served at once."""
    found = [
        int(value) for text in texts for value in re.findall(r"^\s*pm\.max_children\s*=\s*(\d+)", text, re.MULTILINE)
    ]
    return found[-1] if found else default


def log_error(text: str) -> None:
    """An error line as Laravel writes it."""
    print(f"[{datetime.now(timezone.utc):%Y-%m-%d %H:%M:%S}] production.ERROR: {text}", file=sys.stderr, flush=True)


# ---- what it stands on --------------------------------------------------------------------------------------------


class Store:
    """MySQL and Redis, each asked anew at every turn, so that a restart of theirs is survived."""

    migrations: Sequence[tuple[str, str, str]] = MIGRATIONS
    migration_table = MIGRATION_TABLE

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @contextlib.contextmanager
    def database(self) -> Any:
        pymysql = importlib.import_module("pymysql")  # here: the console and the socket do without it
        connection = pymysql.connect(
            **self.settings.database, connect_timeout=3, read_timeout=30, autocommit=True,
            cursorclass=importlib.import_module("pymysql.cursors").DictCursor,
        )  # fmt: skip
        try:
            with connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()

    def cache(self) -> Any:
        redis = importlib.import_module("redis")
        return redis.Redis(**self.settings.cache, socket_connect_timeout=3, socket_timeout=10, decode_responses=True)

    def checks(self) -> dict[str, bool]:
        results = {"database": False, "redis": False, "queue": False}
        with contextlib.suppress(Exception), self.database() as cursor:
            cursor.execute("SELECT 1")
            results["database"] = True
        with contextlib.suppress(Exception):
            cache = self.cache()
            results["redis"] = bool(cache.ping())
            results["queue"] = cache.llen(QUEUE) < QUEUE_LIMIT
        return results

    def orders(self, limit: int) -> list[dict[str, Any]]:
        with self.database() as cursor:
            cursor.execute(
                "SELECT id, reference, status, driver_id, created_at FROM orders ORDER BY id DESC LIMIT %s", (limit,)
            )
            return list(cursor.fetchall())

    def add_order(self, wish: Mapping[str, Any]) -> dict[str, Any]:
        reference = str(wish.get("reference") or f"MM-{random.randrange(10**8):08d}")[:64]
        with self.database() as cursor:
            cursor.execute(
                "INSERT INTO orders (reference, driver_id) VALUES (%s, %s)", (reference, wish.get("driver_id"))
            )
            number = cursor.lastrowid
            cursor.execute("SELECT id, reference, status, driver_id, created_at FROM orders WHERE id = %s", (number,))
            row = dict(cursor.fetchone())
        self.cache().lpush(QUEUE, json.dumps({"order": number, "attempts": 0}))
        return row

    def process(self, job: Mapping[str, Any]) -> str:
        """Do what the job asks; returns what it was about."""
        with self.database() as cursor:
            cursor.execute("UPDATE orders SET status = 'processed' WHERE id = %s", (job["order"],))
            cursor.execute(
                "INSERT INTO tracking_statuses (order_id, driver_id, status) "
                "SELECT id, driver_id, status FROM orders WHERE id = %s",
                (job["order"],),
            )
        return f"order {job['order']}"

    def migrate(self) -> list[str]:
        """Apply what is missing, in order; returns the names of it."""
        done = []
        with self.database() as cursor:
            cursor.execute(self.migration_table)
            cursor.execute("SELECT migration FROM migrations")
            known = {row["migration"] for row in cursor.fetchall()}
            cursor.execute("SELECT COALESCE(MAX(batch), 0) + 1 AS batch FROM migrations")
            batch = cursor.fetchone()["batch"]
            for name, statement in migrations_for(self.settings.version, self.migrations):
                if name in known:
                    continue
                cursor.execute(statement)
                cursor.execute("INSERT INTO migrations (migration, batch) VALUES (%s, %s)", (name, batch))
                done.append(name)
        return done


def open_store(settings: Settings) -> Store:
    """What the part stands on: the backend is of another system (chms.py)."""
    if settings.part == "backend":
        store: Store = importlib.import_module("chms").ChmsStore(settings)
        return store
    return Store(settings)


# ---- HTTP ---------------------------------------------------------------------------------------------------------


@dataclass
class Answer:
    status: int
    body: Any
    content_type: str = "application/json"

    def encoded(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        if isinstance(self.body, str):
            return self.body.encode()
        return (json.dumps(self.body, default=str) + "\n").encode()


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    query: Mapping[str, str]
    content_type: str
    body: bytes


class Application:
    """The routes of the API."""

    def __init__(self, settings: Settings, store: Store, uploads: Path = UPLOADS) -> None:
        self.settings = settings
        self.store = store
        self.uploads = uploads

    def answer(self, asked: Asked) -> Answer:
        if asked.path in ("/health", "/api/health"):
            return self.health()
        if random.random() < float(self.settings.faults.get("FAULT_ERROR_RATE") or 0):
            log_error("fault switched on: this request fails")
            return Answer(500, {"error": "fault"})
        route = self.routes().get((asked.method, asked.path))
        if route is None and asked.method == "GET" and asked.path.startswith("/api/uploads/"):
            route = self.download
        return route(asked) if route else Answer(404, {"error": f"no {asked.method} {asked.path}"})

    def routes(self) -> dict[tuple[str, str], Callable[[Asked], Answer]]:
        return {
            ("GET", "/api/version"): self.version,
            ("GET", "/api/whoami"): self.version,
            ("GET", "/api/orders"): self.list_orders,
            ("POST", "/api/orders"): self.create_order,
            ("GET", "/api/queue"): self.queue,
            ("POST", "/api/uploads"): self.upload,
            ("GET", "/api/slow"): self.slow,
        }

    def health(self) -> Answer:
        checks = self.store.checks()
        if fault_says_unhealthy(self.settings.faults, time.monotonic() - STARTED):
            checks["fault"] = False
        return Answer(*health_of(checks, datetime.now(timezone.utc)))

    def version(self, _asked: Asked) -> Answer:
        return Answer(200, {"version": self.settings.version, "hostname": self.settings.hostname})

    def list_orders(self, asked: Asked) -> Answer:
        return Answer(200, self.store.orders(min(int(asked.query.get("limit", "50")), 1000)))

    def create_order(self, asked: Asked) -> Answer:
        try:
            wish = json.loads(asked.body or b"{}")
        except ValueError:
            return Answer(422, {"error": "the body is not JSON"})
        return Answer(201, self.store.add_order(wish if isinstance(wish, dict) else {}))

    def queue(self, _asked: Asked) -> Answer:
        cache = self.store.cache()
        return Answer(200, {"length": cache.llen(QUEUE), "heartbeat": cache.get(HEARTBEAT)})

    def upload(self, asked: Asked) -> Answer:
        name, content = upload_in(asked.content_type, asked.query.get("name", ""), asked.body)
        if not name:
            return Answer(422, {"error": "send a form with a file, or a body with ?name="})
        self.uploads.mkdir(parents=True, exist_ok=True)
        unfinished = self.uploads / f".{name}.{random.randrange(10**9)}"
        unfinished.write_bytes(content)
        unfinished.replace(self.uploads / name)
        return Answer(201, {"name": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()})

    def download(self, asked: Asked) -> Answer:
        path = self.uploads / safe_name(asked.path.rpartition("/")[2])
        if not path.is_file():
            return Answer(404, {"error": "no such upload"})
        return Answer(200, path.read_bytes(), "application/octet-stream")

    def slow(self, asked: Asked) -> Answer:
        seconds = min(float(asked.query.get("seconds", "1")), 300.0)
        time.sleep(seconds)
        return Answer(200, {"slept": seconds, "version": self.settings.version, "hostname": self.settings.hostname})


class Console:
    """A page that says which version it is, at every path, as a single-page application does."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def answer(self, asked: Asked) -> Answer:
        if asked.method not in ("GET", "HEAD"):
            return Answer(405, {"error": "a static page"})
        page = (
            "<!doctype html><html lang='fr'><head><meta charset='utf-8'><title>Marine Maroc</title></head>"
            "<body><h1>Marine Maroc Fleet</h1>"
            f"<p>Console <b id='version'>{self.settings.version}</b> (stand-in)</p></body></html>\n"
        )
        return Answer(200, page, "text/html; charset=utf-8")


class Server(ThreadingHTTPServer):
    """Serves until told to stop; then takes no more, finishes what is in flight and ends."""

    daemon_threads = False
    block_on_close = True
    request_queue_size = 128

    def __init__(self, port: int, service: Application | Console, at_once: int) -> None:
        self.service = service
        self.stopping = False
        self.slots = threading.BoundedSemaphore(at_once)
        self.idle: set[socket.socket] = set()
        self.guard = threading.Lock()
        super().__init__(("0.0.0.0", port), Handler)

    def stop(self) -> None:
        self.stopping = True
        self.shutdown()
        self.socket.close()
        with self.guard:
            for connection in self.idle:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RD)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def handle_one_request(self) -> None:
        with self.server.guard:
            if self.server.stopping:
                self.close_connection = True
                return
            self.server.idle.add(self.connection)
        try:
            super().handle_one_request()
        finally:
            with self.server.guard:
                self.server.idle.discard(self.connection)
            self.close_connection = self.close_connection or self.server.stopping

    def respond(self) -> None:
        with self.server.guard:
            self.server.idle.discard(self.connection)
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        query = {key: values[-1] for key, values in parse_qs(url.query).items()}
        asked = Asked(self.command, url.path, query, self.headers.get("Content-Type", ""), body)
        with self.server.slots:
            try:
                answer = self.server.service.answer(asked)
            except Exception as error:  # what a framework does: log it, answer 500
                log_error(f"{asked.method} {asked.path}: {type(error).__name__}: {error}")
                answer = Answer(500, {"error": type(error).__name__})
        data = answer.encoded()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(data)))
        if self.server.stopping:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = respond

    def log_message(self, format: str, *args: Any) -> None:
        if not self.path.endswith("/health"):
            print(f"{self.address_string()} {format % args}", flush=True)


def serve(settings: Settings) -> int:
    wait_at_start(settings)
    service: Application | Console = Console(settings)
    if settings.part == "application":
        service = Application(settings, open_store(settings))
    elif settings.part == "backend":
        service = importlib.import_module("chms").Backend(settings, open_store(settings))
    texts = [path.read_text() for path in sorted(POOL_FILES.glob("*.conf"))] if POOL_FILES.is_dir() else []
    server = Server(PORTS[settings.part], service, pool_size(texts))
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.stop).start())
    print(f"stand-in {settings.part} {settings.version} listens on {PORTS[settings.part]}", flush=True)
    server.serve_forever(poll_interval=0.1)
    server.server_close()
    return 0


def wait_at_start(settings: Settings) -> None:
    time.sleep(float(settings.faults.get("FAULT_START_DELAY_SECONDS") or 0))


# ---- websocket ----------------------------------------------------------------------------------------------------


def accept_key(key: str) -> str:
    """RFC 6455, section 4.2.2."""
    return base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()


def frame(opcode: int, payload: bytes) -> bytes:
    """An unmasked, final frame: what a server sends."""
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, size)
    elif size < 65536:
        head = struct.pack("!BBH", 0x80 | opcode, 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 127, size)
    return head + payload


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    first, second = await reader.readexactly(2)
    size = second & 0x7F
    if size == 126:
        (size,) = struct.unpack("!H", await reader.readexactly(2))
    elif size == 127:
        (size,) = struct.unpack("!Q", await reader.readexactly(8))
    mask = await reader.readexactly(4) if second & 0x80 else b"\0\0\0\0"
    data = await reader.readexactly(size)
    return first & 0x0F, bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))


class SocketServer:
    """Echoes what it is sent; asked to stop, it tells its clients that it goes away (1001)."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = Store(settings)
        self.clients: set[asyncio.StreamWriter] = set()

    async def run(self) -> None:
        server = await asyncio.start_server(self.connected, "0.0.0.0", PORTS["socket"])
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        print(f"stand-in socket {self.settings.version} listens on {PORTS['socket']}", flush=True)
        await stop.wait()
        server.close()
        for writer in list(self.clients):
            with contextlib.suppress(OSError):
                writer.write(frame(8, struct.pack("!H", 1001)))
                await writer.drain()
        deadline = time.monotonic() + 5
        while self.clients and time.monotonic() < deadline:
            await asyncio.sleep(0.05)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {
                key.strip().lower(): value.strip() for key, _colon, value in (line.partition(":") for line in head[1:])
            }
            if headers.get("upgrade", "").lower() == "websocket" and "sec-websocket-key" in headers:
                await self.talk(reader, writer, headers["sec-websocket-key"])
            else:
                await self.plain(writer, head[0].split(" ")[1])
        writer.close()

    async def plain(self, writer: asyncio.StreamWriter, path: str) -> None:
        if path.partition("?")[0].rstrip("/").endswith("/health"):
            status, body = await asyncio.to_thread(self.health)
        else:
            status, body = 200, {"version": self.settings.version, "hostname": self.settings.hostname}
        data = (json.dumps(body) + "\n").encode()
        reason = {200: "OK", 503: "Service Unavailable"}[status]
        head = f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n"
        writer.write(head.encode() + b"Connection: close\r\n\r\n" + data)
        await writer.drain()

    def health(self) -> tuple[int, dict[str, Any]]:
        checks = {"redis": False}
        with contextlib.suppress(Exception):
            checks["redis"] = bool(self.store.cache().ping())
        if fault_says_unhealthy(self.settings.faults, time.monotonic() - STARTED):
            checks["fault"] = False
        return health_of(checks, datetime.now(timezone.utc))

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str) -> None:
        head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        writer.write(f"{head}Sec-WebSocket-Accept: {accept_key(key)}\r\n\r\n".encode())
        self.clients.add(writer)
        try:
            while True:
                opcode, data = await read_frame(reader)
                if opcode == 8:
                    writer.write(frame(8, data[:2]))
                    return
                writer.write(frame(10 if opcode == 9 else opcode, data))
                await writer.drain()
        finally:
            self.clients.discard(writer)


# ---- php artisan --------------------------------------------------------------------------------------------------


class Stopped:
    """Set by SIGTERM; a worker looks at it between two jobs."""

    def __init__(self) -> None:
        self.event = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: self.event.set())


def migrate(settings: Settings, _arguments: list[str]) -> int:
    if switched_on(settings.faults, "FAULT_MIGRATION"):
        log_error("fault switched on: SQLSTATE[42000]: Syntax error in migration")
        return 1
    done = open_store(settings).migrate()
    for name in done:
        print(f"  {name} ... DONE")
    if not done:
        print("   INFO  Nothing to migrate.")
    return 0


def work_queue(settings: Settings, arguments: list[str]) -> int:
    tries = next((int(item.partition("=")[2]) for item in arguments if item.startswith("--tries=")), 1)
    store, stopped = open_store(settings), Stopped()
    print(f"stand-in worker {settings.version} waits for jobs", flush=True)
    while not stopped.event.is_set():
        try:
            taken = store.cache().brpop(QUEUE, timeout=1)
        except Exception as error:
            log_error(f"the queue does not answer: {error}")
            stopped.event.wait(1)
            continue
        if taken:
            work_job(store, json.loads(taken[1]), tries)
    return 0


def work_job(store: Store, job: dict[str, Any], tries: int) -> None:
    try:
        print(f"processed {store.process(job)}", flush=True)
    except Exception as error:
        log_error(f"job {job}: {error}")
        if job.get("attempts", 0) + 1 < tries:
            time.sleep(1)
            store.cache().lpush(QUEUE, json.dumps({**job, "attempts": job.get("attempts", 0) + 1}))


def work_schedule(settings: Settings, _arguments: list[str]) -> int:
    store, stopped = open_store(settings), Stopped()
    print(f"stand-in scheduler {settings.version} runs", flush=True)
    while not stopped.event.is_set():
        try:
            store.cache().set(HEARTBEAT, datetime.now(timezone.utc).isoformat(timespec="seconds"))
        except Exception as error:
            log_error(f"heartbeat: {error}")
        stopped.event.wait(5)
    return 0


def clear_cache(settings: Settings, _arguments: list[str]) -> int:
    cache = open_store(settings).cache()
    keys = list(cache.scan_iter("cache:*"))
    if keys:
        cache.delete(*keys)
    print("   INFO  Application cache cleared successfully.")
    return 0


def clear_files(_settings: Settings, arguments: list[str]) -> int:
    shutil.rmtree("bootstrap/cache", ignore_errors=True)
    print("   INFO  Cleared successfully.")
    return 0


ARTISAN: dict[str, Callable[[Settings, list[str]], int]] = {
    "migrate": migrate,
    "queue:work": work_queue,
    "schedule:work": work_schedule,
    "cache:clear": clear_cache,
    "config:clear": clear_files,
    "route:clear": clear_files,
}


def main(arguments: list[str]) -> int:
    settings = read_settings(os.environ)
    if arguments[:1] == ["artisan"]:
        command = ARTISAN.get(arguments[1] if len(arguments) > 1 else "")
        if command is None:
            print(f"artisan knows: {', '.join(ARTISAN)}", file=sys.stderr)
            return 2
        return command(settings, arguments[2:])
    if settings.part == "socket":
        wait_at_start(settings)
        asyncio.run(SocketServer(settings).run())
        return 0
    return serve(settings)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
