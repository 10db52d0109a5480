# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.filter.backup_log_settings import FilterModule
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import Place
from ansible_collections.slipway.ops.plugins.module_utils._log.settings import LogSource, parse_log_settings

backup_log_settings = FilterModule().filters()["backup_log_settings"]
REPOSITORIES = [
    {"name": "main", "url": "s3:https://h/b", "options": ["a=b"], "ca_file": "/ca.pem", "upload_limit_kib": 5},
    {"name": "far", "url": "/far", "retention": {"daily": 3}},
]
SOURCES = [
    {"kind": "volume", "volume": "fleet_uploads"},
    {"kind": "mysql", "service": "orders", "database": "a", "user": "root", "stack": "fleet", "name": "x"},
    {"kind": "mysql", "service": "orders", "database": "b"},
    {"kind": "postgresql", "service": "ledger"},
    {"kind": "redis", "service": "cache"},
]


def test_what_it_writes_the_host_program_reads() -> None:
    text = backup_log_settings(SOURCES, "fleet", REPOSITORIES, [], 0.5, 256, 100, False)
    settings = parse_log_settings(json.loads(text), Place("fleet"))
    assert settings.sources == (LogSource("mysql", "orders", "root"), LogSource("postgresql", "ledger"))
    repository, far = settings.repositories
    assert (far.name, far.url, far.append_only) == ("far", "/far", False)
    assert (repository.url, repository.options) == ("s3:https://h/b", ("a=b",))
    assert (repository.ca_file, repository.upload_limit_kib) == ("/ca.pem", 5)
    assert (settings.interval_seconds, settings.budget_bytes, settings.reserve_bytes, settings.tidy) == (
        *(0.5, 256 << 20, 100 << 20),
        False,
    )
    assert backup_log_settings(SOURCES, "fleet", REPOSITORIES, [], 0.5, 256, 100, False) == text


def test_what_is_no_matter_of_the_log_is_not_in_it() -> None:
    """The follower begins anew when its settings change, and must not for anything else."""
    alone = [{"kind": "postgresql", "service": "ledger"}]
    others = [*alone, {"kind": "volume", "volume": "v"}, {"kind": "file", "path": "/x"}]
    assert backup_log_settings(alone, "fleet", REPOSITORIES) == backup_log_settings(others, "fleet", REPOSITORIES)
    named = [{**alone[0], "name": "ledger", "stack": "fleet"}]
    assert backup_log_settings(alone, "fleet", REPOSITORIES) == backup_log_settings(named, "fleet", REPOSITORIES)


def test_commits_wait_for_a_receiver() -> None:
    given = [{"service": "ledger"}]
    text = backup_log_settings(SOURCES, "fleet", REPOSITORIES, receivers=given)
    orders, ledger = parse_log_settings(json.loads(text), Place("fleet")).sources
    assert (orders.receiver, ledger.receiver, ledger.receiver_patience_seconds) == ("", "slipway_receiver", 15)
    given = [{"service": "ledger", "name": "far", "patience_seconds": 0}]
    text = backup_log_settings(SOURCES, "fleet", REPOSITORIES, receivers=given)
    _orders, ledger = parse_log_settings(json.loads(text), Place("fleet")).sources
    assert (ledger.receiver, ledger.receiver_patience_seconds) == ("far", 0)


@pytest.mark.parametrize(
    ("sources", "excluded"),
    [([], []), ([{"kind": "volume", "volume": "v"}], []), (SOURCES, ["orders", "ledger"])],
)
def test_nothing_is_followed(sources: list[dict[str, Any]], excluded: list[str]) -> None:
    assert backup_log_settings(sources, "fleet", REPOSITORIES, excluded) == ""


@pytest.mark.parametrize(
    ("sources", "options", "words"),
    [
        ("text", {}, "needs a list of sources, not str"),
        (SOURCES, {"excluded": ["cache"]}, "backup_log_excluded_services: cache: is no database of stack fleet that"),
        (SOURCES, {"receivers": [{"service": "cache"}]}, "backup_log_receivers: cache: is no database of stack fleet"),
        (SOURCES, {"receivers": [{"service": "ledger", "name": "A b"}]}, "sources[2].receiver: 'A b' must be a name"),
        (
            SOURCES,
            {"receivers": [{"service": "orders"}]},
            "only PostgreSQL's commits can wait for a receiver, not",
        ),
        (SOURCES, {"interval_seconds": 0}, "log.interval_seconds: 0.0 must be a number, 0.1 or more"),
        (SOURCES, {"budget_mib": 1}, "log.budget_bytes: 1048576 must be a number, 1.67772e+07 or more"),
        ([{"kind": "postgresql", "service": "a b"}], {}, "sources[0].service: 'a b' is not a name of a service"),
    ],
)
def test_problems_are_ansible_s(sources: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(AnsibleFilterError) as caught:
        backup_log_settings(sources, "fleet", REPOSITORIES, **options)
    assert words in str(caught.value)
