# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup import model
from ansible_collections.slipway.ops.plugins.module_utils._backup.manifest import check_manifest, find_record, shrunk
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError, RefusedError, parse_settings

MAIN = {"name": "main", "url": "/srv/backup"}
MYSQL = {"kind": "mysql", "service": "database"}
VOLUME = {"kind": "volume", "volume": "fleet_uploads"}


def document(**changes: Any) -> dict[str, Any]:
    return {"stack": "fleet", "repositories": [MAIN], "sources": [MYSQL, VOLUME], **changes}


def test_defaults() -> None:
    settings = parse_settings(document(), "backup.json")
    assert settings.repositories == (model.RepositorySettings("main", "/srv/backup", model.Retention(daily=30)),)
    assert settings.sources[0].user == "root"
    assert settings.sources[0].password_variable == "MYSQL_ROOT_PASSWORD"
    assert settings.interval_seconds == 86400


def test_what_a_server_is_logged_in_with_by_default() -> None:
    kinds = ("mysql", "mariadb", "postgresql", "redis")
    settings = parse_settings(document(sources=[{"kind": kind, "service": kind} for kind in kinds]), "backup.json")
    assert [(source.user, source.password_variable) for source in settings.sources] == [
        ("root", "MYSQL_ROOT_PASSWORD"),
        ("root", "MARIADB_ROOT_PASSWORD"),
        ("", "POSTGRES_PASSWORD"),
        ("", ""),
    ]


def test_what_the_stack_says_besides_is_passed_over() -> None:
    remarks = {"name": "database", "stack": "fleet", "volumes": ["fleet_mysql"]}
    assert parse_settings(document(sources=[{**MYSQL, **remarks}]), "x") == parse_settings(
        document(sources=[MYSQL]), "x"
    )


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"stack": "Fleet/.."}, "backup.stack: 'Fleet/..' is not a valid name"),
        ({"repositories": []}, "repositories: is empty"),
        ({"repositories": ["/srv"]}, "repositories[0]: must be a mapping"),
        ({"repositories": [{"name": "main"}]}, "repositories[0].url: is missing"),
        ({"repositories": [{"name": "../x", "url": "/r"}]}, "repositories[0].name: '../x' is not a valid name"),
        ({"repositories": [MAIN, {**MAIN, "url": "/r"}]}, "repositories[1].name: main is the name of another one"),
        ({"repositories": [MAIN, {**MAIN, "name": "b"}]}, "repositories[1].url: /srv/backup is the address of main"),
        ({"repositories": [{**MAIN, "pasword": "x"}]}, "repositories[0]: pasword not known"),
        ({"repositories": [{**MAIN, "options": "a=b"}]}, "repositories[0].options: must be a list of texts"),
        ({"repositories": [{**MAIN, "append_only": True}]}, "root can remove what is on the host's own disk"),
        ({"repositories": [{**MAIN, "download_limit_kib": -1}]}, "repositories[0].download_limit_kib: -1"),
        (
            {
                "repositories": [
                    {"name": "a", "url": "sftp:a:/r", "options": ["sftp.command=ssh -p 1"]},
                    {"name": "b", "url": "sftp:b:/r"},
                ]
            },
            "repositories[1].options: restic takes only one set for two SFTP repositories",
        ),
        ({"sources": []}, "sources: is empty"),
        ({"sources": ["x"]}, "sources[0]: must be a mapping"),
        (
            {"sources": [{"kind": "tape"}]},
            "sources[0].kind: 'tape' is not known; use one of file, host_dump, mariadb, mysql, postgresql, redis,"
            " volume",
        ),
        ({"sources": [{"kind": "redis"}]}, "sources[0].service: None is not a valid name"),
        ({"sources": [{"kind": "postgresql"}]}, "sources[0].service: None is not a valid name"),
        (
            {"sources": [{"kind": "postgresql", "service": "db", "database": "shop"}]},
            "sources[0]: database not known for kind postgresql; it takes dump, password_variable, service, user",
        ),
        ({"sources": [{**VOLUME, "path": "/x"}]}, "sources[0]: path not known for kind volume; it takes volume"),
        ({"sources": [VOLUME, VOLUME]}, "sources[1]: volume fleet_uploads is listed twice"),
        ({"sources": [{"kind": "volume", "volume": "../etc"}]}, "sources[0].volume: '../etc' is not a valid name"),
        ({"sources": [{"kind": "file", "path": "etc"}]}, "sources[0].path: 'etc' is not a valid name"),
        ({"sources": [{**MYSQL, "password_variable": "A;B"}]}, "sources[0].password_variable: 'A;B'"),
        ({"sources": [{**MYSQL, "user": "a'b"}]}, 'sources[0].user: "a\'b"'),
        ({"sources": [{**MYSQL, "database": "shop"}]}, "sources[0]: database not known for kind mysql"),
        ({"repositories": [{**MAIN, "retention": {"daily": -1}}]}, "repositories[0].retention.daily: -1 must be"),
        ({"repositories": [{**MAIN, "retention": {"daily": 0}}]}, "repositories[0].retention: keeps nothing"),
        ({"repositories": [{**MAIN, "retention": {"hourly": 1}}]}, "repositories[0].retention: must be a mapping"),
        ({"interval_seconds": True}, "interval_seconds: True must be a whole number"),
    ],
)
def test_problems_name_their_place(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(RefusedError) as caught:
        parse_settings(document(**changes), "backup.json")
    assert str(caught.value).startswith("backup.json: ")
    assert problem in str(caught.value)


def test_all_problems_are_said_at_once() -> None:
    with pytest.raises(RefusedError) as caught:
        parse_settings({"stack": "", "sources": [{"kind": "x"}, {"kind": "y"}]}, "f")
    assert str(caught.value).count(";") >= 4
    with pytest.raises(RefusedError, match="must hold a mapping"):
        parse_settings([], "f")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("/srv/backup", "/srv/backup"),
        ("sftp:user@host:/srv", "sftp:user@host:/srv"),
        ("s3:https://s3.example.com/b", "s3:https://s3.example.com/b"),
        ("rest:https://user:secret@host:8000/x", "rest:https://user@host:8000/x"),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, shown: str) -> None:
    assert model.public_url(url) == shown


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (1536, "1.5 KiB"), (5 << 30, "5.0 GiB"), (3 << 40, "3.0 TiB")])
def test_sizes(count: int, text: str) -> None:
    assert model.human_bytes(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (-3, "0 s"), (61, "1 min 1 s"), (3600, "1 h"), (90061, "1 d 1 h")]
)
def test_durations(seconds: float, text: str) -> None:
    assert model.human_seconds(seconds) == text


GOOD = {"kind": "mysql", "rows": 100, "databases": {"d": {"rows": 100}}, "bytes": 5 << 20}


@pytest.mark.parametrize(
    ("before", "now", "doubts"),
    [
        pytest.param(None, {**GOOD, "rows": 0}, 0, id="the first one may be empty"),
        pytest.param(GOOD, GOOD, 0, id="the same"),
        pytest.param(GOOD, {**GOOD, "rows": 0, "databases": {"d": {"rows": 0}}}, 1, id="no row any more"),
        pytest.param(GOOD, {**GOOD, "rows": 0, "databases": {}}, 2, id="no database any more"),
        pytest.param(GOOD, {**GOOD, "rows": 1, "bytes": 1 << 18}, 1, id="a tenth"),
        pytest.param({**GOOD, "bytes": 1000}, {**GOOD, "bytes": 10}, 0, id="small ones may shrink"),
        pytest.param({"files": 3}, {"files": 0}, 1, id="no file any more"),
    ],
)
def test_a_point_that_lost_much_is_doubted(before: dict[str, Any] | None, now: dict[str, Any], doubts: int) -> None:
    assert len(shrunk(before, now, "x")) == doubts


def test_the_same_source_is_found_again() -> None:
    manifest = {"sources": [{"kind": "volume", "volume": "a", "path": "/x"}, {**GOOD, "path": "/y"}]}
    assert find_record(manifest, {**GOOD, "path": "/y", "rows": 1}) == {**GOOD, "path": "/y"}
    assert find_record(manifest, {"kind": "volume", "volume": "b", "path": "/x"}) is None
    assert find_record(None, GOOD) is None


def test_a_manifest_must_be_the_point_s_own() -> None:
    good = {"format": 1, "stack": "fleet", "point": "p", "sources": []}
    assert check_manifest(good, "fleet", "p") == good
    for wrong in ([], {**good, "format": 2}, {**good, "point": "q"}, {**good, "stack": "other"}):
        with pytest.raises(BackupError):
            check_manifest(wrong, "fleet", "p")


def test_drills_and_promises() -> None:
    smoke = {"service": "application", "command": ["php", "artisan", "health"], "timeout_seconds": 60}
    document = {
        "stack": "fleet",
        "repositories": [MAIN],
        "sources": [{"kind": "volume", "volume": "v"}],
        "drill": {"interval_seconds": 604800, "tries": 3, "cpus": 1.5, "smoke": smoke},
        "promises": {"rto_seconds": 14400, "rpo_seconds": 900},
    }
    settings = model.parse_settings(document, "backup.json")
    assert settings.drill.as_dict() == document["drill"]
    assert vars(settings.promises) == document["promises"]
    bare = {name: value for name, value in document.items() if name not in ("drill", "promises")}
    settings = model.parse_settings(bare, "backup.json")
    assert (settings.drill, settings.promises) == (model.DrillSettings(), model.Promises())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"drill": []}, "drill: must be a mapping"),
        ({"drill": {"interval_seconds": -1}}, "drill.interval_seconds: -1"),
        ({"drill": {"cpus": "all"}}, "drill.cpus: 'all'"),
        ({"drill": {"smoke": {"service": "a"}}}, "must have a service and a command"),
        ({"drill": {"smoke": {"service": "a", "command": "php artisan"}}}, "must have a service and a command"),
        ({"drill": {"smoke": {"service": "a", "command": [1]}}}, "must be a list of words"),
        ({"drill": {"smoke": {"service": "-x", "command": ["x"]}}}, "drill.smoke.service"),
        ({"promises": 3}, "promises: must be a mapping"),
        ({"promises": {"rto_seconds": "4h"}}, "promises.rto_seconds: '4h'"),
    ],
)
def test_wrong_drills_and_promises(changes: dict[str, Any], words: str) -> None:
    document = {"stack": "fleet", "repositories": [MAIN], "sources": [{"kind": "volume", "volume": "v"}]}
    with pytest.raises(RefusedError, match=re.escape(words)):
        model.parse_settings({**document, **changes}, "backup.json")
