# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What puts a firewall back as it was: which files, and how its rules become live again without ufw's own command."""

from __future__ import annotations

from ansible_collections.slipway.ops.plugins.module_utils._armed.snapshot import Snapshot
from ansible_collections.slipway.ops.plugins.module_utils._host.observed import PathState
from ansible_collections.slipway.ops.plugins.module_utils._ufw import docker, live, settings
from ansible_collections.slipway.ops.plugins.module_utils._ufw import plan as planning
from ansible_collections.slipway.ops.plugins.module_utils._ufw.model import V4, V6
from ansible_collections.slipway.ops.plugins.module_utils._ufw.plan import Observed, Plan

# Not `ufw disable` and `ufw reload`: they write files, and wait for the lock that is held while things are put back.
INIT = "/lib/ufw/ufw-init"
LOCK = "/run/ufw.lock"
LOAD = {V4: "iptables-restore", V6: "ip6tables-restore"}
TABLES = {V4: "iptables", V6: "ip6tables"}
OPEN = ":INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"  # a table that nobody has used yet
UFW = "the loaded ufw rules"
DOCKER = "the rules for Docker"


def touched(plan: Plan) -> list[str]:
    """Every path that carrying the plan out may change, directories before what is in them."""
    paths = [path for path in planning.FILES if path in plan.files]
    if plan.load in (planning.ENABLE, planning.RELOAD, planning.DISABLE):
        # ufw itself writes these when it is told to.
        paths = [*planning.UFW_FILES, *(path for path in paths if path not in planning.UFW_FILES)]
    if any(path in docker.FILES.values() for path in plan.files):
        parent = docker.DIRECTORY.rpartition("/")[0]
        paths = [parent, docker.DIRECTORY, *paths]
    return paths


def snapshot(
    plan: Plan, seen: Observed, paths: tuple[tuple[str, PathState], ...], name: str, limit_seconds: int
) -> Snapshot:
    """Everything that the plan changes, as it is before; `paths` is the state of those touched."""
    steps: list[tuple[str, tuple[str, ...]]] = []
    data: list[tuple[str, str]] = []
    if plan.load != planning.NOTHING:
        lines: list[str] = []
        if not seen.loaded:
            lines.append(f"{INIT} force-stop > /dev/null")
        for family, tool in LOAD.items():
            if family not in seen.saved:
                continue
            saved = seen.saved[family] or OPEN
            table = seen.table(family)
            options = "--wait 10 --noflush"
            if family == V6 and seen.loaded and _other_families(plan, seen):
                # ufw itself flushes the whole table when IPv6 is switched off, chains of others with it.
                text, options = saved, "--wait 10"
            else:
                text = own_rules(saved, table is not None and live.is_loaded(table, family))
            data.append((f"ufw.{family}", text))
            lines.append(f'{tool} {options} < "$state/data/ufw.{family}"')
        if not seen.loaded:
            lines += _without_chains(seen)
        steps.append((UFW, tuple(lines)))
    if plan.guard:
        steps.append((DOCKER, _guard_lines(seen)))
    return Snapshot(
        name=name,
        limit_seconds=limit_seconds,
        paths=paths,
        commands=(("systemctl", "disable", planning.UNIT),) if plan.enable_unit else (),
        live=tuple(steps),
        data=tuple(data),
        lock=LOCK,
    )


def _without_chains(seen: Observed) -> list[str]:
    """ufw leaves its chains behind, empty, when it stops; where they were not, they go. Chains of others stay."""
    if any(table and any(name.startswith("ufw") for name in table.chains) for table in seen.tables.values()):
        return []
    return [
        f"{TABLES[family]}-save -t filter | grep -v -E '^(:|-A )ufw| -j ufw' | {tool} --wait 10"
        for family, tool in LOAD.items()
        if family in seen.saved
    ]


def own_rules(saved: str, loaded: bool) -> str:
    """Of a saved filter table, the policies and ufw's own chains: loaded with --noflush, other chains stay."""
    lines = ["*filter"]
    for line in saved.splitlines():
        if line.startswith(":"):
            name, policy = line[1:].split()[:2]
            if policy != "-" or (loaded and name.startswith("ufw")):
                lines.append(f":{name} {policy} [0:0]")
        elif loaded and line.startswith("-A ufw"):
            lines.append(line)
    return "\n".join([*lines, "COMMIT", ""])


def _other_families(plan: Plan, seen: Observed) -> bool:
    text = plan.files.get(planning.DEFAULTS)
    return text is not None and (settings.read(text).get("IPV6", "").lower() == "yes") != seen.ipv6


def _guard_lines(seen: Observed) -> tuple[str, ...]:
    if any(seen.files.get(path) is not None for path in docker.FILES.values()):
        return (f"[ ! -x {docker.PROGRAM} ] || {docker.PROGRAM}",)
    question, *commands = (" ".join(command) for command in docker.early_removal())
    return (*_chain_removal(), f"! {question} > /dev/null 2>&1 || {{ {' && '.join(commands)}; }}")


def _chain_removal() -> tuple[str, ...]:
    return tuple(
        f"! {tool} -w 10 -n -L {docker.CHAIN} > /dev/null 2>&1 || {{"
        f" while {tool} -w 10 -D {docker.USER_CHAIN} -j {docker.CHAIN} 2> /dev/null; do :; done;"
        f" {tool} -w 10 -F {docker.CHAIN} && {tool} -w 10 -X {docker.CHAIN}; }}"
        for tool in TABLES.values()
    )
