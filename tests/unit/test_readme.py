"""The README's system of one's own is short, and uses nothing that does not exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.slipway.ops.plugins.module_utils._stack.derived import host_names
from ansible_collections.slipway.ops.plugins.module_utils._stack.load import load

ROOT = Path(__file__).resolve().parents[2]
SECTION = (ROOT / "README.md").read_text(encoding="utf-8").split("## A system of your own")[1].split("\n## ")[0]
BLOCKS = re.findall(r"```yaml\n(.*?)```", SECTION, re.DOTALL)
OF_THE_PLAY = {"stack_compose_file", "site_addresses", "site_dns_servers", "site_extra_rules", "site_extra_checks"}


def _options() -> set[str]:
    names: set[str] = set()
    for path in (ROOT / "roles").glob("*/meta/argument_specs.yml"):
        specs: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]
        names |= set(specs["main"]["options"])
    return names


def test_an_inventory_has_under_forty_lines() -> None:
    hosts, system, _compose = BLOCKS
    assert len([line for line in (hosts + system).splitlines() if line.strip()]) < 40


def test_its_variables_exist() -> None:
    assert set(yaml.safe_load(BLOCKS[1])) <= _options() | OF_THE_PLAY


def _read(path: str) -> str:
    raise AssertionError(f"{path} is not read")


def test_its_compose_file_is_understood() -> None:
    model = load(yaml.safe_load(BLOCKS[2]), "shop", {}, _read)
    assert host_names(model) == ["shop.example"]
