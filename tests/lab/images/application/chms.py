"""A STAND-IN for ChMS's Laravel backend: what it has beyond Marine Maroc's in app.py, and not the real thing.

It writes to the primary PostgreSQL, reads members from a replica, and uses Redis, single or as a cluster.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from app import QUEUE, Answer, Application, Asked, Store

MIGRATIONS = (
    (
        "2025_01_01_000001_create_members_table",
        "1.0.0",
        """CREATE TABLE IF NOT EXISTS members (
            id BIGSERIAL PRIMARY KEY,
            organization_id BIGINT NOT NULL DEFAULT 1,
            email VARCHAR(255) NOT NULL,
            is_active BOOLEAN NOT NULL DEFAULT true,
            welcomed BOOLEAN NOT NULL DEFAULT false,
            created_at TIMESTAMPTZ NOT NULL DEFAULT now())""",
    ),
    (
        "2025_01_01_000002_create_attendance_table",
        "1.0.0",
        """CREATE TABLE IF NOT EXISTS attendance (
            id BIGSERIAL PRIMARY KEY,
            member_id BIGINT NOT NULL,
            service_id BIGINT NOT NULL,
            created_at TIMESTAMPTZ NOT NULL DEFAULT now())""",
    ),
    (
        "2025_01_01_000003_create_families_notes_and_badges_tables",
        "1.0.0",
        """CREATE TABLE IF NOT EXISTS families (
            id BIGSERIAL PRIMARY KEY,
            organization_id BIGINT NOT NULL,
            name VARCHAR(255) NOT NULL,
            is_active BOOLEAN NOT NULL DEFAULT true);
        CREATE TABLE IF NOT EXISTS notes (
            id BIGSERIAL PRIMARY KEY,
            member_id BIGINT NOT NULL,
            created_at TIMESTAMPTZ NOT NULL DEFAULT now());
        CREATE TABLE IF NOT EXISTS badges (
            id BIGSERIAL PRIMARY KEY,
            member_id BIGINT NOT NULL,
            badge_type_id BIGINT NOT NULL)""",
    ),
    (
        "2025_06_01_000001_add_phone_to_members_table",
        "1.1.0",
        "ALTER TABLE members ADD COLUMN IF NOT EXISTS phone VARCHAR(32)",
    ),
)
MIGRATION_TABLE = """CREATE TABLE IF NOT EXISTS migrations (
    id SERIAL PRIMARY KEY,
    migration VARCHAR(255) NOT NULL UNIQUE,
    batch INT NOT NULL)"""
READ = "SELECT id, email, welcomed FROM members ORDER BY id DESC LIMIT %s"


def listed(value: str) -> list[str]:
    return [item.strip() for item in value.split(",") if item.strip()]


class ChmsStore(Store):
    """PostgreSQL and Redis."""

    migrations = MIGRATIONS
    migration_table = MIGRATION_TABLE

    @contextlib.contextmanager
    def database(self, host: str = "") -> Iterator[Any]:
        psycopg2 = importlib.import_module("psycopg2")
        environment = self.settings.environment
        connection = psycopg2.connect(
            host=host or environment.get("DB_HOST", "database"),
            port=int(environment.get("DB_PORT", "5432")),
            user=environment.get("DB_USERNAME", ""),
            password=environment.get("DB_PASSWORD", ""),
            dbname=environment.get("DB_DATABASE", ""),
            connect_timeout=3,
            cursor_factory=importlib.import_module("psycopg2.extras").RealDictCursor,
        )
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()

    def readers(self) -> list[str]:
        return listed(self.settings.environment.get("DB_READ_HOSTS", ""))

    def cache(self) -> Any:
        redis = importlib.import_module("redis")
        environment = self.settings.environment
        given = {
            "password": environment.get("REDIS_PASSWORD") or None,
            "socket_connect_timeout": 3,
            "socket_timeout": 10,
            "decode_responses": True,
        }
        hosts = listed(environment.get("REDIS_HOSTS", "cache"))
        if environment.get("REDIS_CLUSTER") == "true":
            cluster = importlib.import_module("redis.cluster")
            return cluster.RedisCluster(startup_nodes=[cluster.ClusterNode(host, 6379) for host in hosts], **given)
        return redis.Redis(host=hosts[0], port=6379, **given)

    def checks(self) -> dict[str, bool]:
        results = {**super().checks(), "readers": False}
        with contextlib.suppress(Exception):
            for host in self.readers():
                with self.database(host) as cursor:
                    cursor.execute("SELECT 1")
            results["readers"] = True
        return results

    def members(self, limit: int, source: str) -> list[dict[str, Any]]:
        with self.database(random.choice(self.readers() or [""]) if source != "primary" else "") as cursor:
            cursor.execute(READ, (limit,))
            return [dict(row) for row in cursor.fetchall()]

    def add_member(self, email: str) -> dict[str, Any]:
        with self.database() as cursor:
            cursor.execute("INSERT INTO members (email) VALUES (%s) RETURNING id, email, welcomed", (email,))
            row = dict(cursor.fetchone())
        self.cache().lpush(QUEUE, json.dumps({"member": row["id"], "attempts": 0}))
        return row

    def process(self, job: Mapping[str, Any]) -> str:
        with self.database() as cursor:
            cursor.execute("UPDATE members SET welcomed = true WHERE id = %s", (job["member"],))
        return f"member {job['member']}"


class Backend(Application):
    """The routes of ChMS's API."""

    store: ChmsStore

    def routes(self) -> dict[tuple[str, str], Callable[[Asked], Answer]]:
        return {
            ("GET", "/"): self.version,
            ("GET", "/api/version"): self.version,
            ("GET", "/api/members"): self.list_members,
            ("POST", "/api/members"): self.create_member,
            ("GET", "/api/queue"): self.queue,
            ("GET", "/api/slow"): self.slow,
            ("GET", "/api/monitoring/health"): lambda _asked: self.health(),
            ("GET", "/api/monitoring/metrics"): self.metrics,
            ("GET", "/api/monitoring/performance"): self.performance,
        }

    def list_members(self, asked: Asked) -> Answer:
        limit = min(int(asked.query.get("limit", "50")), 1000)
        return Answer(200, self.store.members(limit, asked.query.get("from", "reader")))

    def create_member(self, asked: Asked) -> Answer:
        try:
            wish = json.loads(asked.body or b"{}")
        except ValueError:
            return Answer(422, {"error": "the body is not JSON"})
        email = wish.get("email") if isinstance(wish, dict) else None
        return Answer(201, self.store.add_member(str(email))) if email else Answer(422, {"error": "give an email"})

    def metrics(self, _asked: Asked) -> Answer:
        with self.store.database() as cursor:
            cursor.execute("SELECT count(*) AS members FROM members")
            counted = dict(cursor.fetchone())
        return Answer(200, {**counted, "queue": self.store.cache().llen(QUEUE)})

    def performance(self, _asked: Asked) -> Answer:
        begun = time.monotonic()
        with self.store.database() as cursor:
            cursor.execute("SELECT 1")
        return Answer(200, {"database_milliseconds": round((time.monotonic() - begun) * 1000, 1)})
