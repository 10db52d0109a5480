# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SQL inside the database container of a stack, with the client of the server's own image.

The password never leaves the container: the client reads it from the container's environment. SQL goes in by standard
input, so neither a password nor a statement is ever part of a command line.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ansible_collections.slipway.ops.plugins.module_utils._database import sql
from ansible_collections.slipway.ops.plugins.module_utils._database.model import Found, Table
from ansible_collections.slipway.ops.plugins.module_utils._database.sql import Dialect

Run = Callable[[Sequence[str], str], "tuple[int, str, str]"]

_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_$.-]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class DatabaseError(Exception):
    """The database could not be asked or refused; the message names it, the attempt and the remedy."""


class NoContainer(DatabaseError):
    """There is no running container to ask: Docker is not installed or the stack is not deployed."""


def run(command: Sequence[str], data: str) -> tuple[int, str, str]:
    """Run a command and give it data by standard input."""
    done = subprocess.run(
        list(command), input=data, capture_output=True, check=False, encoding="utf-8", errors="replace"
    )
    return done.returncode, done.stdout, done.stderr


@dataclass(frozen=True)
class Database:
    """One database of one service of a stack on this host."""

    stack: str
    service: str
    dialect: Dialect
    name: str
    user: str
    password_variable: str
    run: Run

    def __post_init__(self) -> None:
        for label, value, pattern in (
            ("database", self.name, _PLAIN),
            ("user", self.user, _PLAIN),
            ("password_variable", self.password_variable, _VARIABLE),
        ):
            if pattern.fullmatch(value) is None:
                raise DatabaseError(f"{label}: {value!r} is not a plain name; use letters, digits and _")

    def observe(self, tables: Sequence[Table]) -> Found:
        """What the server has of these tables."""
        if not tables:
            return {}
        return sql.read(self._sql(self.dialect.observe(tables)))

    def execute(self, statement: str) -> list[str]:
        """Run one statement; the answer is what the server complained of without failing."""
        return self.dialect.failures(sql.rows(self._sql(statement)))

    def container(self) -> str:
        """The id of the running container, or NoContainer."""
        where = f"service {self.service} of stack {self.stack}"
        command = ["docker", "ps", "--quiet", "--no-trunc", "--filter", "status=running"]
        for label in (f"project={self.stack}", f"service={self.service}", "oneoff=False"):
            command += ["--filter", f"label=com.docker.compose.{label}"]
        try:
            code, output, error = self.run(command, "")
        except FileNotFoundError:
            raise NoContainer(f"{where}: there is no docker command on this host; install Docker first") from None
        if code != 0:
            raise NoContainer(f"{where}: docker ps failed: {_line(error)}; see that the Docker daemon runs")
        found = output.split()
        if not found:
            raise NoContainer(f"{where}: no container runs; deploy the stack first")
        if len(found) > 1:
            raise DatabaseError(f"{where}: {len(found)} containers run; indexes need one database server a service")
        return found[0]

    def _sql(self, script: str) -> str:
        client = self.dialect.client(self.name, self.user, self.password_variable)
        text = f"{self.dialect.session}\n{script}\n" if self.dialect.session else f"{script}\n"
        code, output, error = self.run(["docker", "exec", "--interactive", self.container(), *client], text)
        if code != 0:
            where = f"database {self.name} in service {self.service} of stack {self.stack}"
            raise DatabaseError(f"{where}: {_line(error) or f'exit {code}'}; attempted: {_line(script)}")
        return output


def _line(text: str) -> str:
    """The first line that says something."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")
