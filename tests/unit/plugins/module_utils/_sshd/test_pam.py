# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._sshd import pam

STOCK = """\
# PAM configuration for the Secure Shell service

# Standard Un*x authentication.
@include common-auth

account    required     pam_nologin.so
"""


def test_the_code_is_asked_for_instead_of_the_password() -> None:
    lines = [line for line in pam.with_second_factor(STOCK).splitlines() if line and not line.startswith("#")]
    assert lines == [pam.RULE, "@include common-auth", "account    required     pam_nologin.so"]
    assert "nullok" not in pam.RULE
    assert "default=die" in pam.RULE


def test_there_and_back() -> None:
    once = pam.with_second_factor(STOCK)
    assert pam.with_second_factor(once) == once
    assert pam.without_second_factor(once) == STOCK
    assert pam.without_second_factor(STOCK) == STOCK


def test_an_auth_line_of_the_file_itself_is_a_place_too() -> None:
    assert pam.with_second_factor("auth required pam_unix.so\n").splitlines()[1] == pam.RULE


def test_a_file_without_a_place_is_refused() -> None:
    with pytest.raises(ValueError, match="restore the distribution's file"):
        pam.with_second_factor("account required pam_unix.so\n")
