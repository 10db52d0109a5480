# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare values with the options of a role's argument specification and say everything that is wrong with them.

A role's variables are used as they are written: Ansible checks them but does not convert them. So a string where a list
is asked for is wrong here, while "8080" for an integer (extra variables are always strings) is not.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any, Optional

_SECRET = re.compile(
    r"(pass(word|wd|phrase)?|secret|token|credential|private_?key|access_?key|api_?key|encryption_?key)s?(_|$)", re.I
)
_PORT = re.compile(r"(^|[._])port(\[\d+\])?$")
_BOOLEANS = frozenset(["y", "yes", "on", "1", "true", "t", "n", "no", "off", "0", "false", "f"])
_SHOWN_CHARACTERS = 60
_NAMES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "dict": "a mapping",
    "str": "text",
    "path": "a path",
}


def looks_secret(name: str) -> bool:
    """Tell whether a variable of this name may hold a secret, so that its value must not be shown."""
    return _SECRET.search(name) is not None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `` (did you mean x?)`` for the nearest known name, or nothing."""
    nearest = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.75)
    return f" (did you mean {nearest[0]}?)" if nearest else ""


def _is_integer(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, int):
        return True
    return isinstance(value, str) and re.fullmatch(r"[+-]?\d+", value.strip()) is not None


def _is_number(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, (int, float)):
        return True
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _is_boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return True
    return isinstance(value, (str, int)) and str(value).strip().lower() in _BOOLEANS


def has_type(value: Any, type_name: str) -> bool:
    """Tell whether a value can be used as this type of an argument specification. Unknown types accept anything."""
    if type_name == "int":
        return _is_integer(value)
    if type_name == "float":
        return _is_number(value)
    if type_name == "bool":
        return _is_boolean(value)
    if type_name == "list":
        return isinstance(value, (list, tuple))
    if type_name == "dict":
        return isinstance(value, Mapping)
    if type_name in ("str", "path"):
        return isinstance(value, (str, int, float)) or value is None
    return True


def _shown(value: Any, secret: bool) -> str:
    if secret:
        return "a value that is not shown"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    text = repr(str(value)) if isinstance(value, str) else str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."


def _is_choice(value: Any, choices: list[Any]) -> bool:
    return value in choices or str(value) in [str(choice) for choice in choices]


def check_value(path: str, value: Any, spec: Mapping[str, Any], secret: bool = False) -> list[str]:
    """Return the problems of one value, each as ``path: what is wrong: what to write``.

    :arg path: where the value is, as the operator would write it (C(base_users[0].name)).
    :arg spec: the option's specification (type, elements, choices, options, required, no_log).
    :arg secret: a value above this one is secret, so nothing of it may be shown.
    """
    if value is None:
        return []
    secret = secret or bool(spec.get("no_log")) or looks_secret(path.rsplit(".", 1)[-1])
    type_name = spec.get("type", "str")
    if not has_type(value, type_name):
        return [f"{path}: must be {_NAMES.get(type_name, type_name)}, not {_shown(value, secret)}"]
    if type_name == "int" and _PORT.search(path) and not 1 <= int(value) <= 65535:
        return [f"{path}: must be a port, 1 to 65535, not {_shown(value, secret)}"]
    choices = spec.get("choices")
    if choices:
        wrong = [item for item in (value if type_name == "list" else [value]) if not _is_choice(item, choices)]
        if wrong:
            allowed = ", ".join(str(choice) for choice in choices)
            return [f"{path}: must be one of {allowed}; not {_shown(item, secret)}" for item in wrong]
    if type_name == "list":
        element: dict[str, Any] = {"type": spec.get("elements", "raw"), "no_log": secret}
        if "options" in spec:
            element["options"] = spec["options"]
        return [
            problem
            for index, item in enumerate(value)
            for problem in check_value(f"{path}[{index}]", item, element, secret)
        ]
    if type_name == "dict" and spec.get("options"):
        return check_options(path, value, spec["options"], secret)
    return []


def check_options(path: str, value: Mapping[str, Any], options: Mapping[str, Any], secret: bool = False) -> list[str]:
    """Return the problems of a mapping whose keys are described: unknown, missing and wrong ones."""
    problems: list[str] = []
    known = set(options)
    for name in options:
        known.update(options[name].get("aliases") or [])
    for key in value:
        if key not in known:
            problems.append(f"{path}.{key}: is not a key that is known here{did_you_mean(str(key), known)}")
    for name, spec in options.items():
        found: Optional[str] = next((key for key in [name, *(spec.get("aliases") or [])] if key in value), None)
        if found is None or value[found] is None:
            if spec.get("required"):
                problems.append(f"{path}.{name}: is required")
            continue
        problems.extend(check_value(f"{path}.{found}", value[found], spec, secret))
    return problems


def unknown_variables(role: str, names: Iterable[str], known: Iterable[str]) -> list[str]:
    """Return a problem for each variable that carries the role's prefix without the role knowing it."""
    known_names = set(known)
    return [
        f"variable {name}: role {role} has no such variable{did_you_mean(name, known_names)}"
        for name in sorted(names)
        if name.startswith(f"{role}_") and name not in known_names
    ]
