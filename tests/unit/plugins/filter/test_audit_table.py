# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.filter import audit_table


def test_lays_out_the_verdicts() -> None:
    verdict = {"section": "Deployment", "text": "Docker installed", "status": "pass", "reason": "version 26"}
    assert audit_table.FilterModule().filters()["audit_table"]([verdict], "fleet").split("\n") == [
        "Deployment",
        "  pass            Docker installed  version 26",
        "fleet: 1 pass, 0 fail, 0 not applicable",
    ]


@pytest.mark.parametrize("value", [None, {}, "x", [1]])
def test_other_input_is_refused(value: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="audit_table: needs a list of verdicts"):
        audit_table.audit_table(value)
