# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.slipway.ops.plugins.module_utils._ufw import settings
from ansible_collections.slipway.ops.plugins.module_utils._ufw.model import Policy

TEXT = '# A comment\nIPV6=yes\n\nDEFAULT_INPUT_POLICY="DROP"\n#DEFAULT_OUTPUT_POLICY="DROP"\nIPT_MODULES=""\n'


def test_reads_assignments_without_quotes() -> None:
    assert settings.read(TEXT) == {"IPV6": "yes", "DEFAULT_INPUT_POLICY": "DROP", "IPT_MODULES": ""}


def test_changes_in_place_and_adds_what_is_missing() -> None:
    changed = settings.change(TEXT, {"IPV6": "no", "DEFAULT_OUTPUT_POLICY": '"ACCEPT"'})
    assert changed == TEXT.replace("IPV6=yes", "IPV6=no") + 'DEFAULT_OUTPUT_POLICY="ACCEPT"\n'


def test_a_policy_becomes_assignments_and_back() -> None:
    wanted = settings.defaults_of(Policy(incoming="reject", routed="allow", ipv6=False))
    assert wanted["DEFAULT_INPUT_POLICY"] == '"REJECT"'
    assert settings.default_word(wanted["DEFAULT_FORWARD_POLICY"].strip('"')) == "allow"
    assert wanted["IPV6"] == "no"
