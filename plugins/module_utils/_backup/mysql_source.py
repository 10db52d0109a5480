# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""MySQL and MariaDB by the dump tool of the server's own image."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup import mysql
from ansible_collections.slipway.ops.plugins.module_utils._backup.gateway import Container
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    BackupError,
    Point,
    RefusedError,
    human_bytes,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.process import Outcome
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import (
    PREVIOUS,
    USABLE_SECONDS,
    InPlace,
    SourceError,
    SourceMissing,
    last_line,
    wait_ready,
)

# How long a server may take to initialise itself on an empty volume.
READY_SECONDS = 300


class DumpJudge:
    """Reads a dump as it flows into the repository, and refuses one that is not whole."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._reader = mysql.DumpReader()
        self.facts = mysql.DumpFacts()

    def feed(self, chunk: bytes) -> None:
        self._reader.feed(chunk)

    def judge(self, outcome: Outcome) -> None:
        self.facts = self._reader.finish()
        size = human_bytes(self.facts.bytes)
        if outcome.status != 0:
            raise SourceError(
                f"{self._label}: the dump ended with exit status {outcome.status} after {size}:"
                f" {last_line(outcome.stderr)}"
            )
        if mysql.complaints(outcome.stderr):
            raise SourceError(f"{self._label}: the dump is not whole: {mysql.complaints(outcome.stderr)[0]}")
        if not self.facts.complete:
            raise SourceError(
                f"{self._label}: the dump ends without its last line after {size}: it was cut off."
                " Look at the database's log and run the backup again"
            )


class MysqlAdapter(InPlace):
    """One database, by the dump tool of the server's own image, run in its container."""

    is_database = True
    data_directory = "/var/lib/mysql"

    def _container(self) -> Container:
        container = self.tools.container(self.source.service)
        if container is None:
            raise RefusedError(
                f"{self.label}: the stack has no container of service {self.source.service}; deploy the stack first"
            )
        return container

    def _sql(self, text: str, attempt: str, database: str = "") -> str:
        source = self.source
        command = mysql.client_command(source.user, source.password_variable, database)
        outcome = self.tools.docker.execute(self._container(), command, text)
        if outcome.status != 0:
            raise SourceError(f"{self.label}: {attempt}: {last_line(outcome.stderr)}")
        return outcome.stdout

    def _describe(self) -> tuple[str, str, str, int]:
        answer = self._sql(mysql.describe_sql(self.source.database), "ask the server").strip()
        fields = answer.split("\t")
        if len(fields) != 4:
            raise SourceMissing(
                f"{self.label}: the server has no database of this name; check x-slipway.database in the Compose file"
            )
        return fields[0], fields[1], fields[2], int(fields[3])

    def present(self) -> bool:
        try:
            self._describe()
        except SourceMissing as error:
            self.tools.progress(f"nothing to save: {error}")
            return False
        return True

    def collect(self, point: str) -> dict[str, Any]:
        source, container = self.source, self._container()
        if not container.running:
            raise SourceError(f"{self.label}: {container.name} does not run; start it and run the backup again")
        version, character_set, collation, _size = self._describe()
        self.tools.progress(f"dumping {self.label} from {container.name}")
        command = mysql.dump_command(source.user, source.password_variable, source.database)
        stream = self.tools.docker.stream(container, command, self.tools.settings.stack)
        judge = DumpJudge(self.label)
        part = self.tools.store(point, source, f"{source.key}.sql", stream, judge)
        return {
            **source.as_dict(),
            **part,
            "tables": judge.facts.tables,
            "rows": judge.facts.rows,
            "server": version,
            "character_set": character_set,
            "collation": collation,
        }

    def check_target(self, record: Mapping[str, Any]) -> list[str]:
        container = self.tools.container(self.source.service)
        if container is None:
            return [
                f"{self.label}: the stack has no container of service {self.source.service}; deploy the stack first"
            ]
        return []

    def plan(self, record: Mapping[str, Any]) -> str:
        return f"replace {self.label} by {len(record['tables'])} tables with {record['rows']} rows"

    def space_needed(self, record: Mapping[str, Any]) -> tuple[str, int]:
        return self.tools.place.state, int(record["bytes"])

    def answers(self) -> bool:
        """Whether the server takes a login."""
        try:
            self._sql("SELECT 1;\n", "log in")
        except BackupError:
            return False
        return True

    def start(self, seconds: float = USABLE_SECONDS, give_up_early: bool = True) -> bool:
        """Start the container if need be; whether the server can be used then."""
        container = self._container()
        if not container.running:
            self.tools.progress(f"starting {container.name}")
            try:
                self.tools.docker.start([container])
            except BackupError as error:
                self.tools.progress(str(error))
                return False
        return wait_ready(self.tools.host, self._container, self.answers, seconds, give_up_early)

    def restart(self) -> bool:
        """Stop the server and start it on what is really on the disk: one whose files were removed under it can go on
        answering from what it holds open, and would lose all that is loaded into it."""
        container = self._container()
        self.tools.progress(f"restarting {container.name}")
        self.tools.docker.stop([container])
        return self.start()

    def begin_anew(self, restore_id: str) -> list[str]:
        """Put the broken data directory aside and let the image initialise an empty one; returns what was put aside."""
        container = self._container()
        volume, directory = container.volumes.get(self.data_directory, ("", ""))
        if not volume:
            raise BackupError(
                f"{self.label}: the server cannot be used, and {self.data_directory} of {container.name} is no volume"
                " that could be put aside; repair the server by hand and run the restore again"
            )
        host, previous = self.tools.host, f"{os.path.dirname(directory)}/{PREVIOUS}{restore_id}"
        self.tools.progress(f"{self.label}: cannot be used; its files are put aside and it is initialised anew")
        self.tools.docker.stop([container])
        if host.exists(previous):
            # The original is safe already: what lies here now is a half-initialised try of this same restore.
            host.remove_tree(directory)
        elif host.exists(directory):
            host.move(directory, previous)
        host.make_like(directory, previous)
        if not self.start(READY_SECONDS, give_up_early=False):
            raise BackupError(
                f"{self.label}: {container.name} did not become ready within {READY_SECONDS} s with an empty volume;"
                f" look at its log. The old files are in {previous}"
            )
        return [previous] if host.exists(previous) else []

    def restore(self, record: Mapping[str, Any], point: Point, restore_id: str) -> dict[str, Any]:
        source, dump = self.source, f"{self.tools.place.fetched}/{record['file']}"
        tables = list(record["tables"])
        self.tools.progress(f"loading {self.label}: {len(tables)} tables, {record['rows']} rows")
        recreate = mysql.recreate_sql(source.database, str(record["character_set"]), str(record["collation"]))
        self._sql(recreate, "make it empty")
        command = mysql.client_command(source.user, source.password_variable, source.database)
        outcome = self.tools.docker.execute_from(self._container(), command, dump)
        if outcome.status != 0:
            raise BackupError(f"{self.label}: loading stopped: {last_line(outcome.stderr)}; run the same restore again")
        found = mysql.parse_counts(self._sql(mysql.count_sql(source.database, tables), "count the rows"), tables)
        wrong = [name for name in tables if found.get(name) != record["tables"][name]]
        if wrong:
            name = wrong[0]
            raise BackupError(
                f"{self.label}: {len(wrong)} tables differ from the point, {name} first:"
                f" {found.get(name)} rows instead of {record['tables'][name]}; run the same restore again"
            )
        return {"label": self.label, "tables": len(tables), "rows": sum(found.values())}
