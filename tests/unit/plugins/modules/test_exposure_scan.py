# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.slipway.ops.plugins.module_utils._exposure.findings import CLOSED, OPEN, SILENT, Seen
from ansible_collections.slipway.ops.plugins.modules import exposure_scan

HOST = "203.0.113.10"
OWNERS = [
    {"address": "0.0.0.0", "port": 9999, "protocol": "tcp", "container": "web", "container_port": 80},
    {"address": "0.0.0.0", "port": 53, "protocol": "udp", "process": "dnsmasq", "container": ""},
]


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], seen: Any = None, **options: Any
) -> dict[str, Any]:
    monkeypatch.setattr(basic, "_ANSIBLE_ARGS", None, raising=False)
    monkeypatch.setattr(exposure_scan.gateway, "resolve", lambda name: [] if name == "nowhere.invalid" else [name])
    monkeypatch.setattr(exposure_scan.scan, "source_for", lambda _address: "198.51.100.7")
    monkeypatch.setattr(exposure_scan.scan, "look", seen)
    with patch_module_args(options), pytest.raises(SystemExit):
        exposure_scan.main()
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def looks(tcp: dict[int, str], asked: dict[str, Any], problem: str = "") -> Any:
    def look(address: str, first: Any, ports: Any, udp_ports: Any, _pace: Any) -> Seen:
        asked[address] = (list(first), len(ports), list(udp_ports))
        return Seen(address, "198.51.100.7", tcp, dict.fromkeys(udp_ports, SILENT), problem)

    return look


def test_tries_every_port_and_what_the_host_uses(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: dict[str, Any] = {}
    warnings: list[str] = []
    monkeypatch.setattr(exposure_scan.AnsibleModule, "warn", lambda _module, text: warnings.append(text))
    result = run(
        monkeypatch,
        capsys,
        looks({22: OPEN, 443: SILENT, 1: CLOSED}, asked),
        addresses=[HOST],
        own_addresses=["10.0.0.5"],
        declared=[22, 443],
        owners=OWNERS,
    )
    assert asked == {HOST: ([22, 443], 65535, [53])}
    exposure = result["exposure"]
    assert exposure["addresses"][HOST] == {"tcp_open": [22], "tcp_closed": 1, "tcp_silent": 1, "udp": {"53": SILENT}}
    assert [one["port"] for one in exposure["unreachable"]] == [443]
    assert exposure["left_out"] == ["10.0.0.5"]
    assert warnings == [f"{HOST} port 443/tcp is declared and does not answer"]


def test_an_open_port_that_is_not_declared_fails_and_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"addresses": [HOST], "declared": [22], "owners": OWNERS}
    result = run(monkeypatch, capsys, looks({22: OPEN, 9999: OPEN}, {}), **options)
    assert result["failed"]
    assert result["msg"] == f"{HOST} port 9999/tcp (container web, its port 80) is open and not declared"
    told = run(monkeypatch, capsys, looks({22: OPEN, 9999: OPEN}, {}), fail=False, **options)
    assert not told.get("failed")
    assert [one["behind"] for one in told["exposure"]["undeclared"]] == ["container web, its port 80"]


@pytest.mark.parametrize(
    ("addresses", "problem", "message"),
    [
        ([HOST], "nothing at all answered", f"nothing is proved about {HOST}: nothing at all answered"),
        ([], "", "nothing is proved about this host: there is no address to scan"),
        ([HOST, "nowhere.invalid"], "", "nothing is proved about nowhere.invalid does not resolve"),
    ],
)
def test_without_evidence_it_fails(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    addresses: list[str],
    problem: str,
    message: str,
) -> None:
    result = run(monkeypatch, capsys, looks({443: SILENT}, {}, problem), addresses=addresses, declared=[])
    assert result["failed"]
    assert result["msg"] == message


def test_everything_that_is_wrong_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(
        monkeypatch,
        capsys,
        addresses=[HOST],
        declared=["70000"],
        tcp_ports=["x"],
        timeout_seconds=0.5,
        at_once=0,
        per_second=10**6,
    )
    assert result["msg"] == (
        "timeout_seconds: must be at least 1.2, or a lost packet makes a port look closed; "
        "at_once: must be 1 to 20000; per_second: must be 1 to 50000; "
        "tcp_ports: 'x' is not a port; write 443, 6000-6007 or, when declared, 53/udp; "
        "declared[0]: 70000 is not within 1 to 65535"
    )
