# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host is, from what dockerd says."""

from __future__ import annotations

from ansible_collections.slipway.ops.plugins.module_utils._docker.api import ApiError
from ansible_collections.slipway.ops.plugins.module_utils._swarm.gateway import SwarmGateway, translate
from ansible_collections.slipway.ops.plugins.module_utils._swarm.observe import (
    digest,
    observe_cluster,
    observe_local,
    read_cluster,
)
from ansible_collections.slipway.ops.plugins.module_utils._swarm.ports import rules
from ansible_collections.slipway.ops.plugins.module_utils._swarm.values import Cluster, Local, Settings, with_port

from tests.unit.plugins.module_utils._swarm.fake_swarm import FakeGateway


class Silent:
    def information(self) -> None:
        raise ApiError("dockerd does not answer")


def test_a_manager_knows_the_swarm() -> None:
    gateway = FakeGateway("a", "b")
    local, root = observe_local(gateway, encryption=True)
    assert (local.node_id, local.manager, local.data_path_port, local.encrypts, root) == (
        *("id-a", True, 4789),
        *(True, "/var/lib/docker"),
    )
    cluster = observe_cluster(gateway, local, count_services=True)
    assert cluster is not None
    assert ([node.hostname for node in cluster.managers], cluster.services) == (["a", "b"], 0)
    assert Cluster.of_plain(cluster.plain()) == cluster
    assert Local.of_plain(local.plain()) == local


def test_without_a_quorum_the_swarm_is_unknown() -> None:
    gateway = FakeGateway("a")
    gateway.error = "no leader"
    assert observe_cluster(gateway, observe_local(gateway)[0]) is None


def test_without_an_engine_the_state_is_empty() -> None:
    local, _root = observe_local(SwarmGateway(Silent()))  # type: ignore[arg-type]
    assert (local.state, local.error, local.member) == ("", "dockerd does not answer", False)


def test_of_the_key_only_a_digest_is_told() -> None:
    gateway = FakeGateway("a")
    gateway.spec["EncryptionConfig"], gateway.key = {"AutoLockManagers": True}, "SWMKEY-1"
    cluster = read_cluster(gateway)
    assert cluster.unlock_key_sha256 == digest("SWMKEY-1\n")
    assert "SWMKEY" not in str(cluster.plain())


def test_settings_go_into_a_spec_and_come_back() -> None:
    wanted = Settings(1, 2, 3, 4, 5, 6, True)
    spec = wanted.into_spec({"Name": "default", "CAConfig": {"ExternalCAs": ["x"]}})
    assert (Settings.of_spec(spec), spec["Name"], spec["CAConfig"]["ExternalCAs"]) == (wanted, "default", ["x"])


def test_errors_of_a_lost_quorum_have_their_remedy() -> None:
    assert "swarm_recover.yml" in str(translate("x", ApiError("The swarm does not have a leader.", 500)))
    assert str(translate("x", ApiError("no such node", 404))) == "x: no such node"


def test_addresses_get_the_port_of_managers() -> None:
    assert [with_port(each) for each in ("192.0.2.1", "192.0.2.1:1", "2001:db8::1", "[2001:db8::1]:2377")] == [
        "192.0.2.1:2377",
        "192.0.2.1:1",
        "[2001:db8::1]:2377",
        "[2001:db8::1]:2377",
    ]


def test_rules_are_for_the_nodes_alone() -> None:
    found = rules(["192.0.2.1", "2001:db8::1"], 4790, True)
    assert {rule["from"] for rule in found} == {"192.0.2.1", "2001:db8::1"}
    assert [rule.get("port") for rule in found if rule["from"] == "192.0.2.1"] == [[2377, 7946], [4790, 7946], None]
    assert found[-1]["port"] == ["32768:60999"]
    assert not [rule for rule in rules(["192.0.2.1"], 4789, False) if rule["protocol"] == "esp"]
