"""Which adapter a release gets: by its model's engine alone."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._release.compose import ComposeEngine
from ansible_collections.slipway.ops.plugins.module_utils._release.engine import EngineError
from ansible_collections.slipway.ops.plugins.module_utils._release.records import Records
from ansible_collections.slipway.ops.plugins.module_utils._release.wiring import EMPTY, Settings, parts
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Stack


def on(**model: Any) -> Stack:
    return Stack({"name": "t", **EMPTY, **model})


@pytest.mark.parametrize("model", [{}, {"engine": "compose"}])
def test_compose_is_the_engine_where_nothing_is_said(model: dict[str, str]) -> None:
    found = parts(on(**model), {}, Settings())
    assert isinstance(found.engine, ComposeEngine)
    assert isinstance(found.records, Records)


def test_an_engine_that_is_not_known_here_is_said_with_a_remedy() -> None:
    with pytest.raises(EngineError, match="its engine nomad is not one of compose"):
        parts(on(engine="nomad"), {}, Settings())
