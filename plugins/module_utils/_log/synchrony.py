# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server whose commits wait until a receiver on another host has them on its disk.

PostgreSQL confirms a commit when the standby that `synchronous_standby_names` names has flushed it, and waits without
an end while there is none (https://www.postgresql.org/docs/current/warm-standby.html#SYNCHRONOUS-REPLICATION). So the
name is set when the receiver streams, not before: a server that is made or restored has nobody to wait for yet. And
when the receiver has been away for longer than the patience, it is taken away again, and that is said until the
receiver is back: the site goes on, and what is committed meanwhile is on one host alone. A patience of 0 never ends.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError

Ask = Callable[[str], str]


def state_sql(name: str, slot: str) -> str:
    """Whether the receiver streams and has a slot, and for whom commits wait, as JSON."""
    return f"""\
SELECT json_build_object(
  'waits_for', current_setting('synchronous_standby_names'),
  'streams', EXISTS (SELECT FROM pg_stat_replication WHERE application_name = '{name}' AND state = 'streaming'),
  'slot', EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = '{slot}'));
"""  # noqa: S608 (the names are made of letters, digits and _)


def drop_sql(slot: str) -> str:
    """Give the slot up, unless somebody receives by it."""
    return f"""\
SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '{slot}' AND NOT active;
"""  # noqa: S608 (the name is made of letters, digits and _)


def wait_sql(name: str) -> str:
    """Let commits wait for this receiver; without a name for nobody. Neither waits itself."""
    change = f"SET synchronous_standby_names = '{name}'" if name else "RESET synchronous_standby_names"
    return f"ALTER SYSTEM {change};\nSELECT pg_reload_conf();\n"


class Synchrony:
    """One receiver of one server. `name` is empty where there is to be none any more; `before` is the one that was
    set here last, and `remember` keeps it; `slot` tells the replication slot of a receiver."""

    def __init__(
        self,
        name: str,
        patience_seconds: float,
        before: str,
        slot: Callable[[str], str],
        remember: Callable[[str], None],
        say: Callable[[str], None],
        now: Callable[[], float],
    ) -> None:
        self.name = name
        self._patience_seconds = patience_seconds
        self._before = before
        self._slot = slot
        self._remember = remember
        self._say = say
        self._now = now
        self._away_since: float | None = None
        self.waits = False
        self.problem = ""

    @property
    def idle(self) -> bool:
        """Whether nothing is asked for, and nothing is left to be taken away."""
        return not self.name and not self._before

    def step(self, ask: Ask) -> None:
        """Look, and set what is to be set. Raises BackupError."""
        found = self._state(ask)
        waits_for = str(found["waits_for"])
        if waits_for not in ("", self.name, self._before):
            self.waits = False
            self.problem = (
                f"synchronous_standby_names is {waits_for!r} by somebody else's hand, so it is left as it is;"
                f" add {self.name} there, or empty it"
            )
            return
        if not self.name:
            self._let_go(ask, waits_for, bool(found["slot"]))
            return
        if found["streams"]:
            self._away_since = None
            if waits_for != self.name:
                self._set(ask, self.name, f"commits wait for the receiver {self.name} from now on")
            self.waits, self.problem = True, ""
            return
        self._away_since = self._now() if self._away_since is None else self._away_since
        away = self._now() - self._away_since
        patient = self._patience_seconds == 0 or away < self._patience_seconds
        if waits_for and not patient:
            self._set(ask, "", f"the receiver {self.name} is away: commits do not wait for it any more")
            waits_for = ""
        self.waits = bool(waits_for)
        state = "commits wait for it" if self.waits else "what is committed now is on this host alone"
        self.problem = (
            f"the receiver {self.name} does not receive: {state}, and the server keeps its log for it; look there"
        )

    def _let_go(self, ask: Ask, waits_for: str, slot: bool) -> None:
        if waits_for:
            self._set(ask, "", f"commits do not wait for the receiver {self._before} any more")
        if slot:
            ask(drop_sql(self._slot(self._before)))
            slot = bool(self._state(ask)["slot"])
        self.problem = f"the receiver {self._before} is not wanted here, and receives still; remove it" if slot else ""
        if not slot:
            self._note("")

    def _state(self, ask: Ask) -> dict[str, Any]:
        name = self.name or self._before
        text = ask(state_sql(name, self._slot(name)))
        try:
            return dict(json.loads(text))
        except ValueError:
            raise BackupError(f"answered {text[:200]!r}, which is no answer") from None

    def _set(self, ask: Ask, name: str, line: str) -> None:
        if name:
            # Before: who comes after an interruption then knows whose it is.
            self._note(name)
        ask(wait_sql(name))
        self._say(line)

    def _note(self, name: str) -> None:
        if self._before != name:
            self._before = name
            self._remember(name)
