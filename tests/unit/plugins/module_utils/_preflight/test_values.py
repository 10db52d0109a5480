# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._preflight.values import (
    PLACEHOLDER,
    UnresolvedError,
    explain,
    resolve,
)


def renderer(values: dict[str, Any]) -> Callable[[Any], Any]:
    def render(raw: Any) -> Any:
        if isinstance(raw, str) and raw.startswith("$"):
            if raw[1:] not in values:
                raise UnresolvedError(f"Error while resolving value: '{raw[1:]}' is undefined")
            return values[raw[1:]]
        return raw

    return render


class FailsWhenRead(dict):  # type: ignore[type-arg]
    def __getitem__(self, key: Any) -> Any:
        raise RuntimeError("'vault_x' is undefined")


def test_every_part_that_cannot_be_resolved_is_named() -> None:
    raw = {"FLEET_DOMAIN": "fleet", "DB": "$vault_db", "list": [1, "$domain", "$gone"], "deep": "$nested"}
    value, problems = resolve("stack_environment", raw, renderer({"domain": "d", "nested": {"a": ["b"]}}))
    assert value == {
        "FLEET_DOMAIN": "fleet",
        "DB": PLACEHOLDER,
        "list": [1, "d", PLACEHOLDER],
        "deep": {"a": ["b"]},
    }
    assert problems == [
        "variable stack_environment.DB: uses undefined variable vault_db: "
        "define it in the vault file or correct the name",
        "variable stack_environment.list[2]: uses undefined variable gone: define it in group_vars or correct the name",
    ]


def test_containers_that_fail_when_read() -> None:
    value, problems = resolve("x", FailsWhenRead({"a": 1}), renderer({}))
    assert value == {"a": PLACEHOLDER}
    assert problems == [
        "variable x.a: uses undefined variable vault_x: define it in the vault file or correct the name"
    ]


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("'foo' is undefined", "uses undefined variable foo: define it in group_vars or correct the name"),
        ("object of type 'dict' has no attribute 'sizes'", "uses the key sizes of a variable that does not have it"),
        ("Decryption failed (no vault secrets were found that could decrypt).", "cannot be decrypted"),
        ("Syntax error\n in template", "cannot be resolved: Syntax error in template"),
    ],
)
def test_explain(reason: str, said: str) -> None:
    assert explain(reason).startswith(said)
