from __future__ import annotations

from dataclasses import replace
from typing import Any, Optional

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    DrillSettings,
    Promises,
    RepositorySettings,
    Settings,
    Source,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.promises import Observed
from ansible_collections.slipway.ops.plugins.module_utils._watch import decide
from ansible_collections.slipway.ops.plugins.module_utils._watch.model import Check, Configuration, Email, parse_checks
from ansible_collections.slipway.ops.plugins.module_utils._watch.reading import (
    BackupStatus,
    CertificateFile,
    Certificates,
    DiskUse,
    FollowedLog,
    FollowedLogs,
    HttpAnswer,
    LogLines,
    Reading,
    Standing,
    Unreadable,
)

NOW = 1_800_000_000.0
HOUR = 3600.0
DAY = 86400.0


def followed(*logs: FollowedLog) -> FollowedLogs:
    return FollowedLogs(True, NOW - 5, False, logs)


def check(kind: str, **options: Any) -> Check:
    problems: list[str] = []
    needed = {
        "http": {"url": "https://example.org/health"},
        "logs": {"stack": "fleet", "service": "application"},
        "backup": {"stack": "fleet"},
        "backup_log": {"stack": "fleet"},
        "drill": {"stack": "fleet"},
        "promise": {"stack": "fleet", "promise": "rpo"},
    }.get(kind, {})
    (made,) = parse_checks([{"name": kind, "kind": kind, **needed, **options}], problems)
    assert problems == []
    return made


def certificate(days_left: float, days: float = 90, **changes: Any) -> Certificates:
    end = NOW + days_left * DAY
    values = {"path": "/c.pem", "not_before": end - days * DAY, "not_after": end, "self_signed": False, **changes}
    return Certificates((CertificateFile(**values),))


@pytest.mark.parametrize(
    ("made", "reading", "ok", "part"),
    [
        (check("http"), HttpAnswer(200, 0.1), True, "answered 200 in 0.10 s"),
        (check("http"), HttpAnswer(503, 0.1), False, "expected 200"),
        (check("http", status=[200, 204]), HttpAnswer(204, 0.1), True, "204"),
        (check("http", contains="ok"), HttpAnswer(200, 0.1, "degraded"), False, "without the expected text 'ok'"),
        (check("http"), Unreadable("refused"), False, "refused"),
        (check("logs"), LogLines(10, 2), True, "10 lines"),
        (check("logs"), LogLines(11, 2), False, "at most 10 are expected"),
        (check("logs"), LogLines(0, 0), False, "no container of fleet/application"),
        (check("backup"), BackupStatus(NOW - 25 * HOUR), True, "the last good backup of fleet is from"),
        (check("backup"), BackupStatus(NOW - 26 * HOUR), False, "26 hours ago"),
        (check("backup"), BackupStatus(NOW + 2 * HOUR), False, "in the future"),
        (check("backup"), BackupStatus(NOW + 60), True, ""),
        (check("backup"), BackupStatus(NOW - HOUR, "disk full"), False, "the newest backup of fleet failed: disk full"),
        (check("backup"), BackupStatus(None, "no way in"), False, "no way in"),
        (check("backup_log"), FollowedLogs(False), True, "no database log of fleet is to be followed"),
        (check("backup_log"), followed(FollowedLog("pg", 60)), True, "are followed: pg; a loss now would cost 60 s"),
        (check("backup_log"), followed(FollowedLog("pg", 61)), False, "a loss now would cost 61 s of pg; at most 60"),
        (check("backup_log", max_loss_seconds=900), followed(FollowedLog("pg", 61)), True, "cost 61 s"),
        (check("backup_log"), followed(FollowedLog("pg", 99, (), ("no way in",))), False, "are expected: no way in"),
        (
            check("backup_log"),
            followed(FollowedLog("a", 1), FollowedLog("pg", 1, ("segment 1", "segment 2"))),
            False,
            "the log of pg has a hole, which no restore can pass: segment 1 and 1 more; make a new point",
        ),
        (check("backup_log"), FollowedLogs(True, NOW - 61), False, "are not followed: the last word of it is from"),
        (check("backup_log"), FollowedLogs(True, NOW + 2 * HOUR), False, "are not followed"),
        (check("backup_log"), FollowedLogs(True, NOW, True), False, "the disk of fleet's logs is nearly full"),
        (check("certificate"), Certificates(()), False, "no certificate at /etc/slipway/certificates"),
        (check("certificate"), certificate(19), True, "1 valid"),
        (check("certificate"), certificate(17), False, "was not renewed in time"),
        (check("certificate"), certificate(17, 45), True, "1 valid"),
        (check("certificate"), certificate(2, 6.6), True, "1 valid"),
        (check("certificate"), certificate(1, 6.6), False, "in 1.0 days"),
        (check("certificate"), certificate(-1), False, "in -1.0 days"),
        (check("certificate", min_days=30), certificate(29), False, "29.0 days"),
        (check("certificate", min_days=3), certificate(4), True, ""),
        (check("certificate"), certificate(80, self_signed=True), False, "self-signed"),
        (check("certificate", allow_self_signed=True), certificate(80, self_signed=True), True, ""),
        (check("certificate"), certificate(91), False, "see the host's clock"),
        (check("disk"), DiskUse(85.0, 10.0), True, "/: 85 % of space"),
        (check("disk"), DiskUse(86.0, 10.0), False, "at most 85 %"),
        (check("disk"), DiskUse(10.0, 99.0), False, "99 % of inodes"),
    ],
)
def test_judges(made: Check, reading: Reading, ok: bool, part: str) -> None:
    found, message = decide.judge(made, reading, NOW, NOW)
    assert found is ok, message
    assert part in message


@pytest.mark.parametrize("last", [None, 0.0, -1.0])
@pytest.mark.parametrize(("age_hours", "ok"), [(0, True), (25, True), (26, False), (-1, False)])
def test_no_backup_is_bad_once_the_first_night_has_passed(last: Optional[float], age_hours: float, ok: bool) -> None:
    assert decide.judge(check("backup"), BackupStatus(last), NOW, NOW - age_hours * HOUR)[0] is ok


@pytest.mark.parametrize(("age_seconds", "ok"), [(0, True), (599, True), (600, False), (-1, False)])
@pytest.mark.parametrize("reading", [FollowedLogs(True), FollowedLogs(True, NOW, False, (FollowedLog("pg", None),))])
def test_a_follower_has_a_while_to_begin(reading: FollowedLogs, age_seconds: float, ok: bool) -> None:
    assert decide.judge(check("backup_log"), reading, NOW, NOW - age_seconds)[0] is ok


@pytest.mark.parametrize(("age_seconds", "ok"), [(0, True), (599, True), (600, False)])
def test_a_receiver_on_another_host_has_a_while_to_begin(age_seconds: float, ok: bool) -> None:
    reading = followed(FollowedLog("pg", 1, (), ("it is away",), "far"))
    found, message = decide.judge(check("backup_log"), reading, NOW, NOW - age_seconds)
    assert found is ok
    assert ("the receiver far of pg on another host is not in order: it is away" in message) is not ok


SETTINGS = Settings(
    "fleet",
    (Source("postgresql", "database"), Source("volume", volume="fleet_uploads")),
    (RepositorySettings("main", "/repository"),),
    drill=DrillSettings(interval_seconds=int(7 * DAY)),
    promises=Promises(rto_seconds=int(4 * HOUR), rpo_seconds=int(DAY)),
)
NOTHING = replace(SETTINGS, drill=DrillSettings(), promises=Promises())


def standing(newest: float | None = NOW - HOUR, settings: Settings = SETTINGS, **drill: Any) -> Standing:
    good = {"ok": True, "last_success": "2027-01-14", "last_success_epoch": NOW - DAY, "rto_seconds": 3600.0}
    return Standing(Observed(settings, newest, None, {**good, **drill}))


def never(settings: Settings = SETTINGS, newest: float | None = NOW - HOUR) -> Standing:
    return Standing(Observed(settings, newest))


RPO, RTO = check("promise"), check("promise", promise="rto")


@pytest.mark.parametrize(
    ("made", "reading", "age_days", "ok", "part"),
    [
        (check("drill"), standing(), 30, True, "the last good drill of fleet was 2027-01-14"),
        (check("drill"), standing(last_success_epoch=NOW - 10 * DAY), 30, True, ""),
        (check("drill"), standing(last_success_epoch=NOW - 11 * DAY), 30, False, "the last good drill was 11 d ago"),
        (check("drill"), standing(ok=False, error="damage"), 30, False, "fleet: the last drill failed: damage"),
        (
            check("drill"),
            standing(ok=False, error="damage", newest_good="20270101T020000Z"),
            30,
            False,
            "damage; the newest point that is known to be good is 20270101T020000Z",
        ),
        (check("drill"), never(), 10, True, "the first is not late yet"),
        (check("drill"), never(), 11, False, "no drill was done in 11 d; one is expected every 7 d"),
        (check("drill"), never(NOTHING), 99, True, "no drill of fleet is expected"),
        (check("drill"), Standing(None), 0, False, "no backup of fleet is set up here"),
        (RPO, standing(), 30, True, "the RPO of fleet is 1 h, and 1 d are promised"),
        (
            RPO,
            standing(NOW - DAY - 60),
            30,
            False,
            "the RPO of fleet is broken: a loss now would cost the last 1 d 1 min",
        ),
        (RPO, never(newest=None), 0.9, True, "has no good point yet; one is expected by"),
        (RPO, never(newest=None), 1, False, "there is no good point"),
        (RPO, never(NOTHING, None), 30, True, "no RPO is promised"),
        (RTO, standing(), 30, True, "the RTO of fleet is 1 h, and 4 h are promised"),
        (
            RTO,
            standing(rto_seconds=4 * HOUR + 60),
            30,
            False,
            "the RTO of fleet is broken: the last drill needed 4 h 1 min",
        ),
        (RTO, never(), 30, True, "was not measured yet"),
        (RTO, never(NOTHING), 30, True, "no RTO is promised"),
    ],
)
def test_drills_and_promises(made: Check, reading: Reading, age_days: float, ok: bool, part: str) -> None:
    found, message = decide.judge(made, reading, NOW, NOW - age_days * DAY)
    assert found is ok, message
    assert part in message


CONFIG = Configuration(
    host="web1",
    checks=(check("disk"),),
    interval_seconds=300,
    repeat_seconds=int(4 * HOUR),
    email=Email(("ops@example.org",), "web1@example.org", "smtp"),
    webhook_url="https://chat.example.org/x",
)
GOOD, BAD = DiskUse(1, 1), DiskUse(99, 1)


class Pass:
    """Passes one after the other; what is said goes to the channels that are up."""

    def __init__(self, failures: int = 1) -> None:
        self.check = Check("disk", "disk", check("disk").options, failures)
        self.state: dict[str, Any] = {}

    def __call__(self, reading: Reading, at: float, up: tuple[str, ...] = ("email", "webhook")) -> list[str]:
        now = NOW + at
        verdicts = [decide.verdict(self.check, reading, self.state, now)]
        due = decide.notices(CONFIG, verdicts, self.state, now)
        sent = [notice for notice in due if notice.channel in up]
        self.state = decide.next_state(verdicts, sent, self.state, now)
        return [f"{notice.channel} {notice.event}" for notice in sent]


def test_tells_on_change_and_repeats_while_bad() -> None:
    step = Pass()
    assert step(GOOD, 0) == []
    assert step(BAD, 300) == ["email bad", "webhook bad"]
    assert step(BAD, 600) == []
    assert step(BAD, 300 + 4 * HOUR) == ["email again", "webhook again"]
    assert step(BAD, 600 + 4 * HOUR) == []
    assert step(GOOD, 900 + 4 * HOUR) == ["email recovered", "webhook recovered"]
    assert step(GOOD, 1200 + 4 * HOUR) == []


def test_what_a_channel_did_not_get_is_due_again_for_it_alone() -> None:
    step = Pass()
    assert step(BAD, 0, up=("email",)) == ["email bad"]
    assert step(BAD, 300) == ["webhook bad"]
    assert step(GOOD, 600, up=()) == []
    assert step(GOOD, 900) == ["email recovered", "webhook recovered"]


def test_what_was_never_told_is_not_taken_back() -> None:
    step = Pass()
    assert step(BAD, 0, up=()) == []
    assert step(GOOD, 300) == []


def test_failures_in_a_row_are_counted() -> None:
    step = Pass(failures=3)
    assert step(BAD, 0) == []
    assert step(GOOD, 300) == []
    assert step(BAD, 600) == []
    assert step(BAD, 900) == []
    assert step(BAD, 1200) == ["email bad", "webhook bad"]


def test_clock_that_went_back_does_not_silence() -> None:
    step = Pass()
    step(BAD, 1000 * HOUR)
    assert step(BAD, 0) == ["email again", "webhook again"]


def test_since_is_kept_while_the_verdict_is_the_same() -> None:
    step = Pass()
    step(BAD, 0)
    step(BAD, 300)
    assert step.state["checks"]["disk"]["since"] == NOW
    step(GOOD, 600)
    assert step.state["checks"]["disk"]["since"] == NOW + 600
    assert step.state["checks"]["disk"]["first_seen"] == NOW


@pytest.mark.parametrize("state", [{}, {"checks": None}, {"checks": {"disk": "x"}}, {"checks": {"disk": {}}}])
def test_state_of_another_shape_is_as_none(state: dict[str, Any]) -> None:
    item = decide.verdict(check("disk"), BAD, state, NOW)
    assert (item.since, item.failures) == (NOW, 1)
    assert len(decide.notices(CONFIG, [item], state, NOW)) == 2


def test_checks_that_are_gone_are_forgotten() -> None:
    assert decide.next_state([], [], {"checks": {"old": {"ok": False}}}, NOW)["checks"] == {}
