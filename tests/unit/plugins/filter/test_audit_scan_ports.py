# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.filter import audit_scan_ports


def test_lists_the_ports() -> None:
    seen = {"listening": [{"address": "0.0.0.0", "port": 9100, "process": ""}]}
    assert audit_scan_ports.FilterModule().filters()["audit_scan_ports"](seen, [443], [22]) == [22, 443, 9100]


@pytest.mark.parametrize("value", [None, [], {}, "x"])
def test_other_input_is_refused(value: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="audit_scan_ports: needs what audit_facts returns"):
        audit_scan_ports.audit_scan_ports(value, [])
