# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.slipway.ops.plugins.module_utils._backup.progress import Meter


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_a_short_stream_says_nothing_and_a_long_one_how_far_it_is() -> None:
    clock, said = Clock(), list[str]()
    meter = Meter(said.append, "fetching database shop", 100 << 20, clock)
    meter.add(1 << 20)
    assert said == []
    clock.seconds += 20
    meter.add(19 << 20)
    meter.add(1)
    clock.seconds += 20
    meter.add(30 << 20)
    assert said == [
        "fetching database shop: 20.0 MiB of 100.0 MiB (20 %), 1.0 MiB a second",
        "fetching database shop: 50.0 MiB of 100.0 MiB (50 %), 1.3 MiB a second",
    ]


def test_a_total_that_is_not_known_is_not_made_up() -> None:
    clock, said = Clock(), list[str]()
    meter = Meter(said.append, "storing", clock=clock)
    clock.seconds += 16
    meter.add(16 << 20)
    assert said == ["storing: 16.0 MiB, 1.0 MiB a second"]
