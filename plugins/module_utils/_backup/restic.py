# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""restic's command lines and what its output means, for restic 0.14 (Debian 12) to 0.18. Nothing here runs anything."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    KIND_MANUAL,
    POINT_KINDS,
    POINT_NAME,
    BackupError,
    Catalogue,
    Orphan,
    Part,
    Point,
    RepositoryError,
    RepositoryMissing,
    RepositorySettings,
    public_url,
)
from ansible_collections.slipway.ops.plugins.module_utils._log import rclone

TAG = "slipway"
TAG_VERIFIED = "slipway-verified"
TAG_PART = "slipway-part"
TAG_ESCROW = "slipway-escrow"
ESCROW_FILE = "escrow.txt"
EXIT_INCOMPLETE = 3


def environment(
    repository: RepositorySettings, password_file: str, cache: str, secrets: Mapping[str, str]
) -> dict[str, str]:
    """What restic is told through its environment, so that no secret stands on a command line."""
    return {
        "RESTIC_REPOSITORY": repository.url,
        "RESTIC_PASSWORD_FILE": password_file,
        "RESTIC_CACHE_DIR": cache,
        # One progress line a minute: the rest would only fill the journal.
        "RESTIC_PROGRESS_FPS": "0.0166",
        "HOME": "/root",
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C.UTF-8",
        **secrets,
    }


@dataclass(frozen=True)
class Origin:
    """How `restic copy` reads the repository that it copies from: the options and the environment besides those of the
    repository that it writes to."""

    repository: RepositorySettings
    environment: Mapping[str, str]


def origin(
    source: RepositorySettings,
    target: RepositorySettings,
    password_file: str,
    source_secrets: Mapping[str, str],
    target_secrets: Mapping[str, str],
) -> Origin:
    """How to copy from one repository to another.

    restic takes one set of S3 credentials, options and authorities for both. Where two S3 repositories differ in them,
    the one that is read is reached through rclone, which has its own.
    """
    told = {"RESTIC_FROM_REPOSITORY": source.url, "RESTIC_FROM_PASSWORD_FILE": password_file}
    both = source.kind == target.kind == "s3"
    one = (source.options, source.ca_file, _keys(source_secrets))
    if both and one != (target.options, target.ca_file, _keys(target_secrets)):
        remote = rclone.s3_remote(source.url, source.options, source_secrets)
        path = rclone.parse_address(source.url).path
        authority = {"RCLONE_CA_CERT": source.ca_file} if source.ca_file else {}
        told["RESTIC_FROM_REPOSITORY"] = f"rclone:{rclone.BASE}:{path}"
        return Origin(target, {**remote, **authority, **told})
    merged = replace(
        target,
        options=tuple(dict.fromkeys((*target.options, *source.options))),
        ca_file=target.ca_file or source.ca_file,
        download_limit_kib=source.download_limit_kib,
    )
    return Origin(merged, {**(source_secrets if source.kind == "s3" else {}), **told})


def _keys(secrets: Mapping[str, str]) -> list[tuple[str, str]]:
    return sorted(item for item in secrets.items() if item[0].startswith("AWS_"))


def arguments(repository: RepositorySettings, *words: str) -> list[str]:
    """restic with the options that belong to the repository."""
    command = ["restic"]
    for option in repository.options:
        command += ["--option", option]
    if repository.ca_file:
        command += ["--cacert", repository.ca_file]
    if repository.upload_limit_kib:
        command += ["--limit-upload", str(repository.upload_limit_kib)]
    if repository.download_limit_kib:
        command += ["--limit-download", str(repository.download_limit_kib)]
    return [*command, *words]


def backup(repository: RepositorySettings, stack: str, point: str, kind: str, paths: Sequence[str]) -> list[str]:
    """Store the paths as one snapshot. It bears the stack's name as its host: a machine's own name may change."""
    tags = ["--tag", ",".join([TAG, f"point:{point}", f"kind:{kind}"])]
    return arguments(repository, "backup", "--json", "--host", stack, *tags, "--", *paths)


def part(repository: RepositorySettings, stack: str, point: str, key: str, file_name: str) -> list[str]:
    """Store what comes on stdin as a part of a point."""
    tags = f"{TAG_PART},point:{point},part:{key}"
    return _stdin(repository, stack, tags, file_name)


def evidence(repository: RepositorySettings, stack: str, point: str, file_name: str) -> list[str]:
    """Store the proof that a point was read back, beside it: nothing is rewritten, so add-only credentials suffice."""
    return _stdin(repository, stack, f"{TAG_VERIFIED},point:{point}", file_name)


def escrow(repository: RepositorySettings, stack: str, mark: str) -> list[str]:
    """Store the object that the escrow copy of the password is tried on."""
    return _stdin(repository, stack, f"{TAG_ESCROW},escrow:{mark}", ESCROW_FILE)


def _stdin(repository: RepositorySettings, stack: str, tags: str, file_name: str) -> list[str]:
    words = ["backup", "--json", "--host", stack, "--tag", tags, "--stdin", "--stdin-filename", file_name]
    return arguments(repository, *words)


def snapshots(repository: RepositorySettings, stack: str) -> list[str]:
    return arguments(repository, "snapshots", "--json", "--no-lock", "--host", stack)


def copy(repository: RepositorySettings, snapshot_ids: Sequence[str]) -> list[str]:
    """Copy exactly these snapshots from the repository that the environment names. One that is there is passed over."""
    if not snapshot_ids:
        raise ValueError("no snapshot named")
    return arguments(repository, "copy", *snapshot_ids)


def forget(repository: RepositorySettings, snapshot_ids: Sequence[str], prune: bool = True) -> list[str]:
    """Remove exactly these snapshots: names, never a filter, which could match more than was meant."""
    if not snapshot_ids:
        raise ValueError("no snapshot named")
    return arguments(repository, "forget", *(["--prune"] if prune else []), *snapshot_ids)


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
            found = Part(_tagged(tags, "part:"), snapshot_id, str(snapshot.get("original") or ""))
            parts.setdefault(name, []).append(found)
    points = [
        Point(name, kind, snapshot_id, name in proofs, tuple(proofs.get(name, ())), tuple(parts.get(name, ())))
        for name, (snapshot_id, kind) in sorted(data.items())
    ]
    orphans = [
        Orphan(name, part.key, part.snapshot, name in proofs)
        for name, stored in sorted(parts.items())
        for part in stored
        if name not in data
    ]
    # restic passes over a snapshot that it cannot load, says so on stderr, and reports success.
    whole = not any(word in complaints.lower() for word in ("ignoring", "could not load", "unable to load"))
    return Catalogue(tuple(points), tuple(orphans), whole)


def parse_escrow(text: str) -> dict[str, str]:
    """The objects that escrow copies are tried on: their snapshots, by their marks."""
    found = {}
    for snapshot in json.loads(text or "[]") or []:
        tags = [str(tag) for tag in snapshot.get("tags") or []]
        if TAG_ESCROW in tags and _tagged(tags, "escrow:"):
            found[_tagged(tags, "escrow:")] = str(snapshot["id"])
    return found


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


# Of itself restic always says why.
WORDLESS = "restic was killed, as a host without memory does (journalctl -k); run the same command again"


def explain(repository: RepositorySettings, attempt: str, stderr: str) -> RepositoryError:
    """Turn restic's complaint into one line that names the repository, the attempt and the remedy."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    where = f"repository {public_url(repository.url)}: {attempt}"
    said = stderr.lower()
    for needles, remedy in EXPLANATIONS:
        if any(needle in said for needle in needles):
            return RepositoryError(f"{where}: {remedy}")
    if any(needle in said for needle in MISSING) and ("config" in said or "repository" in said):
        return RepositoryMissing(f"{where}: there is no repository yet; run the play with the role backup")
    fatal = [line for line in lines if line.startswith("Fatal:")] or lines[-1:]
    return RepositoryError(f"{where}: {' '.join(fatal) or WORDLESS}")
