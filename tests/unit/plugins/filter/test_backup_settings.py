# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.filter.backup_settings import FilterModule
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import parse_settings

backup_settings = FilterModule().filters()["backup_settings"]
SOURCES = [{"kind": "volume", "volume": "fleet_uploads"}, {"kind": "mysql", "service": "database"}]


def test_what_it_writes_the_host_program_reads() -> None:
    repository = {"url": "s3:https://h/b", "options": ["a=b"], "ca_file": "/ca.pem", "upload_limit_kib": 5}
    text = backup_settings(SOURCES, "fleet", repository, {"daily": 7, "weekly": 4}, 3600)
    settings = parse_settings(json.loads(text), "backup.json")
    assert (settings.url, settings.options, settings.ca_file, settings.upload_limit_kib) == (
        *("s3:https://h/b", ("a=b",), "/ca.pem"),
        5,
    )
    assert (settings.retention.daily, settings.retention.weekly, settings.interval_seconds) == (7, 4, 3600)
    assert backup_settings(SOURCES, "fleet", repository, {"daily": 7, "weekly": 4}, 3600) == text


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
        backup_settings(sources, "fleet", {"url": "/r"})
    assert words in str(caught.value)


def test_drills_and_promises() -> None:
    drill = {"interval_seconds": 60, "tries": 2, "cpus": 0.5, "smoke": {"service": "app", "command": ["check"]}}
    promises = {"rto_seconds": 14400, "rpo_seconds": 900}
    text = backup_settings(SOURCES, "fleet", {"url": "/r"}, drill=drill, promises=promises)
    document = json.loads(text)
    assert document["drill"] == {**drill, "smoke": {"service": "app", "command": ["check"], "timeout_seconds": 300}}
    assert document["promises"] == promises
    bare = json.loads(backup_settings(SOURCES, "fleet", {"url": "/r"}))
    assert bare["drill"] == {"interval_seconds": 0, "tries": 7, "cpus": 0.0}
    with pytest.raises(AnsibleFilterError, match=r"promises\.rto_seconds"):
        backup_settings(SOURCES, "fleet", {"url": "/r"}, promises={"rto_seconds": -1})
