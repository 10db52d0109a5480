# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.filter.receiver_settings import FilterModule
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import Place
from ansible_collections.slipway.ops.plugins.module_utils._log.settings import Remote, parse_log_settings

receiver_settings = FilterModule().filters()["receiver_settings"]
DIRECTORY = "/etc/slipway/backup/fleet"
REPOSITORIES = [{"name": "main", "url": "s3:https://h/b", "password": "geheim", "ca_file": "ca.pem", "s3_region": "r"}]
DATABASE = {
    "service": "database",
    "address": "10.0.0.1",
    "image": "postgres:17",
    "name": "far",
    "user": "receiver",
    "password": "p",
}


def settings(files: list[dict[str, Any]]) -> Any:
    return parse_log_settings(json.loads(files[0]["content"]), Place("fleet"))


def test_what_it_writes_the_host_program_reads() -> None:
    files = receiver_settings([DATABASE], "fleet", REPOSITORIES, DIRECTORY, interval_seconds=0.5, reserve_mib=64)
    assert [file["path"] for file in files] == [f"{DIRECTORY}/log.json", f"{DIRECTORY}/receiver/database.password"]
    assert {file["mode"] for file in files} == {"0600"}
    assert (files[1]["content"], files[1]["secret"]) == ("p\n", True)
    found = settings(files)
    (source,) = found.sources
    assert (source.kind, source.service, source.user) == ("postgresql", "database", "receiver")
    assert source.remote == Remote("10.0.0.1", "postgres:17", f"{DIRECTORY}/receiver/database.password", "far", 5432)
    assert found.repositories[0].ca_file == f"{DIRECTORY}/repositories/main/ca.pem"
    # The server's own host removes what is superfluous.
    assert (found.interval_seconds, found.reserve_bytes, found.tidy) == (0.5, 64 << 20, False)
    assert "geheim" not in files[0]["content"]


def test_an_authority_of_the_server_s_own() -> None:
    database = {**DATABASE, "port": 6432, "ca_file": "database.pem"}
    files = receiver_settings([database], "fleet", REPOSITORIES, DIRECTORY, {"database.pem": "PEM"})
    assert files[2] == {"path": f"{DIRECTORY}/receiver/database.pem", "content": "PEM\n"}
    remote = settings(files).sources[0].remote
    assert (remote.port, remote.ca_file) == (6432, f"{DIRECTORY}/receiver/database.pem")


@pytest.mark.parametrize(
    ("databases", "words"),
    [
        ("text", "receiver_databases: must name at least one database"),
        ([], "receiver_databases: must name at least one database"),
        ([{**DATABASE, "address": "a b"}], "sources[0].remote.address: 'a b' is not an address or a host's name"),
        ([{**DATABASE, "image": "-x"}], "sources[0].remote.image: '-x' is not an image"),
        ([{**DATABASE, "name": "A"}], "sources[0].remote.name: 'A' is not a name of small letters"),
        ([{**DATABASE, "port": 0}], "sources[0].remote.port: 0 is not a port"),
        ([{**DATABASE, "user": ""}], "is of kind postgresql, and has a user"),
    ],
)
def test_problems_are_ansible_s(databases: Any, words: str) -> None:
    with pytest.raises(AnsibleFilterError) as caught:
        receiver_settings(databases, "fleet", REPOSITORIES, DIRECTORY)
    assert words in str(caught.value)
