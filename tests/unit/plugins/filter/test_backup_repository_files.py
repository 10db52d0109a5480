# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.filter.backup_repository_files import FilterModule

backup_repository_files = FilterModule().filters()["backup_repository_files"]


def test_each_repository_has_its_own_secrets() -> None:
    repositories = [
        {
            "name": "main",
            "url": "s3:https://h/b",
            "password": "one",
            "s3_access_key_id": "id",
            "s3_secret_access_key": "key",
            "s3_region": "",
            "ca_file": "files/ca.pem",
        },
        {"name": "far", "url": "/r", "password": "two"},
    ]
    found = backup_repository_files(repositories, "/etc/x", {"files/ca.pem": "PEM"})
    assert [item["path"] for item in found["directories"]] == ["/etc/x", "/etc/x/main", "/etc/x/far"]
    assert {item["mode"] for item in found["directories"]} == {"0700"}
    files = {item["path"]: item for item in found["files"]}
    assert files["/etc/x/main/password"] == {
        "path": "/etc/x/main/password",
        "mode": "0600",
        "secret": True,
        "content": "one\n",
    }
    environment = files["/etc/x/main/environment"]
    assert environment["secret"] is True
    assert environment["content"].splitlines()[1:] == ["AWS_ACCESS_KEY_ID=id", "AWS_SECRET_ACCESS_KEY=key"]
    assert files["/etc/x/main/ca.pem"]["content"] == "PEM\n"
    assert "AWS" not in files["/etc/x/far/environment"]["content"]
    assert "/etc/x/far/ca.pem" not in files


def test_a_text_is_no_list() -> None:
    with pytest.raises(AnsibleFilterError, match="needs a list of repositories, not str"):
        backup_repository_files("x", "/etc/x")
