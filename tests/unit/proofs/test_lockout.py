"""The runner of the lockout trials judges rightly; the trials themselves need the lab (`make prove-lockout`)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TESTS / "proofs" / "lockout"), str(TESTS / "lab")]

from slipway_lockout import cli, runner
from slipway_lockout.operator import Attempt, out_for
from slipway_lockout.stage import Said
from slipway_lockout.trial import AT_BOOT, BY_ITSELF, BY_PLAY, KEPT, REFUSED

TRIALS = [trial for theme in cli.THEMES for trial in theme.trials]


@pytest.mark.parametrize(
    ("worked", "seconds"),
    [
        pytest.param([True, True, True], 0.0, id="never"),
        pytest.param([True, False, False, True], 3.5, id="from-the-last-login-to-the-next"),
        pytest.param([True, False, True, False, False, True], 3.5, id="longest"),
        pytest.param([False, True], 1.5, id="from-the-start"),
        pytest.param([True, False], None, id="for-good"),
    ],
)
def test_how_long_the_operator_was_out(worked: list[bool], seconds: float | None) -> None:
    assert out_for([Attempt(at, at + 0.5, each) for at, each in enumerate(worked)]) == seconds


@pytest.mark.parametrize(
    ("why", "said", "ended"),
    [
        ([], Said(2, "wrong"), REFUSED),
        ([], Said(0, "ok"), KEPT),
        (["Log in anew failed"], Said(2, "wrong"), BY_PLAY),
        (["it was not confirmed within 30 seconds"], Said(-9, ""), BY_ITSELF),
        ([], Said(2, "ssh: put back at 2026-11-21 14:00:00 UTC, the host was\nrebooted before it"), AT_BOOT),
    ],
)
def test_how_it_ended(why: list[str], said: Said, ended: str) -> None:
    assert runner.ending([{"why": each} for each in why], said) == ended


def test_every_difference_is_named() -> None:
    before = {"files": {"/a": "file 1", "/b": "file 2"}, "rules": {"INPUT": ["drop"]}, "sockets": ["tcp :22 sshd"]}
    after = {"files": {"/a": "file 1", "/c": "file 3"}, "rules": {"INPUT": []}, "sockets": []}
    assert runner.differences(before, before) == []
    assert [line.split(" was ")[0] for line in runner.differences(before, after)] == ["/b", "/c", "INPUT", "listening"]


def test_what_a_trial_cannot_know_is_put_in() -> None:
    assert runner.filled({"keys": ['from="x" {key}'], "port": 22}, {"key": "ssh-ed25519 A"}) == {
        "keys": ['from="x" ssh-ed25519 A'],
        "port": 22,
    }


def test_changes_are_counted_over_all_hosts() -> None:
    assert Said(0, "a : ok=3 changed=1 failed=0\nb : ok=3 changed=2 failed=0").changed == 3


def test_trials_differ_and_say_how_they_end() -> None:
    assert len({trial.title for trial in TRIALS}) == len(TRIALS) >= 24
    assert all(trial.says for trial in TRIALS)
    assert {trial.ends for trial in TRIALS} == {REFUSED, BY_PLAY, BY_ITSELF, AT_BOOT, KEPT}


def test_the_slice_has_each_theme() -> None:
    (one,) = cli.rounds(cli.THEMES, ["trixie"], quick=True, only=[])
    assert all(any(trial in theme.trials for trial in one.theme.trials) for theme in cli.THEMES)
    assert set(one.theme.roles) == {"base", "firewall", "ssh"}
