"""Every way a certificate can be, against now as an input: nothing here runs or waits."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._certificate.ledger import FAILED, ISSUED, Attempt
from ansible_collections.slipway.ops.plugins.module_utils._certificate.names import Request
from ansible_collections.slipway.ops.plugins.module_utils._certificate.pair import Pair
from ansible_collections.slipway.ops.plugins.module_utils._certificate.plan import (
    DAY,
    STATE_ISSUED,
    STATE_PLACEHOLDER,
    Observation,
    due,
    plan,
    renewal_margin,
)

NOW = 1_800_000_000
DIRECTORY = "https://acme.example/dir"
REQUEST = Request("shop.example", ("shop.example", "www.shop.example"))
GOOD = Pair(
    serial="0a",
    domains=("shop.example", "www.shop.example"),
    issuer="CN=Authority",
    placeholder=False,
    not_before=NOW - 10 * DAY,
    not_after=NOW + 80 * DAY,
    fingerprint="aa",
    key_matches=True,
)
NEWER = replace(GOOD, serial="0b", fingerprint="bb", not_after=NOW + 90 * DAY)
OLD = replace(GOOD, not_before=NOW - 61 * DAY, not_after=NOW + 29 * DAY)
PLACEHOLDER = replace(GOOD, placeholder=True, not_after=NOW + DAY, fingerprint="pp")
SERVED = Observation(current=GOOD, lineage=GOOD, lineage_server=DIRECTORY, served_fingerprint="aa")


def kinds(
    seen: Observation, state: str = STATE_ISSUED, attempts: tuple[Attempt, ...] = (), now: int = NOW
) -> list[str]:
    return [step.kind for step in plan([REQUEST], [seen], state, DIRECTORY, attempts, now)]


@pytest.mark.parametrize(
    ("seen", "wanted"),
    [
        pytest.param(SERVED, [], id="all is well"),
        pytest.param(Observation(), ["issue", "publish"], id="bare host"),
        pytest.param(Observation(current=PLACEHOLDER, served_fingerprint="pp"), ["issue", "publish"], id="placeholder"),
        pytest.param(replace(SERVED, current=OLD, lineage=OLD), ["issue", "publish"], id="last third"),
        pytest.param(
            replace(
                SERVED,
                current=replace(GOOD, domains=("shop.example",)),
                lineage=replace(GOOD, domains=("shop.example",)),
            ),
            ["issue", "publish"],
            id="other names",
        ),
        pytest.param(replace(SERVED, lineage_server="https://staging"), ["issue", "publish"], id="other authority"),
        pytest.param(replace(SERVED, current=None), ["publish"], id="certbot has it, nobody published"),
        pytest.param(replace(SERVED, current=PLACEHOLDER), ["publish"], id="issued, then stopped before publishing"),
        pytest.param(replace(SERVED, lineage=NEWER), ["publish"], id="renewed, not yet published"),
        pytest.param(
            replace(SERVED, current=None, current_problem="cannot be read"), ["publish"], id="published pair is damaged"
        ),
        pytest.param(replace(SERVED, current=replace(GOOD, key_matches=False)), ["publish"], id="wrong key"),
        pytest.param(
            replace(SERVED, lineage=None, lineage_server=""), [], id="ACME state lost: keep it until it is due"
        ),
        pytest.param(
            Observation(current=OLD, served_fingerprint="aa"), ["issue", "publish"], id="ACME state lost, and due"
        ),
        pytest.param(replace(SERVED, served_fingerprint="cc"), ["reload"], id="another one is served"),
        pytest.param(replace(SERVED, served_fingerprint=None), ["reload"], id="nothing answers"),
    ],
)
def test_issued(seen: Observation, wanted: list[str]) -> None:
    assert kinds(seen) == wanted


@pytest.mark.parametrize(
    ("seen", "wanted"),
    [
        pytest.param(Observation(), ["placeholder"], id="bare host"),
        pytest.param(Observation(current_problem="is damaged"), ["placeholder"], id="damaged"),
        pytest.param(
            Observation(current=replace(PLACEHOLDER, not_after=NOW - DAY)), [], id="expired one still starts nginx"
        ),
        pytest.param(Observation(current=replace(GOOD, not_after=NOW - DAY)), [], id="real ones are never replaced"),
        pytest.param(Observation(current=replace(GOOD, key_matches=False)), ["placeholder"], id="wrong key"),
        pytest.param(Observation(lineage=GOOD, lineage_server=DIRECTORY), ["publish"], id="certbot has a real one"),
    ],
)
def test_placeholder(seen: Observation, wanted: list[str]) -> None:
    assert kinds(seen, STATE_PLACEHOLDER) == wanted


def test_margin_is_a_third_or_half_of_a_short_life() -> None:
    assert renewal_margin(90 * DAY) == 30 * DAY
    assert renewal_margin(160 * 3600) == 80 * 3600
    short = replace(GOOD, not_before=NOW, not_after=NOW + 160 * 3600)
    assert not due(short, NOW + 79 * 3600)
    assert due(short, NOW + 80 * 3600)


@pytest.mark.parametrize("lifetime", [160 * 3600, 45 * DAY, 90 * DAY])
def test_at_most_two_orders_in_a_lifetime_however_often_it_runs(lifetime: int) -> None:
    pair = replace(GOOD, not_before=NOW, not_after=NOW + lifetime)
    orders = 0
    for now in range(NOW, NOW + lifetime, 3600):
        seen = Observation(current=pair, lineage=pair, lineage_server=DIRECTORY, served_fingerprint=pair.fingerprint)
        if "issue" in kinds(seen, now=now):
            orders += 1
            pair = replace(pair, not_before=now, not_after=now + lifetime)
    assert 1 <= orders <= 2


@pytest.mark.parametrize(("outcome", "times"), [(FAILED, 2), (ISSUED, 3)])
def test_ledger_refuses_order_and_publication(outcome: str, times: int) -> None:
    attempts = [Attempt(NOW - 60, DIRECTORY, REQUEST.domains, outcome, "no")] * times
    steps = plan([REQUEST], [Observation()], STATE_ISSUED, DIRECTORY, attempts, NOW)
    assert [bool(step.refused) for step in steps] == [True, True]
    assert kinds(SERVED, attempts=tuple(attempts)) == []


def test_tool_comes_first_and_only_for_issuing() -> None:
    steps = plan(
        [REQUEST], [SERVED], STATE_ISSUED, DIRECTORY, [], NOW, tool_problem="version 5.8.0 is not installed yet"
    )
    assert [step.line() for step in steps] == ["install certbot: version 5.8.0 is not installed yet"]
    assert (
        plan([REQUEST], [Observation(current=GOOD)], STATE_PLACEHOLDER, DIRECTORY, [], NOW, tool_problem="missing")
        == []
    )


def test_lines_say_what_and_why() -> None:
    lines = [
        step.line()
        for step in plan([REQUEST], [replace(SERVED, current=OLD, lineage=OLD)], STATE_ISSUED, DIRECTORY, [], NOW)
    ]
    assert lines == [
        "order a certificate for shop.example, www.shop.example: it ends in 29 days",
        "publish the certificate shop.example and reload nginx: after the order",
    ]
