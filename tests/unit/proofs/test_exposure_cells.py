"""The matrix of the exposure proof: large enough, each cell once, and expected to be what the operator wrote."""

from __future__ import annotations

import pytest

from tests.proofs.exposure.cells import (
    DISABLE,
    FIRST,
    MOMENTS,
    NFTABLES,
    RELOAD,
    TARGETS,
    Cell,
    cells,
    judge,
    may_answer,
    window,
)


def test_the_matrix_is_whole() -> None:
    found = [cell for moment in MOMENTS for cell in cells(moment)]
    assert len({cell.text for cell in found}) == len(found)
    assert len(cells(FIRST)) >= 96
    for values in (
        {(cell.family, cell.protocol, cell.source) for cell in found if cell.may},
        {(cell.family, cell.protocol, cell.source) for cell in found if not cell.may},
    ):
        assert len(values) >= 8


@pytest.mark.parametrize(
    ("moment", "ports"),
    [
        (FIRST, {("declared", 8080), ("hostnet", 8100)}),
        (DISABLE, {("declared", 8080), ("hostnet", 8100), ("hostnet", 8200)}),
    ],
)
def test_what_may_answer(moment: str, ports: set[tuple[str, int]]) -> None:
    open_targets = [target for target in TARGETS if may_answer(target, moment)]
    assert {(target.server, target.port) for target in open_targets} == ports
    assert not any(target.way == "routed" for target in open_targets)


@pytest.mark.parametrize(
    ("may", "answered", "verdict"),
    [
        (True, "declared", ""),
        (False, "", ""),
        (False, "declared", "LEAK at first: lan v4 tcp declared:8080 is answered by declared"),
        (True, "", "FALSE BLOCK at first: lan v4 tcp declared:8080 is answered by nobody"),
        (True, "same", "FALSE BLOCK at first: lan v4 tcp declared:8080 is answered by same"),
    ],
)
def test_judges_a_cell(may: bool, answered: str, verdict: str) -> None:
    cell = Cell(FIRST, "lan", "v4", "tcp", "declared", "declared:8080", 8080, may)
    assert judge(cell, answered) == verdict


def test_only_ports_of_the_host_itself_may_be_open_while_ufw_loads() -> None:
    assert window(RELOAD, "hostnet") == "ufw"
    assert window(RELOAD, "same") == ""
    assert window(NFTABLES, "same") == "nftables"
    assert window("reboot", "hostnet") == ""
