# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.filter.backup_settings import FilterModule
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    RepositorySettings,
    Retention,
    parse_settings,
)

backup_settings = FilterModule().filters()["backup_settings"]
SOURCES = [{"kind": "volume", "volume": "fleet_uploads"}, {"kind": "mysql", "service": "database"}]


def test_what_it_writes_the_host_program_reads() -> None:
    repositories = [
        {
            "name": "main",
            "url": "s3:https://h/b",
            "password": "secret",
            "s3_access_key_id": "id",
            "s3_secret_access_key": "secret",
            "s3_region": "r",
            "options": ["a=b"],
            "ca_file": "files/ca.pem",
            "upload_limit_kib_per_second": 5,
        },
        {"name": "far", "url": "sftp:h:/r", "password": "secret", "retention": {"yearly": 3}, "append_only": True},
    ]
    retention = {"daily": 7, "weekly": 4, "monthly": 0, "yearly": 0}
    text = backup_settings(SOURCES, "fleet", repositories, retention, 3600, None, None, 100, 200, "/etc/r")
    assert "secret" not in text
    settings = parse_settings(json.loads(text), "backup.json")
    assert settings.interval_seconds == 3600
    assert settings.repositories == (
        RepositorySettings(
            "main", "s3:https://h/b", Retention(daily=7, weekly=4), ("a=b",), "/etc/r/main/ca.pem", 5, 200
        ),
        RepositorySettings("far", "sftp:h:/r", Retention(daily=0, yearly=3), (), "", 100, 200, True),
    )
    assert backup_settings(SOURCES, "fleet", repositories, retention, 3600, None, None, 100, 200, "/etc/r") == text


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        ("text", "needs a list of sources, not str"),
        ([], "sources: is empty"),
        (
            [{"kind": "mysql", "service": "database", "database": "d"}],
            "sources[0]: database not known for kind mysql",
        ),
        ([{"kind": "volume"}, {"kind": "file", "path": "x"}], "sources[0].volume: None"),
    ],
)
def test_problems_are_ansible_s(sources: Any, words: str) -> None:
    with pytest.raises(AnsibleFilterError) as caught:
        backup_settings(sources, "fleet", [{"name": "main", "url": "/r"}])
    assert words in str(caught.value)


def test_drills_and_promises() -> None:
    drill = {"interval_seconds": 60, "tries": 2, "cpus": 0.5, "smoke": {"service": "app", "command": ["check"]}}
    promises = {"rto_seconds": 14400, "rpo_seconds": 900}
    text = backup_settings(SOURCES, "fleet", [{"name": "main", "url": "/r"}], drill=drill, promises=promises)
    document = json.loads(text)
    assert document["drill"] == {**drill, "smoke": {"service": "app", "command": ["check"], "timeout_seconds": 300}}
    assert document["promises"] == promises
    bare = json.loads(backup_settings(SOURCES, "fleet", [{"name": "main", "url": "/r"}]))
    assert bare["drill"] == {"interval_seconds": 0, "tries": 7, "cpus": 0.0}
    with pytest.raises(AnsibleFilterError, match=r"promises\.rto_seconds"):
        backup_settings(SOURCES, "fleet", [{"name": "main", "url": "/r"}], promises={"rto_seconds": -1})
