"""Marine Maroc's own Compose file, read once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._stack.load import load
from ansible_collections.slipway.ops.plugins.plugin_utils._compose_yaml import parse

VARIABLES = {
    "FLEET_VERSION": "1.0.0",
    "FLEET_DOMAIN": "fleet.marinemaroc.com",
    "DB_PASSWORD": "db-pass",
    "REDIS_PASSWORD": "redis-pass",
    "DB_ROOT_PASSWORD": "root-pass",
}


def no_files(path: str) -> bytes:
    raise FileNotFoundError(path)


@pytest.fixture(scope="session")
def fleet() -> dict[str, Any]:
    root = Path(__file__).resolve().parents[5]
    text = (root / "inventories/marine_maroc/production/compose.yaml").read_text(encoding="utf-8")
    return load(parse(text)[0], None, VARIABLES, no_files)
