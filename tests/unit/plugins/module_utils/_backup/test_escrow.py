# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.escrow import (
    Entry,
    check_entries,
    document,
    parse_document,
    update_entries,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import RefusedError

MAIN = {"name": "main", "url": "/r", "password": "one"}
FAR = {"name": "far", "url": "s3:https://id:secret@h/b", "password": "two"}


def test_it_is_made_and_kept() -> None:
    entries = update_entries([], [MAIN, FAR])
    assert [(entry.url, entry.password) for entry in entries] == [("/r", "one"), ("s3:https://id:secret@h/b", "two")]
    assert len({entry.proof for entry in entries}) == 2
    assert update_entries(entries, [FAR]) == entries
    assert parse_document(document(entries), "x") == entries
    assert check_entries(entries, [FAR, MAIN], "x") == [entries[1], entries[0]]


def test_a_new_password_is_proved_anew() -> None:
    before = update_entries([], [MAIN, FAR])
    after = update_entries(before, [{**MAIN, "password": "three"}])
    assert (after[0].password, after[1]) == ("three", before[1])
    assert after[0].proof != before[0].proof
    assert after[0].mark != before[0].mark


@pytest.mark.parametrize(
    ("repositories", "words"),
    [
        ([{**MAIN, "password": "new"}], "/copy: has another password for repository /r than the inventory"),
        ([{**FAR, "url": "s3:https://id:secret@h/c"}], "/copy: knows nothing of repository s3:https://id@h/c; make it"),
        ([{"name": "x", "url": "/r"}], r"backup_repositories\[0\]: has no password"),
        ([{"name": "x", "password": "y"}], r"backup_repositories\[0\]: has no url"),
    ],
)
def test_what_it_does_not_cover(repositories: list[Any], words: str) -> None:
    with pytest.raises(RefusedError, match=words) as caught:
        check_entries(update_entries([], [MAIN, FAR]), repositories, "/copy")
    for secret in ("new", "one", "two", "secret"):
        assert secret not in str(caught.value).replace("anew", "")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "is no escrow copy of format 1"),
        ({"format": 2, "repositories": []}, "is no escrow copy of format 1"),
        ({"format": 1}, "must hold a list"),
        ({"format": 1, "repositories": "x"}, "must hold a list"),
        ({"format": 1, "repositories": [{"url": "/r", "password": "x"}]}, "lacks its url, password or proof"),
    ],
)
def test_what_is_none(value: Any, words: str) -> None:
    with pytest.raises(RefusedError, match=words):
        parse_document(value, "/copy")


def test_the_mark_does_not_tell_the_text() -> None:
    assert Entry("/r", "p", "text").mark == "982d9e3eb996f559"
