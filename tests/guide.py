"""Writes docs/compose-support.md from the support table: python tests/guide.py."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ansible_collections.slipway.ops.plugins.module_utils._stack.support import Support, Verdict

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/compose-support.md"


def cell(verdict: Verdict) -> str:
    """A verdict and its reason; what is not judged yet needs no reason in each row."""
    if verdict.kind == "unjudged" or not verdict.reason:
        return verdict.kind
    return f"{verdict.kind}: {verdict.reason}".replace("|", "\\|")


def beside(support: Support) -> str:
    return "the same" if support.swarm == support.compose else cell(support.swarm)


def page() -> str:
    """The page, as it should be."""
    from ansible_collections.slipway.ops.plugins.module_utils._stack.support import SUPPORT

    lines = [
        "# What becomes of each Compose key",
        "",
        "Written by `python tests/guide.py` from the table that also checks your file (`_stack/support.py`).",
        "A key that is not here is refused as unknown, with the nearest known one.",
        "`*` stands for a name, `[]` for an item of a list. Columns: one host (or several alike), a Docker Swarm, ECS.",
        "",
        "| key | compose | swarm | ecs |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| `{key}` | {cell(support.compose)} | {beside(support)} | {cell(support.ecs)} |"
        for key, support in SUPPORT.items()
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / ".cache/collections"))
    PAGE.write_text(page(), encoding="utf-8")
