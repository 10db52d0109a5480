# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Resolve a variable leaf by leaf, so that every value that cannot be resolved is named by its own path."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

PLACEHOLDER = "unresolved"

_UNDEFINED = re.compile(r"'([^']+)' is undefined")
_NO_ATTRIBUTE = re.compile(r"has no attribute '([^']+)'")


class UnresolvedError(Exception):
    """A template could not be resolved; the text is the template engine's."""


def explain(reason: str) -> str:
    """Turn the template engine's words into what is wrong and what to do about it."""
    match = _UNDEFINED.search(reason)
    if match:
        name = match.group(1)
        where = "in the vault file" if name.startswith("vault_") else "in group_vars"
        return f"uses undefined variable {name}: define it {where} or correct the name"
    match = _NO_ATTRIBUTE.search(reason)
    if match:
        return f"uses the key {match.group(1)} of a variable that does not have it: define it or correct the name"
    if "vault" in reason.lower() or "decrypt" in reason.lower():
        return "cannot be decrypted: give the password it was encrypted with (--vault-id or vault_identity_list)"
    return f"cannot be resolved: {' '.join(reason.split())}"


def resolve(path: str, raw: Any, render: Callable[[Any], Any]) -> tuple[Any, list[str]]:
    """Resolve every template inside a value.

    :arg path: the name of the variable; paths inside it are added to it.
    :arg raw: the value with its templates.
    :arg render: resolves one string, raises :class:`UnresolvedError`.
    :returns: the value with C(PLACEHOLDER) where a part cannot be resolved, and one problem for each such part.
    """
    if isinstance(raw, Mapping):
        mapping: dict[str, Any] = {}
        problems: list[str] = []
        for key in raw:
            mapping[str(key)], found = resolve(f"{path}.{key}", _item(raw, key), render)
            problems.extend(found)
        return mapping, problems
    if isinstance(raw, (list, tuple)):
        items: list[Any] = []
        problems = []
        for index in range(len(raw)):
            item, found = resolve(f"{path}[{index}]", _item(raw, index), render)
            items.append(item)
            problems.extend(found)
        return items, problems
    try:
        if isinstance(raw, UnresolvedError):
            raise raw
        rendered = render(raw)
        if rendered is not raw and isinstance(rendered, (Mapping, list, tuple)):
            return resolve(path, rendered, lambda value: value)
    except UnresolvedError as error:
        return PLACEHOLDER, [f"variable {path}: {explain(str(error))}"]
    return rendered, []


def _item(container: Any, key: Any) -> Any:
    # Ansible's containers resolve an item when it is read, and fail then.
    try:
        return container[key]
    except Exception as error:
        return UnresolvedError(str(error))
