# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Optional

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._preflight.names import check_name

HERE = ["203.0.113.10", "2001:db8::10"]


@pytest.mark.parametrize(
    ("answers", "failure", "expected", "problems"),
    [
        (["203.0.113.10"], None, HERE, []),
        (["203.0.113.10", "2001:db8:0::10"], None, HERE, []),
        (["203.0.113.10", "64:ff9b::cb00:710a"], None, HERE, []),
        (["1.2.3.4"], None, [], []),
        (
            ["1.2.3.4"],
            None,
            ["203.0.113.10"],
            [
                "fleet.example resolves to 1.2.3.4, not to this host (203.0.113.10): "
                "correct its A record, or set site_addresses"
            ],
        ),
        (
            ["203.0.113.10", "2001:db8::99"],
            None,
            HERE,
            [
                "fleet.example resolves also to 2001:db8::99, not to this host (203.0.113.10, 2001:db8::10): "
                "correct its AAAA record, or set site_addresses"
            ],
        ),
        (
            [],
            "no such name",
            ["203.0.113.10"],
            ["fleet.example does not resolve (no such name): create its A record with 203.0.113.10"],
        ),
        ([], None, [], ["fleet.example does not resolve (no A or AAAA record): create its A record"]),
        (
            [],
            None,
            ["2001:db8::10"],
            ["fleet.example does not resolve (no A or AAAA record): create its AAAA record with 2001:db8::10"],
        ),
    ],
)
def test_check_name(answers: list[str], failure: Optional[str], expected: list[str], problems: list[str]) -> None:
    assert check_name("fleet.example", answers, failure, expected) == problems
