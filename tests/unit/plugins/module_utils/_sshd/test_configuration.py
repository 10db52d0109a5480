# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._sshd import configuration
from ansible_collections.slipway.ops.plugins.module_utils._sshd.configuration import foreign, includes_ours, read

OURS = "/etc/ssh/sshd_config.d/00-slipway.conf"
WANTED = {"port": ["2222"], "permitrootlogin": ["no"], "passwordauthentication": ["no"], "allowusers": ["a", "b"]}
MAIN = "Include /etc/ssh/sshd_config.d/*.conf\n# PermitRootLogin yes\nX11Forwarding yes\n"


def files(**texts: str) -> configuration.Files:
    """Files by name; the main one is `main`."""
    named = {"/etc/ssh/sshd_config": texts.pop("main", MAIN)}
    named.update({f"/etc/ssh/sshd_config.d/{name.replace('_', '-')}.conf": text for name, text in texts.items()})

    def find(pattern: str) -> list[tuple[str, str]]:
        if pattern.endswith("*.conf"):
            start = pattern[: -len("*.conf")]
            return [(name, text) for name, text in sorted(named.items()) if name.startswith(start)]
        return [(pattern, named[pattern])] if pattern in named else []

    return find


@pytest.mark.parametrize(
    ("texts", "overriding", "overruled", "conditional"),
    [
        pytest.param({}, [], [], [], id="stock"),
        pytest.param(
            {"c50_cloud": "PasswordAuthentication yes"},
            [],
            ["/etc/ssh/sshd_config.d/c50-cloud.conf:1 says passwordauthentication yes"],
            [],
            id="cloud-init",
        ),
        pytest.param({"c50_cloud": "PasswordAuthentication no"}, [], [], [], id="same"),
        pytest.param(
            {"c50_cloud": "\n  port=22"},
            ["/etc/ssh/sshd_config.d/c50-cloud.conf:2 says port 22"],
            [],
            [],
            id="ports-add-up",
        ),
        pytest.param({"c50_cloud": "AllowUsers b"}, [], [], [], id="allowed-already"),
        pytest.param(
            {"c50_cloud": "AllowUsers b eve"},
            ["/etc/ssh/sshd_config.d/c50-cloud.conf:1 says allowusers b eve"],
            [],
            [],
            id="users-add-up",
        ),
        pytest.param(
            {"c": 'Match User eve\nPasswordAuthentication "yes"\nMatch all\nPermitRootLogin no'},
            [],
            [],
            ["/etc/ssh/sshd_config.d/c.conf:2 says passwordauthentication yes for Match User eve"],
            id="match",
        ),
        pytest.param(
            {"main": MAIN + "Port 22\nPermitRootLogin yes\n"},
            ["/etc/ssh/sshd_config:4 says port 22"],
            [],
            [],
            id="main-file",
        ),
    ],
)
def test_foreign(texts: dict[str, str], overriding: list[str], overruled: list[str], conditional: list[str]) -> None:
    found = foreign(read(files(**texts)), OURS, WANTED)
    assert list(found.overriding) == overriding
    assert list(found.overruled) == overruled
    assert list(found.conditional) == conditional


@pytest.mark.parametrize(
    ("main", "wins"), [("Include /etc/x/first.conf\n" + MAIN, True), (MAIN + "Include /etc/x/first.conf\n", False)]
)
def test_what_is_included_before_ours_wins(main: str, wins: bool) -> None:
    def find(pattern: str) -> list[tuple[str, str]]:
        first = [("/etc/x/first.conf", "PermitRootLogin yes")] if pattern == "/etc/x/first.conf" else []
        return first or files(main=main, ours="PermitRootLogin no")(pattern)

    found = foreign(read(find), OURS, WANTED)
    assert (found.overriding if wins else found.overruled) == ("/etc/x/first.conf:1 says permitrootlogin yes",)


def test_a_file_that_sorts_before_ours_wins() -> None:
    directive = configuration.Directive("/etc/ssh/sshd_config.d/00-a.conf", 1, "permitrootlogin", "yes")
    assert foreign([directive], OURS, WANTED).overriding == (f"{directive.place} says permitrootlogin yes",)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (MAIN, ""),
        ("# comment\n\ninclude sshd_config.d/*.conf\n", ""),
        ("Port 22\n" + MAIN, "says port before it includes"),
        ("# nothing\n", "does not include"),
    ],
)
def test_our_file_must_come_first(text: str, says: str) -> None:
    found = includes_ours(text, OURS)
    assert found == "" if not says else says in found


def test_differing() -> None:
    effective = configuration.parse_effective("port 2222\nport 22\nPermitRootLogin no\nallowusers a\nallowusers b\n")
    assert configuration.differing(effective, WANTED) == [
        "port is 22, 2222, not 2222",
        "passwordauthentication is not set, not no",
    ]
    assert configuration.differing(effective, {"allowgroups": [], "allowusers": ["b", "a"]}) == []


def test_includes_that_go_round_end() -> None:
    assert len(read(lambda path: [("/etc/ssh/sshd_config", "Include /etc/ssh/sshd_config\nPort 1")])) < 40
