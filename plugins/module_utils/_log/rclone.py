# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rclone's command lines, environment and complaints, for rclone 1.60 (Debian 12 and 13). Nothing here runs anything.

The logs of a repository lie beside restic's own files, in `slipway-log/` below the repository's address, behind a
remote of the kind crypt: the contents are encrypted with the repository's password, the names are plain. All that
rclone must know it learns from its environment, so that no secret stands on a command line or in a file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError, RefusedError, public_url
from ansible_collections.slipway.ops.plugins.module_utils._log.model import DIRECTORY, Piece, parse_piece

REMOTE = "slipwaylog"
BASE = "slipwaybase"
LOCAL, SFTP, S3 = "local", "sftp", "s3"
# With plain names rclone's crypt adds this to each of them.
SUFFIX = ".bin"
# What a listing gives for a directory that is not there.
EXIT_NO_DIRECTORY = 3
IMMUTABLE = "immutable file modified"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_AMAZON = re.compile(r"s3[.-](?:(?:dualstack|fips)[.-])?(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?\Z")


@dataclass(frozen=True)
class LogRepository:
    """Where logs are kept: a repository of the stack's backups. `name` is a directory's name below `outgoing/`."""

    name: str
    url: str
    password_file: str
    environment_file: str = ""
    options: tuple[str, ...] = ()
    ca_file: str = ""
    upload_limit_kib: int = 0
    append_only: bool = False


@dataclass(frozen=True)
class Address:
    """A repository's address, taken apart."""

    kind: str
    path: str
    endpoint: str = ""
    user: str = ""
    host: str = ""
    port: int = 0

    @property
    def ssh_target(self) -> str:
        """What the program ssh is called with."""
        return f"{self.user}@{self.host}" if self.user else self.host


def parse_address(url: str) -> Address:
    """An address as restic takes it."""
    if url.startswith("/") or url.startswith("local:/"):
        return Address(LOCAL, url[len("local:") :] if url.startswith("local:") else url)
    if url.startswith("sftp://"):
        parts = urlsplit(url)
        if parts.hostname and len(parts.path) > 1:
            path = unquote(parts.path[1:])
            return Address(SFTP, path, user=unquote(parts.username or ""), host=parts.hostname, port=parts.port or 0)
    elif url.startswith("sftp:"):
        target, _colon, path = url[len("sftp:") :].partition(":")
        user, at, host = target.rpartition("@")
        if host and path:
            return Address(SFTP, path, user=user if at else "", host=host)
    elif url.startswith("s3:"):
        rest = url[len("s3:") :]
        if not rest.startswith(("http://", "https://")):
            rest = "https://" + rest.lstrip("/")
        parts = urlsplit(rest)
        if parts.hostname and parts.path.strip("/"):
            host = parts.netloc.rpartition("@")[2]
            return Address(S3, parts.path.strip("/"), f"{parts.scheme}://{host}", host=parts.hostname)
    raise RefusedError(
        f"repository {public_url(url)}: a log cannot be kept there; give a path on the host, sftp:user@host:/path or"
        " s3:https://host/bucket"
    )


def parse_credentials(text: str) -> dict[str, str]:
    """The lines of the environment file that the role writes."""
    found = {}
    for line in text.splitlines():
        key, separator, value = line.partition("=")
        if separator and not line.lstrip().startswith("#"):
            found[key.strip()] = value.strip()
    return found


def parse_options(options: Sequence[str]) -> dict[str, str]:
    """restic's options; those that say how ssh is called have no counterpart here."""
    found = dict(option.partition("=")[::2] for option in options)
    for name in ("sftp.command", "sftp.args"):
        if name in found:
            raise RefusedError(
                f"repository option {name}: cannot be used with logs; put what it says into root's ~/.ssh/config"
            )
    return found


@dataclass(frozen=True)
class Ssh:
    """What the program ssh would do with an address: from root's own configuration."""

    host: str
    port: int
    user: str
    identities: tuple[str, ...]
    known_hosts: tuple[str, ...]


def ssh_question(address: Address) -> list[str]:
    """Ask ssh what its configuration says of a host; no connection is made."""
    port = ["-p", str(address.port)] if address.port else []
    return ["ssh", "-G", *port, address.ssh_target]


def parse_ssh(text: str, home: str = "/root") -> Ssh:
    """The answer to it."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, _space, value = line.partition(" ")
        found.setdefault(key.lower(), []).append(value.strip())

    def paths(key: str) -> list[str]:
        words = [word for value in found.get(key, []) for word in value.split()]
        return [home + word[1:] if word.startswith("~/") else word for word in words if word.lower() != "none"]

    return Ssh(
        host=found.get("hostname", [""])[0],
        port=int(found.get("port", ["22"])[0]),
        user=found.get("user", ["root"])[0],
        identities=tuple(paths("identityfile")),
        known_hosts=(*paths("userknownhostsfile"), *paths("globalknownhostsfile")),
    )


def ssh_learning(address: Address, known_hosts: str) -> list[str]:
    """Let ssh, which knows one of a server's keys, learn its other ones into a file of ours, proved by the server.

    rclone's ssh asks for another kind of key than OpenSSH does, and takes a server whose key of that kind is not known
    for a wrong one; OpenSSH usually notes only the kind that it uses itself.
    """
    port = ["-p", str(address.port)] if address.port else []
    options = {
        "BatchMode": "yes",
        "UserKnownHostsFile": known_hosts,
        "UpdateHostKeys": "yes",
        "StrictHostKeyChecking": "yes",
        "ConnectTimeout": "10",
    }
    words = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    return ["ssh", *words, *port, "-s", address.ssh_target, "sftp"]


def environment(
    repository: LogRepository,
    credentials: Mapping[str, str],
    obscured_password: str,
    ssh: Ssh | None = None,
    identity: str = "",
    known_hosts: str = "",
) -> dict[str, str]:
    """All that rclone needs to know. `obscured_password` is the repository's password in rclone's own form."""
    address, options = parse_address(repository.url), parse_options(repository.options)
    base: dict[str, str] = {"TYPE": address.kind}
    if address.kind == S3:
        base.update(_s3(address, options, credentials))
    elif address.kind == SFTP:
        if ssh is None:
            raise ValueError("an address of the kind sftp needs what ssh says of it")
        base.update(
            HOST=ssh.host,
            PORT=str(address.port or ssh.port),
            USER=ssh.user,
            KEY_FILE=identity,
            KNOWN_HOSTS_FILE=known_hosts,
            # Nothing is asked of a shell, which may not be there.
            SHELL_TYPE="none",
            DISABLE_HASHCHECK="true",
        )
    crypt = {
        "TYPE": "crypt",
        "REMOTE": f"{BASE}:{address.path.rstrip('/')}/{DIRECTORY}",
        "PASSWORD": obscured_password,
        "FILENAME_ENCRYPTION": "off",
        "DIRECTORY_NAME_ENCRYPTION": "false",
    }
    found = {
        "RCLONE_CONFIG": "/dev/null",
        "RCLONE_CONTIMEOUT": "10s",
        "RCLONE_TIMEOUT": "30s",
        "RCLONE_LOW_LEVEL_RETRIES": "3",
        "RCLONE_RETRIES": "1",
        "RCLONE_STATS": "0",
        "HOME": "/root",
        "PATH": PATH,
        "LC_ALL": "C.UTF-8",
        **{f"RCLONE_CONFIG_{BASE.upper()}_{key}": value for key, value in base.items()},
        **{f"RCLONE_CONFIG_{REMOTE.upper()}_{key}": value for key, value in crypt.items()},
    }
    if repository.ca_file:
        found["RCLONE_CA_CERT"] = repository.ca_file
    if repository.upload_limit_kib:
        found["RCLONE_BWLIMIT"] = f"{repository.upload_limit_kib}k:off"
    for key in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"):
        if key in credentials:
            found[key] = credentials[key]
    return found


def _s3(address: Address, options: Mapping[str, str], credentials: Mapping[str, str]) -> dict[str, str]:
    amazon = _AMAZON.match(address.host)
    global_amazon = address.host == "s3.amazonaws.com"
    region = options.get("s3.region") or credentials.get("AWS_DEFAULT_REGION") or credentials.get("AWS_REGION") or ""
    lookup = options.get("s3.bucket-lookup", "auto")
    found = {
        "PROVIDER": "AWS" if amazon or global_amazon else "Other",
        "FORCE_PATH_STYLE": "false" if lookup == "dns" or (lookup == "auto" and (amazon or global_amazon)) else "true",
        # The bucket is there, as restic's repository is; and a PUT that was answered well needs no second look.
        "NO_CHECK_BUCKET": "true",
        "NO_HEAD": "true",
        "ENV_AUTH": "false" if credentials.get("AWS_ACCESS_KEY_ID") else "true",
    }
    if not global_amazon:
        found["ENDPOINT"] = address.endpoint
    if region or amazon:
        found["REGION"] = region or (amazon["region"] if amazon else "")
    if options.get("s3.list-objects-v1") == "true":
        found["LIST_VERSION"] = "1"
    if options.get("s3.storage-class"):
        found["STORAGE_CLASS"] = options["s3.storage-class"]
    for key, variable in (
        ("ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID"),
        ("SECRET_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY"),
        ("SESSION_TOKEN", "AWS_SESSION_TOKEN"),
    ):
        if credentials.get(variable):
            found[key] = credentials[variable]
    return found


def s3_remote(url: str, options: Sequence[str], credentials: Mapping[str, str]) -> dict[str, str]:
    """The environment in which `BASE:` is an S3 server, for another program that works through rclone."""
    remote = {"TYPE": S3, **_s3(parse_address(url), parse_options(options), credentials)}
    return {f"RCLONE_CONFIG_{BASE.upper()}_{key}": value for key, value in remote.items()}


def obscure() -> list[str]:
    """Bring a password, from stdin, into the form that rclone takes."""
    return ["rclone", "obscure", "-"]


def listing(prefix: str = "") -> list[str]:
    """All objects below a directory, with their sizes."""
    return ["rclone", "lsf", "--recursive", "--files-only", "--format", "sp", "--separator", ";", f"{REMOTE}:{prefix}"]


def directories(prefix: str) -> list[str]:
    """The directories in a directory."""
    return ["rclone", "lsf", "--dirs-only", f"{REMOTE}:{prefix}"]


def fetch(directory: str) -> list[str]:
    """Bring the objects whose paths come by stdin into a directory."""
    options = ["--files-from-raw", "-", "--no-traverse", "--transfers", "16", "--checkers", "16"]
    return ["rclone", "copy", f"{REMOTE}:", directory, *options]


def delete() -> list[str]:
    """Delete the objects whose paths come by stdin: names, never a filter that could match more."""
    return ["rclone", "delete", f"{REMOTE}:", "--files-from-raw", "-", "--no-traverse"]


def read(piece: Piece) -> list[str]:
    """Write an object's content to stdout."""
    return ["rclone", "cat", f"{REMOTE}:{piece.path}"]


def daemon() -> list[str]:
    """A process that sends when it is told to over HTTP on the loopback, so that a chunk costs neither a start of the
    program (0.1 s of CPU, most of it to derive the key) nor a new connection. It goes when its parent does."""
    words = ["rcd", "--rc-addr", "127.0.0.1:0", "--use-json-log", "--log-level", "NOTICE"]
    return ["setpriv", "--pdeathsig", "KILL", "rclone", *words]


def send_request(root: str, list_file: str) -> dict[str, object]:
    """What the daemon is told: copy the objects named in a file. One that exists is never overwritten: it is passed
    over when it has the same size, and complained about when it has not."""
    return {
        "srcFs": root,
        "dstFs": f"{REMOTE}:",
        "_filter": {"FilesFromRaw": [list_file]},
        "_config": {"Immutable": True, "SizeOnly": True, "NoTraverse": True, "Retries": 1},
    }


def stat_request(path: str) -> dict[str, object]:
    return {"fs": f"{REMOTE}:", "remote": path, "opt": {"noModTime": True, "noMimeType": True}}


def delete_request(path: str) -> dict[str, object]:
    return {"fs": f"{REMOTE}:", "remote": path}


def local_object(address: Address, path: str) -> str:
    """The file that an object is in a repository on the host's own disk."""
    return f"{address.path.rstrip('/')}/{DIRECTORY}/{path}{SUFFIX}"


def parse_listing(text: str, prefix: str = "") -> list[Piece]:
    """The objects of a listing; what is none of ours is passed over."""
    found = []
    for line in text.splitlines():
        size, separator, path = line.partition(";")
        if separator and size.lstrip("-").isdigit():
            piece = parse_piece(f"{prefix.rstrip('/')}/{path}" if prefix else path, int(size))
            if piece is not None:
                found.append(piece)
    return found


# An object that is not what was stored. The third is said of one that ends early; of a connection that does, as well.
DAMAGES = (
    *("failed to authenticate decrypted block", "bad password", "unexpected eof"),
    *("not an encrypted file", "too short to be encrypted"),
)
GONE = ("object not found", "directory not found", "nosuchkey")
EXPLANATIONS = (
    (("invalidaccesskeyid", "access key id you provided does not exist"), "the S3 access key is not known there"),
    (("signaturedoesnotmatch",), "the S3 secret is wrong for this access key"),
    (("nosuchbucket", "specified bucket does not exist"), "there is no such bucket; create it or correct the address"),
    (("accessdenied", "access denied", "403 forbidden"), "access is denied; check the key's rights on the bucket"),
    (
        ("knownhosts: key is unknown", "host key verification failed"),
        "the SSH host key is not known; add it to root's known_hosts",
    ),
    (("knownhosts: key mismatch",), "the SSH host key is another one than root's known_hosts says; check that server"),
    (("unable to authenticate", "permission denied (publickey"), "SSH refuses the login; check the key"),
    (
        ("failed to read private key", "failed to parse private key"),
        "root's SSH key cannot be read; it must have no passphrase",
    ),
    (("x509:",), "the server's TLS certificate is not trusted; name its CA file"),
    (("gave http response to https client",), "the server speaks HTTP; write http:// into the address"),
    (("connection refused",), "nothing answers at this address; check the URL and that the server runs"),
    (
        ("no such host", "server misbehaving", "could not resolve hostname"),
        "the host name does not resolve; check the URL",
    ),
    (
        (
            *("i/o timeout", "context deadline exceeded", "no route to host", "network is unreachable"),
            *("ended by the limit", "connection timed out"),
        ),
        "the server does not answer; check the network",
    ),
    (("connection reset", "broken pipe"), "the server ended the connection; look at its log when that goes on"),
    (
        ("no space left on device", "too big for remaining disk space", "disk quota exceeded", "quotaexceeded"),
        "the repository's disk is full; make room there",
    ),
    (("read-only file system",), "the repository's file system is read-only; look at its disk"),
    (("permission denied", "operation not permitted"), "the files cannot be reached; check owner and rights"),
    (DAMAGES, "an object cannot be decrypted: it is damaged, or was written with another password"),
)

# Which of these say that something may not be done, and waiting is of no use.
DENIALS = ("access is denied", "check owner and rights", "is read-only")


def is_damaged(text: str) -> bool:
    """Whether a complaint is about one object and not about the way to it."""
    return any(needle in text.lower() for needle in (*DAMAGES, *GONE))


def explain(repository: LogRepository, attempt: str, text: str) -> BackupError:
    """Turn rclone's complaint into one line that names the repository, the attempt and the remedy."""
    where = f"repository {public_url(repository.url)}: {attempt}"
    said = text.lower()
    for needles, remedy in EXPLANATIONS:
        if any(needle in said for needle in needles):
            return BackupError(f"{where}: {remedy}")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    failed = [line for line in lines if "Failed to" in line] or lines
    if not failed:
        return BackupError(f"{where}: rclone failed and said nothing")
    reason = re.sub(r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\s+", "", failed[-1])
    return BackupError(f"{where}: {reason[:300]}")
