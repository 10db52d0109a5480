"""The arenas by the engine's name."""

from __future__ import annotations

from typing import Any

from slipway_arena.arena import Arena

NAMES = ["compose"]


def make(engine: str, name: str, compose_file: str, hosts: int = 1, **variables: Any) -> Arena:
    return Arena(f"{name}-{engine}", hosts, compose_file, **variables)
