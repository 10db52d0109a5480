"""The arenas by the engine's name."""

from __future__ import annotations

from typing import Any

from slipway_arena.arena import Arena
from slipway_arena.swarm import NODES, SwarmArena

NAMES = ["compose", "swarm"]


def make(engine: str, name: str, compose_file: str, hosts: int = 1, **variables: Any) -> Arena:
    """`hosts` are those of Compose; a Swarm has its own number."""
    if engine == "swarm":
        return SwarmArena(f"{name}-swarm", NODES, compose_file, **variables)
    return Arena(f"{name}-compose", hosts, compose_file, **variables)
