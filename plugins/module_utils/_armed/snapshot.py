# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an armed change would put back, as values, and the script that does it without us."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

from ansible_collections.slipway.ops.plugins.module_utils._host.observed import (
    DIRECTORY,
    FILE,
    LINK,
    Observation,
    PathState,
    UnitState,
    sysctl_path,
)
from ansible_collections.slipway.ops.plugins.module_utils._host.steps import ActOnUnit, Plan, WriteSysctl, path_of
from ansible_collections.slipway.ops.plugins.module_utils._host.units import UNIT_DIRECTORIES
from ansible_collections.slipway.ops.plugins.module_utils._host.wish import Wish

ROOT = "/var/lib/slipway/armed"
NO_BLOCK = "$block"  # left for the script: empty, or --no-block while the host boots
# A POSIX lock cannot be held by a shell. A lock of the open file description excludes POSIX locks and outlives the
# process that took it, for as long as the shell has the file open.
TAKE_LOCK = (
    "timeout 10 python3 -I -c 'import fcntl, struct; "
    'fcntl.fcntl(8, fcntl.F_OFD_SETLKW, struct.pack("hhqqi", fcntl.F_WRLCK, 0, 0, 0, 0))\''
)


@dataclass(frozen=True)
class Snapshot:
    """What is put back: files, sysctls, commands, then what runs and is not made from files until the next boot."""

    name: str
    limit_seconds: int
    paths: tuple[tuple[str, PathState], ...] = ()
    sysctls: tuple[tuple[str, str], ...] = ()
    commands: tuple[tuple[str, ...], ...] = ()
    live: tuple[tuple[str, tuple[str, ...]], ...] = ()  # what, and lines of shell; left out while the host boots
    data: tuple[tuple[str, str], ...] = ()  # texts for these lines, under $state/data/
    lock: str = ""  # file that other programs lock while they change the same


def directory_of(name: str) -> str:
    return f"{ROOT}/{name}"


def timer_of(name: str) -> str:
    return f"slipway-armed-{name}"


def boot_unit_of(name: str) -> str:
    return f"slipway-armed-{name}-boot.service"


def snapshot_of(wish: Wish, plan: Plan, seen: Observation, name: str, limit_seconds: int) -> Snapshot:
    """Exactly what the plan touches, as it is before."""
    paths: dict[str, PathState] = {}
    for step in plan.paths:
        before = getattr(step, "before", None)
        if isinstance(before, PathState):
            paths.setdefault(path_of(step), before)
    sysctls = {step.key: step.before for step in plan.sysctls if isinstance(step, WriteSysctl)}
    touched: list[str] = []
    for step in plan.units:
        if isinstance(step, ActOnUnit) and step.name not in touched:
            touched.append(step.name)
    return Snapshot(
        name=name,
        limit_seconds=limit_seconds,
        paths=tuple(paths.items()),
        sysctls=tuple((key, value) for key, value in sysctls.items() if value is not None),
        commands=unit_commands(
            [seen.units.get(unit, UnitState(unit)) for unit in touched],
            masked_now=[step.name for step in plan.units if isinstance(step, ActOnUnit) and step.verb == "mask"],
            read_again=any(path.startswith(UNIT_DIRECTORIES) for path in paths),
            done=_verbs(plan),
        ),
    )


def _verbs(plan: Plan) -> dict[str, set[str]]:
    verbs: dict[str, set[str]] = {}
    for step in plan.units:
        if isinstance(step, ActOnUnit):
            verbs.setdefault(step.name, set()).add(step.verb)
    return verbs


def unit_commands(
    before: Sequence[UnitState],
    masked_now: Sequence[str] = (),
    read_again: bool = False,
    done: Mapping[str, Set[str]] = MappingProxyType({}),
) -> tuple[tuple[str, ...], ...]:
    """Bring units back: read files again, enable as before, stop what was not running, start or restart the rest.

    systemd refuses to start a socket whose service runs, so with a socket among them all are stopped first. A unit that
    only read its files again needs no restart to go back, which might fail. One that is new goes with its file.
    """
    commands: list[tuple[str, ...]] = [("systemctl", "daemon-reload")] if before or read_again else []
    for unit in before:
        if not unit.exists and "enable" in done.get(unit.name, ()):
            commands.append(("systemctl", "disable", unit.name))
        if not unit.exists and done.get(unit.name, set()) & {"start", "restart"}:
            commands.append(("systemctl", NO_BLOCK, "stop", unit.name))
    before = [unit for unit in before if unit.exists or unit.load == "masked"]
    for unit in before:
        if unit.load == "masked":
            commands.append(("systemctl", "mask", unit.name))
            continue
        if unit.name in masked_now:
            commands.append(("systemctl", "unmask", unit.name))
        if unit.file in ("enabled", "disabled"):
            commands.append(("systemctl", "enable" if unit.file == "enabled" else "disable", unit.name))
    sockets = [unit for unit in before if unit.name.endswith(".socket")]
    others = [unit for unit in before if not unit.name.endswith(".socket")]
    for unit in before:
        if sockets or not unit.running:
            commands.append(("systemctl", NO_BLOCK, "stop", unit.name))
    for unit in sockets + others:
        if unit.running:
            again = "reload-or-restart" if done.get(unit.name) == {"reload"} else "restart"
            commands.append(("systemctl", NO_BLOCK, "start" if sockets else again, unit.name))
    return tuple(commands)


def merged(old: Snapshot | None, new: Snapshot) -> Snapshot:
    """A second arming before the first was confirmed: what the first remembers is the state to go back to.

    The paths of the first come first, so that what is stored for them keeps its place.
    """
    if old is None:
        return new
    subjects = {command[-1] for command in old.commands}
    return Snapshot(
        name=new.name,
        limit_seconds=new.limit_seconds,
        paths=_first_wins(old.paths, new.paths),
        sysctls=_first_wins(old.sysctls, new.sysctls),
        commands=old.commands + tuple(command for command in new.commands if command[-1] not in subjects),
        live=_first_wins(old.live, new.live),
        data=_first_wins(old.data, new.data),
        lock=old.lock or new.lock,
    )


Value = TypeVar("Value")


def _first_wins(
    old: tuple[tuple[str, Value], ...], new: tuple[tuple[str, Value], ...]
) -> tuple[tuple[str, Value], ...]:
    known = {name for name, _value in old}
    return old + tuple((name, value) for name, value in new if name not in known)


def shared_paths(one: Snapshot, other: Snapshot) -> list[str]:
    """Files that both would put back, so that the later one undoes the earlier."""
    theirs = dict(other.paths)
    return [path for path, before in one.paths if path in theirs and {before.kind, theirs[path].kind} & {FILE, LINK}]


def manifest(snapshot: Snapshot, armed_at: float) -> str:
    return (
        json.dumps(
            {
                "name": snapshot.name,
                "armed_at": armed_at,
                "limit_seconds": snapshot.limit_seconds,
                "paths": [
                    {
                        "path": path,
                        "kind": state.kind,
                        "mode": state.mode,
                        "owner": state.owner,
                        "group": state.group,
                        "target": state.target,
                    }
                    for path, state in snapshot.paths
                ],
                "sysctls": dict(snapshot.sysctls),
                "commands": [list(command) for command in snapshot.commands],
                "live": [[what, list(lines)] for what, lines in snapshot.live],
                "data": [name for name, _text in snapshot.data],
                "lock": snapshot.lock,
            },
            indent=1,
        )
        + "\n"
    )


def script(snapshot: Snapshot) -> str:
    """A shell script that needs nothing but coreutils, flock, systemctl, and for a foreign lock Python."""
    state = directory_of(snapshot.name)
    unit = boot_unit_of(snapshot.name)
    tidy_units = f"rm -f -- /etc/systemd/system/{unit} /etc/systemd/system/sysinit.target.wants/{unit}"
    lines = [
        "#!/bin/sh",
        f"# Puts back the change {snapshot.name!r} unless it was confirmed. Written by Slipway.",
        "set -u",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        f"state={shlex.quote(state)}",
        f'why="${{1:-it was not confirmed within {snapshot.limit_seconds} seconds}}"',
        'block=""; failed=""',
        '[ "${2:-}" = boot ] && block=--no-block',
        'exec 9> "$state.lock" && flock 9',
        # whoever was arming it has died before it was, and so before anything was changed
        f'[ -e "$state/armed.json" ] || {{ {tidy_units}; exit 0; }}',
        'missed() { failed="$failed $1"; }',
        "put_file() {",
        '  cp -a -- "$state/files/$1" "$2.slipway-back" && mv -fT -- "$2.slipway-back" "$2" || missed "$2"',
        "}",
        "put_link() {",
        '  ln -s -- "$1" "$2.slipway-back" && mv -fT -- "$2.slipway-back" "$2" || missed "$2"',
        "}",
        "put_directory() {",
        '  mkdir -p -- "$3" && chown -- "$2" "$3" && chmod -- "$1" "$3" || missed "$3"',
        "}",
    ]
    if snapshot.lock:
        # Whoever holds it for longer does not keep the change in place.
        lines.append(f'[ -n "$block" ] || {{ exec 8>> {shlex.quote(snapshot.lock)} && {TAKE_LOCK}; }} || true')
    for index, (path, before) in reversed(list(enumerate(snapshot.paths))):
        quoted = shlex.quote(path)
        if before.kind == FILE:
            lines.append(f"put_file {index} {quoted}")
        elif before.kind == LINK:
            lines.append(f"put_link {shlex.quote(before.target or '')} {quoted}")
        elif before.kind == DIRECTORY:
            lines.append(f"put_directory {before.mode} {before.owner}:{before.group} {quoted}")
        else:
            # a directory that something else fills by now stays: nothing of ours is lost with it
            lines.append(f"if [ -d {quoted} ] && [ ! -L {quoted} ]; then rmdir -- {quoted}; else rm -f -- {quoted}; fi")
        if before.kind not in (LINK, DIRECTORY):
            # what a writer that was killed has not renamed yet
            directory, _slash, name = path.rpartition("/")
            lines.append(f"rm -f -- {shlex.quote(directory)}/.{shlex.quote(name)}.????????.slipway")
    for key, value in snapshot.sysctls:
        path = shlex.quote(sysctl_path(key))
        lines.append(f"printf '%s\\n' {shlex.quote(value)} > {path} || missed {path}")
    for command in snapshot.commands:
        words = " ".join(word if word == NO_BLOCK else shlex.quote(word) for word in command)
        lines.append(f"{words} || missed {shlex.quote(' '.join(word for word in command if word != NO_BLOCK))}")
    if snapshot.live:
        lines.append('if [ -z "$block" ]; then')
        for what, steps in snapshot.live:
            lines += [f"  {{ {step}; }} || missed {shlex.quote(what)}" for step in steps]
        lines.append("fi")
    name = shlex.quote(snapshot.name)
    lines += [
        """printf '{"name": "%s", "reverted_at": %s, "why": "%s", "failed": "%s"}\\n' \\""",
        f'  {name} "$(date +%s)" "$why" "$failed" \\',
        '  > "$state/reverted.json.new" && mv -f "$state/reverted.json.new" "$state/reverted.json"',
        'rm -rf -- "$state/armed.json" "$state/files" "$state/data"',
        tidy_units,
        f"systemctl --no-block stop {timer_of(snapshot.name)}.timer 2> /dev/null",
        'logger -t slipway "the armed change "' + name + '" was put back: $why${failed:+, except for$failed}" || true',
        "sync",
        '[ -z "$failed" ]',
    ]
    return "\n".join(lines) + "\n"


def boot_unit(name: str) -> str:
    """Put the change back at the next boot, before what it concerns starts."""
    state = directory_of(name)
    return f"""# An armed change waits for its confirmation; a reboot before that puts it back. Written by Slipway.
[Unit]
Description=Put back the unconfirmed change {name}
DefaultDependencies=no
ConditionPathExists={state}/armed.json
RequiresMountsFor={state}
After=local-fs.target
Before=network-pre.target ufw.service nftables.service ssh.socket ssh.service nginx.service

[Service]
Type=oneshot
ExecStart=/bin/sh {state}/revert.sh "the host was rebooted before it was confirmed" boot

[Install]
WantedBy=sysinit.target
"""
