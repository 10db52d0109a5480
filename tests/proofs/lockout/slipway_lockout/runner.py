"""Holds a trial and judges it."""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from slipway_lab.shell import LabError
from slipway_lockout.operator import Operator, out_for
from slipway_lockout.stage import Said, Stage, TrialError
from slipway_lockout.trial import AT_BOOT, BY_ITSELF, BY_PLAY, KEPT, LIMIT_SECONDS, REFUSED, Theme, Trial

BACK_SECONDS = 90
LIMITED = ("lockout", "base_confirm", "firewall_confirm", "ssh_confirm")
# Of the base role, users and keys are what these trials are about.
BASE_OFF: dict[str, Any] = {
    "base_packages": [],
    "base_core_dumps": True,
    **dict.fromkeys(
        (
            *("base_apparmor", "base_audit_log", "base_banner", "base_blocked_modules", "base_cron"),
            *("base_file_integrity", "base_hidden_processes", "base_journal", "base_mounts", "base_package_integrity"),
            *("base_passwords", "base_permissions", "base_shell_timeout", "base_su", "base_sysctl", "base_time_sync"),
            *("base_umask", "base_unattended_upgrades"),
        ),
        False,
    ),
}


@dataclass(frozen=True)
class Verdict:
    release: str
    theme: str
    trial: Trial
    ended: str = ""
    out_seconds: float | None = None
    identical: bool = False
    took_seconds: float = 0.0
    problems: tuple[str, ...] = ()


def good(theme: Theme, key: str) -> dict[str, Any]:
    """What every host has before and after a trial."""
    return {
        "lockout_roles": list(theme.roles),
        "ssh_port": 22,
        "ssh_allow_users": ["operator"],
        **{f"{name}_limit_seconds": LIMIT_SECONDS for name in LIMITED},
        "firewall_rules": [{"port": ["22", "2222:2600"], "protocol": "tcp", "comment": "SSH"}],
        "base_users": [
            {"name": "operator", "authorized_keys": [key], "authorized_keys_exclusive": True, "sudo": "passwordless"}
        ],
        **BASE_OFF,
    }


def hold(stage: Stage, theme: Theme, key: str) -> Iterator[Verdict]:
    """All trials of a theme on one host, from a good configuration back to it."""
    wanted = stage.good = good(theme, key)
    stage.shell("apt-get update -qq && apt-get install -yqq --no-install-recommends iptables > /dev/null")
    first = stage.play("roles.yml", wanted)
    if first.code != 0:
        raise TrialError(f"the good configuration does not converge: {first.line[-1500:]}")
    again = stage.play("roles.yml", wanted)
    if again.code != 0 or again.changed != 0:
        raise TrialError(f"the good configuration changes something again: {again.line[-1500:]}")
    # from here on sudo comes from the good configuration alone
    if "base" in theme.roles:
        stage.shell("rm -f /etc/sudoers.d/operator")
    known = {"key": key, "address_v6": stage.address_v6()}
    for trial in theme.trials:
        begun = time.monotonic()
        try:
            verdict = try_once(stage, theme, trial, wanted, known)
        except (TrialError, LabError, subprocess.SubprocessError) as error:
            with contextlib.suppress(TrialError):
                stage.shell(trial.undo)
            verdict = Verdict(stage.release, theme.name, trial, problems=(f"it could not be held: {error}",))
        yield replace(verdict, took_seconds=time.monotonic() - begun)


def try_once(stage: Stage, theme: Theme, trial: Trial, wanted: Mapping[str, Any], known: Mapping[str, str]) -> Verdict:
    problems: list[str] = []
    asked = {
        **wanted,
        "lockout_roles": list(trial.roles),
        **{f"{name}_limit_seconds": trial.limit_seconds for name in LIMITED},
        **filled(trial.variables, known),
    }
    started = float(stage.shell("date +%s"))
    if trial.held and not stage.is_connected:
        stage.play("roles.yml", {"lockout_roles": []})
    before = stage.fingerprint() if trial.ends == KEPT else None
    if trial.prepare:
        stage.shell(trial.prepare)
    before = before or stage.fingerprint()
    with Operator(stage.login) as operator:
        stage.start(trial.playbook, asked, filled(trial.connection, known))
        if trial.disturb is not None:
            trial.disturb(stage)
        said = stage.wait()
        left = stage.until_disarmed(trial.limit_seconds + 30)
        if not operator.back_within(BACK_SECONDS):
            problems.append(f"the operator is not back after {BACK_SECONDS} s")
        after = stage.fingerprint()
        if trial.undo:
            stage.shell(trial.undo)
        operator.back_within(LIMIT_SECONDS)
    out = out_for(operator.attempts)
    if out is None or out > BACK_SECONDS:
        problems.append(f"the operator was out for {'good' if out is None else f'{out:.0f} s'}")
    problems += [f"still armed: {item}" for item in left]
    different = differences(before, after)
    problems += [f"not as before: {item}" for item in different]
    ended = ending([item for item in after["reverted"] if float(item["reverted_at"]) >= started], said)
    if ended != trial.ends:
        problems.append(f"it ended as `{ended}`, not as `{trial.ends}`: {said.line[-700:]}")
    if trial.disturb is not None:
        stage.hang_up()
    told = said.line
    # nothing was touched: the run that follows the next trial that touches something speaks for this one too
    if problems or ended != REFUSED or trial is theme.trials[-1]:
        following, wrong = settle(stage, wanted)
        told += following.line
        problems += wrong
    if trial.says not in told:
        problems.append(f"`{trial.says}` was not said: {told[-1400:]}")
    return Verdict(stage.release, theme.name, trial, ended, out, not different, problems=tuple(problems))


def settle(stage: Stage, wanted: Mapping[str, Any]) -> tuple[Said, list[str]]:
    """The run that follows, which tells what the host did by itself, and one more where that had to change something.

    A run that was killed may have left a restart that the following run still owes.
    """
    following = stage.play("roles.yml", wanted)
    further = stage.play("roles.yml", wanted) if following.code == 0 and following.changed else following
    if further.code == 0 and further.changed == 0:
        return following, []
    return following, [f"the good configuration then changes something or fails: {further.line[-1500:]}"]


def ending(reverted: list[dict[str, Any]], said: Said) -> str:
    """By what the host remembers, or has told the play already."""
    why = [str(item["why"]) for item in reverted] + re.findall(r"put back at \S+ \S+ UTC, (.{0,80})", said.line)
    if any("rebooted" in item for item in why):
        return AT_BOOT
    if any("not confirmed within" in item for item in why):
        return BY_ITSELF
    if why:
        return BY_PLAY
    return REFUSED if said.code != 0 else KEPT


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    for part in ("files", "rules"):
        for name in sorted({*before[part], *after[part]}):
            was, is_now = before[part].get(name, "absent"), after[part].get(name, "absent")
            if was != is_now:
                found.append(f"{name} was {was}, is {is_now}")
    if before["sockets"] != after["sockets"]:
        found.append(f"listening was {before['sockets']}, is {after['sockets']}")
    return found


def filled(values: Any, known: Mapping[str, str]) -> Any:
    """Put in what a trial cannot know, such as the operator's own public key."""
    if isinstance(values, Mapping):
        return {name: filled(value, known) for name, value in values.items()}
    if isinstance(values, (list, tuple)):
        return [filled(value, known) for value in values]
    if isinstance(values, str):
        for name, value in known.items():
            values = values.replace(f"{{{name}}}", value)
    return values
