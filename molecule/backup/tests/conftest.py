"""The tests of one host after each other, and the hosts beside each other."""

from __future__ import annotations

import pytest


# Before the plugin looks, which spreads the tests by these marks.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        callspec = getattr(item, "callspec", None)
        if callspec is not None:
            item.add_marker(pytest.mark.xdist_group(callspec.id))
