"""Metrics on the loopback address only, and alerts that arrive: once when bad, once when good again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

TEXTFILE = "/var/lib/prometheus/node-exporter/slipway_watch.prom"


@pytest.fixture(scope="module", autouse=True)
def _no_timer(host: Any) -> None:
    """The tests make the passes themselves."""
    assert host.service("slipway-watch.timer").is_enabled
    assert host.service("slipway-watch.timer").is_running
    host.check_output("systemctl stop slipway-watch.timer slipway-watch.service")


@pytest.fixture(autouse=True)
def _good_again(host: Any) -> Iterator[None]:
    """Each test starts with everything good and everybody told so."""
    yield
    host.check_output("rm -f /run/sink-status; systemctl start sink.service; sleep 1")
    host.run("systemctl reset-failed slipway-watch.service; systemctl start slipway-watch.service")


def run(host: Any) -> bool:
    """Make one pass as the timer does, and tell whether its unit succeeded."""
    host.run("systemctl reset-failed slipway-watch.service")
    return bool(host.run("systemctl start slipway-watch.service").rc == 0)


def messages(host: Any, kind: str = "email") -> list[dict[str, Any]]:
    found = json.loads(host.check_output("curl -s http://127.0.0.1:8025/messages"))
    return [message for message in found if message["kind"] == kind]


def forget(host: Any) -> None:
    host.check_output("curl -s -X DELETE http://127.0.0.1:8025/messages")


def fail_site(host: Any) -> None:
    host.check_output("echo 503 > /run/sink-status")


def metrics(host: Any) -> str:
    return str(host.check_output("curl -s http://127.0.0.1:9100/metrics"))


def test_first_pass_is_all_good(host: Any) -> None:
    forget(host)
    assert run(host)
    result = json.loads(host.check_output("slipway watch --dry-run --json"))
    assert [check["name"] for check in result["checks"] if not check["ok"]] == []
    assert messages(host) == []


def test_metrics_answer_on_the_loopback_address_only(host: Any) -> None:
    assert run(host)
    text = metrics(host)
    assert "node_filesystem_avail_bytes" in text
    assert 'node_systemd_unit_state{name="slipway-watch.timer"' in text
    assert 'slipway_check_ok{check="site"} 1' in text
    assert "slipway_watch_last_run_timestamp_seconds" in text
    assert host.socket("tcp://127.0.0.1:9100").is_listening
    assert not host.socket("tcp://0.0.0.0:9100").is_listening
    assert not host.socket("tcp://:::9100").is_listening
    address = host.check_output("hostname -I").split()[0]
    assert host.run("curl -s --max-time 3 http://%s:9100/metrics", address).rc == 7


def test_files_keep_the_secret(host: Any) -> None:
    assert "T0KEN" not in host.file("/etc/slipway/watch.json").content_string
    secrets = host.file("/etc/slipway/watch-secrets.json")
    assert secrets.mode == 0o600
    assert "T0KEN" in secrets.content_string
    assert host.file(TEXTFILE).mode == 0o644


def test_failing_check_is_told_once_and_so_is_its_recovery(host: Any) -> None:
    forget(host)
    fail_site(host)
    assert run(host)
    assert run(host)
    (mail,) = messages(host)
    assert mail["subject"] == "[slipway] shop.example.test BAD: site"
    assert mail["to"] == "ops@example.test, night@example.test"
    assert "answered 503" in mail["body"]
    (hook,) = messages(host, "webhook")
    assert hook["value"]["notices"][0]["event"] == "bad"
    assert 'slipway_check_ok{check="site"} 0' in metrics(host)

    host.check_output("rm /run/sink-status")
    assert run(host)
    assert run(host)
    assert [message["subject"] for message in messages(host)][1:] == ["[slipway] shop.example.test recovered: site"]
    assert len(messages(host, "webhook")) == 2
    assert 'slipway_check_ok{check="site"} 1' in metrics(host)


def test_alert_that_cannot_be_sent_fails_the_unit_and_is_sent_later(host: Any) -> None:
    forget(host)
    host.check_output("systemctl stop sink.service")
    assert not run(host)
    assert "slipway_watch_undelivered_alerts 2" in host.file(TEXTFILE).content_string
    host.check_output("systemctl start sink.service; echo 503 > /run/sink-status; sleep 1")
    assert run(host)
    assert len(messages(host)) == 1
    assert len(messages(host, "webhook")) == 1


def test_old_backup_and_expiring_certificate_are_told(host: Any) -> None:
    certificate = "/etc/slipway/certificates/shop.example.test/current/fullchain.pem"
    host.check_output("install -d /var/lib/slipway/backup/shop")
    host.check_output("""echo '{"last_success": "2020-01-01T02:00:00Z"}' > /var/lib/slipway/backup/shop/status.json""")
    host.check_output(f"mv {certificate} /root/kept.pem; cp /etc/slipway/watch-ca.pem {certificate}")
    forget(host)
    assert run(host)
    (mail,) = messages(host)
    assert mail["subject"] == "[slipway] shop.example.test BAD: backup-shop, certificates"
    assert "self-signed" in mail["body"]
    host.check_output(f"mv /root/kept.pem {certificate}; rm -r /var/lib/slipway/backup/shop")


def test_drills_and_promises_are_told(host: Any) -> None:
    state = "/var/lib/slipway/backup/shop"
    host.check_output(f"install -d {state}")

    def write(name: str, **values: Any) -> None:
        host.check_output(f"cat > {state}/{name} <<'END'\n{json.dumps(values)}\nEND")

    now = int(host.check_output("date +%s"))
    good = {"ok": True, "last_success": now, "last_success_epoch": now}
    write("status.json", **good)
    write("drill.json", **good, rto_seconds=30)
    assert run(host)
    forget(host)
    # The newest good point is two hours old and the last drill took two minutes: an hour and a minute are promised.
    write("status.json", **{**good, "last_success_epoch": now - 7200})
    write("drill.json", **{**good, "ok": False, "error": "the newest point cannot be restored"}, rto_seconds=120)
    assert run(host)
    (mail,) = messages(host)
    assert mail["subject"] == "[slipway] shop.example.test BAD: drill-shop, rpo-shop, rto-shop"
    assert "the last drill failed: the newest point cannot be restored" in mail["body"]
    assert "a loss now would cost the last 2 h" in mail["body"]
    assert "the last drill needed 2 min until everything served; at most 1 min are promised" in mail["body"]
    write("drill.json", **{**good, "last_success_epoch": now - 12 * 86400}, rto_seconds=30)
    forget(host)
    assert run(host)
    (mail,) = messages(host)
    assert mail["subject"] == "[slipway] shop.example.test recovered: rto-shop"
    result = json.loads(host.check_output("slipway watch --dry-run --json"))
    bad = {check["name"]: check["message"] for check in result["checks"] if not check["ok"]}
    assert "the last good drill was 12 d" in bad["drill-shop"]
    host.check_output(f"rm -r {state}")


def test_many_errors_in_a_log_are_told(host: Any) -> None:
    if not host.exists("docker"):
        pytest.skip("this host has no engine")
    forget(host)
    labels = "--label com.docker.compose.project=shop --label com.docker.compose.service=web"
    script = "for i in 1 2 3 4 5 6 7 8; do echo ERROR; done"
    host.check_output(f"docker run -d --name shop-web-2 {labels} scenario/web /bin/busybox sh -c '{script}' && sleep 1")
    assert run(host)
    host.check_output("docker rm -f shop-web-2")
    (mail,) = messages(host)
    assert mail["subject"] == "[slipway] shop.example.test BAD: logs-web"
    assert "11 lines" in mail["body"]


def test_test_alert_arrives(host: Any) -> None:
    forget(host)
    result = json.loads(host.check_output("slipway watch --test --token abc123 --json"))
    assert result == {"token": "abc123", "sent": ["email", "webhook"], "failed": {}}
    assert "abc123" in messages(host)[0]["body"]
    assert "abc123" in messages(host, "webhook")[0]["value"]["notices"][0]["message"]
