# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError
from ansible_collections.slipway.ops.plugins.module_utils._log.synchrony import Synchrony


class Server:
    """What commits wait for, who streams, and the receivers' slots: name -> whether somebody receives by it."""

    def __init__(self) -> None:
        self.waits_for = ""
        self.streaming: set[str] = set()
        self.slots: dict[str, bool] = {}
        self.now = 0.0
        self.said: list[str] = []
        self.kept: list[str] = []
        self.broken = False

    def watcher(self, name: str, patience_seconds: float = 10, before: str = "") -> Synchrony:
        return Synchrony(
            name,
            patience_seconds,
            before,
            lambda one: f"slot_{one}",
            self.kept.append,
            self.said.append,
            lambda: self.now,
        )

    def ask(self, sql: str) -> str:
        if self.broken:
            raise BackupError("ask fleet-database-1: no answer")
        words = sql.split("'")
        if "json_build_object" in sql:
            name = words[words.index(next(word for word in words if "application_name" in word)) + 1]
            slot = words[-2]
            found: dict[str, Any] = {"waits_for": self.waits_for, "streams": name in self.streaming}
            return json.dumps({**found, "slot": slot in self.slots})
        if "pg_drop_replication_slot" in sql:
            self.slots = {slot: active for slot, active in self.slots.items() if active or slot != words[1]}
        elif "RESET" in sql:
            self.waits_for = ""
        else:
            self.waits_for = words[1]
        return ""


@pytest.fixture
def server() -> Server:
    return Server()


def test_commits_wait_only_once_the_receiver_streams(server: Server) -> None:
    """A server that is made or restored would never come up otherwise."""
    watcher = server.watcher("b")
    watcher.step(server.ask)
    assert (server.waits_for, watcher.waits, server.kept) == ("", False, [])
    assert watcher.problem.startswith("the receiver b does not receive: what is committed now is on this host alone")
    server.streaming.add("b")
    watcher.step(server.ask)
    assert (server.waits_for, watcher.waits, watcher.problem, server.kept) == ("b", True, "", ["b"])
    watcher.step(server.ask)
    assert server.said == ["commits wait for the receiver b from now on"]


def test_a_receiver_that_is_gone_is_waited_for_as_long_as_asked(server: Server) -> None:
    watcher = server.watcher("b")
    server.streaming.add("b")
    watcher.step(server.ask)
    server.streaming.clear()
    watcher.step(server.ask)
    server.now = 9.9
    watcher.step(server.ask)
    assert (server.waits_for, watcher.waits) == ("b", True)
    assert "commits wait for it, and the server keeps its log for it" in watcher.problem
    server.now = 10
    watcher.step(server.ask)
    assert (server.waits_for, watcher.waits) == ("", False)
    assert server.said[-1] == "the receiver b is away: commits do not wait for it any more"
    assert "on this host alone" in watcher.problem
    server.streaming.add("b")
    watcher.step(server.ask)
    assert (server.waits_for, watcher.waits, watcher.problem) == ("b", True, "")


def test_without_patience_it_is_waited_for_without_an_end(server: Server) -> None:
    watcher = server.watcher("b", 0)
    server.streaming.add("b")
    watcher.step(server.ask)
    server.streaming.clear()
    for server.now in (1, 10_000):
        watcher.step(server.ask)
    assert (server.waits_for, watcher.waits) == ("b", True)


def test_who_restarts_while_it_is_away_counts_anew(server: Server) -> None:
    server.waits_for = "b"
    watcher = server.watcher("b", before="b")
    watcher.step(server.ask)
    assert server.waits_for == "b"
    server.now = 10
    watcher.step(server.ask)
    assert server.waits_for == ""


def test_what_others_have_set_is_left(server: Server) -> None:
    server.waits_for = "ANY 1 (standby_a, standby_b)"
    server.streaming.add("b")
    watcher = server.watcher("b")
    watcher.step(server.ask)
    assert (server.waits_for, watcher.waits, server.said) == ("ANY 1 (standby_a, standby_b)", False, [])
    assert "by somebody else's hand" in watcher.problem


def test_another_receiver_takes_the_place_of_one(server: Server) -> None:
    server.waits_for = "a"
    server.streaming.add("b")
    server.watcher("b", before="a").step(server.ask)
    assert (server.waits_for, server.kept) == ("b", ["b"])


def test_one_that_is_not_wanted_any_more_leaves_nothing(server: Server) -> None:
    server.waits_for, server.slots = "b", {"slot_b": True, "slot_other": False}
    server.streaming.add("b")
    watcher = server.watcher("", before="b")
    assert not watcher.idle
    watcher.step(server.ask)
    assert (server.waits_for, server.said) == ("", ["commits do not wait for the receiver b any more"])
    # It receives still: its slot is in use, and goes when it has ended.
    assert watcher.problem == "the receiver b is not wanted here, and receives still; remove it"
    assert not watcher.idle
    server.slots["slot_b"] = False
    watcher.step(server.ask)
    assert (watcher.problem, watcher.idle, server.slots, server.kept) == ("", True, {"slot_other": False}, [""])


def test_where_nothing_was_asked_for_nothing_is_looked_at(server: Server) -> None:
    assert server.watcher("").idle


def test_a_server_that_does_not_answer_is_no_receiver_that_is_gone(server: Server) -> None:
    watcher = server.watcher("b")
    server.streaming.add("b")
    watcher.step(server.ask)
    server.broken = True
    server.now = 1000
    with pytest.raises(BackupError, match="no answer"):
        watcher.step(server.ask)
    server.broken = False
    server.streaming.clear()
    watcher.step(server.ask)
    assert server.waits_for == "b"


def test_an_answer_that_is_none_is_quoted(server: Server) -> None:
    with pytest.raises(BackupError, match="answered 'what', which is no answer"):
        server.watcher("b").step(lambda sql: "what")
