from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._watch.model import (
    EMAIL,
    WEBHOOK,
    InvalidWatch,
    parse,
    parse_checks,
)

BASE = {"host": "web1"}
MAIL = {"to": ["ops@example.org"], "from": "web1@example.org", "host": "smtp.example.org"}


def test_fills_in_defaults() -> None:
    config = parse({**BASE, "checks": [{"name": "site", "kind": "http", "url": "https://example.org/"}]})
    assert config.interval_seconds == 300
    assert config.repeat_seconds == 86400
    assert config.channels == ()
    (check,) = config.checks
    assert check.failures == 1
    assert check.options == {
        "url": "https://example.org/",
        "status": [200],
        "contains": "",
        "timeout_seconds": 10,
        "ca_file": "",
        "address": "",
    }


def test_channels_are_those_that_have_a_receiver() -> None:
    assert parse({**BASE, "email": MAIL}).channels == (EMAIL,)
    assert parse({**BASE, "email": {**MAIL, "to": []}}).channels == ()
    assert parse(BASE, {"webhook_url": "https://chat.example.org/T0"}).channels == (WEBHOOK,)


def test_secrets_are_not_shown() -> None:
    secrets = {"webhook_url": "https://x.org/T0KEN", "smtp_user": "u", "smtp_password": "PASS"}
    config = parse({**BASE, "email": {**MAIL, "security": "tls"}}, secrets)
    assert config.email is not None
    assert config.email.password == "PASS"
    assert "T0KEN" not in repr(config)
    assert "PASS" not in repr(config)


@pytest.mark.parametrize(
    ("check", "problem"),
    [
        ("x", "checks[0]: must be a mapping"),
        ({"kind": "disk"}, "checks[0].name: must be a name"),
        ({"name": 'a"b', "kind": "disk"}, "checks[0].name: must be a name"),
        ({"name": "a", "kind": "htp"}, "did you mean http?"),
        ({"name": "a", "kind": "promise", "stack": "s", "promise": "soon"}, "checks[0].promise: must be rto or rpo"),
        ({"name": "a", "kind": "drill"}, "checks[0].stack: missing"),
        (
            {"name": "a"},
            "checks[0].kind: must be one of http, logs, backup, backup_log, drill, promise, certificate, disk",
        ),
        ({"name": "a", "kind": "http"}, "checks[0].url: missing"),
        ({"name": "a", "kind": "http", "url": "ftp://x"}, "checks[0].url: must be a URL"),
        ({"name": "a", "kind": "http", "url": "http://x:99999/"}, "checks[0].url: must be a URL"),
        ({"name": "a", "kind": "http", "url": "http://x", "status": 200}, "checks[0].status: must be a list"),
        ({"name": "a", "kind": "http", "url": "http://x", "status": ["ok"]}, "checks[0].status: must be a list"),
        ({"name": "a", "kind": "http", "url": "http://x", "timeout": 3}, "did you mean timeout_seconds?"),
        ({"name": "a", "kind": "logs", "stack": "s", "service": "t", "pattern": "("}, "must be a regular expression"),
        ({"name": "a", "kind": "logs", "stack": "s", "service": "t", "pattern": ""}, "must be a text"),
        ({"name": "a", "kind": "backup"}, "checks[0].stack: missing"),
        ({"name": "a", "kind": "backup_log", "stack": "s", "max_loss_seconds": 4}, "must be a whole number from 5"),
        ({"name": "a", "kind": "backup", "stack": "s", "max_age_hours": "26"}, "must be a whole number from 1"),
        ({"name": "a", "kind": "certificate", "path": "x.pem"}, "checks[0].path: must be an absolute path"),
        ({"name": "a", "kind": "certificate", "allow_self_signed": "no"}, "must be true or false"),
        ({"name": "a", "kind": "disk", "max_percent": True}, "must be a whole number"),
        ({"name": "a", "kind": "disk", "failures": 0}, "checks[0].failures: must be a whole number"),
    ],
)
def test_refuses_check(check: Any, problem: str) -> None:
    problems: list[str] = []
    parse_checks([check], problems)
    assert any(problem in line for line in problems), problems


def test_names_are_unique() -> None:
    problems: list[str] = []
    parse_checks([{"name": "a", "kind": "disk"}] * 2, problems)
    assert problems == ["checks[1].name: a is already the name of a check; choose another"]


@pytest.mark.parametrize(
    ("config", "secrets", "problem"),
    [
        ({}, {}, "host: must be a text"),
        ({**BASE, "interval_minutes": 0}, {}, "interval_minutes: must be a whole number from 1 to 1440"),
        ({**BASE, "textfile": "x.prom"}, {}, "textfile: must be an absolute path"),
        ({**BASE, "checks": {}}, {}, "checks: must be a list"),
        ({**BASE, "email": []}, {}, "email: must be a mapping"),
        ({**BASE, "email": {**MAIL, "to": "ops@example.org"}}, {}, "email.to: must be a list"),
        ({**BASE, "email": {**MAIL, "to": ["ops"]}}, {}, "email.to: must be a list of mail addresses"),
        ({**BASE, "email": {**MAIL, "to": ["a@b\nBcc: c@d"]}}, {}, "email.to: must be a list of mail addresses"),
        ({**BASE, "email": {**MAIL, "from": "x"}}, {}, "email.from: 'x' is not a mail address"),
        ({**BASE, "email": {**MAIL, "host": ""}}, {}, "email.host: must be"),
        ({**BASE, "email": {**MAIL, "port": 70000}}, {}, "email.port: must be"),
        ({**BASE, "email": {**MAIL, "security": "ssl"}}, {}, "email.security: must be none, starttls or tls"),
        ({**BASE, "email": MAIL}, {"smtp_user": "u"}, "a password would cross the network in the clear"),
        (BASE, {"webhook_url": "SECRET"}, "webhook_url: must be a URL"),
    ],
)
def test_refuses_configuration(config: dict[str, Any], secrets: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidWatch) as caught:
        parse(config, secrets)
    assert problem in str(caught.value)
    assert "SECRET" not in str(caught.value)
