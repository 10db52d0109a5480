"""Where a service runs that may run once only."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.filter.stack_singles import FilterModule
from ansible_collections.slipway.ops.plugins.module_utils._stack.load import load

stack_singles = FilterModule().filters()["stack_singles"]
HOSTS = ["web1", "web2", "web3"]


def model(**extension: Any) -> dict[str, Any]:
    document = {
        "services": {
            "web": {"image": "web:1"},
            "scheduler": {"image": "web:1", "x-slipway": {"single": True, **extension}},
        }
    }
    return load(document, "t", {}, lambda path: b"")


def info(state: str = "", elsewhere: str = "") -> dict[str, Any]:
    containers = [{"state": state}] if state else []
    return {
        "services": {"scheduler": {"containers": containers}} if state else {},
        "elsewhere": {"scheduler": elsewhere} if elsewhere else {},
    }


@pytest.mark.parametrize(
    ("infos", "pins", "gone", "host"),
    [
        pytest.param({"web1": info(), "web2": info()}, {}, [], "web1", id="nobody: the first of the play"),
        pytest.param({"web1": info(), "web2": info("running")}, {}, [], "web2", id="it stays"),
        pytest.param({"web1": info("exited"), "web2": info("running")}, {}, [], "web2", id="stopped is not running"),
        pytest.param({"web1": info("running"), "web2": info("running")}, {}, [], "web1", id="of two the first"),
        pytest.param({"web1": info(elsewhere="web3"), "web2": info()}, {}, [], "web3", id="outside the play: left"),
        pytest.param({"web1": info(elsewhere="web3")}, {}, ["web3"], "web1", id="gone: moved"),
        pytest.param({"web1": info(elsewhere="web9")}, {}, [], "web1", id="no host of the stack any more: moved"),
        pytest.param({"web1": info("running"), "web2": info()}, {"scheduler": "web2"}, [], "web2", id="pinned: moved"),
        pytest.param({"web1": info(elsewhere="web3")}, {"scheduler": "web1"}, [], "web3", id="pinned, but outside"),
    ],
)
def test_places(infos: dict[str, Any], pins: dict[str, str], gone: list[str], host: str) -> None:
    assert stack_singles(infos, model(), HOSTS, pins, gone) == {"scheduler": host}


def test_one_host_needs_no_place() -> None:
    assert stack_singles({"web1": info()}, model(), ["web1"]) == {}


@pytest.mark.parametrize(
    ("extension", "pins", "problem"),
    [
        ({"routes": [{"host": "a.example", "port": 80}]}, {}, "single on several hosts cannot have routes"),
        ({"migrate": ["m"]}, {}, "single on several hosts cannot have migrate"),
        ({}, {"web": "web1"}, r"stack_single_hosts\.web: is no service with x-slipway\.single"),
        ({}, {"scheduler": "web9"}, "web9 is no host of the stack; name one of web1, web2, web3"),
        ({}, {"scheduler": "web3"}, "web3 is not in this play and web2 runs it; run the play for both"),
    ],
)
def test_refusals(extension: dict[str, Any], pins: dict[str, str], problem: str) -> None:
    with pytest.raises(AnsibleFilterError, match=problem):
        stack_singles({"web1": info(), "web2": info("running")}, model(**extension), HOSTS, pins)


def test_something_else_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="are needed"):
        stack_singles([], {}, HOSTS)
