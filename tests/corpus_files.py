"""The corpus of Compose files, each with the verdict that is expected of it on each engine."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.slipway.ops.plugins.module_utils._stack.load import load
from ansible_collections.slipway.ops.plugins.module_utils._stack.support import SUPPORT
from ansible_collections.slipway.ops.plugins.plugin_utils._compose_yaml import parse

CORPUS = Path(__file__).resolve().parent / "corpus"
ENGINES = ("compose", "swarm")
ACCEPTED = "accepted"

Path_ = tuple[Any, ...]


@dataclass(frozen=True)
class File:
    """One system: `compose.yaml`, what it reads beside it, and `expected.yaml`."""

    directory: Path

    @property
    def name(self) -> str:
        return self.directory.name

    @property
    def path(self) -> Path:
        return self.directory / "compose.yaml"

    @property
    def document(self) -> Any:
        """Without shared parts, so that one place can be changed alone."""
        return json.loads(json.dumps(parse(self.path.read_text(encoding="utf-8"))[0]))

    @property
    def expected(self) -> dict[str, Any]:
        """`variables`; for each engine `accepted` or the refused paths; `lab`, which says why it is not deployed."""
        return dict(yaml.safe_load((self.directory / "expected.yaml").read_text(encoding="utf-8")))

    @property
    def variables(self) -> dict[str, str]:
        return dict(self.expected.get("variables", {}))

    def accepted(self, engine: str) -> bool:
        return bool(self.expected[engine] == ACCEPTED)

    def read(self, beside: str) -> bytes:
        return (self.directory / beside).read_bytes()

    def model(self, engine: str) -> dict[str, Any]:
        return load(self.document, self.stack, self.variables, self.read, engine)

    @property
    def stack(self) -> str | None:
        """The name to give; none where the file has its own."""
        return None if "name" in self.document else "corpus"


def files() -> list[File]:
    return [File(path.parent) for path in sorted(CORPUS.glob("*/compose.yaml"))]


def _known() -> dict[str, set[str]]:
    tree: dict[str, set[str]] = {}
    for pattern in SUPPORT:
        parent, _dot, key = pattern.rpartition(".")
        tree.setdefault(parent, set()).add(key)
    return tree


_TREE = _known()


def patterns(value: Any, at: str = "") -> Iterator[str]:
    """The keys of the table that stand in the document."""
    if isinstance(value, Mapping):
        known = _TREE.get(at, set())
        for key, child in value.items():
            step = key if key in known else "*" if "*" in known else None
            if step is not None:
                below = f"{at}.{step}" if at else step
                yield below
                yield from patterns(child, below)
    elif isinstance(value, list):
        for child in value:
            yield from patterns(child, f"{at}[]")


def leaves(value: Any, at: Path_ = (), pattern: str = "") -> Iterator[tuple[Path_, list[str]]]:
    """Every plain value (or empty container) with its path, and the keys of the table on the way to it."""
    if isinstance(value, Mapping) and value:
        known = _TREE.get(pattern, set())
        for key, child in value.items():
            if key.startswith("x-") and key != "x-slipway":
                continue
            step = key if key in known else "*" if "*" in known else "?"
            below = f"{pattern}.{step}" if pattern else step
            for path, found in leaves(child, (*at, key), below):
                yield path, [below, *found]
    elif isinstance(value, list) and value:
        for index, child in enumerate(value):
            yield from leaves(child, (*at, index), f"{pattern}[]")
    else:
        yield at, []


def written(path: Path_) -> str:
    """As problems name it: services.web.ports[0]."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def changed(document: Any, path: Path_) -> Iterator[Any]:
    """The document without that value, and with others in its place."""
    original: Any = document
    for part in path:
        original = original[part]
    replacements: list[Any] = [None, f"{original}x", "7", "1", "8s", "false"]
    if isinstance(original, bool):
        replacements = [not original, "perhaps"]
    elif isinstance(original, (int, float)):
        replacements = [original + 1, *replacements]
    for replacement in (..., *replacements):
        copy = json.loads(json.dumps(document))
        parent = copy
        for part in path[:-1]:
            parent = parent[part]
        if replacement is ...:
            del parent[path[-1]]
        else:
            parent[path[-1]] = replacement
        yield copy
