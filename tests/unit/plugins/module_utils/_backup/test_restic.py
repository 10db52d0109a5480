# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup import restic
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    BackupError,
    Catalogue,
    RepositoryError,
    RepositoryMissing,
    RepositorySettings,
)
from ansible_collections.slipway.ops.plugins.module_utils._log.rclone import parse_credentials

SETTINGS = RepositorySettings("main", "s3:https://s3.example.com/bucket")


def test_secrets_go_through_the_environment_alone() -> None:
    secrets = parse_credentials("# keys\nAWS_ACCESS_KEY_ID=id\nAWS_SECRET_ACCESS_KEY=a=b\n\n")
    environment = restic.environment(SETTINGS, "/etc/x/password", "/cache", secrets)
    assert environment["AWS_SECRET_ACCESS_KEY"] == "a=b"
    assert environment["RESTIC_REPOSITORY"] == SETTINGS.url
    assert environment["RESTIC_PASSWORD_FILE"] == "/etc/x/password"
    for command in (
        restic.backup(SETTINGS, "fleet", "p", "manual", ["/x"]),
        restic.snapshots(SETTINGS, "fleet"),
        restic.forget(SETTINGS, ["id"]),
    ):
        assert not [word for word in command if "password" in word or "s3:" in word]


def test_a_snapshot_bears_the_stack_s_name_not_the_machine_s() -> None:
    command = restic.backup(SETTINGS, "fleet", "20260102T020000Z", "scheduled", ["/a", "/b"])
    assert command == [
        *("restic", "backup", "--json", "--host", "fleet"),
        *("--tag", "slipway,point:20260102T020000Z,kind:scheduled", "--", "/a", "/b"),
    ]


def test_options_limit_and_authority() -> None:
    settings = RepositorySettings(
        *("main", "x"),
        options=("s3.bucket-lookup=path",),
        ca_file="/ca.pem",
        upload_limit_kib=100,
        download_limit_kib=7,
    )
    assert restic.backup(settings, "fleet", "p", "manual", ["/a"]) == [
        *("restic", "--option", "s3.bucket-lookup=path", "--cacert", "/ca.pem"),
        *("--limit-upload", "100", "--limit-download", "7", "backup", "--json", "--host", "fleet"),
        *("--tag", "slipway,point:p,kind:manual", "--", "/a"),
    ]


def test_forgetting_needs_names() -> None:
    with pytest.raises(ValueError, match="no snapshot"):
        restic.forget(SETTINGS, [])


def snapshot(number: int, *tags: str) -> dict[str, Any]:
    return {"id": f"id{number}", "time": "2026-01-01T00:00:00Z", "tags": list(tags)}


def test_points_are_what_bears_our_tags() -> None:
    text = json.dumps(
        [
            snapshot(1, "slipway", "point:20260102T020000Z", "kind:scheduled"),
            snapshot(2, "slipway-verified", "point:20260102T020000Z"),
            snapshot(3, "slipway", "point:20260101T020000Z", "kind:strange"),
            snapshot(4, "slipway", "point:nonsense"),
            snapshot(5, "other"),
            {"id": "id6", "tags": None},
            snapshot(7, "slipway-verified", "point:20260103T020000Z"),
            snapshot(8, "slipway-part", "point:20260102T020000Z", "part:mysql-db"),
            snapshot(9, "slipway-part", "point:20260102T020000Z", "part:postgresql-db"),
            snapshot(10, "slipway-part", "point:20260104T020000Z", "part:mysql-db"),
            snapshot(11, "slipway-part", "point:20260103T020000Z", "part:mysql-db"),
            snapshot(12, "slipway-part", "point:20260102T020000Z"),
        ]
    )
    found = restic.parse_snapshots(text)
    points = found.points
    assert [(point.name, point.kind, point.snapshot, point.verified, point.evidence) for point in points] == [
        ("20260101T020000Z", "manual", "id3", False, ()),
        ("20260102T020000Z", "scheduled", "id1", True, ("id2",)),
    ]
    assert [(part.key, part.snapshot) for part in points[1].parts] == [("mysql-db", "id8"), ("postgresql-db", "id9")]
    assert [(orphan.point, orphan.key, orphan.snapshot, orphan.proved) for orphan in found.orphans] == [
        ("20260103T020000Z", "mysql-db", "id11", True),
        ("20260104T020000Z", "mysql-db", "id10", False),
    ]
    assert restic.parse_snapshots("null") == Catalogue()
    assert restic.parse_snapshots("") == Catalogue()


@pytest.mark.parametrize(
    ("complaints", "whole"),
    [
        ("", True),
        ("unable to open cache: mkdir /x: read-only file system\n", True),
        ('Ignoring "3cf99567": could not load snapshot 3cf99567: ciphertext verification failed\n', False),
        ("could not load snapshot 3cf99567: unexpected EOF\n", False),
    ],
)
def test_whether_a_list_is_whole(complaints: str, whole: bool) -> None:
    assert restic.parse_snapshots("[]", complaints).whole is whole


def test_a_part_is_what_comes_on_stdin() -> None:
    settings = RepositorySettings("main", "x", upload_limit_kib=100)
    assert restic.part(settings, "fleet", "20260102T020000Z", "mysql-db", "mysql-db.sql") == [
        *(
            "restic",
            "--limit-upload",
            "100",
            "backup",
            "--json",
            "--host",
            "fleet",
            "--tag",
            "slipway-part,point:20260102T020000Z,part:mysql-db",
        ),
        *("--stdin", "--stdin-filename", "mysql-db.sql"),
    ]


def test_a_backup_without_its_summary_is_not_believed() -> None:
    with pytest.raises(BackupError, match="ended without its summary"):
        restic.summary(restic.parse_messages(['{"message_type":"status"}', "noise", "{broken"]))
    assert restic.summary(restic.parse_messages(['{"message_type":"summary","snapshot_id":"x"}']))["snapshot_id"] == "x"


@pytest.mark.parametrize(
    ("stderr", "vanished"),
    [
        ('{"message_type":"error","error":{"Op":"lstat","Path":"/a","Err":2},"item":"/a"}\n', False),
        ('{"message_type":"error","error":{"message":"lstat /a: no such file or directory"},"item":"/a"}\n', True),
        ("error: lstat /a: no such file or directory\n", True),
        ("error: open /a: permission denied\nerror: lstat /b: no such file or directory\n", False),
        ("Warning: at least one source file could not be read\n", False),
        ("", False),
    ],
)
def test_only_files_that_went_may_be_missing(stderr: str, vanished: bool) -> None:
    assert restic.vanished_only(stderr) is vanished


@pytest.mark.parametrize(
    ("stderr", "kind", "text"),
    [
        pytest.param(
            "Fatal: wrong password or no key found\n",
            RepositoryError,
            "the repository's password is wrong",
            id="password",
        ),
        pytest.param(
            "Fatal: unable to open config file: stat /r/config: no such file or directory\n"
            "Is there a repository at the following location?\n/r\n",
            RepositoryMissing,
            "there is no repository yet",
            id="missing, local",
        ),
        pytest.param(
            "Fatal: repository does not exist: unable to open config file: stat /r/config: no such file or directory",
            RepositoryMissing,
            "there is no repository yet",
            id="missing, 0.18",
        ),
        pytest.param(
            "Stat(<config/>) returned error, retrying after 1s: Stat: The specified bucket does not exist.\n",
            RepositoryMissing,
            "there is no repository yet",
            id="missing bucket",
        ),
        pytest.param(
            "Stat: The Access Key Id you provided does not exist in our records.", RepositoryError, "access key"
        ),
        pytest.param(
            "Stat: The access key ID you provided does not exist in our records.", RepositoryError, "access key"
        ),
        pytest.param("user@host: Permission denied (publickey).", RepositoryError, "SSH refuses the login"),
        pytest.param("Stat: The request signature we calculated does not match", RepositoryError, "S3 secret is wrong"),
        pytest.param(
            "Get http://x: dial tcp 1.2.3.4:80: connect: connection refused", RepositoryError, "nothing answers"
        ),
        pytest.param("dial tcp: lookup s3.lab: no such host", RepositoryError, "does not resolve"),
        pytest.param("\nended by the limit of 60 s", RepositoryError, "does not answer"),
        pytest.param("write /r/tmp: no space left on device", RepositoryError, "disk is full"),
        pytest.param("unable to create lock: repository is already locked by PID 1", RepositoryError, "restic unlock"),
        pytest.param("noise\nFatal: something new\n", RepositoryError, "Fatal: something new"),
        pytest.param("", RepositoryError, "restic was killed"),
    ],
)
def test_complaints_become_one_line_with_a_remedy(stderr: str, kind: type[BackupError], text: str) -> None:
    error = restic.explain(SETTINGS, "open", stderr)
    assert error.__class__ is kind
    assert str(error).startswith("repository s3:https://s3.example.com/bucket: open: ")
    assert text in str(error)
    assert "\n" not in str(error)
