# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""YAML as Compose reads it (YAML 1.2's scalars, merge keys), with the line of each path."""

from __future__ import annotations

import re
from typing import Any

import yaml


class ComposeYamlError(Exception):
    """The text does not parse; the message has the line."""


class _Loader(yaml.SafeLoader):
    """`yes`, `22:22` and `2026-01-01` are texts, as in YAML 1.2; a key that is written twice is an error."""

    yaml_implicit_resolvers: dict[str, Any] = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        if isinstance(node, yaml.MappingNode) and not getattr(node, "slipway_checked", False):
            seen: dict[str, int] = {}
            for key, _value in node.value:
                line = key.start_mark.line + 1
                if key.tag != "tag:yaml.org,2002:merge" and key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value} is written already in line {seen[key.value]}", key.start_mark
                    )
                seen[key.value] = line
            node.slipway_checked = True  # type: ignore[attr-defined]
        return super().construct_mapping(node, deep=deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        value = str(self.construct_scalar(node)).replace("_", "")
        if re.fullmatch(r"[-+]?0o?[0-7]+", value):
            return int(value.replace("o", ""), 8)
        return int(value, 0)


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:0|[1-9][0-9_]*|0o?[0-7]+|0x[0-9a-fA-F]+)", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+)|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+0123456789.",
    ),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("merge", r"<<", "<"),
):
    _characters = [character if character != "\0" else "" for character in _first]
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _characters)
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def parse(text: str) -> tuple[Any, dict[str, int]]:
    """The document and the line of each path in it (`services.web.ports[0]` → 12)."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        document = None if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ComposeYamlError(f"{place}{error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise ComposeYamlError(str(error)) from error
    finally:
        loader.dispose()
    lines: dict[str, int] = {}
    if node is not None:
        _collect(node, "", lines)
    return document, lines


def _collect(node: yaml.Node, path: str, lines: dict[str, int]) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = f"{path}.{key.value}" if path else str(key.value)
            lines[here] = key.start_mark.line + 1
            _collect(value, here, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines[f"{path}[{index}]"] = item.start_mark.line + 1
            _collect(item, f"{path}[{index}]", lines)


def line_of(path: str, lines: dict[str, int]) -> int | None:
    """The line of the path, or of the nearest path above it."""
    while path:
        if path in lines:
            return lines[path]
        path = re.sub(r"(\.[^.\[]*|\[\d+\]|^[^.\[]*)$", "", path)
    return None
