# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._sshd.jail import Jail
from ansible_collections.slipway.ops.plugins.module_utils._sshd.policy import covers, parse
from ansible_collections.slipway.ops.plugins.modules.sshd_policy import ARGUMENTS

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHA5c2dczsWP1BiO664mVlI0UArUM2QHorIeK+ZkX0Br x"
DEFAULTS: dict[str, Any] = {name: option["default"] for name, option in ARGUMENTS.items()}


def test_defaults() -> None:
    policy, problems = parse(DEFAULTS)
    assert problems == []
    assert policy.port == 22
    assert policy.jail == Jail()
    assert not policy.totp
    assert parse({**DEFAULTS, "fail2ban": False})[0].jail is None


def test_everything() -> None:
    given = {
        **DEFAULTS,
        "port": 2222,
        "allow_users": ["a", "b@192.0.2.0/24"],
        "host_keys": ["/etc/ssh/ssh_host_ed25519_key"],
        "key_exchanges": ["mlkem768x25519-sha256", "curve25519-sha256"],
        "trusted_user_ca_keys": [KEY],
        "authorized_principals": {"deploy": ["team-a"]},
        "revoked_keys": [KEY],
        "second_factor": "totp",
        "second_factor_exempt_users": ["operator"],
        "admin_networks": ["192.0.2.0/24", "2001:db8::1"],
    }
    policy, problems = parse(given)
    assert problems == []
    assert policy.allow_users == ("a", "b@192.0.2.0/24")
    assert policy.authorized_principals == {"deploy": ("team-a",)}
    assert len(policy.revoked) == 1
    assert policy.totp


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"port": 70000}, "ssh_port: 70000 is not between 1 and 65535"),
        ({"port": 0}, "ssh_port: 0 is not"),
        ({"confirm_limit_seconds": 5}, "ssh_confirm_limit_seconds: 5 is not between 30"),
        ({"fail2ban_max_retry": 0}, "ssh_fail2ban_max_retry: 0"),
        ({"allow_users": ["a b"]}, "ssh_allow_users[0]: 'a b' is not one name"),
        ({"deny_groups": [""]}, "ssh_deny_groups[0]: ''"),
        ({"host_keys": ["key"]}, "ssh_host_keys[0]: 'key' must be an absolute path"),
        ({"host_keys": ["/etc/ssh/ssh_host_ecdsa_key"]}, "is of a type that is not offered"),
        ({"host_certificates": ["x"]}, "ssh_host_certificates[0]"),
        ({"banner_file": "x"}, "ssh_banner_file"),
        ({"key_exchanges": ["curve25519-sha256"]}, "ssh_key_exchanges: has no post-quantum exchange"),
        ({"ciphers": ["a,b c"]}, "ssh_ciphers[0]"),
        ({"trusted_user_ca_keys": ["x"]}, "ssh_trusted_user_ca_keys[0]: is not a public key"),
        ({"revoked_keys": [KEY, "x"]}, "ssh_revoked_keys[1]: is not a public key"),
        ({"authorized_principals": {"a": ["b"]}}, "has no meaning without ssh_trusted_user_ca_keys"),
        (
            {"trusted_user_ca_keys": [KEY], "authorized_principals": {"a": "b"}},
            "ssh_authorized_principals.a: must be a list",
        ),
        (
            {"trusted_user_ca_keys": [KEY], "authorized_principals": {"../a": ["b"]}},
            "ssh_authorized_principals.../a: is not a user's name",
        ),
        ({"second_factor_exempt_users": ["a"]}, "has no meaning without ssh_second_factor: totp"),
        ({"second_factor": "totp", "second_factor_exempt_users": ["a*"]}, "ssh_second_factor_exempt_users[0]"),
        ({"second_factor": "totp", "passwords": True}, "ssh_passwords: a code is asked for after a key"),
        ({"admin_networks": ["192.0.2.1/24"]}, "ssh_admin_networks[0]"),
        ({"admin_networks": ["office"]}, "ssh_admin_networks[0]"),
    ],
    ids=str,
)
def test_refused(given: dict[str, Any], says: str) -> None:
    problems = parse({**DEFAULTS, **given})[1]
    assert len(problems) == 1
    assert says in problems[0]


def test_all_problems_at_once() -> None:
    assert len(parse({**DEFAULTS, "port": 0, "admin_networks": ["x", "y"]})[1]) == 3


def test_covers() -> None:
    assert covers(["192.0.2.0/24"], "192.0.2.7")
    assert not covers(["192.0.2.0/24"], "198.51.100.7")
    assert covers(["2001:db8::/32"], "2001:db8::1")
    assert not covers(["2001:db8::/32"], "192.0.2.7")
    assert not covers(["192.0.2.0/24"], "")
