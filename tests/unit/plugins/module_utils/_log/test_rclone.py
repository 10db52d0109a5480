# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import RefusedError
from ansible_collections.slipway.ops.plugins.module_utils._log import rclone
from ansible_collections.slipway.ops.plugins.module_utils._log.model import Lineage, Piece, Stream

REPOSITORY = rclone.LogRepository("main", "s3:https://s3.example.com/bucket/prefix", "/p", "/e")
KEYS = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "verysecret"}
PIECE = Piece(Stream(Lineage("fleet", "database", "77"), "binlog.000001"), 0, 10)
SSH = rclone.Ssh("backup.example.com", 2222, "keeper", ("/root/.ssh/id_ed25519",), ("/root/.ssh/known_hosts",))


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("/srv/repo", rclone.Address("local", "/srv/repo")),
        ("local:/srv/repo", rclone.Address("local", "/srv/repo")),
        ("sftp:keeper@host:/srv/repo", rclone.Address("sftp", "/srv/repo", user="keeper", host="host")),
        ("sftp:host:repo", rclone.Address("sftp", "repo", host="host")),
        ("sftp://keeper@host:2222//srv/repo", rclone.Address("sftp", "/srv/repo", "", "keeper", "host", 2222)),
        ("sftp://host/repo", rclone.Address("sftp", "repo", host="host")),
        (
            "s3:https://s3.example.com/bucket/prefix/",
            rclone.Address("s3", "bucket/prefix", "https://s3.example.com", host="s3.example.com"),
        ),
        ("s3:http://s3.lab:7480/b", rclone.Address("s3", "b", "http://s3.lab:7480", host="s3.lab")),
        (
            "s3:s3.eu-west-1.amazonaws.com/b",
            rclone.Address("s3", "b", "https://s3.eu-west-1.amazonaws.com", host="s3.eu-west-1.amazonaws.com"),
        ),
        ("s3://s3.example.com/b", rclone.Address("s3", "b", "https://s3.example.com", host="s3.example.com")),
    ],
)
def test_addresses(url: str, address: rclone.Address) -> None:
    assert rclone.parse_address(url) == address


@pytest.mark.parametrize(
    "url", ["rest:https://u:secret@h/", "b2:bucket", "relative", "s3:https://host", "sftp:host", ""]
)
def test_what_cannot_hold_a_log(url: str) -> None:
    with pytest.raises(RefusedError, match="a log cannot be kept there; give a path") as error:
        rclone.parse_address(url)
    assert "secret" not in str(error.value)


def variables(environment: dict[str, str], remote: str) -> dict[str, str]:
    prefix = f"RCLONE_CONFIG_{remote.upper()}_"
    return {key[len(prefix) :]: value for key, value in environment.items() if key.startswith(prefix)}


def test_an_s3_repository() -> None:
    found = rclone.environment(REPOSITORY, {**KEYS, "AWS_CA_BUNDLE": "/x", "https_proxy": "http://p"}, "obscured")
    assert variables(found, rclone.BASE) == {
        "TYPE": "s3",
        "PROVIDER": "Other",
        "FORCE_PATH_STYLE": "true",
        "NO_CHECK_BUCKET": "true",
        "NO_HEAD": "true",
        "ENV_AUTH": "false",
        "ENDPOINT": "https://s3.example.com",
        "ACCESS_KEY_ID": "id",
        "SECRET_ACCESS_KEY": "verysecret",
    }
    assert variables(found, rclone.REMOTE) == {
        "TYPE": "crypt",
        "REMOTE": "slipwaybase:bucket/prefix/slipway-log",
        "PASSWORD": "obscured",
        "FILENAME_ENCRYPTION": "off",
        "DIRECTORY_NAME_ENCRYPTION": "false",
    }
    # rclone refuses to start with it; the CA comes by its own setting.
    assert "AWS_CA_BUNDLE" not in found
    assert found["https_proxy"] == "http://p"


@pytest.mark.parametrize(
    ("url", "options", "region", "expected"),
    [
        (
            "s3:s3.eu-west-1.amazonaws.com/b",
            (),
            "",
            {"PROVIDER": "AWS", "FORCE_PATH_STYLE": "false", "REGION": "eu-west-1"},
        ),
        (
            "s3:https://s3.amazonaws.com/b",
            (),
            "eu-west-3",
            {"PROVIDER": "AWS", "REGION": "eu-west-3", "ENDPOINT": None},
        ),
        ("s3:https://s3.example.com/b", ("s3.bucket-lookup=dns",), "", {"FORCE_PATH_STYLE": "false", "REGION": None}),
        ("s3:s3.eu-west-1.amazonaws.com/b", ("s3.bucket-lookup=path",), "", {"FORCE_PATH_STYLE": "true"}),
        ("s3:https://h/b", ("s3.region=r", "s3.list-objects-v1=true"), "other", {"REGION": "r", "LIST_VERSION": "1"}),
        ("s3:https://h/b", ("s3.storage-class=STANDARD_IA",), "", {"STORAGE_CLASS": "STANDARD_IA"}),
    ],
)
def test_kinds_of_s3(url: str, options: tuple[str, ...], region: str, expected: dict[str, str | None]) -> None:
    credentials = {**KEYS, **({"AWS_DEFAULT_REGION": region} if region else {})}
    found = variables(rclone.environment(replace(REPOSITORY, url=url, options=options), credentials, "x"), rclone.BASE)
    assert {key: found.get(key) for key in expected} == expected


def test_credentials_of_the_machine_itself() -> None:
    found = variables(rclone.environment(REPOSITORY, {}, "x"), rclone.BASE)
    assert found["ENV_AUTH"] == "true"
    assert "ACCESS_KEY_ID" not in found


def test_a_local_repository() -> None:
    found = rclone.environment(replace(REPOSITORY, url="local:/srv/re po/", ca_file="/ca.pem"), {}, "x")
    assert variables(found, rclone.BASE) == {"TYPE": "local"}
    assert variables(found, rclone.REMOTE)["REMOTE"] == "slipwaybase:/srv/re po/slipway-log"
    assert found["RCLONE_CA_CERT"] == "/ca.pem"
    assert rclone.local_object(rclone.parse_address("/srv/r/"), PIECE.path) == f"/srv/r/slipway-log/{PIECE.path}.bin"


def test_an_sftp_repository() -> None:
    repository = replace(REPOSITORY, url="sftp:backup:/srv/repo", upload_limit_kib=100)
    found = rclone.environment(repository, {}, "x", SSH, "/root/.ssh/id_ed25519", "/state/known_hosts")
    assert variables(found, rclone.BASE) == {
        "TYPE": "sftp",
        "HOST": "backup.example.com",
        "PORT": "2222",
        "USER": "keeper",
        "KEY_FILE": "/root/.ssh/id_ed25519",
        "KNOWN_HOSTS_FILE": "/state/known_hosts",
        "SHELL_TYPE": "none",
        "DISABLE_HASHCHECK": "true",
    }
    assert found["RCLONE_BWLIMIT"] == "100k:off"
    with pytest.raises(RefusedError, match=r"sftp.args: cannot be used with logs; .*ssh/config"):
        rclone.environment(replace(repository, options=("sftp.args=-p 1",)), {}, "x", SSH)
    with pytest.raises(ValueError, match="what ssh says"):
        rclone.environment(repository, {}, "x")


def test_what_ssh_says() -> None:
    text = (
        "user keeper\nhostname backup.example.com\nport 2222\nidentityfile ~/.ssh/id_rsa\nidentityfile /k/id\n"
        "globalknownhostsfile /etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2\n"
        "userknownhostsfile /root/.ssh/known_hosts none\n"
    )
    found = rclone.parse_ssh(text)
    assert (found.host, found.port, found.user) == ("backup.example.com", 2222, "keeper")
    assert found.identities == ("/root/.ssh/id_rsa", "/k/id")
    assert found.known_hosts == (
        "/root/.ssh/known_hosts",
        "/etc/ssh/ssh_known_hosts",
        "/etc/ssh/ssh_known_hosts2",
    )
    address = rclone.parse_address("sftp://keeper@backup:2222//srv/repo")
    assert rclone.ssh_question(address) == ["ssh", "-G", "-p", "2222", "keeper@backup"]
    learning = rclone.ssh_learning(rclone.parse_address("sftp:backup:/srv"), "/state/known_hosts")
    assert learning[-3:] == ["-s", "backup", "sftp"]
    assert "UserKnownHostsFile=/state/known_hosts" in learning
    assert "StrictHostKeyChecking=yes" in learning


def test_no_secret_stands_on_a_command_line() -> None:
    commands = [
        rclone.obscure(),
        rclone.listing("fleet"),
        rclone.directories("fleet"),
        rclone.fetch("/x"),
        rclone.delete(),
        rclone.read(PIECE),
        rclone.daemon(),
    ]
    for command in commands:
        assert not [word for word in command if "secret" in word or "pass" in word or "s3:" in word]
    assert rclone.listing("fleet/database")[-1] == "slipwaylog:fleet/database"
    assert rclone.daemon()[:4] == ["setpriv", "--pdeathsig", "KILL", "rclone"]


def test_what_exists_is_never_overwritten() -> None:
    body = rclone.send_request("/out", "/list")
    assert body["_config"] == {"Immutable": True, "SizeOnly": True, "NoTraverse": True, "Retries": 1}
    assert (body["srcFs"], body["dstFs"]) == ("/out", "slipwaylog:")


def test_a_listing_is_objects_and_their_sizes() -> None:
    text = f"44;{PIECE.path}\n12;fleet/database/77/x/strange\nnonsense\n-1;{PIECE.stream.path}/whole-000000000010.gz\n"
    found = rclone.parse_listing(text)
    assert [(piece.name, piece.stored) for piece in found] == [(PIECE.name, 44), ("whole-000000000010.gz", -1)]
    below = rclone.parse_listing(f"44;77/binlog.000001/{PIECE.name}\n", "fleet/database/")
    assert below == [PIECE]


def test_credentials_are_lines() -> None:
    assert rclone.parse_credentials("# note\nA=b=c\n\n B = d \nnothing\n") == {"A": "b=c", "B": "d"}


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        (
            "Failed to lsf with 2 errors: last error was: error in ListJSON: SignatureDoesNotMatch: \n",
            "secret is wrong",
        ),
        ("InvalidAccessKeyId: \n\tstatus code: 403", "access key is not known"),
        ("Failed to copy: NoSuchBucket: \n\tstatus code: 404, request id: tx0", "no such bucket"),
        ("AccessDenied: Access Denied\n\tstatus code: 403", "check the key's rights"),
        ("dial tcp 127.0.0.1:9: connect: connection refused", "nothing answers"),
        ("dial tcp: lookup nowhere.invalid on 10.0.0.1:53: no such host", "does not resolve"),
        ("RequestError: send request failed\ncaused by: dial tcp 10.0.0.1:443: i/o timeout", "does not answer"),
        ("\nended by the limit of 60 s", "does not answer"),
        ("http: server gave HTTP response to HTTPS client", "write http://"),
        ("tls: failed to verify certificate: x509: certificate signed by unknown authority", "name its CA file"),
        ("couldn't connect SSH: ssh: handshake failed: knownhosts: key is unknown", "add it to root's known_hosts"),
        ("ssh: handshake failed: knownhosts: key mismatch", "another one than root's known_hosts says"),
        ("ssh: unable to authenticate, attempted methods [none publickey]", "SSH refuses the login"),
        ("failed to read private key file: open /root/.ssh/id: no such file", "SSH key cannot be read"),
        ("ERROR : a/b: Failed to copy: mkdir /x: read-only file system", "is read-only"),
        ("preallocate: file too big for remaining disk space", "disk is full"),
        ("write /srv/x: no space left on device", "disk is full"),
        ('Put mkParentDir failed: mkdir "/srv/other" failed: permission denied', "check owner and rights"),
        ("Failed to open: file is too short to be encrypted", "cannot be decrypted"),
        (
            "2026/11/22 01:57:53 ERROR : x\n2026/11/22 01:57:53 Failed to copy: something new\n",
            "send the log: Failed to copy: something new",
        ),
        ("", "failed and said nothing"),
    ],
)
def test_complaints_become_one_line_with_a_remedy(text: str, remedy: str) -> None:
    error = str(rclone.explain(REPOSITORY, "send the log", text))
    assert error.startswith("repository s3:https://s3.example.com/bucket/prefix: send the log: ")
    assert remedy in error
    assert "\n" not in error
