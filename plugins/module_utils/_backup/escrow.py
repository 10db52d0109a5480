# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy of what opens the repositories, kept away from the host, and the proof that it does.

A password that lies on the host alone is lost with the host. The escrow copy is a file on the controller, encrypted
with Ansible's vault. For each repository it holds the address, the password, and a random text. That text is stored in
the repository as well: when what is fetched from the copy's address and decrypted with the copy's password is the
copy's text, then the copy opens this repository.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    BackupError,
    Place,
    RefusedError,
    public_url,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.repository import Repository
from ansible_collections.slipway.ops.plugins.module_utils._backup.restic import ESCROW_FILE

FORMAT = 1
REMEDY = "make it anew: ansible-playbook -i INVENTORY slipway.ops.escrow"


@dataclass(frozen=True)
class Entry:
    """What opens one repository. The proof is what its test object says."""

    url: str
    password: str
    proof: str

    @property
    def mark(self) -> str:
        """How the test object is found, without telling its content."""
        return hashlib.sha256(self.proof.encode()).hexdigest()[:16]

    def as_dict(self) -> dict[str, str]:
        return {"url": self.url, "password": self.password, "proof": self.proof}


def parse_entries(value: Any, where: str) -> list[Entry]:
    """A list of entries, from wherever it comes."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise RefusedError(f"{where}: must hold a list of repositories; {REMEDY}")
    found = []
    for item in value:
        fields = [item.get(name) for name in ("url", "password", "proof")] if isinstance(item, Mapping) else []
        if not fields or not all(isinstance(field, str) and field for field in fields):
            raise RefusedError(f"{where}: an entry lacks its url, password or proof; {REMEDY}")
        found.append(Entry(*(str(field) for field in fields)))
    return found


def parse_document(value: Any, where: str) -> list[Entry]:
    """What the escrow copy holds."""
    if not isinstance(value, Mapping) or value.get("format") != FORMAT:
        raise RefusedError(f"{where}: is no escrow copy of format {FORMAT}; {REMEDY}")
    return parse_entries(value.get("repositories"), where)


def document(entries: Iterable[Entry]) -> dict[str, Any]:
    """The same, to be written."""
    return {"format": FORMAT, "repositories": [entry.as_dict() for entry in entries]}


def wanted_entries(repositories: Any) -> list[tuple[str, str]]:
    """Address and password of each repository in the role's list."""
    found = []
    for index, item in enumerate(repositories):
        url, password = (str(item.get(name) or "").strip() for name in ("url", "password"))
        if not url or not password:
            raise RefusedError(f"backup_repositories[{index}]: has no {'url' if not url else 'password'}")
        found.append((url, password))
    return found


def check_entries(entries: Sequence[Entry], repositories: Any, where: str) -> list[Entry]:
    """The entries of these repositories. Raises when one is missing, or has another password."""
    held = {entry.url: entry for entry in entries}
    found = []
    for url, password in wanted_entries(repositories):
        if url not in held:
            raise RefusedError(f"{where}: knows nothing of repository {public_url(url)}; {REMEDY}")
        if held[url].password != password:
            raise RefusedError(
                f"{where}: has another password for repository {public_url(url)} than the inventory. If the inventory"
                f" is right, {REMEDY}"
            )
        found.append(held[url])
    return found


def update_entries(entries: Sequence[Entry], repositories: Any) -> list[Entry]:
    """The entries with those of these repositories made or put right; those of others stay."""
    held = {entry.url: entry for entry in entries}
    for url, password in wanted_entries(repositories):
        known = held.get(url)
        if known is None or known.password != password:
            # Another text with another password: what proved the old one must not prove the new one.
            held[url] = Entry(url, password, secrets.token_hex(32))
    return list(held.values())


def prove_escrow(repository: Repository, place: Place, entries: Sequence[Entry], dry_run: bool = False) -> bool:
    """Fetch the test object by the escrow copy alone and compare it. Stores it when it is not there yet; whether it
    was, or would be, stored."""
    where = f"repository {repository.address}"
    entry = next((found for found in entries if found.url == repository.settings.url), None)
    if entry is None:
        raise RefusedError(f"{where}: the escrow copy knows nothing of it; {REMEDY}")
    copy = Repository(repository.stack, replace(repository.settings, url=entry.url), place, entry.password)
    try:
        marks = copy.escrow_marks()
        missing = entry.mark not in marks
        if missing and dry_run:
            return True
        if missing:
            repository.store_escrow(entry.mark, entry.proof)
            marks = copy.escrow_marks()
        text = copy.fetch_text(marks.get(entry.mark, entry.mark), f"/{ESCROW_FILE}")
    except BackupError as error:
        raise BackupError(f"{where}: the escrow copy does not open it: {error}; {REMEDY}") from error
    if text != entry.proof:
        raise BackupError(f"{where}: its test object is not what the escrow copy says; {REMEDY}")
    return missing
