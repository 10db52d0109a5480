# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._sshd import algorithms
from ansible_collections.slipway.ops.plugins.module_utils._sshd.algorithms import SUITES, offered, suite_for
from ssh_audit.builtin_policies import BUILTIN_POLICIES

MARKERS = ("ext-info-s", "kex-strict-s-v00@openssh.com")


@pytest.mark.parametrize("release", sorted(SUITES))
def test_a_suite_is_what_its_policy_says(release: tuple[str, str]) -> None:
    suite = SUITES[release]
    policy = BUILTIN_POLICIES[suite.policy]
    assert list(suite.key_exchanges) == [name for name in policy["kex"] if name not in MARKERS]
    assert list(suite.ciphers) == policy["ciphers"]
    assert list(suite.macs) == policy["macs"]
    needed = [name for name in algorithms.KEYS if name in policy["host_keys"]]
    assert needed == policy["host_keys"]
    assert suite.rsa_host_key is not policy.get("allow_hostkey_subset_and_reordering", False)
    assert policy["hostkey_sizes"]["rsa-sha2-512"]["hostkey_size"] == algorithms.RSA_HOST_BITS


@pytest.mark.parametrize("release", sorted(SUITES))
def test_post_quantum_comes_first(release: tuple[str, str]) -> None:
    assert algorithms.is_post_quantum(SUITES[release].key_exchanges[0])


def test_the_newest_policy_of_a_release_is_taken() -> None:
    for suite in SUITES.values():
        start = suite.policy.rpartition("(")[0]
        assert suite.policy == max(name for name in BUILTIN_POLICIES if name.startswith(start))


@pytest.mark.parametrize(
    ("distribution", "release", "openssh", "like"),
    [
        ("debian", "12", (0, 0), ("debian", "12")),
        ("debian", "14", (10, 3), ("ubuntu", "26.04")),
        ("ubuntu", "25.10", (10, 0), ("debian", "13")),
        ("ubuntu", "23.10", (9, 3), ("debian", "12")),
        ("debian", "11", (8, 4), ("ubuntu", "22.04")),
    ],
)
def test_other_releases(distribution: str, release: str, openssh: tuple[int, int], like: tuple[str, str]) -> None:
    assert suite_for(distribution, release, openssh) is SUITES[like]


def test_only_what_the_host_has_is_offered() -> None:
    assert offered(("a", "b"), ("b", "c")) == ("b",)
    assert offered(("a", "b"), ()) == ("a", "b")


def test_small_groups_go() -> None:
    line = "20250101000000 2 6 100 {} 2 FFFF"
    text = "# Time Type Tests Tries Size Generator Modulus\n" + "".join(
        line.format(size) + "\n" for size in (2047, 3070, 3071, 8191)
    )
    assert algorithms.safe_moduli(text) == line.format(3071) + "\n" + line.format(8191) + "\n"
