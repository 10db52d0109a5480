"""The whole way with a stand-in for the host: which steps are taken, in which order, and what a failure stops."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._certificate import certbot
from ansible_collections.slipway.ops.plugins.module_utils._certificate.converge import converge
from ansible_collections.slipway.ops.plugins.module_utils._certificate.gateway import CertificateError, Gateway
from ansible_collections.slipway.ops.plugins.module_utils._certificate.ledger import FAILED, Attempt
from ansible_collections.slipway.ops.plugins.module_utils._certificate.names import Request
from ansible_collections.slipway.ops.plugins.module_utils._certificate.pair import Pair
from ansible_collections.slipway.ops.plugins.module_utils._certificate.plan import Observation

A, B = Request("a.example", ("a.example",)), Request("b.example", ("b.example",))


def pair(name: str) -> Pair:
    now = int(time.time())
    return Pair("01", (name,), "CN=x", False, now - 100, now + 8_000_000, f"of {name}", True)


class Host(Gateway):
    """Remembers what was done; what is named in `failing` fails."""

    def __init__(self, failing: tuple[str, ...] = (), requirements: str = "certbot==5.8.0\n") -> None:
        super().__init__(certbot.Authority("https://acme.example/dir"), certbot.Tool(requirements))
        self.failing = failing
        self.done: list[str] = []
        self.seen: dict[str, Observation] = {}
        self.past: list[Attempt] = []
        self.installed = False

    def _do(self, what: str) -> None:
        self.done.append(what)
        if what in self.failing:
            raise CertificateError(f"{what} failed")

    def observe(self, request: Request, wire: bool) -> Observation:
        return self.seen.get(request.name, Observation())

    def attempts(self) -> list[Attempt]:
        return self.past

    def tool_problem(self) -> str:
        return "" if self.installed else "is not installed yet"

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        yield

    def install_tool(self) -> None:
        self._do("install")
        self.installed = True

    def make_placeholder(self, request: Request) -> None:
        self._do(f"placeholder {request.name}")

    def order(self, request: Request) -> None:
        self._do(f"order {request.name}")

    def publish(self, name: str) -> None:
        self._do(f"publish {name}")
        self.seen[name] = Observation(pair(name), "", pair(name), "https://acme.example/dir", f"of {name}")

    def reload(self) -> None:
        self._do("reload")

    def read_pair(self, directory: str) -> tuple[Pair | None, str]:
        return pair(directory.split("/")[-2]), ""

    def prove(self, request: Request, expected: Pair, seconds: int = 30) -> None:
        self._do(f"prove {request.name}")


ALL = [
    "install",
    *("order a.example", "publish a.example", "reload", "prove a.example"),
    *("order b.example", "publish b.example", "reload", "prove b.example"),
]


def test_bare_host_then_nothing() -> None:
    host = Host()
    assert not converge(host, [A, B], "issued").errors
    assert host.done == ALL
    host.done = []
    outcome = converge(host, [A, B], "issued")
    assert (outcome.steps, outcome.errors, host.done) == ([], [], [])
    assert [record["served"] for record in outcome.certificates] == [True, True]


def test_check_mode_plans_the_same_and_does_nothing() -> None:
    host = Host()
    outcome = converge(host, [A], "issued", check=True)
    assert host.done == []
    assert [step.kind for step in outcome.steps] == ["install", "issue", "publish"]


def test_one_failing_name_does_not_hold_up_the_other() -> None:
    host = Host(failing=("order a.example",))
    outcome = converge(host, [A, B], "issued")
    assert outcome.errors == ["order a.example failed"]
    assert "publish a.example" not in host.done
    assert "prove b.example" in host.done


def test_without_its_tool_nothing_is_ordered() -> None:
    host = Host(failing=("install",))
    assert converge(host, [A, B], "issued").errors == ["install failed"]
    assert host.done == ["install"]


def test_certificate_that_is_not_served_is_an_error() -> None:
    host = Host(failing=("prove a.example",))
    assert converge(host, [A], "issued").errors == ["prove a.example failed"]


def test_placeholder_touches_neither_nginx_nor_authority() -> None:
    host = Host()
    outcome = converge(host, [A], "placeholder")
    assert host.done == ["placeholder a.example"]
    assert not outcome.errors


@pytest.mark.parametrize("check", [True, False])
def test_refused_order_is_one_error_in_both_modes(check: bool) -> None:
    host = Host()
    host.past = [Attempt(int(time.time()), "https://acme.example/dir", A.domains, FAILED, "no")] * 2
    outcome = converge(host, [A], "issued", check)
    assert len(outcome.errors) == 1
    assert outcome.errors[0].startswith("a.example: refused to order: 2 orders failed")
    assert not [what for what in host.done if what.startswith("order")]


def test_records_hold_no_secret() -> None:
    host = Host()
    host.publish("a.example")
    record: dict[str, Any] = converge(host, [A], "issued", check=True).certificates[0]
    assert set(record) == {
        "name", "wanted_domains", "present", "served", "serial", "domains", "issuer", "placeholder", "not_before",
        "not_after", "fingerprint", "key_matches",
    }  # fmt: skip
