# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.slipway.ops.plugins.module_utils._exposure.measure import percentile, summarize


def test_percentile_is_the_nearest_rank() -> None:
    assert percentile([], 95) == 0.0
    assert percentile([5.0], 95) == 5.0
    assert percentile([float(number) for number in range(1, 21)], 95) == 19.0
    assert percentile([float(number) for number in range(100, 0, -1)], 50) == 50.0


def test_summarize() -> None:
    answers = [{"status": 200, "error": "", "milliseconds": 10.0}, {"status": 503, "error": "", "milliseconds": 30.0}]
    assert summarize(answers) == {
        "requests": 2,
        "failed": 1,
        "failure": "503",
        "p50_milliseconds": 10.0,
        "p95_milliseconds": 30.0,
        "max_milliseconds": 30.0,
    }
    assert summarize([{"status": 0, "error": "timed out", "milliseconds": 1.0}])["failure"] == "timed out"
