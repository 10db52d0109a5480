# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Redis (and Valkey): all databases of a server, as it saves them itself.

It keeps no log that could be followed: a point is all there is, and what was written after it is lost. The snapshot is
loaded by an isolated server first, which proves it; where the live one appends to a file (`appendonly yes`), that
server writes one, since the live one would read its own in the snapshot's place.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup import redis
from ansible_collections.slipway.ops.plugins.module_utils._backup.gateway import Container, Isolated
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    BackupError,
    Point,
    RefusedError,
    human_bytes,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.process import Outcome
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import (
    USABLE_SECONDS,
    Beside,
    Prepared,
    Reach,
    SourceError,
    Workspace,
    last_line,
    wait_ready,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.target import KIND_TIME, Target, human_time

# How long a server may take to write a snapshot, and an isolated one to read it; each says how it stands.
SAVE_SECONDS = 3600
LOAD_SECONDS = 3600
SAY_SECONDS = 15
MEMORY_BYTES = 1 << 30
# Of small files beside the data: lists of users and the like, which the live server may need.
BESIDE_BYTES = 1 << 20


class SnapshotJudge:
    """Reads a snapshot as it flows into the repository, and refuses one that is not whole."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._reader = redis.SnapshotReader()
        self.format = ""

    def feed(self, chunk: bytes) -> None:
        self._reader.feed(chunk)

    def judge(self, outcome: Outcome) -> None:
        size = human_bytes(self._reader.bytes)
        if outcome.status != 0:
            raise SourceError(f"{self._label}: reading its snapshot ended after {size}: {last_line(outcome.stderr)}")
        try:
            self.format = self._reader.finish()
        except redis.NotWhole as error:
            raise SourceError(f"{self._label}: its snapshot is not whole: {error}; run the backup again") from error


class RedisAdapter(Beside):
    """A server with all its databases."""

    keeps_log = False

    # Saving.

    def _password(self, container: Container) -> str:
        found = redis.find_password(container.environment, container.command, self.source.password_variable)
        if found.value:
            return found.value
        path = found.file or found.configuration
        if not path:
            return ""
        outcome = self.tools.docker.execute(container, ["cat", path])
        if outcome.status != 0:
            raise SourceError(
                f"{self.label}: {path}, where its password is, cannot be read: {last_line(outcome.stderr)}"
            )
        return outcome.stdout.rstrip("\n") if found.file else redis.password_in(outcome.stdout)

    def _ask(self, container: Container, words: Sequence[str], attempt: str, password: str | None = None) -> str:
        command = redis.client_command(words, self.source.user)
        secret = self._password(container) if password is None else password
        outcome = self.tools.docker.execute(container, command, f"{secret}\n")
        answer = outcome.stdout.strip()
        if outcome.status != 0 or redis.is_error(answer):
            raise SourceError(f"{self.label}: {attempt}: {answer or last_line(outcome.stderr)}")
        return outcome.stdout

    def _info(self, container: Container, section: str, password: str | None = None) -> dict[str, str]:
        return redis.parse_info(self._ask(container, ["INFO", section], f"ask for {section}", password))

    def _settings(self, container: Container, password: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for name in redis.CONFIG_NAMES:
            # One that a version does not know has no answer.
            found.update(
                redis.parse_config(self._ask(container, ["CONFIG", "GET", name], "ask for its settings", password))
            )
        return found

    def collect(self, point: str) -> dict[str, Any]:
        tools, source, container = self.tools, self.source, self.container()
        if not container.running:
            raise SourceError(f"{self.label}: {container.name} does not run; start it and run the backup again")
        password = self._password(container)
        facts = self._info(container, "server", password)
        self._check_server(container, password)
        settings = self._settings(container, password)
        begun = tools.host.now()
        before = redis.parse_keys(self._info(container, "keyspace", password))
        self._save(container, password)
        judge = SnapshotJudge(self.label)
        path = f"{settings.get('dir') or redis.DATA_DIRECTORY}/{settings.get('dbfilename') or 'dump.rdb'}"
        stream = tools.docker.stream(container, ["cat", path], tools.settings.stack)
        part = tools.store(point, source, f"{source.key}.rdb", stream, judge)
        ended = tools.host.now()
        after = redis.parse_keys(self._info(container, "keyspace", password))
        return {
            **source.as_dict(),
            **part,
            "server": facts.get("valkey_version") or facts.get("redis_version") or "",
            "format": judge.format,
            "lineage": "",
            "begin_time": begun.isoformat(),
            "end_time": ended.isoformat(),
            "image": container.image,
            "image_id": container.image_id,
            "image_digest": tools.docker.image_digest(container.image_id),
            "data_directory": settings.get("dir") or redis.DATA_DIRECTORY,
            "dbfilename": settings.get("dbfilename") or "dump.rdb",
            "appendonly": settings.get("appendonly") == "yes",
            "databases": {name: {"rows": count} for name, count in after.items()},
            "rows": sum(after.values()),
            "counts": {name: [before.get(name, 0), after.get(name, 0)] for name in sorted({*before, *after})},
        }

    def _check_server(self, container: Container, password: str) -> None:
        if self._info(container, "cluster", password).get("cluster_enabled") == "1":
            raise SourceError(
                f"{self.label}: is a node of a cluster, whose parts belong to different moments; set"
                " x-slipway.backup: false there"
            )
        if self._info(container, "replication", password).get("role") == "slave":
            raise SourceError(f"{self.label}: is a replica; back its primary up, and set x-slipway.backup: false here")

    def _save(self, container: Container, password: str) -> None:
        """Have the server write a snapshot, and wait for it."""
        host = self.tools.host
        begun = said = host.now().timestamp()
        self.tools.progress(f"{self.label} writes a snapshot")
        before: dict[str, str] | None = None
        while True:
            now = host.now().timestamp()
            info = self._info(container, "persistence", password)
            if before is None:
                if not redis.in_progress(info):
                    # One that runs already may have begun before what was written last.
                    self._ask(container, ["BGSAVE"], "begin a snapshot", password)
                    before = info
            elif redis.saved(before, info):
                return
            elif not redis.in_progress(info) and redis.save_failed(info):
                raise SourceError(
                    f"{self.label}: could not write its snapshot (a full disk, or no memory for it); look at:"
                    f" docker logs {container.name}"
                )
            if now - begun > SAVE_SECONDS:
                raise SourceError(f"{self.label}: wrote no snapshot within {SAVE_SECONDS} s")
            if now - said >= SAY_SECONDS:
                said = now
                self.tools.progress(f"{self.label} writes a snapshot: {int(now - begun)} s")
            host.sleep(0.2)

    # Which point, and how far.

    def ends_before(self, record: Mapping[str, Any], target: Target) -> bool:
        if target.kind == KIND_TIME and target.time is not None:
            return datetime.fromisoformat(str(record["end_time"])) <= target.time
        return True

    def reach(self, record: Mapping[str, Any], target: Target) -> Reach:
        return Reach()

    # The live server.

    def data_directory(self, container: Container) -> str:
        return redis.launch(container.command, container.environment).option("dir") or redis.DATA_DIRECTORY

    def plan(self, record: Mapping[str, Any]) -> str:
        return (
            f"put {self.label} together beside the live one: about {record['rows']} keys,"
            f" {human_bytes(record['bytes'])}; load it, and exchange the directories"
        )

    def space_needed(self, record: Mapping[str, Any]) -> tuple[str, int]:
        return self.live().outside, int(record["bytes"]) * (2 if record["appendonly"] else 1)

    def serves(self, prepared: Prepared | None) -> str:
        container = self.container()
        if wait_ready(self.tools.host, self.container, lambda: self.answers(self.container(), prepared)):
            return ""
        said = redis.last_words(self.tools.docker.logs(container))
        return f"{container.name} did not become ready within {USABLE_SECONDS} s: {said}"

    def answers(self, container: Container, prepared: Prepared | None) -> bool:
        try:
            if self._info(container, "persistence").get("loading") != "0":
                return False
            # An empty server has started on something else: it found its files under other names.
            keys = sum(redis.parse_keys(self._info(container, "keyspace")).values())
        except BackupError:
            return False
        return prepared is None or not prepared.rows or keys > 0

    def swap(self, prepared: Prepared, restore_id: str) -> dict[str, Any]:
        """The live server writes a snapshot first: one that saves nothing when it ends would leave less in the old
        directory than it had."""
        host = self.tools.host
        if host.exists(prepared.data) and not host.exists(self.previous(restore_id)):
            with suppress(BackupError):
                container = self.container()
                if container.running:
                    self._save(container, self._password(container))
        return super().swap(prepared, restore_id)

    # Beside it.

    def prepare(
        self, record: Mapping[str, Any], point: Point, target: Target, workspace: Workspace, thorough: bool = False
    ) -> Prepared:
        self.discard(workspace)
        try:
            return self._prepare(record, point, workspace)
        except (Exception, KeyboardInterrupt):
            with suppress(BackupError, OSError):
                self.discard(workspace)
            raise

    def _prepare(self, record: Mapping[str, Any], point: Point, workspace: Workspace) -> Prepared:
        host, docker = self.tools.host, self.tools.docker
        image = self._image(record, point)
        owner, user = self._owner(image)
        host.make_empty(workspace.directory)
        host.make_directory(workspace.data, 0o755, *owner)
        snapshot = f"{workspace.data}/{record['dbfilename']}"
        self.tools.progress(f"fetching {self.label}: {human_bytes(record['bytes'])}")
        self.tools.fetch(point, record, self.label, snapshot)
        host.give(snapshot, 0o600, *owner)
        container = self._start_isolated(record, workspace, image, user, owner)
        check = self._check(record, container)
        keys, info = self._loaded(container)
        expired = int(info.get("rdb_last_load_keys_expired") or 0)
        if sum(keys.values()) + max(expired, check.expired) < check.keys:
            raise BackupError(
                f"{self.label}: the snapshot has {check.keys} keys, and a server that reads it has"
                f" {sum(keys.values())} ({expired} had expired)"
            )
        appends = self._appends(record)
        if appends:
            self._append(container)
        warnings = self._compare(record, keys)
        self._rest(workspace, container, appends)
        docker.remove([container])
        self._copy_besides(record, workspace, owner)
        ended = human_time(datetime.fromisoformat(str(record["end_time"])))
        return Prepared(
            key=self.source.key,
            label=self.label,
            data=workspace.data,
            reached=f"point {point.name}, as of {ended} at the latest",
            rows=sum(keys.values()),
            facts={
                "image": image,
                "user": user,
                "owner": list(owner),
                "databases": {name: {"rows": count} for name, count in keys.items()},
                "expired": expired,
                "appendonly": appends,
            },
            warnings=tuple(warnings),
        )

    def _image(self, record: Mapping[str, Any], point: Point) -> str:
        """The present service's image; where there is none, the point's own. Any later version reads a snapshot."""
        docker = self.tools.docker
        container = self.tools.container(self.source.service)
        if container is not None:
            return container.image_id
        for name in filter(None, (record.get("image_id"), record.get("image_digest"), record.get("image"))):
            found = docker.image_id(str(name))
            if found:
                return found
        name = str(record.get("image_digest") or record["image"])
        self.tools.progress(f"pulling {name}")
        docker.pull(name)
        found = docker.image_id(name)
        if not found:
            raise BackupError(f"point {point.name}: {self.label} needs the image {name}, which is not to be had")
        return found

    def _owner(self, image: str) -> tuple[tuple[int, int], str]:
        script = "for name in redis valkey keydb; do id -u $name 2>/dev/null && id -g $name && exit; done; id -u; id -g"
        said = self.tools.docker.ask_image(image, script).stdout.split()
        if len(said) != 2 or not all(word.isdigit() for word in said):
            raise BackupError(f"{self.label}: the image {image} does not say who its server runs as")
        owner = (int(said[0]), int(said[1]))
        with suppress(RefusedError, OSError):
            present = self.tools.host.owner(self.live().directory)
            owner = present if present[0] != 0 else owner
        return owner, ":".join(said)

    def _start_isolated(
        self, record: Mapping[str, Any], workspace: Workspace, image: str, user: str, owner: tuple[int, int]
    ) -> Container:
        docker, host = self.tools.docker, self.tools.host
        labels = self.labels(workspace)
        docker.remove(docker.isolated(labels))
        run = f"{workspace.directory}/run"
        host.remove_tree(run)
        host.make_directory(run, 0o700, *owner)
        live = self.tools.container(self.source.service)
        options = redis.kept_options(redis.launch(live.command, live.environment)) if live is not None else ()
        settings = redis.Settings(str(record["dbfilename"]), bool(record["appendonly"]), options)
        inside = str(record["data_directory"])
        memory = max(live.memory_bytes if live is not None else 0, MEMORY_BYTES, 4 * int(record["bytes"]))
        container = docker.start_isolated(
            Isolated(
                name=f"slipway-{workspace.purpose}-{labels['slipway.stack']}-{labels['slipway.source']}-{workspace.id}",
                image=image,
                entrypoint="sh",
                arguments=("-c", redis.SERVER_SCRIPT, "slipway", *redis.server_arguments(settings, inside)),
                user=user,
                labels=labels,
                mounts=((workspace.data, inside, True), (run, redis.INSIDE_RUN, True)),
                memory_bytes=memory,
            )
        )
        begun = host.now().timestamp()
        while True:
            state = docker.state(container)
            if state is None or not state.running:
                said = redis.last_words(docker.logs(container))
                raise BackupError(f"{self.label}: the snapshot cannot be loaded: {said}; choose another point")
            with suppress(BackupError):
                if self._inside_info(container, "persistence").get("loading") == "0":
                    return container
            if host.now().timestamp() - begun > LOAD_SECONDS:
                raise BackupError(f"{self.label}: the snapshot was not loaded within {LOAD_SECONDS} s")
            host.sleep(0.5)

    def _inside(self, container: Container, words: Sequence[str]) -> str:
        """Ask the isolated server."""
        outcome = self.tools.docker.execute(container, redis.client_command(words, socket=redis.SOCKET), "\n")
        answer = outcome.stdout.strip()
        if outcome.status != 0 or redis.is_error(answer):
            raise BackupError(f"{self.label}: {' '.join(words)}: {answer or last_line(outcome.stderr)}")
        return outcome.stdout

    def _inside_info(self, container: Container, section: str) -> dict[str, str]:
        return redis.parse_info(self._inside(container, ["INFO", section]))

    def _check(self, record: Mapping[str, Any], container: Container) -> redis.Check:
        path = f"{record['data_directory']}/{record['dbfilename']}"
        outcome = self.tools.docker.execute(container, redis.check_command(path))
        found = redis.parse_check(outcome.status, outcome.stdout + outcome.stderr)
        if not found.whole:
            raise BackupError(f"{self.label}: the snapshot is damaged: {found.reason}; choose another point")
        return found

    def _loaded(self, container: Container) -> tuple[dict[str, int], dict[str, str]]:
        return redis.parse_keys(self._inside_info(container, "keyspace")), self._inside_info(container, "persistence")

    def _appends(self, record: Mapping[str, Any]) -> bool:
        """Whether the live server reads a file that it appends to, by what it is told now, or else was told then."""
        with suppress(BackupError):
            container = self.container()
            if container.running:
                return self._settings(container, self._password(container)).get("appendonly") == "yes"
        return bool(record["appendonly"])

    def _append(self, container: Container) -> None:
        """Have the isolated server write the file that the live one reads in the snapshot's place."""
        host = self.tools.host
        self._inside(container, ["CONFIG", "SET", "appendonly", "yes"])
        begun = host.now().timestamp()
        while True:
            info = self._inside_info(container, "persistence")
            waits = info.get("aof_rewrite_in_progress") != "0" or info.get("aof_rewrite_scheduled") != "0"
            if not waits and info.get("aof_last_bgrewrite_status") == "ok":
                return
            if (not waits and info.get("aof_last_bgrewrite_status") == "err") or (
                host.now().timestamp() - begun > LOAD_SECONDS
            ):
                raise BackupError(f"{self.label}: the append-only file could not be written; is the disk full?")
            host.sleep(0.2)

    def _compare(self, record: Mapping[str, Any], keys: Mapping[str, int]) -> list[str]:
        if record["rows"] and not keys:
            raise BackupError(f"{self.label}: has no key, and had about {record['rows']}")
        warnings = []
        for name, (before, after) in record["counts"].items():
            found = keys.get(name, 0)
            # What had an end of its own may have come to it since.
            if found > max(before, after) or (not found and min(before, after)):
                warnings.append(f"{self.label}: {name} has {found} keys; around the point it had {before} to {after}")
        return warnings

    def _rest(self, workspace: Workspace, container: Container, appends: bool) -> None:
        docker, host = self.tools.docker, self.tools.host
        outcome = docker.execute(container, redis.client_command(["SHUTDOWN", "NOSAVE"], socket=redis.SOCKET), "\n")
        docker.stop([container])
        state = docker.state(container)
        if state is None or state.exit_status != 0:
            said = redis.last_words([*docker.logs(container), outcome.stderr])
            raise BackupError(f"{self.label}: the isolated server did not end in good order: {said}")
        host.remove_tree(f"{workspace.directory}/run")
        if appends and not any(name.startswith("appendonly") for name in host.names(workspace.data)):
            raise BackupError(f"{self.label}: the append-only file was not written")

    def _copy_besides(self, record: Mapping[str, Any], workspace: Workspace, owner: tuple[int, int]) -> None:
        """Small files of the live data directory that are neither snapshot nor append-only file."""
        host = self.tools.host
        try:
            live = self.live().directory
        except RefusedError:
            return
        for name in host.names(live):
            path = f"{live}/{name}"
            ours = name == record["dbfilename"] or name.startswith(("appendonly", "temp-", "nodes", "."))
            if ours or os.path.islink(path) or not os.path.isfile(path) or os.path.getsize(path) > BESIDE_BYTES:
                continue
            target = f"{workspace.data}/{name}"
            if not host.exists(target):
                host.copy(path, target)
                host.give(target, os.stat(path).st_mode & 0o777, *owner)

    def open(self, record: Mapping[str, Any], prepared: Prepared, workspace: Workspace) -> Container:
        facts = prepared.facts
        owner = (int(facts["owner"][0]), int(facts["owner"][1]))
        return self._start_isolated(record, workspace, str(facts["image"]), str(facts["user"]), owner)

    def visit(self, container: Container) -> str:
        return f"docker exec -it {container.name} redis-cli -s {redis.SOCKET}"
