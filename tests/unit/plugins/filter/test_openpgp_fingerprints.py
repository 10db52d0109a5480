# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.filter.openpgp_fingerprints import FilterModule

openpgp_fingerprints = FilterModule().filters()["openpgp_fingerprints"]
KEY = Path(__file__).parents[1] / "module_utils/_docker/example.asc"


def test_reads_a_key() -> None:
    assert openpgp_fingerprints(KEY.read_text()) == ["F177AFE7BA8E2F01E351BF1A9172CD6F9C95CDF2"]


@pytest.mark.parametrize(("value", "message"), [("", "no public key found"), (1, "needs the text")])
def test_refuses(value: object, message: str) -> None:
    with pytest.raises(AnsibleFilterError, match=message):
        openpgp_fingerprints(value)
