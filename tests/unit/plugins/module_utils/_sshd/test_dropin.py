# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._sshd import dropin
from ansible_collections.slipway.ops.plugins.module_utils._sshd.algorithms import SUITES
from ansible_collections.slipway.ops.plugins.module_utils._sshd.dropin import Host
from ansible_collections.slipway.ops.plugins.module_utils._sshd.policy import Policy

TRIXIE = Host(SUITES["debian", "13"], ("/etc/ssh/ssh_host_ed25519_key",), exempt_addresses=("192.0.2.7",))
BOOKWORM = Host(SUITES["debian", "12"], ("/k1", "/k2"))


def lines(policy: Policy, host: Host = TRIXIE, ports: tuple[int, ...] = (22,)) -> list[str]:
    return dropin.render(policy, dropin.settings(policy, host, ports)).splitlines()


def test_both_ports_while_it_moves() -> None:
    assert lines(Policy(port=2222), ports=(2222, 22))[1:3] == ["Port 2222", "Port 22"]


@pytest.mark.parametrize(
    ("policy", "there"),
    [
        (Policy(), "PermitRootLogin no"),
        (Policy(), "PasswordAuthentication no"),
        (Policy(), "AuthenticationMethods any"),
        (Policy(), "PerSourcePenaltyExemptList 127.0.0.0/8,::1,192.0.2.7"),
        (Policy(root_login=True), "PermitRootLogin prohibit-password"),
        (Policy(allow_users=("a", "b")), "AllowUsers b"),
        (Policy(deny_groups=("a",)), "DenyGroups a"),
        (Policy(trusted_user_ca_keys=("k",)), "TrustedUserCAKeys /etc/ssh/slipway_user_ca_keys"),
        (Policy(authorized_principals={"a": ("b",)}), "AuthorizedPrincipalsFile /etc/ssh/slipway_principals/%u"),
        (Policy(revoked_keys=("k",)), "RevokedKeys /etc/ssh/slipway_revoked_keys"),
        (Policy(host_certificates=("/c",)), "HostCertificate /c"),
        (Policy(second_factor="totp"), "AuthenticationMethods publickey,keyboard-interactive:pam"),
        (Policy(second_factor="totp"), "KbdInteractiveAuthentication yes"),
        (Policy(macs=("m1", "m2")), "MACs m1,m2"),
    ],
)
def test_settings(policy: Policy, there: str) -> None:
    assert there in lines(policy)


def test_exempt_users_need_no_code() -> None:
    policy = Policy(second_factor="totp", second_factor_exempt_users=("operator", "backup"))
    found = lines(policy)
    start = found.index("Match User operator,backup")
    assert found[start + 1 :] == ["    AuthenticationMethods publickey", "Match all"]
    settings = dropin.settings(policy, TRIXIE, (22,))
    assert dropin.effective(policy, settings, "operator")["authenticationmethods"] == ["publickey"]
    assert dropin.effective(policy, settings, "deploy")["authenticationmethods"] == [dropin.KEY_AND_CODE]


def test_what_the_host_does_not_know_is_left_out() -> None:
    host = replace(BOOKWORM, known=("curve25519-sha256", "aes256-ctr"), options=("port", "modulifile"))
    found = lines(Policy(), host)
    assert "KexAlgorithms curve25519-sha256" in found
    assert "Ciphers aes256-ctr" in found
    assert not [line for line in found if line.startswith(("RequiredRSASize", "PerSourcePenalty", "GSSAPI"))]
    assert "ModuliFile /etc/ssh/slipway_moduli" not in found, "without a group exchange it is not needed"
    assert "ModuliFile /etc/ssh/slipway_moduli" in lines(Policy(), BOOKWORM)


def test_sshd_says_it_in_its_own_words() -> None:
    settings = dropin.settings(Policy(root_login=True), TRIXIE, (22,))
    wanted = dropin.effective(Policy(root_login=True), settings)
    assert wanted["permitrootlogin"] == ["without-password"]
    assert "debianbanner" not in wanted
