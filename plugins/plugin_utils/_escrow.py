# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The escrow copy on the controller: a file that Ansible's vault encrypts."""

from __future__ import annotations

import os
from typing import Any

import yaml
from ansible.errors import AnsibleError
from ansible.parsing.vault import VaultLib, is_encrypted
from ansible_collections.slipway.ops.plugins.module_utils._backup import escrow
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError
from ansible_collections.slipway.ops.plugins.module_utils._state import files
from ansible_collections.slipway.ops.plugins.plugin_utils._plain import plain

LOCKED = "the vault's password was not given, so it cannot be {verb}; add --ask-vault-pass or --vault-password-file"


def find(path: str) -> str:
    """Where the copy is. Raises when none is named."""
    if not path.strip():
        raise BackupError(
            "backup_escrow_file: is empty, so nothing but the host and the vault knows the repositories' passwords;"
            " name a file on the controller and make it: ansible-playbook -i INVENTORY slipway.ops.escrow"
        )
    return os.path.abspath(os.path.expanduser(path))


def check(vault: VaultLib, path: str, repositories: Any) -> list[escrow.Entry]:
    """What the copy holds of these repositories. Raises when it is not there, or holds something else."""
    return escrow.check_entries(_read(vault, path), plain(repositories), path)


def make(vault: VaultLib, path: str, repositories: Any, vault_id: str = "", dry_run: bool = False) -> bool:
    """Make it, or put it right; whether anything had to be written."""
    held = _read(vault, path) if os.path.lexists(path) else []
    entries = escrow.update_entries(held, plain(repositories))
    if entries == held:
        return False
    if not vault.secrets:
        raise BackupError(f"{path}: " + LOCKED.format(verb="encrypted"))
    chosen = vault_id or str(vault.secrets[0][0])
    secret = next((value for name, value in vault.secrets if name == chosen), None)
    if secret is None:
        raise BackupError(f"{path}: no vault identity {vault_id} was given; add --vault-id {vault_id}@prompt")
    if not dry_run:
        text = yaml.safe_dump(escrow.document(entries), sort_keys=False)
        files.ensure_directory(os.path.dirname(path), 0o700)
        files.write_whole(path, vault.encrypt(text, secret=secret, vault_id=chosen), 0o600)
    return True


def _read(vault: VaultLib, path: str) -> list[escrow.Entry]:
    try:
        with open(path, "rb") as stream:
            content = stream.read()
    except FileNotFoundError as error:
        raise BackupError(
            f"{path}: there is no escrow copy of the repositories' passwords; make it: ansible-playbook -i INVENTORY"
            " slipway.ops.escrow"
        ) from error
    except OSError as error:
        raise BackupError(f"{path}: cannot be read: {error.strerror}") from error
    if not is_encrypted(content):
        raise BackupError(f"{path}: is not encrypted; encrypt it: ansible-vault encrypt {path}")
    if not vault.secrets:
        raise BackupError(f"{path}: " + LOCKED.format(verb="decrypted"))
    try:
        text = vault.decrypt(content)
    except AnsibleError as error:
        raise BackupError(
            f"{path}: cannot be decrypted with the vault's password; give the one that it was made with"
        ) from error
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BackupError(f"{path}: holds no YAML; {escrow.REMEDY}") from error
    return escrow.parse_document(document, path)
