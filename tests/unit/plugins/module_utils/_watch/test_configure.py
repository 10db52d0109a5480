from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._watch.configure import files, stack_checks
from ansible_collections.slipway.ops.plugins.module_utils._watch.model import InvalidWatch, parse_checks

ROUTES = [
    {"host": "fleet.example.org", "path": "/api", "service": "application"},
    {"host": "fleet.example.org", "path": "/health", "service": "application"},
    {"host": "fleet.example.org", "path": "/", "service": "console"},
    {"host": "www.example.org", "path": "/", "service": "site"},
]


def names(checks: list[dict[str, Any]]) -> list[str]:
    return [check["name"] for check in checks]


def test_derives_checks_that_are_good() -> None:
    checks = stack_checks(ROUTES, "fleet")
    assert names(checks) == [
        "http-fleet.example.org",
        "http-www.example.org",
        "logs-fleet-application",
        "logs-fleet-console",
        "logs-fleet-site",
        "backup-fleet",
        "backup-log-fleet",
        "drill-fleet",
        "rpo-fleet",
        "rto-fleet",
        "certificates",
        "disk-root",
    ]
    assert checks[0]["url"] == "https://fleet.example.org/health"
    assert checks[1]["url"] == "https://www.example.org/"
    problems: list[str] = []
    assert len(parse_checks(checks, problems)) == 12
    assert problems == []


def test_several_health_routes_have_names_of_their_own() -> None:
    routes = [{"host": "a.org", "path": path, "service": "x"} for path in ("/api/health", "/socket/ready/", "/")]
    checks = stack_checks(routes, "s", backup=False)
    assert names(checks)[:2] == ["http-a.org-api-health", "http-a.org-socket-ready-"]
    assert not {"backup-s", "backup-log-s"} & set(names(checks))


def test_stack_without_routes_is_watched_for_the_rest() -> None:
    assert names(stack_checks([], "s")) == ["backup-s", "backup-log-s", "drill-s", "rpo-s", "rto-s", "disk-root"]


def test_lays_out_both_files() -> None:
    made = files(
        [
            {"name": "b", "kind": "backup", "stack": "s"},
            {"name": "c", "kind": "backup", "stack": "t", "max_age_hours": 2},
        ],
        {"host": "web1", "interval_minutes": 5},
        {"to": [], "from": "", "host": ""},
        {"webhook_url": "https://x.org/y", "smtp_user": ""},
        {"backup": {"max_age_hours": 50}},
    )
    assert [check["max_age_hours"] for check in made["config"]["checks"]] == [50, 2]
    assert "email" not in made["config"]
    assert made["secrets"] == {"webhook_url": "https://x.org/y"}


def test_refuses_with_all_problems() -> None:
    with pytest.raises(InvalidWatch) as caught:
        files([{"name": "x", "kind": "y"}, 3], {"host": ""}, {}, {}, {})
    assert len(caught.value.problems) == 3


def test_refuses_checks_that_are_no_list() -> None:
    with pytest.raises(InvalidWatch, match="checks: must be a list"):
        files("x", {"host": "a"}, {}, {}, {})
