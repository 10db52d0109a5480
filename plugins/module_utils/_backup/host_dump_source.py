# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Database servers of the host itself, outside of containers: dumped whole by their own tools over their sockets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup import mysql
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    SOURCE_MARIADB,
    SOURCE_MYSQL,
    SOURCE_POSTGRESQL,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.mysql_dump import DumpJudge as MysqlDumpJudge
from ansible_collections.slipway.ops.plugins.module_utils._backup.postgresql_dump import DumpJudge
from ansible_collections.slipway.ops.plugins.module_utils._backup.process import Stream
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import Kept

USERS = {SOURCE_POSTGRESQL: "postgres", SOURCE_MYSQL: "root", SOURCE_MARIADB: "root"}
DUMPS = {
    SOURCE_POSTGRESQL: ("pg_dumpall", "--no-password"),
    SOURCE_MYSQL: ("mysqldump", *mysql.DUMP_ARGUMENTS, "--all-databases"),
    SOURCE_MARIADB: ("mariadb-dump", *mysql.DUMP_ARGUMENTS, "--all-databases"),
}
LOADS = {SOURCE_POSTGRESQL: "psql --quiet --dbname=postgres", SOURCE_MYSQL: "mysql", SOURCE_MARIADB: "mariadb"}


class HostDumpAdapter(Kept):
    """A server that the host's user may talk to without a password (peer and socket authentication, as Debian's
    packages set it up). The dump is kept in the point to be loaded by hand: a restore leaves the live server as it is,
    since only whoever knows it can say what of it is to go."""

    @property
    def _user(self) -> str:
        return self.source.user or USERS[self.source.engine]

    def _as_user(self, *words: str) -> tuple[str, ...]:
        # The tools' own words are looked at, and have to be English.
        return ("runuser", "-u", self._user, "--", "env", "LC_ALL=C", *words)

    def collect(self, point: str) -> dict[str, Any]:
        source = self.source
        self.tools.progress(f"dumping {self.label}")
        stream = Stream(self._as_user(*DUMPS[source.engine]))
        name = f"{source.key}.sql"
        if source.engine == SOURCE_POSTGRESQL:
            return {**source.as_dict(), **self.tools.store(point, source, name, stream, DumpJudge(self.label))}
        judge = MysqlDumpJudge(self.label)
        part = self.tools.store(point, source, name, stream, judge)
        return {**source.as_dict(), **part, "rows": judge.facts.rows}

    def plan(self, record: Mapping[str, Any]) -> str:
        load = f"runuser -u {self._user} -- {LOADS[self.source.engine]} < DIRECTORY/{record['file']}"
        return f"leave {self.label} as they are (slipway restore --extract DIRECTORY, then {load})"
