# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What images of databases are by their names, and where they have their passwords from."""

from __future__ import annotations

from collections.abc import Mapping

KINDS = ("mysql", "mariadb", "postgresql", "redis")
_NAMES = {
    **dict.fromkeys(("mysql", "mysql-server", "percona", "percona-server"), "mysql"),
    "mariadb": "mariadb",
    **dict.fromkeys(("postgres", "postgresql", "postgis", "timescaledb", "timescaledb-ha", "pgvector"), "postgresql"),
    **dict.fromkeys(("redis", "redis-stack-server", "valkey", "keydb"), "redis"),
}
# Of the user that may back a whole server up. Each may end in _FILE.
_VARIABLES = {"mysql": ("MYSQL_ROOT_PASSWORD",), "mariadb": ("MARIADB_ROOT_PASSWORD", "MYSQL_ROOT_PASSWORD")}
_USERS = {"mysql": "root", "mariadb": "root"}


def kind_of(image: str) -> str:
    """The kind of an image; empty when its name tells none."""
    return _NAMES.get(image.rpartition("/")[2].partition("@")[0].partition(":")[0].lower(), "")


def login_of(kind: str, environment: Mapping[str, object], user: str, variable: str) -> tuple[str, str]:
    """User and password variable, with what the kind has by default where they are not said. Empty ones are left to
    whoever asks the running server: POSTGRES_USER, or the password that Redis is started with."""
    names = _VARIABLES.get(kind, ())
    if not variable and user in ("", _USERS.get(kind, "")):
        present = [name for name in names if name in environment or f"{name}_FILE" in environment]
        variable = next(iter((*present, *names)), "")
    return user or _USERS.get(kind, ""), variable
