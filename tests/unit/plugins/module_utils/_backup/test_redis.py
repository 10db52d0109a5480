# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup import redis
from ansible_collections.slipway.ops.plugins.module_utils._backup.redis import Password

OFFICIAL = ["docker-entrypoint.sh"]


@pytest.mark.parametrize(
    ("environment", "command", "variable", "password"),
    [
        ({}, [*OFFICIAL, "redis-server"], "", Password()),
        ({"REDIS_PASSWORD": "p"}, [*OFFICIAL, "redis-server"], "", Password("p")),
        ({"REDIS_PASSWORD": "p", "PW": "q"}, [*OFFICIAL, "redis-server"], "PW", Password("q")),
        ({"PW_FILE": "/run/secrets/pw"}, [*OFFICIAL, "redis-server"], "PW", Password(file="/run/secrets/pw")),
        ({}, [*OFFICIAL, "redis-server", "--requirepass", "s3cret"], "", Password("s3cret")),
        ({}, [*OFFICIAL, "--requirepass", "s3cret", "--appendonly", "yes"], "", Password("s3cret")),
        ({}, [*OFFICIAL, "redis-server", "--requirepass", "a", "--requirepass", "b"], "", Password("b")),
        ({"P": "x y"}, ["sh", "-c", 'exec redis-server --requirepass "$P"'], "", Password("x y")),
        ({"P": "x"}, ["docker-entrypoint.sh", "sh", "-c", "redis-server --requirepass ${P:?no}"], "", Password("x")),
        (
            {},
            [*OFFICIAL, "redis-server", "/usr/local/etc/redis/redis.conf"],
            "",
            Password(configuration="/usr/local/etc/redis/redis.conf"),
        ),
        ({}, [*OFFICIAL, "valkey-server", "--requirepass", "v"], "", Password("v")),
        ({}, ["sh", "-c", "redis-server 'unclosed"], "", Password()),
    ],
)
def test_where_the_password_is(
    environment: dict[str, str], command: list[str], variable: str, password: Password
) -> None:
    assert redis.find_password(environment, command, variable) == password


def test_the_password_in_a_file_of_settings() -> None:
    assert redis.password_in('# requirepass old\nport 6379\nrequirepass "a b"\nREQUIREPASS c\n') == "c"
    assert redis.password_in("port 6379\nuser default on 'unclosed\n") == ""


def test_the_password_is_on_no_command_line(tmp_path: Path) -> None:
    command = redis.client_command(["INFO", "keyspace"], user="default")
    assert command[-4:] == ["--user", "default", "INFO", "keyspace"]
    tool = tmp_path / "redis-cli"
    tool.write_text('#!/bin/sh\nprintf "%s|" "$REDISCLI_AUTH" "$@"\n', encoding="utf-8")
    tool.chmod(0o755)
    path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    outcome = subprocess.run(command, input="s3 cret\n", env=path, capture_output=True, text=True, check=True)
    assert outcome.stdout == "s3 cret|--no-auth-warning|--user|default|INFO|keyspace|"
    without = subprocess.run(
        redis.client_command(["PING"]), input="\n", env=path, capture_output=True, text=True, check=False
    )
    assert without.stdout == "|--no-auth-warning|PING|"


INFO = "# Keyspace\r\ndb0:keys=4001,expires=1,avg_ttl=999980,subexpiry=0\r\ndb3:keys=4000,expires=0,avg_ttl=0\r\n"


def test_what_the_server_says() -> None:
    assert redis.parse_keys(redis.parse_info(INFO)) == {"db0": 4001, "db3": 4000}
    assert redis.parse_config("appendonly\nyes\ndir\n/data\nsave\n\n") == {
        "appendonly": "yes",
        "dir": "/data",
        "save": "",
    }
    assert redis.is_error("NOAUTH Authentication required.")
    assert redis.is_error("(error) ERR Background save already in progress")
    assert not redis.is_error("Background saving started")


BEFORE = {"rdb_bgsave_in_progress": "0", "rdb_last_save_time": "100", "rdb_saves": "1", "loading": "0"}


@pytest.mark.parametrize(
    ("now", "saved"),
    [
        ({}, False),
        ({"rdb_last_save_time": "101"}, True),
        ({"rdb_saves": "2"}, True),
        ({"rdb_saves": "2", "rdb_bgsave_in_progress": "1"}, False),
        ({"rdb_saves": "2", "loading": "1"}, False),
    ],
)
def test_when_a_snapshot_is_there(now: dict[str, str], saved: bool) -> None:
    assert redis.saved(BEFORE, {**BEFORE, **now}) is saved


def test_a_snapshot_that_failed() -> None:
    assert redis.save_failed({"rdb_last_bgsave_status": "err"})
    assert not redis.save_failed(BEFORE)


SNAPSHOT = b"REDIS0012\xfa\tredis-ver\x058.0.2\xfe\x00\xfb\x00\x00\xff" + bytes(8)


@pytest.mark.parametrize("size", [1, 5, 1 << 20])
def test_a_snapshot_is_read(size: int) -> None:
    reader = redis.SnapshotReader()
    for start in range(0, len(SNAPSHOT), size):
        reader.feed(SNAPSHOT[start : start + size])
    assert reader.finish() == "REDIS0012"
    assert reader.bytes == len(SNAPSHOT)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it is empty"),
        (b"*3\r\n$3\r\nSET\r\n", "does not begin as a snapshot does"),
        (SNAPSHOT[:-1], "has no end mark"),
        (SNAPSHOT[:30], "has no end mark"),
        # What redis-cli --rdb - writes behind it.
        (SNAPSHOT + b"1e2dc4b51d1b2f670199542f6a60731ce6771dab", "has no end mark"),
    ],
)
def test_a_snapshot_that_is_not_whole(data: bytes, message: str) -> None:
    reader = redis.SnapshotReader()
    reader.feed(data)
    with pytest.raises(redis.NotWhole, match=message):
        reader.finish()


# As redis-check-rdb 8.0 writes it.
CHECKED = """\
[offset 0] Checking RDB file /tmp/x.rdb
[offset 164] Selecting DB ID 0
[offset 99959] Checksum OK
[offset 99959] \\o/ RDB looks OK! \\o/
[info] 8001 keys read
[info] 1 expires
[info] 2 already expired
"""


def test_what_the_servers_tool_says() -> None:
    assert redis.parse_check(0, CHECKED) == redis.Check(True, 8001, 2)
    bad = redis.parse_check(1, "[offset 0] Checking\n--- RDB ERROR DETECTED ---\n[offset 45] RDB CRC error\n")
    assert not bad.whole
    assert "RDB ERROR DETECTED" in bad.reason


def test_the_isolated_server() -> None:
    command = [*OFFICIAL, "redis-server", "--requirepass", "p", "--loadmodule", "/m.so", "x", "--databases", "32"]
    kept = redis.kept_options(redis.launch(command, {}))
    assert kept == ("--loadmodule", "/m.so", "x", "--databases", "32")
    arguments = redis.server_arguments(redis.Settings("dump.rdb", True, kept), "/data")
    assert arguments[:5] == list(kept)
    assert arguments[5:7] == ["--port", "0"]
    assert "p" not in arguments
