# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Optional

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._audit.checklist import LINES, SECTIONS
from ansible_collections.slipway.ops.plugins.module_utils._audit.evaluate import (
    CHECKS,
    FAIL,
    NOT_APPLICABLE,
    PASS,
    WARNING,
    Evidence,
    Expectations,
    as_records,
    evaluate,
    read_alert,
    table,
)

NOW = 1_800_000_000
NAME = "fleet.example"
UNIT = {"load": "loaded", "active": "active", "sub": "waiting", "enabled": "enabled", "result": "success"}
WANTED: dict[str, Any] = {
    "stack_name": "fleet",
    "host_names": [NAME],
    "addresses": ["203.0.113.10"],
    "routes": [{"host": NAME, "path": "/", "websocket": False}, {"host": NAME, "path": "/socket", "websocket": True}],
    "ssh_port": 2222,
    "users": ["deploy"],
    "monitoring_units": ["slipway-watch.timer"],
    "backup_unit": "slipway-backup-fleet.timer",
}


def container(service: str, number: int = 1, **changes: Any) -> dict[str, Any]:
    return {
        "name": f"fleet-{service}-{number}",
        "service": service,
        "one_off": False,
        "state": "running",
        "health": "healthy",
        "restarts": 0,
        "exit_code": 0,
        **changes,
    }


def good_host() -> dict[str, Any]:
    return {
        "time": NOW,
        "host_program": True,
        "system": {
            "distribution": "Debian GNU/Linux 13",
            "cpus": 4,
            "memory_mib": 8000,
            "disk_gib": 100.0,
            "disk_free_gib": 80.0,
            "disk_used_percent": 20.0,
        },
        "systemd": {
            "units": {
                name: dict(UNIT) for name in ("docker.service", "slipway-backup-fleet.timer", "slipway-watch.timer")
            },
            "failed_units": [],
        },
        "users": {"deploy": ["deploy", "docker"]},
        "docker": {
            "answers": True,
            "version": "26.1.5",
            "error": "",
            "containers": [
                container("application"),
                container("application", 2),
                container("socket", health="none"),
                container("setup", state="exited", health="none"),
                container("application", 9, one_off=True, state="exited", exit_code=1),
            ],
        },
        "stack": {
            "definition": {
                "name": "fleet",
                "services": {
                    "application": {"replicas": 2, "job": False},
                    "socket": {"replicas": 1, "job": False},
                    "setup": {"replicas": 1, "job": True},
                },
                "migrates": True,
            },
            "releases": [
                {"release": 2, "outcome": "succeeded", "migrated": ["application"]},
                {"release": 3, "outcome": "succeeded", "migrated": []},
            ],
            "environment": {"variables": 5, "empty": [], "examples": [], "private": True},
        },
        "backup": {
            "source_kinds": ["file", "mysql", "volume"],
            "status": {
                "ok": True,
                "last_success_epoch": NOW - 3600,
                "point": "20270115T020000Z",
                "rows": 7,
                "files": 2,
            },
            "history": [
                {
                    "event": "restore",
                    "outcome": "done",
                    "point": "20270115T020000Z",
                    "time": "2027-01-15T07:00:00+00:00",
                }
            ],
        },
        "firewall": {
            "installed": True,
            "enabled": True,
            "default_input": "DROP",
            "ipv6": True,
            "rules": [],
            "kernel_input": {"ipv4": "DROP", "ipv6": "DROP"},
            "error": "",
        },
        "sshd": {
            "settings": {
                "permitrootlogin": ["no"],
                "passwordauthentication": ["no"],
                "kbdinteractiveauthentication": ["no"],
                "usepam": ["yes"],
                "port": ["2222"],
            },
            "error": "",
        },
        "owners": [{"address": "0.0.0.0", "port": 9100, "protocol": "tcp", "process": "node_exporter"}],
        "certificates": {
            NAME: {
                "file": {
                    "path": f"/etc/slipway/certificates/{NAME}/current/fullchain.pem",
                    "error": "",
                    "placeholder": False,
                    "self_signed": False,
                    "not_after": NOW + 60 * 86400,
                    "fingerprint": "aa",
                },
                "served_fingerprint": "aa",
                "served_error": "",
            }
        },
    }


def good_outside() -> dict[str, Any]:
    times = {"requests": 20, "failed": 0, "failure": "", "p95_milliseconds": 40.0}
    return {
        "names": {
            NAME: {
                "addresses": ["203.0.113.10"],
                "handshake": {"verified": True, "error": "", "not_after": NOW + 60 * 86400, "fingerprint": "aa"},
                "redirect": {"status": 301, "location": f"https://{NAME}/", "error": ""},
                "tls_versions": {"TLSv1": False, "TLSv1.1": False, "TLSv1.2": True, "TLSv1.3": True},
                "start": {
                    "status": 200,
                    "error": "",
                    "headers": {
                        "strict-transport-security": "max-age=1",
                        "x-frame-options": "SAMEORIGIN",
                        "x-content-type-options": "nosniff",
                    },
                },
                "health": {"status": 200, "error": "", "json": {"status": "ok", "checks": {"database": True}}},
                "routes": [
                    {"path": "/", "websocket": False, "status": 200, "error": ""},
                    {"path": "/socket", "websocket": True, "status": 101, "error": ""},
                ],
                "times": times,
                "load": {**times, "requests": 500, "concurrency": 50},
            }
        },
        "exposure": {
            "addresses": {"203.0.113.10": {"tcp_open": [80, 443, 2222]}},
            "undeclared": [],
            "unreachable": [],
            "inconclusive": [],
            "left_out": [],
            "tcp_ports": 65535,
            "seconds": 18.4,
        },
        "load_asked": True,
    }


def verdicts(
    host: dict[str, Any],
    outside: Optional[dict[str, Any]],
    alert: Optional[dict[str, Any]] = None,
    wanted: Optional[dict[str, Any]] = None,
) -> dict[str, dict[str, str]]:
    alert = {"sent": ["email", "webhook"], "failed": {}, "error": ""} if alert is None else alert
    expected = Expectations(**(WANTED if wanted is None else wanted))
    return {record["id"]: record for record in as_records(evaluate(Evidence(expected, host, outside, alert)))}


def test_checklist_is_whole() -> None:
    assert [sum(1 for line in LINES if line.section == section) for section in SECTIONS] == [7, 8, 7, 4, 11]
    assert len({line.id for line in LINES}) == len(LINES)
    assert {line.check for line in LINES} == set(CHECKS)
    assert all(line.how for line in LINES)


def test_a_good_system_passes_every_line_that_a_machine_can_answer() -> None:
    found = verdicts(good_host(), good_outside())
    assert [(line, verdict["reason"]) for line, verdict in found.items() if verdict["status"] == FAIL] == []
    assert {line for line, verdict in found.items() if verdict["status"] == NOT_APPLICABLE} == {
        "pre-features",
        "post-documentation",
        "accept-admin",
        "accept-training",
        "accept-support",
        "recover-users",
    }


def finding(port: int, **more: str) -> dict[str, Any]:
    return {"address": "203.0.113.10", "protocol": "tcp", "port": port, **more}


def test_a_declared_port_that_does_not_answer_is_a_warning() -> None:
    outside = good_outside()
    outside["exposure"]["unreachable"].append(finding(443, state="silent"))
    found = verdicts(good_host(), outside)
    assert found["deploy-firewall"]["status"] == WARNING
    assert found["deploy-firewall"]["reason"] == "203.0.113.10 port 443/tcp is declared and does not answer"
    assert found["pre-security"]["status"] == PASS


def test_the_reason_says_what_was_tried() -> None:
    outside = good_outside()
    outside["exposure"]["left_out"] = ["10.0.0.5"]
    assert verdicts(good_host(), outside)["deploy-firewall"]["reason"] == (
        "incoming is dropped by default; 65535 TCP ports tried at 203.0.113.10 in 18 s, not at 10.0.0.5; "
        "open are 80, 443, 2222, all declared"
    )


Change = Callable[[dict[str, Any], dict[str, Any]], Any]


def seen(outside: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = outside["names"][NAME]
    return found


def stored(host: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = host["certificates"][NAME]["file"]
    return found


FAILURES: list[tuple[str, Change, str]] = [
    ("pre-environment", lambda h, o: h["stack"].update(environment=None), "not on the host"),
    ("pre-environment", lambda h, o: h["stack"]["environment"].update(empty=["DB_PASSWORD"]), "empty: DB_PASSWORD"),
    ("pre-environment", lambda h, o: h["stack"]["environment"].update(examples=["X"]), "example value: X"),
    ("recover-environment", lambda h, o: h["stack"]["environment"].update(private=False), "others than root"),
    ("pre-certificate", lambda h, o: h["certificates"].clear(), "no certificate on the host"),
    ("pre-certificate", lambda h, o: stored(h).update(placeholder=True), "placeholder"),
    ("pre-certificate", lambda h, o: stored(h).update(self_signed=True), "self-signed"),
    ("pre-certificate", lambda h, o: stored(h).update(not_after=NOW - 7200), "expired 2 h ago"),
    ("pre-certificate", lambda h, o: stored(h).update(fingerprint="bb"), "another certificate is served"),
    ("pre-certificate", lambda h, o: h["certificates"][NAME].update(served_error="refused"), "not served: refused"),
    ("pre-backup", lambda h, o: h["backup"].update(history=[], status=None), "no backup has been read back"),
    (
        "pre-backup",
        lambda h, o: h["backup"]["history"].append({"event": "restore", "outcome": "failed", "error": "no space"}),
        "the last restore failed: no space",
    ),
    ("pre-monitoring", lambda h, o: h["systemd"]["units"].pop("slipway-watch.timer"), "is not installed"),
    (
        "pre-monitoring",
        lambda h, o: h["systemd"]["units"]["slipway-watch.timer"].update(enabled="disabled"),
        "is not enabled (disabled)",
    ),
    ("pre-monitoring", lambda h, o: h["systemd"]["units"]["slipway-watch.timer"].update(load="masked"), "is masked"),
    ("pre-load", lambda h, o: seen(o)["load"].update(failed=3, failure="502"), "3 of 500 requests failed (502)"),
    ("pre-load", lambda h, o: seen(o).update(load={}), "did not answer"),
    ("pre-security", lambda h, o: h["sshd"]["settings"].update(permitrootlogin=["prohibit-password"]), "permits root"),
    ("pre-security", lambda h, o: h["sshd"]["settings"].update(passwordauthentication=["yes"]), "accepts passwords"),
    (
        "pre-security",
        lambda h, o: h["sshd"]["settings"].update(kbdinteractiveauthentication=["yes"]),
        "keyboard-interactive",
    ),
    ("pre-security", lambda h, o: h["sshd"]["settings"].update(port=["22", "2222"]), "uses port 22, 2222, not 2222"),
    ("pre-security", lambda h, o: h["sshd"].update(settings={}, error="no /run/sshd"), "no /run/sshd"),
    (
        "pre-security",
        lambda h, o: o["exposure"]["undeclared"].append(finding(9100, behind="node_exporter")),
        "203.0.113.10 port 9100/tcp (node_exporter) is open and not declared",
    ),
    ("deploy-server", lambda h, o: h["system"].update(cpus=0), "has 0 processors, fewer than 1"),
    ("deploy-server", lambda h, o: h["system"].update(memory_mib=0), "MiB of memory, less than"),
    ("deploy-server", lambda h, o: h["system"].update(disk_gib=0.5), "less than 1"),
    ("deploy-server", lambda h, o: h["system"].update(disk_used_percent=95.0), "95.0 % full"),
    ("recover-server", lambda h, o: h["users"].update(deploy=None), "missing users: deploy"),
    ("deploy-docker", lambda h, o: h["docker"].update(answers=False, error="there is no Docker engine"), "no Docker"),
    ("recover-docker", lambda h, o: h["systemd"]["units"]["docker.service"].update(active="failed"), "is failed"),
    ("deploy-application", lambda h, o: h["stack"].update(releases=[]), "no release is recorded"),
    (
        "deploy-application",
        lambda h, o: h["stack"]["releases"].append({"release": 4, "outcome": "aborted", "reason": "unhealthy"}),
        "ended as aborted: unhealthy",
    ),
    ("deploy-application", lambda h, o: h["docker"].update(containers=[]), "no container of the stack runs"),
    ("deploy-database", lambda h, o: h["stack"].update(releases=[{"outcome": "failed"}]), "ended as failed"),
    ("deploy-database", lambda h, o: h["stack"].update(definition=None), "not deployed"),
    ("deploy-database", lambda h, o: h["stack"]["releases"].pop(0), "no release has run the migration"),
    ("deploy-tls", lambda h, o: seen(o)["tls_versions"].update(TLSv1=True), "still speaks TLSv1"),
    ("deploy-tls", lambda h, o: seen(o)["redirect"].update(status=200, location=""), "does not lead to HTTPS (200)"),
    ("deploy-tls", lambda h, o: seen(o)["start"]["headers"].pop("x-frame-options"), "headers missing: x-frame-options"),
    (
        "deploy-tls",
        lambda h, o: (
            seen(o).update(tls_versions={"TLSv1.2": False}),
            seen(o)["handshake"].update(verified=False, error="refused"),
        ),
        f"{NAME}: refused",
    ),
    ("deploy-firewall", lambda h, o: h["firewall"].update(installed=False), "UFW is not installed"),
    ("deploy-firewall", lambda h, o: h["firewall"].update(enabled=False), "UFW is not enabled"),
    ("deploy-firewall", lambda h, o: h["firewall"].update(default_input="ACCEPT"), "is ACCEPT"),
    ("deploy-firewall", lambda h, o: h["firewall"]["kernel_input"].update(ipv6="ACCEPT"), "ipv6 policy"),
    ("deploy-firewall", lambda h, o: o.pop("exposure"), "nobody looked at the ports from outside"),
    (
        "deploy-firewall",
        lambda h, o: o["exposure"]["inconclusive"].append("203.0.113.10: nothing at all answered"),
        "nothing is proved about 203.0.113.10: nothing at all answered",
    ),
    (
        "deploy-firewall",
        lambda h, o: o["exposure"]["undeclared"].append(finding(3306, behind="")),
        "port 3306/tcp (nothing seen on the host is behind it) is open and not declared",
    ),
    (
        "deploy-backups",
        lambda h, o: h["systemd"]["units"]["slipway-backup-fleet.timer"].update(active="inactive"),
        "inactive",
    ),
    (
        "deploy-monitoring",
        lambda h, o: h["systemd"]["units"]["slipway-watch.timer"].update(result="exit-code"),
        "failed when it last ran",
    ),
    ("post-health", lambda h, o: seen(o).update(health={}), "no handshake"),
    (
        "post-health",
        lambda h, o: seen(o).update(
            health={"status": 503, "error": "", "json": {"status": "degraded", "checks": {"redis": False}}}
        ),
        "answers 503 (redis not well)",
    ),
    ("post-health", lambda h, o: seen(o)["health"]["json"].update(status="degraded"), "says degraded"),
    ("post-health", lambda h, o: seen(o)["health"]["json"]["checks"].update(queue=False), "queue is not well"),
    ("post-services", lambda h, o: h["docker"]["containers"].pop(0), "application: 1 of 2 well"),
    ("post-services", lambda h, o: h["docker"]["containers"][2].update(health="unhealthy"), "socket: 0 of 1 well"),
    ("post-services", lambda h, o: h["docker"]["containers"][0].update(restarts=9), "restarted 9 times"),
    ("post-services", lambda h, o: h["docker"]["containers"][3].update(exit_code=2), "fleet-setup-1 ended with 2"),
    ("post-services", lambda h, o: h["systemd"]["failed_units"].append("x.service"), "failed units: x.service"),
    (
        "post-certificate",
        lambda h, o: seen(o)["handshake"].update(verified=False, error="the certificate is not trusted: x"),
        "not trusted",
    ),
    ("post-certificate", lambda h, o: seen(o)["handshake"].update(not_after=NOW + 3600), "valid for 60 min only"),
    ("recover-certificate", lambda h, o: seen(o)["handshake"].update(fingerprint="bb"), "another certificate"),
    (
        "post-backups",
        lambda h, o: h["backup"]["status"].update(last_success_epoch=NOW - 30 * 3600),
        "30 h old, limit 26",
    ),
    ("post-backups", lambda h, o: h["backup"]["status"].update(ok=False, error="S3 is full"), "S3 is full"),
    ("post-backups", lambda h, o: h["backup"].update(status=None), "there is no backup yet"),
    ("post-performance", lambda h, o: seen(o)["times"].update(p95_milliseconds=900.0), "900 ms, the target is 500 ms"),
    ("accept-access", lambda h, o: seen(o)["start"].update(status=502), "the start page answers 502"),
    ("recover-repository", lambda h, o: h.update(host_program=False), "slipway is not installed"),
    (
        "recover-database",
        lambda h, o: h["backup"]["history"].append({"event": "restore", "outcome": "failed", "error": "x"}),
        "the last restore failed: x",
    ),
    ("recover-dns", lambda h, o: seen(o).update(addresses=[]), "does not resolve from outside"),
    ("recover-dns", lambda h, o: seen(o).update(addresses=["1.2.3.4"]), "leads to 1.2.3.4, not to 203.0.113.10"),
    ("recover-functions", lambda h, o: seen(o)["routes"][0].update(status=502), f"{NAME}/ answers 502"),
    ("recover-functions", lambda h, o: seen(o)["routes"][1].update(status=400), "not upgraded to a websocket (400)"),
    ("recover-functions", lambda h, o: seen(o)["routes"][0].update(status=0, error="timed out"), "does not answer"),
]


@pytest.mark.parametrize(
    ("line", "change", "words"), FAILURES, ids=[f"{line}: {words}" for line, _change, words in FAILURES]
)
def test_line_fails(line: str, change: Change, words: str) -> None:
    host, outside = good_host(), good_outside()
    change(host, outside)
    verdict = verdicts(host, outside)[line]
    assert verdict["status"] == FAIL
    assert words in verdict["reason"]


OTHERS: list[tuple[str, Change, str]] = [
    ("pre-load", lambda h, o: o.update(load_asked=False), "no load was asked for"),
    ("deploy-database", lambda h, o: h["stack"]["definition"].update(migrates=False), "declares no migration"),
    ("recover-database", lambda h, o: h["backup"].update(history=[]), "no restore is recorded"),
    ("recover-files", lambda h, o: h["backup"].update(source_kinds=["mysql"]), "the backup holds no files"),
    ("recover-users", lambda h, o: seen(o).update(addresses=["1.2.3.4"]), "for people to do"),
]


@pytest.mark.parametrize(
    ("line", "change", "words"), OTHERS, ids=[f"{line}: {words}" for line, _change, words in OTHERS]
)
def test_line_does_not_apply(line: str, change: Change, words: str) -> None:
    host, outside = good_host(), good_outside()
    change(host, outside)
    verdict = verdicts(host, outside)[line]
    assert verdict["status"] == NOT_APPLICABLE
    assert words in verdict["reason"]


def test_an_address_of_the_host_itself_is_no_foreign_one() -> None:
    host, outside = good_host(), good_outside()
    seen(outside)["addresses"].append("2001:db8::10")
    assert verdicts(host, outside)["recover-dns"]["status"] == FAIL
    host["addresses"] = ["2001:db8::10"]
    assert verdicts(host, outside)["recover-dns"]["status"] == PASS


def test_units_that_may_fail() -> None:
    host = good_host()
    host["systemd"]["failed_units"] = ["x.service"]
    assert verdicts(host, good_outside())["recover-services"]["status"] == PASS
    wanted = {**WANTED, "ignored_units": ["x.service"]}
    assert verdicts(host, good_outside(), wanted=wanted)["post-services"]["status"] == PASS


def test_a_backup_that_was_read_back_counts_as_tested() -> None:
    host = good_host()
    host["backup"]["history"] = []
    verdict = verdicts(host, good_outside())["pre-backup"]
    assert (verdict["status"], verdict["reason"]) == (PASS, "point 20270115T020000Z was read back (7 rows, 2 files)")


def test_what_nobody_looked_at_never_passes() -> None:
    found = verdicts(good_host(), None)
    for line in (
        "deploy-tls",
        "post-health",
        "post-certificate",
        "post-performance",
        "pre-security",
        "deploy-firewall",
    ):
        assert found[line]["status"] == FAIL, line
        assert "nobody looked" in found[line]["reason"] or "not looked at" in found[line]["reason"]


def test_a_system_without_host_names_has_nothing_to_serve() -> None:
    found = verdicts(good_host(), good_outside(), wanted={**WANTED, "host_names": [], "monitoring_units": []})
    for line in ("pre-certificate", "deploy-tls", "post-health", "recover-dns", "accept-access", "pre-monitoring"):
        assert found[line]["status"] == NOT_APPLICABLE, line


def test_every_name_must_be_well() -> None:
    outside = good_outside()
    outside["names"]["second.example"] = copy.deepcopy(outside["names"][NAME])
    outside["names"]["second.example"]["health"]["status"] = 500
    found = verdicts(good_host(), outside, wanted={**WANTED, "host_names": [NAME, "second.example", "third.example"]})
    assert (
        found["post-health"]["reason"]
        == "second.example: the health page answers 500; third.example: was not looked at"
    )


@pytest.mark.parametrize(
    ("result", "read", "status", "reason"),
    [
        (
            {"stdout": '{"token": "x", "sent": ["email"], "failed": {}}'},
            {"sent": ["email"], "failed": {}, "error": ""},
            PASS,
            "a test alert was handed over by email",
        ),
        (
            {"stdout": '{"sent": ["email"], "failed": {"webhook": "refused"}}'},
            {"sent": ["email"], "failed": {"webhook": "refused"}, "error": ""},
            FAIL,
            "webhook: refused",
        ),
        (
            {"stdout": "", "stderr": "slipway: /etc/slipway/watch.json\ndoes not exist"},
            {"sent": [], "failed": {}, "error": "slipway: /etc/slipway/watch.json does not exist"},
            FAIL,
            "slipway: /etc/slipway/watch.json does not exist",
        ),
        ({"stdout": "{}"}, {"sent": [], "failed": {}, "error": ""}, FAIL, "the test alert was handed to nobody"),
    ],
)
def test_alerts(result: dict[str, Any], read: dict[str, Any], status: str, reason: str) -> None:
    assert read_alert(result) == read
    verdict = verdicts(good_host(), good_outside(), alert=read)["post-alerts"]
    assert (verdict["status"], verdict["reason"]) == (status, reason)


def test_an_alert_that_was_not_asked_for_does_not_apply() -> None:
    assert read_alert({"skipped": True}) is None
    evidence = Evidence(Expectations(**WANTED), good_host(), good_outside(), None)
    verdict = next(item for item in evaluate(evidence) if item.id == "post-alerts")
    assert verdict.status == NOT_APPLICABLE


def test_table_is_aligned_and_counted() -> None:
    lines = table(as_records(evaluate(Evidence(Expectations(**WANTED), good_host(), good_outside(), None))), "fleet")
    rows = [line for line in lines.split("\n") if line.startswith("  ")]
    assert len(rows) == 37
    assert all(line == line.rstrip() for line in lines.split("\n"))
    column = rows[0].index("for people")
    assert all(row[column] != " " and row[column - 1] == " " for row in rows)
    assert lines.rsplit("\n", maxsplit=1)[-1] == "fleet: 30 pass, 0 fail, 7 not applicable"
