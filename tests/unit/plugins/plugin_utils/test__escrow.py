# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError
from ansible_collections.slipway.ops.plugins.plugin_utils import _escrow

REPOSITORIES = [{"name": "main", "url": "/r", "password": "a repository password"}]


def vault(*identities: str) -> VaultLib:
    return VaultLib([(name, VaultSecret(f"password of {name}".encode())) for name in identities])


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "safe/escrow.yml")


def test_it_is_made_encrypted_and_read(path: str) -> None:
    assert _escrow.make(vault("a"), path, REPOSITORIES, dry_run=True) is True
    assert not Path(path).exists()
    assert _escrow.make(vault("a"), path, REPOSITORIES) is True
    text = Path(path).read_text(encoding="utf-8")
    assert text.startswith("$ANSIBLE_VAULT;1.2;AES256;a\n")
    assert (Path(path).stat().st_mode & 0o777, Path(path).parent.stat().st_mode & 0o777) == (0o600, 0o700)
    (entry,) = _escrow.check(vault("a"), path, REPOSITORIES)
    assert entry.password == "a repository password"
    assert _escrow.make(vault("a"), path, REPOSITORIES) is False
    assert Path(path).read_text(encoding="utf-8") == text


def test_another_identity_may_keep_it(path: str) -> None:
    _escrow.make(vault("a", "b"), path, REPOSITORIES, "b")
    assert Path(path).read_text(encoding="utf-8").startswith("$ANSIBLE_VAULT;1.2;AES256;b\n")
    assert _escrow.check(vault("b"), path, REPOSITORIES)
    with pytest.raises(BackupError, match="no vault identity c was given"):
        _escrow.make(vault("a", "b"), path, [{"url": "/x", "password": "y"}], "c")


def test_without_a_copy_nothing_goes_on(path: str) -> None:
    with pytest.raises(
        BackupError, match=r"there is no escrow copy .* ansible-playbook -i INVENTORY slipway.ops.escrow"
    ):
        _escrow.check(vault("a"), path, REPOSITORIES)
    with pytest.raises(BackupError, match="backup_escrow_file: is empty"):
        _escrow.find(" ")
    assert _escrow.find("~/x").startswith("/")


def test_what_stands_in_the_way_is_said(path: str) -> None:
    _escrow.make(vault("a"), path, REPOSITORIES)
    for secrets, repositories, words in (
        (vault("b"), REPOSITORIES, "cannot be decrypted with the vault's password"),
        (vault(), REPOSITORIES, "the vault's password was not given, so it cannot be decrypted"),
        (vault("a"), [{"url": "/r", "password": "new"}], "has another password for repository /r"),
    ):
        with pytest.raises(BackupError, match=words):
            _escrow.check(secrets, path, repositories)
    Path(path).write_text("format: 1\n", encoding="utf-8")
    with pytest.raises(BackupError, match="is not encrypted; encrypt it: ansible-vault encrypt"):
        _escrow.check(vault("a"), path, REPOSITORIES)
    Path(path).write_bytes(vault("a").encrypt("{", secret=vault("a").secrets[0][1]))
    with pytest.raises(BackupError, match="holds no YAML"):
        _escrow.check(vault("a"), path, REPOSITORIES)


def test_a_damaged_copy_is_not_written_over(path: str) -> None:
    _escrow.make(vault("a"), path, REPOSITORIES)
    with pytest.raises(BackupError, match="cannot be decrypted"):
        _escrow.make(vault("b"), path, REPOSITORIES)
