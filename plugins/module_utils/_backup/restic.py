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
    Catalogue,
    Orphan,
    Part,
    Place,
    Point,
    RepositoryMissing,
    Settings,
    public_url,
)

TAG = "slipway"
TAG_VERIFIED = "slipway-verified"
TAG_PART = "slipway-part"
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


def _limit(settings: Settings) -> list[str]:
    return ["--limit-upload", str(settings.upload_limit_kib)] if settings.upload_limit_kib else []


def backup(settings: Settings, point: str, kind: str, paths: Sequence[str]) -> list[str]:
    """Store the paths as one snapshot. It bears the stack's name as its host: a machine's own name may change."""
    tags = ["--tag", ",".join([TAG, f"point:{point}", f"kind:{kind}"])]
    return arguments(settings, "backup", "--json", "--host", settings.stack, *tags, *_limit(settings), "--", *paths)


def part(settings: Settings, point: str, key: str, file_name: str) -> list[str]:
    """Store what comes on stdin as a part of a point."""
    tags = ["--tag", ",".join([TAG_PART, f"point:{point}", f"part:{key}"])]
    words = ["backup", "--json", "--host", settings.stack, *tags, *_limit(settings)]
    return arguments(settings, *words, "--stdin", "--stdin-filename", file_name)


def evidence(settings: Settings, point: str, file_name: str) -> list[str]:
    """Store the proof that a point was read back, beside it: nothing is rewritten, so add-only credentials suffice."""
    tags = ["--tag", f"{TAG_VERIFIED},point:{point}"]
    return arguments(
        settings, "backup", "--json", "--host", settings.stack, *tags, "--stdin", "--stdin-filename", file_name
    )


def snapshots(settings: Settings) -> list[str]:
    return arguments(settings, "snapshots", "--json", "--no-lock", "--host", settings.stack)


def forget(settings: Settings, snapshot_ids: Sequence[str], prune: bool = True) -> list[str]:
    """Remove exactly these snapshots: names, never a filter, which could match more than was meant."""
    if not snapshot_ids:
        raise ValueError("no snapshot named")
    return arguments(settings, "forget", *(["--prune"] if prune else []), *snapshot_ids)


def parse_snapshots(text: str, complaints: str = "") -> Catalogue:
    """The points in the output of `restic snapshots --json`, oldest first, and the parts that belong to none."""
    data: dict[str, tuple[str, str]] = {}
    proofs: dict[str, list[str]] = {}
    parts: dict[str, list[Part]] = {}
    for snapshot in json.loads(text or "[]") or []:
        tags = [str(tag) for tag in snapshot.get("tags") or []]
        name, snapshot_id = _tagged(tags, "point:"), str(snapshot["id"])
        if not POINT_NAME.match(name):
            continue
        if TAG in tags:
            kind = _tagged(tags, "kind:")
            data[name] = (snapshot_id, kind if kind in POINT_KINDS else KIND_MANUAL)
        elif TAG_VERIFIED in tags:
            proofs.setdefault(name, []).append(snapshot_id)
        elif TAG_PART in tags and _tagged(tags, "part:"):
            parts.setdefault(name, []).append(Part(_tagged(tags, "part:"), snapshot_id))
    points = [
        Point(name, kind, snapshot_id, name in proofs, tuple(proofs.get(name, ())), tuple(parts.get(name, ())))
        for name, (snapshot_id, kind) in sorted(data.items())
    ]
    orphans = [
        Orphan(name, part.key, part.snapshot, name in proofs)
        for name, found in sorted(parts.items())
        for part in found
        if name not in data
    ]
    # restic passes over a snapshot that it cannot load, says so on stderr, and reports success.
    whole = not any(word in complaints.lower() for word in ("ignoring", "could not load", "unable to load"))
    return Catalogue(tuple(points), tuple(orphans), whole)


def _tagged(tags: Iterable[str], prefix: str) -> str:
    """What follows the prefix in the only tag that has it; empty when there is none, or more than one."""
    found = [tag[len(prefix) :] for tag in tags if tag.startswith(prefix)]
    return found[0] if len(found) == 1 else ""


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


# All of these are looked for without regard to case: S3 servers write the same sentence differently.
MISSING_BUCKET = ("specified bucket does not exist", "nosuchbucket")
MISSING = (
    *MISSING_BUCKET,
    "no such file or directory",
    "specified key does not exist",
    "nosuchkey",
    "file does not exist",
    "repository does not exist",
)
UNKNOWN_KEY = ("access key id you provided does not exist", "invalidaccesskeyid")
WRONG_SECRET = ("signaturedoesnotmatch", "signature we calculated does not match")
DENIED = ("access denied", "accessdenied")
UNTRUSTED = ("x509:",)
REFUSED = ("connection refused",)
UNRESOLVED = ("no such host", "server misbehaving")
UNREACHABLE = ("i/o timeout", "context deadline exceeded", "no route to host", "network is unreachable")
# restic tries for a quarter of an hour before it says that an address or a key is wrong. Waiting helps with none of the
# first; with the second it may help a backup at night, and not someone who sets a repository up.
PERMANENT = (*UNKNOWN_KEY, *WRONG_SECRET, *DENIED, *UNTRUSTED, *MISSING_BUCKET)
IMPATIENT = (*PERMANENT, *REFUSED, *UNRESOLVED, *UNREACHABLE)
EXPLANATIONS = (
    (("wrong password or no key found",), "the repository's password is wrong; give the one it was initialised with"),
    (UNKNOWN_KEY, "the S3 access key is not known there; check the access key id"),
    (WRONG_SECRET, "the S3 secret is wrong for this access key"),
    (DENIED, "access is denied; check the key's rights on the bucket"),
    (("host key verification failed",), "the SSH host key is not known; add it to root's known_hosts"),
    (("permission denied (",), "SSH refuses the login; check the key"),
    (UNTRUSTED, "the server's TLS certificate is not trusted; name its CA file"),
    (REFUSED, "nothing answers at this address; check the URL and that the server runs"),
    (UNRESOLVED, "the host name does not resolve; check the URL"),
    ((*UNREACHABLE, "ended by the limit"), "the server does not answer; check the network"),
    (("no space left on device",), "the repository's disk is full; make room there"),
    (("permission denied", "operation not permitted"), "the files cannot be reached; check owner and rights"),
    (
        ("already locked",),
        "another restic holds the repository's lock; wait for it, or remove a dead one: restic unlock",
    ),
)


def explain(settings: Settings, attempt: str, stderr: str) -> BackupError:
    """Turn restic's complaint into one line that names the repository, the attempt and the remedy."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    where = f"repository {public_url(settings.url)}: {attempt}"
    said = stderr.lower()
    for needles, remedy in EXPLANATIONS:
        if any(needle in said for needle in needles):
            return BackupError(f"{where}: {remedy}")
    if any(needle in said for needle in MISSING) and ("config" in said or "repository" in said):
        return RepositoryMissing(f"{where}: there is no repository yet; run the play with the role backup")
    fatal = [line for line in lines if line.startswith("Fatal:")] or lines[-1:]
    return BackupError(f"{where}: {' '.join(fatal) or 'restic failed and said nothing'}")
