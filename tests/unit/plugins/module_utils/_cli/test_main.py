# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import importlib.machinery
import sys
import types
from collections.abc import Callable

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._cli import main as front
from ansible_collections.slipway.ops.plugins.module_utils._cli.verbs import VERBS, Verb


class Refused(Exception):
    exit_status = front.EXIT_REFUSED


def give(monkeypatch: pytest.MonkeyPatch, function: Callable[[list[str]], int]) -> None:
    """A program with one verb, 'echo', and one verb whose module is missing."""
    module = types.ModuleType("slipway_test_verb")
    module.__spec__ = importlib.machinery.ModuleSpec("slipway_test_verb", None)
    module.echo = function  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "slipway_test_verb", module)

    class Present(Verb):
        module = "slipway_test_verb"  # type: ignore[assignment]

    verbs = (Present("echo", "", "echo", "say it"), Verb("gone", "_nothing.cli", "gone", "not in this build"))
    monkeypatch.setattr(front, "VERBS", verbs)


@pytest.mark.parametrize("word", ["--help", "-h", "help"])
def test_help_lists_the_verbs_that_are_there(
    word: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    give(monkeypatch, lambda arguments: 0)
    assert front.main([word]) == front.EXIT_DONE
    out = capsys.readouterr().out
    assert "  echo  say it" in out
    assert "not in this build" not in out


def test_no_verb_shows_the_help_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert front.main([]) == front.EXIT_USAGE
    assert "usage: slipway VERB" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert front.main(["--version"]) == front.EXIT_DONE
    assert capsys.readouterr().out == "slipway unreleased\n"


@pytest.mark.parametrize(
    ("argv", "given"),
    [
        (["echo", "a", "b"], ["a", "b"]),
        (["--json", "echo", "a"], ["a", "--json"]),
        (["--json", "echo", "--json"], ["--json"]),
    ],
)
def test_a_verb_gets_the_words_after_it(monkeypatch: pytest.MonkeyPatch, argv: list[str], given: list[str]) -> None:
    seen: list[str] = []

    def remember(arguments: list[str]) -> int:
        seen.extend(arguments)
        return 0

    give(monkeypatch, remember)
    assert front.main(argv) == front.EXIT_DONE
    assert seen == given


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["ecko"], "slipway: there is no verb 'ecko'; did you mean 'echo'?\n"),
        (["zzz"], "slipway: there is no verb 'zzz'; 'slipway --help' lists the verbs\n"),
        (["gone"], "slipway: this build has no verb 'gone'; 'slipway --help' lists the verbs\n"),
    ],
)
def test_an_unknown_verb_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], argv: list[str], line: str
) -> None:
    give(monkeypatch, lambda arguments: 0)
    assert front.main(argv) == front.EXIT_USAGE
    assert capsys.readouterr().err == line


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (ValueError("two\nlines"), front.EXIT_FAILED, "slipway: echo: two lines\n"),
        (ValueError(), front.EXIT_FAILED, "slipway: echo: ValueError\n"),
        (Refused("say --confirm"), front.EXIT_REFUSED, "slipway: echo: say --confirm\n"),
        (KeyboardInterrupt(), front.EXIT_INTERRUPTED, "slipway: echo: interrupted\n"),
    ],
)
def test_an_error_is_one_line_and_a_status(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    status: int,
    line: str,
) -> None:
    def fail(arguments: list[str]) -> int:
        raise error

    monkeypatch.delenv("SLIPWAY_DEBUG", raising=False)
    give(monkeypatch, fail)
    assert front.main(["echo"]) == status
    assert capsys.readouterr().err == line


@pytest.mark.parametrize(("user", "remedy"), [(1000, "; only root may: put sudo before it"), (0, "")])
def test_who_may_not_is_told_how(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], user: int, remedy: str
) -> None:
    def fail(arguments: list[str]) -> int:
        raise PermissionError(13, "Permission denied", "/etc/slipway")

    monkeypatch.setattr(front.os, "geteuid", lambda: user)
    give(monkeypatch, fail)
    assert front.main(["echo"]) == front.EXIT_FAILED
    assert capsys.readouterr().err == f"slipway: echo: [Errno 13] Permission denied: '/etc/slipway'{remedy}\n"


def test_a_verb_that_cannot_be_imported_names_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    give(monkeypatch, lambda arguments: 0)
    monkeypatch.delattr(sys.modules["slipway_test_verb"], "echo")
    assert front.main(["echo"]) == front.EXIT_FAILED
    assert "the verb 'echo' cannot be loaded" in capsys.readouterr().err


def test_verbs_are_told_apart_and_described() -> None:
    assert len({verb.name for verb in VERBS}) == len(VERBS)
    assert all(verb.summary and "\n" not in verb.summary for verb in VERBS)
