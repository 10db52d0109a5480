from __future__ import annotations

from ansible_collections.slipway.ops.plugins.module_utils._watch import report
from ansible_collections.slipway.ops.plugins.module_utils._watch.decide import Notice, Verdict
from ansible_collections.slipway.ops.plugins.module_utils._watch.model import Check, Configuration

NOW = 1_800_000_000.0
SITE = Check("site", "http", {})
DISK = Check("disk", "disk", {})
CONFIG = Configuration("web1", (SITE, DISK), 300, 86400)


def notice(check: str, event: str) -> Notice:
    return Notice("email", check, event, f"{check} message", NOW - 60)


def test_subject_has_the_bad_first() -> None:
    notices = [notice("b", "recovered"), notice("z", "bad"), notice("a", "bad"), notice("c", "again")]
    assert report.subject("web1", notices) == "[slipway] web1 BAD: a, z; STILL BAD: c; recovered: b"


def test_subject_stays_short() -> None:
    notices = [notice(name, "bad") for name in "abcdef"]
    assert report.subject("web1", notices) == "[slipway] web1 BAD: a, b, c and 3 more"


def test_body_has_every_notice_with_its_time() -> None:
    text = report.body("web1", [notice("a", "bad"), notice("b", "recovered")], NOW)
    assert text.splitlines()[0] == "Host web1, 2027-01-15 08:00 UTC"
    assert "BAD: a\n  a message\n  since 2027-01-15 07:59 UTC\n" in text
    assert "recovered: b\n" in text


def test_payload_is_what_chat_services_show_and_more() -> None:
    value = report.payload("web1", [notice("a", "bad")], NOW)
    assert value["text"] == "[slipway] web1 BAD: a"
    assert value["notices"] == [{"check": "a", "event": "bad", "message": "a message", "since": NOW - 60}]


def test_metrics() -> None:
    text = report.metrics(CONFIG, [Verdict(SITE, True, ""), Verdict(DISK, False, "")], 2, NOW)
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert lines == [
        'slipway_check_ok{check="site"} 1',
        'slipway_check_ok{check="disk"} 0',
        "slipway_watch_undelivered_alerts 2",
        "slipway_watch_interval_seconds 300",
        "slipway_watch_last_run_timestamp_seconds 1800000000",
    ]
    assert text.count("# TYPE") == 4
    assert text.endswith("\n")


def test_page_and_document_say_the_same() -> None:
    verdicts = [Verdict(SITE, True, "fine", NOW), Verdict(DISK, False, "full", NOW)]
    sent, failed = [notice("disk", "bad")], {"webhook": "refused"}
    assert report.page(verdicts, sent, failed).splitlines() == [
        "ok   site  fine",
        "BAD  disk  full",
        "sent by email: BAD disk",
        "NOT SENT by webhook: refused",
    ]
    value = report.document(CONFIG, verdicts, sent, failed, NOW)
    assert value["ok"] is False
    assert [check["ok"] for check in value["checks"]] == [True, False]
    assert value["sent"] == [{"channel": "email", "check": "disk", "event": "bad"}]
    assert value["failed"] == failed


def test_page_of_nothing() -> None:
    assert report.page([], [], {}) == "nothing is configured to be checked\n"
