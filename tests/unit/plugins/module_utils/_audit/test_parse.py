# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._audit import parse


def test_units() -> None:
    output = (
        "Id=docker.service\nLoadState=loaded\nActiveState=active\nSubState=running\nUnitFileState=enabled\n"
        "Result=success\n\nId=nope.service\nLoadState=not-found\nActiveState=inactive\nSubState=dead\nUnitFileState=\n"
    )
    found = parse.units(output)
    assert found["docker.service"] == {
        "load": "loaded",
        "active": "active",
        "sub": "running",
        "enabled": "enabled",
        "result": "success",
    }
    assert found["nope.service"]["load"] == "not-found"


def test_failed_units() -> None:
    assert parse.failed_units("a.service loaded failed failed A thing\n\n") == ["a.service"]


def test_sshd_settings() -> None:
    output = "port 2222\nport 22\npermitrootlogin no\nallowusers operator\nallowusers deploy\n"
    assert parse.sshd_settings(output) == {
        "port": ["2222", "22"],
        "permitrootlogin": ["no"],
        "allowusers": ["operator", "deploy"],
    }


def test_assignments() -> None:
    text = "# comment\nENABLED=yes\nDEFAULT_INPUT_POLICY=\"DROP\"\n\nno assignment\nX='a=b'\n"
    assert parse.assignments(text) == {"ENABLED": "yes", "DEFAULT_INPUT_POLICY": "DROP", "X": "a=b"}


def test_ufw_rules() -> None:
    text = (
        "*filter\n### RULES ###\n\n"
        "### tuple ### allow tcp 2222 0.0.0.0/0 any 0.0.0.0/0 in comment=535348\n"
        "-A ufw-user-input -p tcp --dport 2222 -j ACCEPT\n"
    )
    assert parse.ufw_rules(text) == [{"action": "allow", "protocol": "tcp", "port": "2222"}]


def test_default_policy() -> None:
    assert parse.default_policy("-P INPUT DROP\n-A INPUT -j ufw-before-input\n") == "DROP"
    assert parse.default_policy("") is None


def test_listeners() -> None:
    output = (
        'LISTEN 0 128 0.0.0.0:22 0.0.0.0:* users:(("sshd",pid=57,fd=3))\n'
        'LISTEN 0 128 [::]:22 [::]:* users:(("sshd",pid=57,fd=4))\n'
        "LISTEN 0 4096 127.0.0.53%lo:53 0.0.0.0:*\n"
        'LISTEN 0 4096 *:9100 *:* users:(("prometheus-node",pid=9,fd=3))\n'
        "nonsense\n"
    )
    assert parse.listeners(output) == [
        {"address": "0.0.0.0", "port": 22, "protocol": "tcp", "process": "sshd", "pid": 57},
        {"address": "::", "port": 22, "protocol": "tcp", "process": "sshd", "pid": 57},
        {"address": "127.0.0.53", "port": 53, "protocol": "tcp", "process": "", "pid": 0},
        {"address": "*", "port": 9100, "protocol": "tcp", "process": "prometheus-node", "pid": 9},
    ]
    assert parse.listeners("UNCONN 0 0 0.0.0.0%eth0:68 0.0.0.0:*\n", "udp") == [
        {"address": "0.0.0.0", "port": 68, "protocol": "udp", "process": "", "pid": 0}
    ]


def test_published_ports_have_a_container_and_no_process() -> None:
    listed = [
        {
            "Id": 64 * "a",
            "Names": ["/web"],
            "Ports": [
                {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 9999, "Type": "tcp"},
                {"PrivatePort": 443, "Type": "tcp"},
            ],
        },
        {"Id": 64 * "b", "Names": ["/on-the-host"], "Ports": []},
    ]
    assert parse.published(listed) == [
        {"address": "0.0.0.0", "port": 9999, "protocol": "tcp", "container": "web", "container_port": 80}
    ]


@pytest.mark.parametrize(
    ("cgroup", "name"),
    [
        (f"0::/system.slice/docker-{64 * 'a'}.scope\n", "web"),
        (f"1:name=systemd:/docker/{64 * 'c'}/docker/{64 * 'a'}\n", "web"),
        (f"0::/docker/{64 * 'c'}/init.scope\n", ""),
        ("0::/system.slice/ssh.service\n", ""),
        ("", ""),
    ],
)
def test_the_container_of_a_process(cgroup: str, name: str) -> None:
    assert parse.container_of(cgroup, {64 * "a": "web"}) == name


def test_addresses() -> None:
    output = (
        '[{"ifname": "lo", "addr_info": [{"local": "127.0.0.1", "scope": "host"}]},'
        ' {"ifname": "eth0", "addr_info": [{"local": "172.30.0.10", "scope": "global"},'
        ' {"local": "fe80::1", "scope": "link"}, {"local": "fd00::10", "scope": "global"}]}, {"ifname": "x"},'
        ' {"ifname": "docker0", "addr_info": [{"local": "172.17.0.1", "scope": "global"}]},'
        ' {"ifname": "br-0123456789ab", "addr_info": [{"local": "172.18.0.1", "scope": "global"}]},'
        ' {"ifname": "br-lan", "addr_info": [{"local": "10.0.0.1", "scope": "global"}]}]'
    )
    assert parse.addresses(output) == ["10.0.0.1", "172.30.0.10", "fd00::10"]


def test_memory() -> None:
    assert parse.memory_mib("MemTotal:        8048576 kB\nMemFree: 1 kB\n") == 7859
    assert parse.memory_mib("") == 0


def test_environment_keeps_values_to_itself() -> None:
    text = "DB_PASSWORD=s3cret-value\nEMPTY=\nEXAMPLE=change-me\nOTHER=<your key>\nQUOTED=''\n"
    found = parse.environment(text)
    assert found == {"variables": 5, "empty": ["EMPTY", "QUOTED"], "examples": ["EXAMPLE", "OTHER"]}
    assert "s3cret" not in str(found)


def test_openssl_output() -> None:
    output = (
        "subject=O=Slipway placeholder\nissuer=CN=Pebble\nnotAfter=Nov 21 03:07:12 2026 GMT\n"
        "X509v3 Subject Alternative Name: \n    DNS:Fleet.example, DNS:*.shop.example\n"
    )
    assert parse.openssl_fields(output)["issuer"] == "CN=Pebble"
    assert parse.certificate_names(output) == ["*.shop.example", "fleet.example"]


def test_covers() -> None:
    assert parse.covers(["fleet.example"], "FLEET.example")
    assert parse.covers(["*.example"], "fleet.example")
    assert not parse.covers(["*.example"], "a.fleet.example")
    assert not parse.covers([], "fleet.example")


def test_container_leaves_the_environment_out() -> None:
    inspected = {
        "Name": "/fleet-application-1",
        "RestartCount": 2,
        "State": {"Status": "running", "ExitCode": 0, "Health": {"Status": "healthy"}},
        "Config": {
            "Image": "marinemaroc/application:1.0.0",
            "Env": ["DB_PASSWORD=s3cret"],
            "Labels": {"com.docker.compose.service": "application", "com.docker.compose.oneoff": "False"},
        },
    }
    found = parse.container(inspected)
    assert (found["service"], found["health"], found["restarts"]) == ("application", "healthy", 2)
    assert not found["one_off"]
    assert "s3cret" not in str(found)
    assert parse.container({})["health"] == "none"
