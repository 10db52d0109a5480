# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL: a whole cluster, by base backup and the write-ahead log.

The base backup is PostgreSQL's own (pg_basebackup over the replication protocol, from within the server's container),
stored as it flows. It comes back by recovery: unpacked beside the live data, each file compared with the server's own
manifest, and replayed to the target by the server of the same image without any network. Recovery always ends on a
new timeline, also for a point: what the live server wrote after the point has the same names on the old one, and must
never be taken for what comes now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup import postgresql as pg
from ansible_collections.slipway.ops.plugins.module_utils._backup.gateway import Container
from ansible_collections.slipway.ops.plugins.module_utils._backup.log_files import Coverage
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    BackupError,
    Point,
    RefusedError,
    human_bytes,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.postgresql_backup import (
    BaseBackup,
    BaseBackupReader,
    Unpacker,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.postgresql_copy import Copier
from ansible_collections.slipway.ops.plugins.module_utils._backup.postgresql_dump import DumpJudge
from ansible_collections.slipway.ops.plugins.module_utils._backup.postgresql_recovery import (
    RecoveryServer,
    ends_at_point,
    last_words,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.process import Outcome
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import (
    Beside,
    DataPlace,
    Opened,
    Prepared,
    Reach,
    SourceError,
    Wanted,
    Workspace,
    last_line,
    wait_ready,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.target import (
    KIND_POINT,
    KIND_POSITION,
    KIND_TIME,
    KIND_TRANSACTION,
    Target,
    human_time,
)

MEMORY_BYTES = 1 << 30
# A server that was killed at the end of its grace replays its log first.
SERVING_SECONDS = 900
# The last page of a log may be begun and hold no record.
TAIL_BYTES = 64 << 10
# Replication slots of our own are made again by who uses them.
OWN_SLOTS = "slipway_"

_EXPLANATIONS = (
    (
        ("no pg_hba.conf entry for replication",),
        "pg_hba.conf lets nobody replicate over the socket; add: local replication all trust",
    ),
    (
        ("must be superuser or replication role", "permission denied to start wal sender"),
        "this user may not replicate; name a superuser in x-slipway.database.user",
    ),
    (("peer authentication failed",), "pg_hba.conf asks for the peer's name; add: local replication all trust"),
    (("password authentication failed",), "the password in the container's environment is wrong for this user"),
    (
        ("number of requested standby connections exceeds max_wal_senders",),
        "all max_wal_senders are taken; raise the setting",
    ),
    (
        ("wal level not sufficient", "wal_level"),
        "wal_level is minimal, from which nothing can be recovered; set it to replica",
    ),
    (
        ("requested wal segment", "has already been removed"),
        "the server removed WAL that the backup needs; keep the log, which holds it, or raise wal_keep_size",
    ),
    (("can only write single tablespace to stdout",), "the cluster has tablespaces, which cannot be backed up"),
)


def explain(stderr: str) -> str:
    """The reason in a tool's complaint, with the remedy where there is a known one."""
    said = stderr.lower()
    for needles, remedy in _EXPLANATIONS:
        if all(needle in said for needle in needles) or needles[0] in said:
            return remedy
    return last_line(stderr)


class BackupJudge:
    """Reads a base backup as it flows into the repository, and refuses one that is not whole."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._reader = BaseBackupReader()
        self._broken = ""
        self.found: BaseBackup | None = None

    def feed(self, chunk: bytes) -> None:
        # A tool that fails says so at its end, and better than half an archive does.
        if not self._broken:
            try:
                self._reader.feed(chunk)
            except pg.NotWhole as error:
                self._broken = str(error)

    def judge(self, outcome: Outcome) -> None:
        size = human_bytes(self._reader.bytes)
        if outcome.status != 0:
            raise SourceError(
                f"{self._label}: the base backup ended with exit status {outcome.status} after {size}:"
                f" {explain(outcome.stderr)}"
            )
        complaints = [line for line in outcome.stderr.splitlines() if "error:" in line.lower() or "FATAL" in line]
        try:
            if self._broken or complaints:
                raise pg.NotWhole(self._broken or complaints[0].strip())
            self.found = self._reader.finish()
        except pg.NotWhole as error:
            raise SourceError(
                f"{self._label}: the base backup is not whole after {size}: {error}. Look at the database's log and run"
                " the backup again"
            ) from error


class PostgresqlAdapter(Beside):
    """A cluster with all its databases."""

    # Saving.

    def _sql(self, container: Container, text: str, attempt: str, user: str | None = None) -> list[dict[str, Any]]:
        source = self.source
        command = pg.client_command(source.user if user is None else user, source.password_variable)
        outcome = self.tools.docker.execute(container, command, text)
        found = pg.parse_lines(outcome.stdout)
        if not found:
            raise SourceError(f"{self.label}: {attempt}: {explain(outcome.stderr)}")
        return found

    def _content(self, container: Container, databases: Sequence[str], user: str | None = None) -> pg.Content:
        lines = self._sql(container, pg.RECOVERY_SQL + pg.content_sql(databases), "ask for its content", user)
        return pg.parse_content(lines)

    def collect(self, point: str) -> dict[str, Any]:
        source, container, docker = self.source, self.container(), self.tools.docker
        if not container.running:
            raise SourceError(f"{self.label}: {container.name} does not run; start it and run the backup again")
        facts = self._sql(container, pg.describe_sql(), "ask the server")[0]
        self._check_source(facts)
        names = sorted(facts["databases"] or {})
        before = self._content(container, names)
        begun = self._sql(container, pg.MOMENT_SQL, "ask for the time")[0]
        self.tools.progress(f"base backup of {self.label} from {container.name}")
        command = pg.backup_command(source.user, source.password_variable, point)
        judge = BackupJudge(self.label)
        stream = docker.stream(container, command, self.tools.settings.stack)
        part = self.tools.store(point, source, f"{source.key}.tar", stream, judge)
        if judge.found is None:
            raise AssertionError("a stream that was stored was judged")
        if judge.found.system_identifier != facts["system_identifier"]:
            raise SourceError(f"{self.label}: the base backup is of another cluster; run the backup again")
        ended = self._sql(container, pg.MOMENT_SQL, "ask for the time")[0]
        dump = {"sql": self._dump(point, container)} if source.dump else {}
        after = self._content(container, names)
        return {
            **source.as_dict(),
            **part,
            **dump,
            "login": facts["user"],
            "server": facts["version"],
            "major": judge.found.major,
            "lineage": judge.found.system_identifier,
            # The log of one server may begin anew, when its data went back in time.
            "log_lineage": self._log_lineage(judge.found.system_identifier),
            "timeline": judge.found.timeline,
            "start_lsn": judge.found.start_lsn,
            "end_lsn": judge.found.end_lsn,
            "begin_time": begun["time"],
            "end_time": ended["time"],
            "end_xid": ended["xid"],
            "image": container.image,
            "image_id": container.image_id,
            "image_digest": docker.image_digest(container.image_id),
            "data_directory": facts["data_directory"],
            "settings": facts["settings"],
            "slots": [name for name in facts["slots"] if not name.startswith(OWN_SLOTS)],
            "databases": {name: {"bytes": facts["databases"][name], **after.databases.get(name, {})} for name in names},
            "rows": after.rows,
            # Before and after: what was written in between may or may not be in it.
            "counts": {
                name: [before.counts[name], count] for name, count in after.counts.items() if name in before.counts
            },
        }

    def _dump(self, point: str, container: Container) -> dict[str, Any]:
        """The same data as SQL, beside the base."""
        tools, source = self.tools, self.source
        tools.progress(f"dumping {self.label} from {container.name}")
        command = pg.dump_command(source.user, source.password_variable)
        stream = tools.docker.stream(container, command, tools.settings.stack)
        # A part of its own, so a name of its own.
        return tools.store(
            point, replace(source, path="dump"), f"{source.key}.sql", stream, DumpJudge(self.label, explain)
        )

    def _log_lineage(self, system_identifier: str) -> str:
        known = self.tools.log.lineage(self.source) if self.tools.log is not None else ""
        return known if known.partition(".")[0] == system_identifier else ""

    def _check_source(self, facts: Mapping[str, Any]) -> None:
        if int(facts["number"]) < pg.OLDEST_MAJOR * 10000:
            raise SourceError(
                f"{self.label}: is PostgreSQL {facts['version']}, and {pg.OLDEST_MAJOR} is the oldest that can be"
                " backed up; upgrade it, or set x-slipway.backup: false there"
            )
        if facts["replica"]:
            raise SourceError(f"{self.label}: is a replica; back its primary up, and set x-slipway.backup: false here")
        if facts["tablespaces"]:
            raise SourceError(
                f"{self.label}: has tablespaces ({', '.join(facts['tablespaces'])}), which cannot be backed up; move"
                " what is in them to pg_default and drop them"
            )
        if (facts["settings"] or {}).get("wal_level") == "minimal" or not facts["max_wal_senders"]:
            raise SourceError(
                f"{self.label}: has wal_level={(facts['settings'] or {}).get('wal_level')} and"
                f" max_wal_senders={facts['max_wal_senders']}, so it gives no base backup; set replica and 10"
            )

    # Which point, and how far.

    def ends_before(self, record: Mapping[str, Any], target: Target) -> bool:
        if target.kind == KIND_TIME and target.time is not None:
            return datetime.fromisoformat(record["end_time"]) <= target.time
        if target.kind == KIND_POSITION:
            return pg.lsn_number(str(record["end_lsn"])) <= self._position(target)
        if target.kind == KIND_TRANSACTION:
            return self._transaction(target, int(record["end_xid"])) >= int(record["end_xid"])
        return True

    def _position(self, target: Target) -> int:
        try:
            return pg.lsn_number(target.position)
        except ValueError as error:
            raise RefusedError(
                f"{self.label}: {target.position} is no position in its log; give an LSN such as 0/16B3748"
            ) from error

    def _transaction(self, target: Target, near: int) -> int:
        """The transaction's number with its epoch: what most tools show has lost it."""
        if not target.transaction.isdigit():
            raise RefusedError(f"{self.label}: {target.transaction} is no transaction of PostgreSQL; give xid:<number>")
        number = int(target.transaction)
        return number if number >= 1 << 32 else (near >> 32 << 32) + number

    def reach(self, record: Mapping[str, Any], target: Target) -> Reach:
        if target.kind == KIND_POINT:
            return Reach()
        log = self.tools.log
        coverage = log.coverage(self.source, record, target) if log is not None else None
        if not target.needs_log:
            return Reach(coverage)
        ended = human_time(datetime.fromisoformat(record["end_time"]))
        if coverage is None:
            why = "no log is kept of it" if log is None else f"its log does not lead on from {record['end_lsn']}"
            return Reach(None, (f"{self.label}: {why} ({ended}), so only points can be restored",))
        until = human_time(coverage.end_time) if coverage.end_time else "an unknown time"
        covered = f"the log is whole from {ended} ({record['end_lsn']}) to {until} ({coverage.end})"
        covered += f": {coverage.remark}" if coverage.remark else ""
        beyond = (
            target.kind == KIND_TIME
            and target.time is not None
            and (coverage.end_time is None or target.time > coverage.end_time)
        ) or (target.kind == KIND_POSITION and self._position(target) > pg.lsn_number(coverage.end))
        if beyond:
            return Reach(coverage, (f"{self.label}: {target.describe()} is after the log's end; {covered}",))
        return Reach(coverage)

    # The live server.

    def data_directory(self, container: Container) -> str:
        return container.environment.get("PGDATA") or pg.DEFAULT_DATA_DIRECTORY

    def _live_control(self) -> pg.Control | None:
        """What is there now, by its files: the server need not run."""
        with suppress(RefusedError, OSError, pg.NotWhole):
            return pg.parse_control(self.tools.host.read(f"{self.live().directory}/global/pg_control"))
        return None

    def check_release(self, record: Mapping[str, Any], container: Container, place: DataPlace) -> list[str]:
        problems = []
        if self.tools.host.exists(f"{place.directory}/standby.signal"):
            problems.append(f"{self.label}: is a replica here; restore its primary, and make the replica anew")
        major = 0 if record.get("image_id") == container.image_id else self._major(container.image_id)
        if major and major != int(record["major"]):
            problems.append(
                f"{self.label}: the point is of PostgreSQL {record['major']} and {container.image} has {major}; deploy"
                f" {record['image']} first, and upgrade after the restore"
            )
        return problems

    def _major(self, image: str) -> int:
        """The server's version in an image; 0 when the image cannot be asked."""
        said = self.tools.docker.ask_image(image, "postgres --version").stdout.split()
        number = next((word for word in said if word[:1].isdigit()), "")
        return int(number.partition(".")[0]) if number.partition(".")[0].isdigit() else 0

    def plan(self, record: Mapping[str, Any]) -> str:
        present = self._live_control()
        other = ""
        if present is not None and present.system_identifier != record["lineage"]:
            other = f" (another cluster than the present one, {present.system_identifier})"
        return (
            f"put {self.label} together beside the live one{other}: {len(record['databases'])} databases, about"
            f" {record['rows']} rows, {human_bytes(record['bytes'])}; check it, and exchange the directories"
        )

    def space_needed(self, record: Mapping[str, Any]) -> tuple[str, int]:
        return self.live().outside, int(int(record["bytes"]) * 1.1)

    def answers(self, container: Container, prepared: Prepared | None) -> bool:
        try:
            state = self._sql(container, pg.RECOVERY_SQL, "log in")[0]
        except BackupError:
            return False
        if state["replica"]:
            return False
        return prepared is None or (
            state["system_identifier"] == prepared.facts["lineage"] and int(state["timeline"]) >= int(prepared.timeline)
        )

    def serves(self, prepared: Prepared | None) -> str:
        container = self.container()
        if wait_ready(
            self.tools.host, self.container, lambda: self.answers(self.container(), prepared), SERVING_SECONDS
        ):
            return ""
        return f"{container.name} did not become ready within {SERVING_SECONDS} s: {last_words(self._log(container))}"

    def _log(self, container: Container) -> list[str]:
        return self.tools.docker.logs(container)

    # Beside it.

    def prepare(
        self, record: Mapping[str, Any], point: Point, target: Target, workspace: Workspace, thorough: bool = False
    ) -> Prepared:
        self.discard(workspace)
        try:
            return self._prepare(record, point, target, workspace, thorough)
        except (Exception, KeyboardInterrupt):
            with suppress(BackupError, OSError):
                self.discard(workspace)
            raise

    def _prepare(
        self, record: Mapping[str, Any], point: Point, target: Target, workspace: Workspace, thorough: bool
    ) -> Prepared:
        image = self._image(record, point)
        owner, user = self._owner(image)
        base = self._unpack(record, point, workspace, owner)
        coverage = self._fetch_log(record, target, workspace)
        self.tools.host.write(f"{workspace.data}/recovery.signal", "", 0o600, *owner)
        server = self._server(record, workspace, image, user)
        server.write_settings()
        recovery, container = server.recover(target, coverage)
        reached = self._switch_position(workspace, recovery)
        warnings = self._check_end(record, coverage, reached, recovery)
        login = str(record["login"])
        present = self._sql(container, pg.describe_sql(), "ask the restored server", login)[0]["databases"] or {}
        content = self._content(container, sorted(present), login)
        warnings += self._compare(record, content, ends_at_point(target, coverage))
        facts: dict[str, Any] = {
            "lineage": base.system_identifier,
            "image": image,
            "user": user,
            "login": record["login"],
            "databases": content.databases,
            "counts": content.counts,
            "replayed": {"from": record["start_lsn"], "to": reached, "log_bytes": coverage.bytes if coverage else 0},
        }
        if thorough:
            begun = self.tools.host.now()
            facts["amcheck"] = self._amcheck(container)
            facts["checking_seconds"] = (self.tools.host.now() - begun).total_seconds()
        self._rest(workspace, container)
        if record.get("slots"):
            warnings.append(
                f"{self.label}: had the replication slots {', '.join(record['slots'])}, which a base backup does not"
                " keep; their users have to begin anew"
            )
        return Prepared(
            key=self.source.key,
            label=self.label,
            data=workspace.data,
            reached=_describe(record, recovery, reached),
            time=recovery.last_time,
            position=reached,
            timeline=recovery.timeline,
            rows=content.rows,
            facts=facts,
            warnings=tuple(warnings),
        )

    def _image(self, record: Mapping[str, Any], point: Point) -> str:
        """The image whose server recovers: the present service's, since it is to serve the data afterwards; where that
        is of another version, or there is none, the point's own."""
        docker = self.tools.docker
        container = self.tools.container(self.source.service)
        if container is not None and self._major(container.image_id) == int(record["major"]):
            return container.image_id
        for name in filter(None, (record.get("image_id"), record.get("image_digest"), record.get("image"))):
            found = docker.image_id(str(name))
            if found:
                return found
        name = str(record.get("image_digest") or record["image"])
        self.tools.progress(f"pulling {name}")
        docker.pull(name)
        found = docker.image_id(name)
        if not found or self._major(found) != int(record["major"]):
            raise BackupError(
                f"point {point.name}: {self.label} needs an image with PostgreSQL {record['major']}, and {name} is none"
            )
        return found

    def _owner(self, image: str) -> tuple[tuple[int, int], str]:
        """Who the data belongs to on the host, and who the server is within the image. They differ where Docker maps
        users (userns-remap)."""
        said = self.tools.docker.ask_image(image, "id -u postgres && id -g postgres").stdout.split()
        if len(said) != 2 or not all(word.isdigit() for word in said):
            raise BackupError(f"{self.label}: the image {image} has no user postgres")
        owner = (int(said[0]), int(said[1]))
        with suppress(RefusedError, OSError):
            present = self.tools.host.owner(self.live().directory)
            owner = present if present[0] != 0 else owner
        return owner, ":".join(said)

    def _unpack(
        self, record: Mapping[str, Any], point: Point, workspace: Workspace, owner: tuple[int, int]
    ) -> BaseBackup:
        host = self.tools.host
        host.make_empty(workspace.directory)
        host.make_directory(workspace.data, 0o700, *owner)
        self.tools.progress(f"unpacking {self.label}: {human_bytes(record['bytes'])}")
        unpacker = Unpacker(workspace.data, *owner)
        try:
            self.tools.fetch(point, record, self.label, sink=unpacker.feed)
            found = unpacker.finish()
        except pg.NotWhole as error:
            raise BackupError(f"point {point.name}: {self.label}: {error}; choose another point") from error
        finally:
            unpacker.close()
        if (found.system_identifier, found.start_lsn, found.end_lsn) != tuple(
            record[name] for name in ("lineage", "start_lsn", "end_lsn")
        ):
            raise BackupError(f"point {point.name}: {self.label} is not what its manifest says; choose another point")
        return found

    def _fetch_log(self, record: Mapping[str, Any], target: Target, workspace: Workspace) -> Coverage | None:
        tools, host = self.tools, self.tools.host
        host.make_directory(workspace.log, 0o755)
        coverage = None
        if tools.log is not None and (target.kind == KIND_POINT or self.reach(record, target).coverage is not None):
            tools.progress(f"fetching the log of {self.label}")
            coverage = tools.log.fetch(self.source, record, target, workspace.log, tools.progress)
        present = self._live_control()
        if present is not None and present.system_identifier == record["lineage"]:
            # The histories that the live server knows as well: no timeline may ever be given twice.
            wal = f"{self.live().directory}/pg_wal"
            for name in host.names(wal):
                if name.endswith(".history") and not host.exists(f"{workspace.log}/{name}"):
                    host.copy(f"{wal}/{name}", f"{workspace.log}/{name}")
        for name in host.names(workspace.log):
            host.set_mode(f"{workspace.log}/{name}", 0o644)
        return coverage

    def _server(self, record: Mapping[str, Any], workspace: Workspace, image: str, user: str) -> RecoveryServer:
        container = self.tools.container(self.source.service)
        memory = max(container.memory_bytes if container is not None else 0, MEMORY_BYTES)
        return RecoveryServer(self.tools, self.label, record, workspace, self.labels(workspace), image, user, memory)

    def _switch_position(self, workspace: Workspace, recovery: pg.Recovery) -> str:
        """Where the new timeline begins, by its own history: the end of the last record that was replayed."""
        path = f"{workspace.data}/pg_wal/{int(recovery.timeline or 0):08X}.history"
        try:
            lines = self.tools.host.read(path).decode("ascii", "replace").split("\n")
        except OSError:
            return recovery.position
        branches = [line.split("\t") for line in lines if "\t" in line]
        return branches[-1][1] if branches else recovery.position

    def _check_end(
        self, record: Mapping[str, Any], coverage: Coverage | None, reached: str, recovery: pg.Recovery
    ) -> list[str]:
        """A server ends its recovery at the first record that it cannot read, and takes that for the end of the log."""
        if coverage is None or recovery.stopped or not reached:
            return []
        short = pg.lsn_number(coverage.end) - pg.lsn_number(reached)
        if short > int(record["settings"]["wal_segment_size"]):
            raise BackupError(
                f"{self.label}: its log goes on to {coverage.end} and cannot be read after {reached}"
                f" ({recovery.last_time or 'no transaction'}); to take what there is, restore up to {reached}"
            )
        if short > TAIL_BYTES:
            return [f"{self.label}: the last {human_bytes(short)} of its log hold nothing that could be replayed"]
        return []

    def _compare(self, record: Mapping[str, Any], content: pg.Content, at_point: bool) -> list[str]:
        """What is in it, beside what was there when it was saved. After a point, a database may have been dropped and a
        table emptied on purpose; at the point itself they cannot have been."""
        warnings = []
        asked = {name for name, facts in record["databases"].items() if "tables" in facts}
        for name in sorted(asked - set(content.databases)):
            if at_point:
                raise BackupError(f"{self.label}: database {name} is not in it, or cannot be opened")
            warnings.append(f"{self.label}: database {name} is not in it, or cannot be opened")
        if record["rows"] and not content.rows:
            if at_point:
                raise BackupError(f"{self.label}: has no row, and had about {record['rows']}")
            warnings.append(f"{self.label}: has no row, and had about {record['rows']} at the point")
        if at_point:
            for name, (before, after) in record["counts"].items():
                found = content.counts.get(name)
                if found is None or not min(before, after) <= found <= max(before, after):
                    warnings.append(
                        f"{self.label}: {name} has {found} rows; around the point it had {before} to {after}"
                    )
        return warnings

    def _amcheck(self, container: Container) -> str:
        """Every table and index of every database read and compared, where the image has the tool (14 and later)."""
        docker = self.tools.docker
        if docker.execute(container, ["sh", "-c", "command -v pg_amcheck"]).status != 0:
            return "not in this image"
        self.tools.progress(f"checking every table and index of {self.label}")
        outcome = docker.execute(container, ["pg_amcheck", "--all", "--install-missing", "--no-strict-names"])
        if outcome.status != 0:
            said = " ".join((outcome.stdout + outcome.stderr).split())[:500]
            raise BackupError(f"{self.label}: pg_amcheck found damage: {said}")
        return "no damage"

    def _rest(self, workspace: Workspace, container: Container) -> None:
        """Stop the server, see that it stopped in good order, and take away what only it needed."""
        docker, host = self.tools.docker, self.tools.host
        docker.stop([container])
        control = pg.parse_control(host.read(f"{workspace.data}/global/pg_control"))
        if control.state != pg.STATE_SHUT_DOWN:
            raise BackupError(
                f"{self.label}: the restored server is {control.state_text} after its end:"
                f" {last_words(self._log(container))}"
            )
        docker.remove([container])
        host.remove_tree(workspace.log)
        host.remove_tree(f"{workspace.directory}/settings")
        for name in ("backup_label.old", "tablespace_map.old"):
            host.remove_tree(f"{workspace.data}/{name}")

    def open(self, record: Mapping[str, Any], prepared: Prepared, workspace: Workspace) -> Container:
        docker, host, facts = self.tools.docker, self.tools.host, prepared.facts
        if not host.exists(workspace.log):
            host.make_directory(workspace.log, 0o755)
        server = self._server(record, workspace, str(facts["image"]), str(facts["user"]))
        server.write_settings()
        container = server.start({})

        def answers() -> bool:
            with suppress(BackupError):
                return not self._sql(container, pg.RECOVERY_SQL, "log in", str(facts["login"]))[0]["replica"]
            return False

        if not wait_ready(host, lambda: docker.state(container) or container, answers):
            raise BackupError(f"{self.label}: {container.name} does not answer: {last_words(self._log(container))}")
        return container

    def visit(self, container: Container) -> str:
        return f"docker exec -it {container.name} psql"

    def copy(self, opened: Opened, wanted: Wanted, copy_id: str) -> dict[str, Any]:
        copier = self._copier(opened)
        return copier.table(wanted, copy_id) if wanted.table else copier.database(wanted, copy_id)

    def count(self, opened: Opened, wanted: Wanted) -> tuple[int, int | None]:
        return self._copier(opened).count(wanted)

    def _copier(self, opened: Opened) -> Copier:
        live = self.container()
        if not live.running or not self.answers(live, None):
            raise RefusedError(f"{self.label}: {live.name} does not serve, so nothing can be copied into it")
        copier = Copier(self.tools, self.label, opened.container, str(opened.record["login"]), live)
        return copier.by(self.source.user, self.source.password_variable)


def _describe(record: Mapping[str, Any], recovery: pg.Recovery, position: str) -> str:
    last = human_time(datetime.fromisoformat(recovery.last_time)) if recovery.last_time else ""
    if last:
        return f"position {position}, last transaction at {last}"
    ended = human_time(datetime.fromisoformat(record["end_time"]))
    return f"position {position}, no transaction after the point's end at {ended}"
