# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Logins as values: what is kept where, and what a run has to do."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._docker import logins
from ansible_collections.slipway.ops.plugins.module_utils._docker.logins import Login

LOGIN = Login("registry.test:5000", "deploy", "secret")
KEPT = {"auths": {"registry.test:5000": {"auth": "ZGVwbG95OnNlY3JldA=="}}}


def test_a_password_shows_in_no_text_of_a_login() -> None:
    assert "secret" not in repr(LOGIN)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"registry": "https://a.test", "username": "u", "password": "p"}, "[0].registry: 'https://a.test' is no"),
        ({"registry": "a.test/path", "username": "u", "password": "p"}, "[0].registry"),
        ({"registry": "a.test", "username": "", "password": "p"}, "[0].username"),
        ({"registry": "a.test", "username": "u", "password": ""}, "[0].password: is missing; keep it in the vault"),
    ],
)  # fmt: skip
def test_refuses_what_is_no_login(given: dict[str, Any], told: str) -> None:
    problems = logins.parse([given])[1]
    assert len(problems) == 1
    assert f"docker_registry_logins{told}" in problems[0]


def test_two_logins_at_one_registry_are_refused() -> None:
    one = {"registry": "a.test", "username": "u", "password": "p"}
    assert "is there twice" in logins.parse([one, one])[1][0]


def test_dockers_own_registry_has_another_name_in_its_files() -> None:
    assert Login("docker.io", "u", "p").address == "https://index.docker.io/v1/"


@pytest.mark.parametrize(
    ("config", "stored", "expected"),
    [
        (KEPT, None, True),
        ({}, None, False),
        ({"auths": {"registry.test:5000": {"auth": "b2xkOm9sZA=="}}}, None, False),
        ({"auths": {"registry.test:5000": {}}}, {"Username": "deploy", "Secret": "secret"}, True),
        (KEPT, {"Username": "deploy", "Secret": "secret"}, False),
        ({}, {}, False),
    ],
    ids=["in the file", "nowhere", "another", "in the helper", "in both", "not in the helper"],
)
def test_tells_whether_a_login_is_kept_as_it_should_be(config: Any, stored: Any, expected: bool) -> None:
    assert logins.has(config, LOGIN, stored) is expected


def test_everything_else_in_the_file_stays() -> None:
    config = {"credHelpers": {"other.test": "pass"}, "auths": {"other.test": {}}}
    new = logins.with_login(config, LOGIN, "")
    assert new["credHelpers"] == config["credHelpers"]
    assert new["auths"] == {"other.test": {}, **KEPT["auths"]}
    assert logins.without(new, LOGIN.address) == config
    assert logins.without(KEPT, LOGIN.address) == {}


def test_a_helper_of_the_registry_goes_before_that_of_all() -> None:
    config = {"credHelpers": {"a.test": "pass"}, "credsStore": "secretservice"}
    assert logins.helper_of(config, "a.test") == "pass"
    assert logins.helper_of(config, "b.test") == "secretservice"
    assert logins.helper_of({}, "a.test") == ""


def test_plans_what_is_missing_and_what_is_declared_no_more() -> None:
    recorded = {"root": ["old.test", "registry.test:5000"], "gone": ["registry.test:5000"]}
    steps = logins.plan([LOGIN], ["root"], recorded, {}, [("root", "registry.test:5000")])
    assert [step.line for step in steps] == [
        "registry registry.test:5000: log root in as deploy",
        "registry registry.test:5000: log gone out",
        "registry old.test: log root out",
    ]


def test_the_record_holds_names_only() -> None:
    assert logins.record([LOGIN], ["root"]) == {"root": ["registry.test:5000"]}
    assert logins.record([], ["root"]) == {}


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_file_that_docker_could_not_read_is_for_a_person(text: str) -> None:
    assert "correct or remove it" in logins.read(text, "/root/.docker/config.json")[1][0]
