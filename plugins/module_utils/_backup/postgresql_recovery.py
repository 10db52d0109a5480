# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The isolated PostgreSQL server that brings a base backup to its target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timezone
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup import postgresql as pg
from ansible_collections.slipway.ops.plugins.module_utils._backup.gateway import Container, Isolated
from ansible_collections.slipway.ops.plugins.module_utils._backup.log_files import Coverage
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import Tools, Workspace
from ansible_collections.slipway.ops.plugins.module_utils._backup.target import (
    KIND_POINT,
    KIND_POSITION,
    KIND_TIME,
    KIND_TRANSACTION,
    Target,
)

# What the server sees of the workspace, beside its data.
INSIDE = "/slipway"
SOCKET = "/tmp"  # noqa: S108 (the container's own, which nobody else is in)
# A server that recovers says several times a minute where it is; one that says nothing for so long hangs.
SILENT_SECONDS = 3600
SAY_SECONDS = 15
READY = "database system is ready to accept connections"


class RecoveryServer:
    """One workspace's server. It is reached by nobody but through `docker exec`, and reads nothing of the host but the
    workspace."""

    def __init__(
        self,
        tools: Tools,
        label: str,
        record: Mapping[str, Any],
        workspace: Workspace,
        labels: Mapping[str, str],
        image: str,
        user: str,
        memory_bytes: int,
    ) -> None:
        self._tools = tools
        self._label = label
        self._record = record
        self._workspace = workspace
        self._labels = labels
        self._image = image
        self._user = user
        self._memory_bytes = memory_bytes

    @property
    def settings_directory(self) -> str:
        return f"{self._workspace.directory}/settings"

    def write_settings(self) -> None:
        """Settings of our own in the place of the service's, which name files, libraries and addresses of a host that
        may be another one."""
        host = self._tools.host
        host.remove_tree(self.settings_directory)
        host.make_directory(self.settings_directory, 0o755)
        host.write(f"{self.settings_directory}/postgresql.conf", "", 0o644)
        host.write(f"{self.settings_directory}/pg_hba.conf", "local all all trust\n", 0o644)

    def wish(self, recovery: Mapping[str, str]) -> Isolated:
        """The container, with these settings for its recovery."""
        workspace, inside = self._workspace, str(self._record["data_directory"])
        settings = {**server_settings(self._record), **recovery}
        words = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        return Isolated(
            name=f"slipway-{workspace.purpose}-{self._labels['slipway.stack']}-{self._labels['slipway.source']}"
            f"-{workspace.id}",
            image=self._image,
            entrypoint="postgres",
            arguments=("-D", inside, *words),
            user=self._user,
            labels=self._labels,
            mounts=(
                (workspace.data, inside, True),
                (workspace.log, f"{INSIDE}/log", False),
                (self.settings_directory, f"{INSIDE}/settings", False),
            ),
            memory_bytes=self._memory_bytes,
            # So that a bare `docker exec -it NAME psql` is in the right place.
            # A fast shutdown, which waits for nobody's session.
            stop_signal="SIGINT",
            environment={"PGHOST": SOCKET, "PGUSER": str(self._record["login"]), "PGDATABASE": "postgres"},
        )

    def start(self, recovery: Mapping[str, str]) -> Container:
        """Start it, in the place of one that may be there."""
        docker = self._tools.docker
        docker.remove(docker.isolated(self._labels))
        return docker.start_isolated(self.wish(recovery))

    def recover(self, target: Target, coverage: Coverage | None) -> tuple[pg.Recovery, Container]:
        """Recover to the target. The server then runs, and has been promoted."""
        recovery, container = self._attempt(recovery_settings(target, coverage))
        if recovery.missed and _log_passed(target, coverage):
            # The server wants to see a record after the target before it believes that it is there. In a quiet hour
            # there is none, and the whole log lies before the target.
            self._tools.progress("nothing was written between the log's last transaction and the target")
            recovery, container = self._attempt(_settings(target.timeline))
        if recovery.fatal or not recovery.timeline:
            reason = self._explain(recovery, self._tools.docker.logs(container), target, coverage)
            raise BackupError(f"{self._label}: {reason}")
        return recovery, container

    def _attempt(self, settings: Mapping[str, str]) -> tuple[pg.Recovery, Container]:
        tools = self._tools
        container = self.start(settings)
        tools.progress(f"recovering {self._label} in {container.name}")
        said = heard = tools.host.now().timestamp()
        last: list[str] = []
        while True:
            now = tools.host.now().timestamp()
            # Asked before the log is read: what a server says before it ends is then in it.
            state = tools.docker.state(container)
            lines = tools.docker.logs(container)
            recovery = pg.parse_recovery(lines)
            if state is None or not state.running or recovery.fatal or any(READY in line for line in lines):
                return recovery, container
            if lines != last:
                last, heard = lines, now
            if now - heard > SILENT_SECONDS:
                raise BackupError(
                    f"{self._label}: the recovering server said nothing for an hour; last words: {last_words(lines)}"
                )
            if now - said >= SAY_SECONDS:
                said = now
                where = recovery.position or recovery.file
                tools.progress(f"recovering {self._label}" + (f": at {where}" if where else ""))
            tools.host.sleep(0.5)

    def _explain(self, recovery: pg.Recovery, lines: Sequence[str], target: Target, coverage: Coverage | None) -> str:
        start = str(self._record["end_lsn"])
        if recovery.missed:
            return (
                f"{target.describe()} is not in the log between {start} and {coverage.end if coverage else start}"
                f" (last transaction: {recovery.last_time or 'none'})"
            )
        if "is before consistent recovery point" in recovery.fatal:
            return f"{target.describe()} is before the end of the point's own data ({start}); choose an older point"
        if "is not a child of this server's history" in recovery.fatal:
            return f"the point is not on timeline {target.timeline}: a restore left its branch; choose another point"
        return f"the server could not recover: {recovery.fatal or last_words(lines)}"


def _log_passed(target: Target, coverage: Coverage | None) -> bool:
    if coverage is None:
        return False
    if target.kind == KIND_POSITION:
        return pg.lsn_number(target.position) <= pg.lsn_number(coverage.end)
    return (
        target.kind == KIND_TIME
        and target.time is not None
        and coverage.end_time is not None
        and coverage.end_time >= target.time
    )


def server_settings(record: Mapping[str, Any]) -> dict[str, str]:
    """How the isolated server is, whatever it does."""
    recorded = record.get("settings") or {}

    def at_least(name: str, least: int) -> str:
        return str(max(least, int(recorded.get(name) or 0)))

    found = {
        "config_file": f"{INSIDE}/settings/postgresql.conf",
        "hba_file": f"{INSIDE}/settings/pg_hba.conf",
        "listen_addresses": "",
        "unix_socket_directories": SOCKET,
        "port": "5432",
        "ssl": "off",
        "shared_buffers": "128MB",
        # Nothing works on the data but what recovers and checks it: no extension's job, no subscription, no vacuum.
        "max_worker_processes": "0",
        "max_logical_replication_workers": "0",
        "autovacuum": "off",
        "archive_mode": "off",
        "jit": "off",
        "primary_conninfo": "",
        "synchronous_standby_names": "",
        # What it writes is read: in English, on stderr, and with a sign of life.
        "logging_collector": "off",
        "log_destination": "stderr",
        "log_line_prefix": "",
        "log_min_messages": "info",
        "lc_messages": "C",
        "timezone": "UTC",
        "log_checkpoints": "on",
        # What a server that replays must not have less of than the one that wrote, or would lose.
        "max_connections": at_least("max_connections", 100),
        "max_prepared_transactions": at_least("max_prepared_transactions", 500),
        "max_locks_per_transaction": at_least("max_locks_per_transaction", 64),
        "track_commit_timestamp": str(recorded.get("track_commit_timestamp") or "off"),
        "shared_preload_libraries": str(recorded.get("shared_preload_libraries") or ""),
        "wal_level": str(recorded.get("wal_level") or "replica"),
    }
    if int(record["major"]) >= 15:
        found["log_startup_progress_interval"] = "10s"
    return found


def _settings(timeline: str) -> dict[str, str]:
    # A status above 125 ends the recovery. Below, the server takes the file for one that is not there, and the log for
    # ended: a copy that fails must not look like that (src/backend/access/transam/xlogarchive.c).
    copy = f"test -f {INSIDE}/log/%f || exit 1; cp {INSIDE}/log/%f %p || exit 255"
    return {
        "restore_command": copy,
        "recovery_target_timeline": timeline,
        "recovery_target_action": "promote",
        # Nobody reads before the end; and then the server does not compare its settings with the ones in the log.
        "hot_standby": "off",
    }


def recovery_settings(target: Target, coverage: Coverage | None) -> dict[str, str]:
    """The settings that lead to a target."""
    found = _settings(target.timeline)
    inclusive = "on" if target.inclusive else "off"
    if target.kind == KIND_TIME and target.time is not None:
        moment = target.time.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%S.%f+00")
        return {**found, "recovery_target_time": moment, "recovery_target_inclusive": inclusive}
    if target.kind == KIND_POSITION:
        return {**found, "recovery_target_lsn": target.position, "recovery_target_inclusive": inclusive}
    if target.kind == KIND_TRANSACTION:
        return {**found, "recovery_target_xid": target.transaction, "recovery_target_inclusive": inclusive}
    if ends_at_point(target, coverage):
        # As soon as the data is whole, on the branch that it was saved on, whatever came after.
        return {**found, "recovery_target": "immediate", "recovery_target_timeline": "current"}
    return found


def ends_at_point(target: Target, coverage: Coverage | None) -> bool:
    """Whether nothing after the point's own data is replayed."""
    return target.kind == KIND_POINT or (not target.needs_log and coverage is None)


def last_words(lines: Sequence[str]) -> str:
    """The lines of a server's log that say why, or its last ones."""
    decisive = [line for line in lines if line.startswith(("FATAL", "PANIC", "ERROR"))]
    return " / ".join(line.strip() for line in (decisive or list(lines))[-3:]) or "nothing"
