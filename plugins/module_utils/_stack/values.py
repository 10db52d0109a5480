# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values with syntax of their own: durations, sizes, booleans, numbers, lists and maps in either form.

Each function returns None and adds a problem when the value cannot be read; strings are read like the plain values they
stand for, because interpolation yields strings alone.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._stack.problems import Problems

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(us|µs|ms|s|m|h)")
_SECONDS = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([bkmgt]?)(?:i?b)?", re.IGNORECASE)
_UNITS = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


def duration(value: Any, path: str, problems: Problems) -> float | None:
    """Seconds of `1h5m30s`, `500ms`, `0`."""
    text = str(value).strip()
    if text == "0":
        return 0.0
    if isinstance(value, bool) or not text or _DURATION.sub("", text):
        problems.add(path, f"{value!r} is not a duration", "write for example 30s, 1m30s or 500ms")
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in _DURATION.findall(text))


def size(value: Any, path: str, problems: Problems) -> int | None:
    """Bytes of `64m`, `2GB`, `512k`, `1024`; units are powers of 1024."""
    match = _SIZE.fullmatch(str(value).strip())
    if isinstance(value, bool) or match is None:
        problems.add(path, f"{value!r} is not a size", "write for example 512M or 2G")
        return None
    return int(float(match.group(1)) * _UNITS[match.group(2).lower()])


def boolean(value: Any, path: str, problems: Problems) -> bool | None:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in ("true", "y", "yes", "on", "1"):
        return True
    if word in ("false", "n", "no", "off", "0"):
        return False
    problems.add(path, f"{value!r} is neither true nor false", "write true or false")
    return None


def integer(value: Any, path: str, problems: Problems, least: int | None = None, most: int | None = None) -> int | None:
    number: int | None = None
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, str) and re.fullmatch(r"-?\d+", value.strip()):
        number = int(value)
    if number is None:
        problems.add(path, f"{value!r} is not a whole number", "write a number such as 1")
        return None
    if (least is not None and number < least) or (most is not None and number > most):
        limits = f"{least} or more" if most is None else f"{least} to {most}"
        problems.add(path, f"{number} is out of range", f"give {limits}")
        return None
    return number


def decimal(value: Any, path: str, problems: Problems) -> float | None:
    try:
        if not isinstance(value, bool):
            return float(value)
    except (TypeError, ValueError):
        pass
    problems.add(path, f"{value!r} is not a number", 'write for example "0.5"')
    return None


def file_mode(value: Any, path: str, problems: Problems) -> int | None:
    """Permissions: the number that YAML made of 0440, or a text of octal digits."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 0o7777:
        return value
    if isinstance(value, str) and re.fullmatch(r"(0o?)?[0-7]{3,4}", value):
        return int(value.replace("o", ""), 8)
    problems.add(path, f"{value!r} is not a file mode", 'write for example "0440"')
    return None


def text(value: Any, path: str, problems: Problems) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    problems.add(path, "is not a text", "write one plain value")
    return None


def choice(value: Any, path: str, problems: Problems, allowed: tuple[str, ...]) -> str | None:
    if isinstance(value, str) and value in allowed:
        return value
    problems.add(path, f"{value!r} is not possible here", f"give one of {', '.join(allowed)}")
    return None


def texts(value: Any, path: str, problems: Problems) -> list[str]:
    """A list of texts, or one text."""
    if not isinstance(value, list):
        value = [value]
    found = (text(item, f"{path}[{index}]", problems) for index, item in enumerate(value))
    return [item for item in found if item is not None]


def mapping(value: Any, path: str, problems: Problems) -> dict[str, Any]:
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return {str(key): child for key, child in value.items()}
    problems.add(path, "is not a mapping", "write key: value below it")
    return {}


def pairs(value: Any, path: str, problems: Problems, separators: str = "=") -> dict[str, str | None]:
    """A map, or a list of KEY=VALUE; a key without a value gives None."""
    if isinstance(value, list):
        result: dict[str, str | None] = {}
        for index, item in enumerate(value):
            line = text(item, f"{path}[{index}]", problems)
            if line is None:
                continue
            match = re.fullmatch(rf"([^{separators}]+)(?:[{separators}](.*))?", line, re.DOTALL)
            if match is None:
                problems.add(f"{path}[{index}]", f"{line!r} has no key", "write KEY=VALUE")
                continue
            result[match.group(1)] = match.group(2)
        return result
    return {
        key: None if child is None else text(child, f"{path}.{key}", problems)
        for key, child in mapping(value, path, problems).items()
    }


def words(value: Any, path: str, problems: Problems) -> list[str] | None:
    """A command: a list as it stands, a text split like a shell does. None keeps the image's own."""
    if value is None:
        return None
    if isinstance(value, str):
        try:
            return shlex.split(value)
        except ValueError as error:
            problems.add(path, f"cannot be split into words ({error})", "close the quote or write a list")
            return None
    if isinstance(value, list):
        return texts(value, path, problems)
    problems.add(path, "is not a command", "write a text or a list of texts")
    return None
