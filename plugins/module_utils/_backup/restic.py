# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""restic's command lines and what its output means, for restic 0.14 (Debian 12) to 0.18. Nothing here runs anything."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    KIND_MANUAL,
    POINT_KINDS,
    POINT_NAME,
    BackupError,
    Place,
    Point,
    RepositoryMissing,
    Settings,
    public_url,
)

TAG = "slipway"
TAG_VERIFIED = "slipway-verified"
EXIT_INCOMPLETE = 3


def environment(settings: Settings, place: Place, credentials: str) -> dict[str, str]:
    """What restic is told through its environment, so that no secret stands on a command line."""
    found = {
        "RESTIC_REPOSITORY": settings.url,
        "RESTIC_PASSWORD_FILE": place.password,
        "RESTIC_CACHE_DIR": place.cache,
        # One progress line a minute: the rest would only fill the journal.
        "RESTIC_PROGRESS_FPS": "0.0166",
        "HOME": "/root",
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C.UTF-8",
    }
    for line in credentials.splitlines():
        key, separator, value = line.partition("=")
        if separator and not line.lstrip().startswith("#"):
            found[key.strip()] = value.strip()
    return found


def arguments(settings: Settings, *words: str) -> list[str]:
    """restic with the options that belong to the repository."""
    command = ["restic"]
    for option in settings.options:
        command += ["--option", option]
    if settings.ca_file:
        command += ["--cacert", settings.ca_file]
    return [*command, *words]


def backup(settings: Settings, point: str, kind: str, paths: Sequence[str]) -> list[str]:
    """Store the paths as one snapshot. It bears the stack's name as its host: a machine's own name may change."""
    limit = ["--limit-upload", str(settings.upload_limit_kib)] if settings.upload_limit_kib else []
    tags = ["--tag", ",".join([TAG, f"point:{point}", f"kind:{kind}"])]
    return arguments(settings, "backup", "--json", "--host", settings.stack, *tags, *limit, "--", *paths)


def evidence(settings: Settings, point: str, file_name: str) -> list[str]:
    """Store the proof that a point was read back, beside it: nothing is rewritten, so add-only credentials suffice."""
    tags = ["--tag", f"{TAG_VERIFIED},point:{point}"]
    return arguments(
        settings, "backup", "--json", "--host", settings.stack, *tags, "--stdin", "--stdin-filename", file_name
    )


def snapshots(settings: Settings) -> list[str]:
    return arguments(settings, "snapshots", "--json", "--no-lock", "--host", settings.stack)


def forget(settings: Settings, snapshot_ids: Sequence[str]) -> list[str]:
    """Remove exactly these snapshots: names, never a filter, which could match more than was meant."""
    if not snapshot_ids:
        raise ValueError("no snapshot named")
    return arguments(settings, "forget", "--prune", *snapshot_ids)


def parse_snapshots(text: str) -> list[Point]:
    """The points in the output of `restic snapshots --json`, oldest first."""
    data: dict[str, tuple[str, str]] = {}
    proofs: dict[str, list[str]] = {}
    for snapshot in json.loads(text or "[]") or []:
        tags = [str(tag) for tag in snapshot.get("tags") or []]
        named = [tag[len("point:") :] for tag in tags if tag.startswith("point:")]
        if len(named) != 1 or not POINT_NAME.match(named[0]):
            continue
        kinds = [tag[len("kind:") :] for tag in tags if tag.startswith("kind:")]
        if TAG in tags:
            data[named[0]] = (str(snapshot["id"]), kinds[0] if kinds and kinds[0] in POINT_KINDS else KIND_MANUAL)
        elif TAG_VERIFIED in tags:
            proofs.setdefault(named[0], []).append(str(snapshot["id"]))
    return [
        Point(name, kind, snapshot_id, name in proofs, tuple(proofs.get(name, ())))
        for name, (snapshot_id, kind) in sorted(data.items())
    ]


def parse_messages(lines: Iterable[str]) -> list[dict[str, Any]]:
    """The JSON objects among the lines that `restic --json` wrote."""
    found = []
    for line in lines:
        if line.startswith("{"):
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
    return found


def summary(messages: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The summary message of a backup."""
    for message in messages:
        if message.get("message_type") == "summary":
            return message
    raise BackupError("restic backup: ended without its summary; nothing is known to be stored. Run the backup again")


def vanished_only(text: str) -> bool:
    """Whether every file that could not be read was simply gone: normal for a volume in use, as no other reason is."""
    reasons = []
    for line in text.splitlines():
        if line.startswith("{"):
            try:
                message = json.loads(line)
            except ValueError:
                return False
            if message.get("message_type") == "error":
                error = message.get("error")
                reasons.append(json.dumps(error))
        elif line.startswith("error:"):
            reasons.append(line)
    return bool(reasons) and all("no such file or directory" in reason for reason in reasons)


MISSING = (
    "no such file or directory",
    "The specified key does not exist",
    "The specified bucket does not exist",
    "NoSuchBucket",
    "NoSuchKey",
    "file does not exist",
    "repository does not exist",
    "config file does not exist",
)
# restic tries for a quarter of an hour before it says that an address or a key is wrong. When one of these comes at the
# first touch of a repository, waiting does not help.
REFUSALS = (
    "Access Key Id you provided does not exist",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "signature we calculated does not match",
    "Access Denied",
    "AccessDenied",
    "connection refused",
    "no such host",
    "x509:",
)
DECISIVE = (*REFUSALS, "The specified bucket does not exist", "NoSuchBucket")
EXPLANATIONS = (
    (("wrong password or no key found",), "the repository's password is wrong; give the one it was initialised with"),
    (
        ("Access Key Id you provided does not exist", "InvalidAccessKeyId"),
        "the S3 access key is not known there; check the access key id",
    ),
    (("SignatureDoesNotMatch", "signature we calculated does not match"), "the S3 secret is wrong for this access key"),
    (("Access Denied", "AccessDenied"), "access is denied; check the key's rights on the bucket"),
    (("connection refused",), "nothing answers at this address; check the URL and that the server runs"),
    (("no such host", "server misbehaving"), "the host name does not resolve; check the URL"),
    (
        (
            "i/o timeout",
            "context deadline exceeded",
            "no route to host",
            "network is unreachable",
            "ended by the limit",
        ),
        "the server does not answer; check the network",
    ),
    (("x509:", "certificate"), "the server's TLS certificate is not trusted; name its CA file"),
    (("no space left on device",), "the repository's disk is full; make room there"),
    (("permission denied", "operation not permitted"), "the files cannot be reached; check owner and rights"),
    (
        ("already locked",),
        "another restic holds the repository's lock; wait for it, or remove a dead one: restic unlock",
    ),
    (("Host key verification failed",), "the SSH host key is not known; add it to root's known_hosts"),
    (("Permission denied (",), "SSH refuses the login; check the key"),
)


def explain(settings: Settings, attempt: str, stderr: str) -> BackupError:
    """Turn restic's complaint into one line that names the repository, the attempt and the remedy."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    where = f"repository {public_url(settings.url)}: {attempt}"
    for needles, remedy in EXPLANATIONS:
        if any(needle in stderr for needle in needles):
            return BackupError(f"{where}: {remedy}")
    if any(needle in stderr for needle in MISSING) and ("config" in stderr or "repository" in stderr):
        return RepositoryMissing(f"{where}: there is no repository yet; run the play with the role backup")
    fatal = [line for line in lines if line.startswith("Fatal:")] or lines[-1:]
    return BackupError(f"{where}: {' '.join(fatal) or 'restic failed and said nothing'}")
