"""Writes docs/compose-support.md from the support table: python tests/guide.py."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/compose-support.md"


def page() -> str:
    """The page, as it should be."""
    from ansible_collections.slipway.ops.plugins.module_utils._stack.support import SUPPORT

    lines = [
        "# What becomes of each Compose key",
        "",
        "Written by `python tests/guide.py` from the table that also checks your file (`_stack/support.py`).",
        "A key that is not here is refused as unknown, with the nearest known one.",
        "`*` stands for a name, `[]` for an item of a list.",
        "",
        "| key | on one host | note |",
        "|---|---|---|",
    ]
    lines += [
        f"| `{key}` | {support.compose.kind} | {support.compose.reason.replace('|', chr(92) + '|')} |"
        for key, support in SUPPORT.items()
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / ".cache/collections"))
    PAGE.write_text(page(), encoding="utf-8")
