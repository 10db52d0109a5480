# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The binary logs of MySQL and MariaDB, read where their server writes them.

MySQL's image has no mysqlbinlog (docker-library/mysql#907), and a replication connection would need an account and a
server number of its own; the files themselves need neither. A file is closed when it has a successor.
"""

from __future__ import annotations

import os
import secrets
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup import mysql
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import SOURCE_MARIADB, BackupError, RefusedError
from ansible_collections.slipway.ops.plugins.module_utils._log import binlog
from ansible_collections.slipway.ops.plugins.module_utils._log.gateway import Server, host_path
from ansible_collections.slipway.ops.plugins.module_utils._log.model import LINEAGE_NAME, STREAM_NAME, Lineage
from ansible_collections.slipway.ops.plugins.module_utils._log.source import Source, WaitingError
from ansible_collections.slipway.ops.plugins.module_utils._log.tail import Found, Tail, TurnedBackError
from ansible_collections.slipway.ops.plugins.module_utils._state import files

DATA_DIRECTORY = "/var/lib/mysql"
ASK_MYSQL = (
    "SELECT @@GLOBAL.log_bin, COALESCE(@@GLOBAL.log_bin_basename, ''), @@GLOBAL.sync_binlog, @@GLOBAL.server_uuid;\n"
)
ASK_MARIADB = "SELECT @@GLOBAL.log_bin, COALESCE(@@GLOBAL.log_bin_basename, ''), @@GLOBAL.sync_binlog, '';\n"


class BinaryLog(Source):
    """The adapter."""

    def __init__(self, source: Any, tools: Any) -> None:
        super().__init__(source, tools)
        self._base = ""
        self._log_directory = ""
        self._readable: set[str] = set()
        self._located = False
        self._sync = ""

    def make_tail(self, lineage: Lineage) -> Tail:
        return Tail(lineage, self.outbox, self.state, self._successor, binlog=True)

    def _successor(self, name: str) -> str | None:
        return binlog.next_name(name) if binlog.file_number(name) is not None else None

    # Finding the files

    def server_changed(self) -> None:
        super().server_changed()
        self._located = False

    def _locate(self, server: Server) -> None:
        """Where the log is on the host, and whose it is."""
        try:
            path, identity = self._by_directory(server) if self.source.directory else self._by_question(server)
            self._located = True
        except WaitingError:
            # It does not answer just now. Its files are read meanwhile when they are where they were before.
            path, identity = str(self.state.facts.get("base") or ""), str(self.state.facts.get("identity") or "")
            if not path or self.state.facts.get("directory") != _inode(host_path(server, os.path.dirname(path))):
                raise
        self._log_directory = host_path(server, os.path.dirname(path))
        self._base = os.path.basename(path)
        if not STREAM_NAME.match(f"{self._base}.000001") or (identity and not LINEAGE_NAME.match(identity)):
            raise RefusedError(f"{server.name}: the log {path} of server {identity!r} cannot be named in a repository")
        self._readable.clear()
        if not identity:
            identity = self._own_identity()
        tail = self.use_lineage(self.lineage_of(identity))
        with self.state.lock:
            self.state.facts.update(base=path, identity=identity, directory=_inode(self._log_directory))
            record = self.state.lineage(tail.lineage.name)
            if "first" not in record:
                record["first"] = self._first_number()
            self.state.save()

    def _by_question(self, server: Server) -> tuple[str, str]:
        user, variable = self.source.login
        question = ASK_MARIADB if self.source.kind == SOURCE_MARIADB else ASK_MYSQL
        outcome = self.tools.engine.ask(server, mysql.client_command(user, variable), question)
        if outcome.status != 0:
            lines = [line.strip() for line in outcome.stderr.splitlines() if line.strip()]
            said = lines[-1] if lines else f"exit status {outcome.status}"
            if "Can't connect" in said or "ERROR 2002" in said or "ERROR 2003" in said:
                raise WaitingError(f"waits until {server.name} answers")
            raise BackupError(f"ask {server.name}: {said}")
        fields = outcome.stdout.rstrip("\n").split("\t")
        if len(fields) != 4:
            raise BackupError(f"ask {server.name}: answered {outcome.stdout[:200]!r}, which is no answer")
        if not fields[3] and self.source.kind != SOURCE_MARIADB:
            raise BackupError(f"ask {server.name}: did not say its server_uuid; is it MariaDB?")
        if fields[0] not in ("1", "ON") or not fields[1]:
            raise RefusedError(f"{server.name} writes no binary log; start it with --log-bin")
        self._sync = fields[2]
        return fields[1], fields[3]

    def _by_directory(self, server: Server) -> tuple[str, str]:
        """Without a question: the index of the log names its files, and `auto.cnf` the server."""
        directory = self.source.directory.rstrip("/")
        here = host_path(server, directory)
        names = self.tools.host.names(here)
        bases = {
            name[: -len(".index")]
            for name in names
            if name.endswith(".index") and not name.endswith(("relay-bin.index", "relay-log.index"))
        }
        bases = {base for base in bases if any(self._number(name, base) is not None for name in names)}
        if len(bases) != 1:
            found = ", ".join(sorted(bases)) or "none"
            raise RefusedError(f"{directory} in {server.name}: holds {found} as binary logs, and must hold one")
        identity = ""
        if self.source.kind != SOURCE_MARIADB:
            for place in (directory, DATA_DIRECTORY):
                text = files.read_text(f"{host_path(server, place)}/auto.cnf") or ""
                for line in text.splitlines():
                    key, _equals, value = line.partition("=")
                    if key.strip() == "server-uuid" and not identity:
                        identity = value.strip()
            if not identity:
                raise RefusedError(f"{directory} in {server.name}: no auto.cnf tells whose log it is; do not name it")
        return f"{directory}/{bases.pop()}", identity

    def _own_identity(self) -> str:
        """MariaDB's data has no name of its own, so it gets one. It keeps it as long as its directory is the same one,
        or its files are those that were read before."""
        known = self.state.facts.get("identity")
        if known and self.state.facts.get("directory") == _inode(self._log_directory):
            return str(known)
        if known and self.tail is not None and self.tail.lineage.identity == known and self._is_known(self.tail):
            return str(known)
        return secrets.token_hex(8)

    def _is_known(self, tail: Tail) -> bool:
        found = [item for item in self._files() if tail.knows(item.name)]
        tail.distrust()
        try:
            tail.poll(found, self.seen, ())
        except TurnedBackError:
            return False
        return bool(found)

    def _first_number(self) -> int:
        """Where a lineage begins: with what the server writes now, and as many of its older files as are surely no
        burden. An old one that is left away belongs to a time of which there is no recovery point."""
        room = self.tools.settings.budget_bytes // 2
        first = 0
        for index, item in enumerate(reversed(self._files())):
            room -= item.end
            if index and room < 0:
                break
            first = binlog.file_number(item.name) or 0
        return first

    # Cutting

    def _number(self, name: str, base: str = "") -> int | None:
        base = base or self._base
        return binlog.file_number(name) if name.rpartition(".")[0] == base else None

    def _files(self) -> list[Found]:
        """The log's files as they lie there."""
        numbers = {}
        for name in self.tools.host.names(self._log_directory):
            number = self._number(name)
            if number is not None:
                numbers[number] = name
        found = []
        for number, name in sorted(numbers.items()):
            path = f"{self._log_directory}/{name}"
            found.append(Found(name, path, os.stat(path, follow_symlinks=False).st_size, number != max(numbers)))
        return found

    def scan(self, tail: Tail) -> list[Found]:
        """Those that belong to the lineage. Raises TurnedBackError when they begin at a lower number again."""
        first = int(self.state.lineage(tail.lineage.name).get("first", 0))
        found = [item for item in self._files() if (binlog.file_number(item.name) or 0) >= first]
        newest, known = self._files()[-1:], tail.newest
        if newest and known:
            before, now = binlog.file_number(known) or 0, binlog.file_number(newest[0].name) or 0
            if now < before:
                raise TurnedBackError(f"the newest file was {known} and is {newest[0].name}: the log was begun anew")
        for item in found:
            if item.name not in self._readable:
                self._check(item)
        return found

    def _check(self, item: Found) -> None:
        """Refuse a file that could not be read after a loss, before anything of it is cut."""
        try:
            binlog.check_readable(item.path)
        except binlog.BinlogError:
            # It was made a moment ago, and has no head yet.
            if item.closed:
                raise
            return
        self._readable.add(item.name)

    def tick(self) -> int:
        if self.held:
            return 0
        now = self.tools.now()
        waits: WaitingError | None = None
        try:
            server = self.find_server()
            if not self._located:
                self._locate(server)
        except WaitingError as error:
            # What the server wrote before it ended can be read all the same, when it lies in a volume.
            waits = error
        tail = self.tail
        if tail is None or not self._base or not os.path.isdir(self._log_directory):
            raise waits or WaitingError("waits for its container")
        try:
            size = self.poll(tail, self.scan(tail))
        except TurnedBackError as error:
            self.begin_anew(tail, error)
            return 0
        self.seen = now
        shrunk = ", ".join(sorted(tail.shrunk))
        self.note("shrunk", f"{shrunk} became shorter: waits until its server has begun the next" if shrunk else "")
        if waits is not None:
            raise waits
        return size

    def lineage_changed(self, before: Tail) -> None:
        with self.state.lock:
            if self.tail is not None:
                self.state.lineage(self.tail.lineage.name)["first"] = self._first_number()
                self.state.save()

    # Telling

    def audit(self) -> dict[str, Any]:
        server = self.server
        if server is None or not self.tools.alive(server) or not self._base:
            return {"server": ""}
        found = self._files()
        if self._sync not in ("", "1"):
            self.note(
                "sync", f"{server.name} has sync_binlog={self._sync}: a power cut may take what was committed; set 1"
            )
        return {
            "server": server.name,
            "oldest_file": found[0].name if found else "",
            "newest_file": found[-1].name if found else "",
            "server_bytes": sum(item.end for item in found),
        }

    def holes(self) -> list[str]:
        if self.tail is None:
            return []
        held: set[int] = set()
        for first, last in self.tail.closed:
            low, high = binlog.file_number(first), binlog.file_number(last)
            if low is not None and high is not None:
                held.update(range(low, high + 1))
        unfinished = {binlog.file_number(name) or 0 for name in self.tail.unfinished}
        known = held | unfinished
        # A file that others follow, and whose end was never seen, has lost it.
        held |= {number for number in unfinished if number == max(known)}
        missing = [number for number in range(min(known), max(known)) if number not in held] if known else []
        return [f"file {self._base or 'binlog'}.{number:06d}" for number in missing]

    def position(self) -> str:
        if self.tail is None or not self.tail.newest:
            return ""
        name = self.tail.newest
        return f"{name}:{self.tail.cut_end(name)}" if self.tail.cut_end(name) else name


def _inode(path: str) -> list[int]:
    """What tells a directory from another one under its name; nothing when there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return []
    return [status.st_dev, status.st_ino]
