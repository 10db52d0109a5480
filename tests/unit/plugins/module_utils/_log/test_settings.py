# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import Place, RefusedError
from ansible_collections.slipway.ops.plugins.module_utils._log.settings import LogPlace, LogSource, parse_log_settings

PLACE = Place("fleet")
DOCUMENT: dict[str, Any] = {
    "stack": "fleet",
    "repositories": [
        {
            "name": "main",
            "url": "s3:https://h/b",
            "options": ["s3.region=r"],
            "ca_file": "/ca",
            "upload_limit_kib": 9,
        },
        {"name": "far", "url": "sftp:u@h:/r", "append_only": True},
    ],
    "sources": [
        {"kind": "volume", "volume": "fleet_uploads"},
        {"kind": "mysql", "service": "database", "database": "a", "user": "root", "password_variable": "PW"},
        {"kind": "mysql", "service": "database", "database": "b"},
        {"kind": "postgresql", "service": "ledger", "database": "c"},
        {"kind": "mariadb", "service": "wiki", "database": "d", "log_directory": "/var/lib/mysql"},
    ],
}


def test_each_server_is_followed_once() -> None:
    found = parse_log_settings(DOCUMENT, PLACE)
    assert found.sources == (
        LogSource("mysql", "database", "root", "PW"),
        LogSource("postgresql", "ledger"),
        LogSource("mariadb", "wiki", directory="/var/lib/mysql"),
    )
    assert [source.login for source in found.sources] == [
        ("root", "PW"),
        ("", "POSTGRES_PASSWORD"),
        ("root", "MARIADB_ROOT_PASSWORD"),
    ]
    assert found.sources[1].label == "log of ledger (postgresql)"
    repository, far = found.repositories
    assert (far.name, far.password_file, far.append_only) == ("far", PLACE.repository("far").password, True)
    assert (repository.name, repository.url, repository.options) == ("main", "s3:https://h/b", ("s3.region=r",))
    assert (repository.password_file, repository.environment_file) == (
        PLACE.repository("main").password,
        PLACE.repository("main").environment,
    )
    assert (repository.ca_file, repository.upload_limit_kib) == ("/ca", 9)
    assert (found.interval_seconds, found.budget_bytes, found.tidy) == (1.0, 1 << 30, True)


def test_what_can_be_set() -> None:
    log = {"interval_seconds": 0.5, "audit_seconds": 30, "budget_bytes": 1 << 28, "reserve_bytes": 0, "tidy": False}
    found = parse_log_settings({**DOCUMENT, "log": log}, PLACE)
    assert (found.interval_seconds, found.audit_seconds, found.budget_bytes) == (0.5, 30, 1 << 28)
    assert (found.reserve_bytes, found.tidy) == (0, False)


def test_all_problems_at_once() -> None:
    document = {
        "stack": "other",
        "sources": [
            {"kind": "mysql", "service": "a b"},
            {"kind": "mysql", "service": "x", "user": "a'b", "password_variable": "1", "log_directory": "rel"},
            {"kind": "mysql", "service": "y"},
            {"kind": "mariadb", "service": "y"},
            {
                "kind": "mysql",
                "service": "z",
                "remote": {"addres": "a", "image": "i", "name": "n", "password_file": "p"},
            },
            {"kind": "postgresql", "service": "v", "remote": []},
        ],
        "log": {"interval_seconds": 0, "budget_bytes": True},
    }
    with pytest.raises(RefusedError) as error:
        parse_log_settings(document, PLACE)
    for part in (
        "log.json: stack: is other and not fleet",
        "sources[0].service: 'a b'",
        "sources[1].user",
        "sources[1].password_variable",
        "sources[1].log_directory",
        "sources[3].kind: service y is mysql above",
        "sources[4].remote.addres: is not known",
        "sources[4].remote.password_file: 'p' is not an absolute path",
        "sources[5].remote: must be a mapping",
        "repositories: is empty",
        "log.interval_seconds: 0 must be a number, 0.1 or more",
        "log.budget_bytes: True",
    ):
        assert part in str(error.value)
    with pytest.raises(RefusedError, match="must hold a mapping"):
        parse_log_settings([], PLACE)
    with pytest.raises(RefusedError, match="log: must be a mapping"):
        parse_log_settings({**DOCUMENT, "log": [1]}, PLACE)


def test_where_things_are() -> None:
    place = LogPlace(PLACE)
    assert place.source("database") == "/var/lib/slipway/backup/fleet/log/database"
    assert place.status == "/var/lib/slipway/backup/fleet/log.json"
