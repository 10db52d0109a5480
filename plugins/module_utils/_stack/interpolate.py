# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables in Compose values: $V, ${V}, ${V:-d}, ${V-d}, ${V:?m}, ${V?m}, ${V:+x}, ${V+x}, $$, nested too."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._stack.problems import Problems

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATORS = (":-", ":?", ":+", "-", "?", "+")


class InterpolationError(Exception):
    """The text is no valid template."""


class UnsetVariable(Exception):
    """A variable without a default is not set; `message` is the author's own, when there is one."""

    def __init__(self, name: str, message: str = "") -> None:
        self.name = name
        self.message = message
        super().__init__(name)


def substitute(text: str, variables: Mapping[str, str]) -> str:
    """The text with all variables replaced."""
    return _parse(text, 0, variables, nested=False)[0]


def _parse(text: str, position: int, variables: Mapping[str, str], nested: bool) -> tuple[str, int]:
    parts: list[str] = []
    while position < len(text):
        character = text[position]
        if nested and character == "}":
            return "".join(parts), position
        if character != "$":
            parts.append(character)
            position += 1
            continue
        following = text[position + 1 : position + 2]
        if following == "$":
            parts.append("$")
            position += 2
        elif following == "{":
            value, position = _braced(text, position + 2, variables)
            parts.append(value)
        else:
            match = _NAME.match(text, position + 1)
            if match is None:
                raise InterpolationError(f"a single $ at character {position + 1}")
            if match.group() not in variables:
                raise UnsetVariable(match.group())
            parts.append(variables[match.group()])
            position = match.end()
    if nested:
        raise InterpolationError("a ${ without its }")
    return "".join(parts), position


def _skip(text: str, position: int) -> int:
    """Where the } that closes an operator's argument stands; the argument itself is not evaluated."""
    depth = 0
    while position < len(text):
        if text.startswith("$$", position):
            position += 2
            continue
        if text.startswith("${", position):
            depth += 1
            position += 2
            continue
        if text[position] == "}":
            if depth == 0:
                return position
            depth -= 1
        position += 1
    raise InterpolationError("a ${ without its }")


def _braced(text: str, position: int, variables: Mapping[str, str]) -> tuple[str, int]:
    match = _NAME.match(text, position)
    if match is None:
        raise InterpolationError("a ${ without a variable's name")
    name, position = match.group(), match.end()
    operator = next((each for each in _OPERATORS if text.startswith(each, position)), "")
    start = position + len(operator)
    end = _skip(text, start)
    if not operator:
        if end != start:
            raise InterpolationError(f"{text[start:end]!r} after the variable {name}")
        if name not in variables:
            raise UnsetVariable(name)
        return variables[name], end + 1
    value = variables.get(name, "")
    present = name in variables and (value != "" or not operator.startswith(":"))
    if operator.endswith("+"):
        return (_parse(text, start, variables, nested=True)[0] if present else ""), end + 1
    if present:
        return value, end + 1
    argument = _parse(text, start, variables, nested=True)[0]
    if operator.endswith("?"):
        raise UnsetVariable(name, argument or "must be set")
    return argument, end + 1


class _AnythingSet(dict[str, str]):
    """Stands in for unset variables, so that what follows from one is not reported as well."""

    def __contains__(self, key: object) -> bool:
        return True

    def __missing__(self, key: str) -> str:
        return "1"

    def get(self, key: Any, default: Any = None) -> Any:
        return self[key]


def interpolate(document: Mapping[str, Any], variables: Mapping[str, str], problems: Problems) -> dict[str, Any]:
    """The document with the variables of all its values replaced; keys and foreign `x-` keys stay as they are."""
    unset: dict[tuple[str, str], list[str]] = {}

    def walk(value: Any, path: str) -> Any:
        if isinstance(value, str):
            try:
                return substitute(value, variables)
            except UnsetVariable as error:
                unset.setdefault((error.name, error.message), []).append(path)
                return substitute(value, _AnythingSet(variables))
            except InterpolationError as error:
                problems.add(path, f"not a valid variable reference: {error}", "write $$ for a dollar sign")
            return value
        if isinstance(value, Mapping):
            return {
                key: child if _foreign(str(key)) else walk(child, f"{path}.{key}" if path else str(key))
                for key, child in value.items()
            }
        if isinstance(value, list):
            return [walk(child, f"{path}[{index}]") for index, child in enumerate(value)]
        return value

    result = walk(document, "")
    for (name, message), paths in unset.items():
        more = f" (and {len(paths) - 1} more places)" if len(paths) > 1 else ""
        problems.add(
            paths[0],
            f"the variable {name} is not set{f' ({message})' if message else ''}{more}",
            f"set {name} in stack_environment or write a default: ${{{name}:-value}}",
        )
    return result if isinstance(result, dict) else {}


def _foreign(key: str) -> bool:
    return key.startswith("x-") and key != "x-slipway"
