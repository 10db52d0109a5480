# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._host.wish import File, Wish
from ansible_collections.slipway.ops.plugins.module_utils._sshd import dropin, jail, pam, request
from ansible_collections.slipway.ops.plugins.module_utils._sshd.algorithms import SUITES
from ansible_collections.slipway.ops.plugins.module_utils._sshd.dropin import Host
from ansible_collections.slipway.ops.plugins.module_utils._sshd.policy import Policy
from ansible_collections.slipway.ops.plugins.module_utils._sshd.request import LARGE_RSA_KEY, RSA_KEY, HostKey, Present

BOOKWORM, TRIXIE = SUITES["debian", "12"], SUITES["debian", "13"]
PAM = "@include common-auth\n"


def made(policy: Policy, present: Present | None = None) -> Wish:
    host = Host(BOOKWORM, ("/k",))
    given = present if present is not None else Present(pam=PAM, moduli="a b c d 4095 e f\n")
    return request.request(policy, dropin.settings(policy, host, (22,)), given, (22,))


def files(wish: Wish) -> dict[str, File]:
    return {file.path: file for file in wish.files}


@pytest.mark.parametrize(
    ("policy", "suite", "large", "keys"),
    [
        (Policy(), TRIXIE, {RSA_KEY: False}, [request.ED25519_KEY]),
        (Policy(), TRIXIE, {RSA_KEY: True}, [request.ED25519_KEY, RSA_KEY]),
        (Policy(), BOOKWORM, {RSA_KEY: False}, [request.ED25519_KEY, LARGE_RSA_KEY]),
        (Policy(), BOOKWORM, {RSA_KEY: True}, [request.ED25519_KEY, RSA_KEY]),
        (Policy(), BOOKWORM, {}, [request.ED25519_KEY, LARGE_RSA_KEY]),
        (Policy(), TRIXIE, {RSA_KEY: False, LARGE_RSA_KEY: True}, [request.ED25519_KEY, LARGE_RSA_KEY]),
        (Policy(host_keys=("/x",)), BOOKWORM, {}, ["/x"]),
    ],
)
def test_host_keys(policy: Policy, suite: request.Suite, large: dict[str, bool], keys: list[str]) -> None:
    assert list(request.wanted_host_keys(policy, suite, large)) == keys


def test_a_host_key_to_be_made_must_tell_its_type() -> None:
    assert request.host_key_problem("/etc/ssh/mine_ed25519", "") is None
    assert "its name does not tell its type" in str(request.host_key_problem("/etc/ssh/mine", ""))
    assert "is not a public key" in str(request.host_key_problem("/etc/ssh/mine", "rubbish"))


def test_defaults() -> None:
    wish = made(Policy(jail=jail.Jail()), Present([HostKey("/k", b"private", b"public")], "", PAM))
    assert wish.packages == ("openssh-server", *jail.PACKAGES)
    assert wish.armed is not None
    assert files(wish)["/k"].mode == "0600"
    assert files(wish)["/k"].secret
    assert files(wish)["/k.pub"].content == b"public"
    assert files(wish)[dropin.PATH].validate == "sshd -t -f %s"
    assert [unit.name for unit in wish.units] == ["ssh.socket", "ssh.service", "fail2ban.service"]
    assert pam.FILE not in files(wish)


def test_moduli_are_filtered_beside_the_distributions() -> None:
    assert files(made(Policy()))[dropin.MODULI].content == b"a b c d 4095 e f\n"


def test_without_fail2ban_only_our_jail_goes() -> None:
    wish = made(Policy())
    assert jail.FILE in wish.absent
    unit = wish.units[-1]
    assert (unit.name, unit.enabled, unit.state) == ("fail2ban.service", None, None)


def test_certificates() -> None:
    policy = Policy(trusted_user_ca_keys=("ca",), authorized_principals={"a": ("x", "y")}, revoked_keys=("r",))
    wish = made(policy, Present(pam=PAM, principals=("a", "gone")))
    found = files(wish)
    assert found[dropin.USER_CA].content == b"ca\n"
    assert found[dropin.REVOKED].content == b"r\n"
    assert found[f"{dropin.PRINCIPALS}/a"].content == b"x\ny\n"
    assert f"{dropin.PRINCIPALS}/gone" in wish.absent
    assert [dropin.USER_CA in made(Policy()).absent, dropin.REVOKED in made(Policy()).absent] == [True, True]


def test_second_factor() -> None:
    wish = made(Policy(second_factor="totp"))
    assert pam.PACKAGE in wish.packages
    assert pam.RULE in files(wish)[pam.FILE].content.decode()
    back = made(Policy(), Present(pam=pam.with_second_factor(PAM)))
    assert files(back)[pam.FILE].content.decode() == PAM
