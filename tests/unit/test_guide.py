"""The guide says what the table says."""

from __future__ import annotations

from tests.guide import PAGE, page


def test_the_guide_is_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python tests/guide.py"
