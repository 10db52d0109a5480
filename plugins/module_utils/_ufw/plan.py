# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what a host has to what a policy wants: files to write, how to load them, and a diff that people read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Optional

from ansible_collections.slipway.ops.plugins.module_utils._ufw import docker, live, rules_file, settings
from ansible_collections.slipway.ops.plugins.module_utils._ufw.model import V4, V6, DockerPort, Policy
from ansible_collections.slipway.ops.plugins.module_utils._ufw.rules_file import Entry

RULES = {V4: "/etc/ufw/user.rules", V6: "/etc/ufw/user6.rules"}
DEFAULTS = "/etc/default/ufw"
CONFIGURATION = "/etc/ufw/ufw.conf"
UFW_FILES = (*RULES.values(), DEFAULTS, CONFIGURATION)
FILES = (*UFW_FILES, *docker.FILES.values())
UNIT = "ufw.service"

NOTHING, RESTORE, RELOAD, ENABLE, DISABLE = "nothing", "restore", "reload", "enable", "disable"

# Chains and policies of a ufw that is not installed yet: what its package brings.
_FRESH = {
    "IPV6": "yes",
    "DEFAULT_INPUT_POLICY": "DROP",
    "DEFAULT_OUTPUT_POLICY": "ACCEPT",
    "DEFAULT_FORWARD_POLICY": "DROP",
    "LOGLEVEL": "low",
    "ENABLED": "no",
}


@dataclass(frozen=True)
class Observed:
    """A host's firewall: its files (None for a missing one) and its live tables (None for a family without one).

    Without ufw, it is what its package brings.
    """

    installed: bool = False
    files: Mapping[str, Optional[str]] = field(default_factory=dict)
    tables: Mapping[str, Optional[live.Table]] = field(default_factory=dict)
    saved: Mapping[str, str] = field(default_factory=dict)  # the same tables as iptables-save printed them
    starts_at_boot: bool = True
    foreseen: bool = False  # in check mode, after a task that would change it: live is what the files say

    def text(self, path: str) -> str:
        return self.files.get(path) or ""

    def table(self, family: str) -> Optional[live.Table]:
        return self.tables.get(family)

    @property
    def settings(self) -> dict[str, str]:
        return {**_FRESH, **settings.read(self.text(DEFAULTS)), **settings.read(self.text(CONFIGURATION))}

    @property
    def ipv6(self) -> bool:
        return self.settings["IPV6"].lower() == "yes"

    @property
    def enabled(self) -> bool:
        return self.installed and self.settings["ENABLED"].lower() == "yes"

    @property
    def loaded(self) -> bool:
        table = self.table(V4)
        return self.foreseen or (table is not None and live.is_loaded(table, V4))

    @property
    def active(self) -> bool:
        return self.enabled and self.loaded


@dataclass(frozen=True)
class Plan:
    """Files to write, the one load that makes them live, and the same in words."""

    files: Mapping[str, Optional[str]] = field(default_factory=dict)  # None for one that goes
    load: str = NOTHING
    guard: bool = False
    guard_gone: bool = False
    enable_unit: bool = False
    forward_dropped: Sequence[str] = ()  # families whose FORWARD stays closed for Docker when ufw stops
    steps: Sequence[str] = ()
    before: Sequence[str] = ()
    after: Sequence[str] = ()

    @property
    def changed(self) -> bool:
        return bool(self.steps)


def plan_absent(seen: Observed) -> Plan:
    """The firewall off, now and at boot, and Docker unguarded. The rules of ufw stay in their files."""
    before = describe(seen)
    guard_before = _guard_words(seen.files)
    files: dict[str, Optional[str]] = {path: None for path in docker.FILES.values() if seen.files.get(path) is not None}
    chained = any(table is not None and docker.CHAIN in table.chains for table in seen.tables.values())
    load = DISABLE if seen.installed and (seen.enabled or seen.loaded) else NOTHING
    steps = ["disable ufw"] if load == DISABLE else []
    steps += [f"delete: {line}" for line in guard_before]
    if chained and not files:
        steps.append(f"delete: the chain {docker.CHAIN}")
    return Plan(
        files=files,
        load=load,
        guard=bool(files) or chained,
        guard_gone=True,
        forward_dropped=[
            family
            for family, table in seen.tables.items()
            if load == DISABLE and table is not None
            if docker.USER_CHAIN in table.chains and table.policies.get("FORWARD") == "DROP"
        ],
        steps=steps,
        before=[*before, *guard_before],
        after=["ufw disable", *before[1:]],
    )


def plan_present(
    policy: Policy,
    seen: Observed,
    purge: bool = True,
    guard: Optional[tuple[Sequence[DockerPort], docker.Interfaces]] = None,
) -> Plan:
    """A policy; guard is the declared Docker ports and who comes in by what, None to leave Docker alone."""
    families = (V4, V6) if policy.ipv6 else (V4,)
    found = {family: rules_file.parse(seen.text(RULES[family]), family) for family in (V4, V6)}
    entries: dict[str, Sequence[Entry]] = dict(found)
    for family in families:
        declared = [rules_file.entry(rule, family) for rule in policy.rules if family in rule.families]
        entries[family] = declared if purge else merge(found[family], declared)
    rules_changed = any([*map(_key, found[family])] != [*map(_key, entries[family])] for family in families)
    files: dict[str, Optional[str]] = {}
    wanted = settings.defaults_of(policy)
    now = seen.settings
    defaults_changed = any(now[name].upper() != value.strip('"').upper() for name, value in wanted.items())
    logging_changed = now["LOGLEVEL"].lower() != policy.logging
    texts = {family: rules_file.render(policy, family, entries[family]) for family in families}

    files.update({RULES[family]: text for family, text in texts.items() if text != seen.text(RULES[family])})
    odd = [] if rules_changed or defaults_changed or logging_changed or not seen.enabled else list(files)
    if defaults_changed:
        files[DEFAULTS] = settings.change(seen.text(DEFAULTS), wanted)
    if logging_changed:
        files[CONFIGURATION] = settings.change(seen.text(CONFIGURATION), {"LOGLEVEL": policy.logging})

    steps: list[str] = []
    base_wrong, rules_wrong = _live_differences(policy, seen, texts)
    if not seen.enabled:
        files[CONFIGURATION] = settings.change(files.get(CONFIGURATION) or seen.text(CONFIGURATION), {"ENABLED": "yes"})
    load = NOTHING
    if not seen.loaded:
        # What is loaded in part, ufw takes for started.
        in_part = any(table and "user-input" in "".join(table.chains) for table in seen.tables.values())
        load = RELOAD if in_part else ENABLE
    elif not seen.enabled or defaults_changed or base_wrong:
        load = RELOAD
    elif files or rules_wrong:
        load = RESTORE

    steps += [f"write {path} again: its lines are not those that its rules make" for path in odd]
    # Rules and defaults that only a load would bring back are not in the files' difference: say why we load.
    if load in (RELOAD, RESTORE) and not files:
        steps += [f"load the rules again: {reason}" for reason in base_wrong + rules_wrong]

    enable_unit = seen.installed and not seen.starts_at_boot
    if enable_unit:
        steps.append(f"set: systemctl enable {UNIT}")
    run_guard = False
    guard_texts: dict[str, str] = {path: seen.text(path) for path in docker.FILES.values()}
    if guard is not None:
        for family, path in docker.FILES.items():
            text = docker.render(*guard, family)
            guard_texts[path] = text
            if seen.text(path) != text:
                files[path] = text
                run_guard = True
            wrong = [] if seen.foreseen else docker.differences(seen.table(family), family, text)
            if wrong:
                run_guard = True
                if seen.text(path) == text:
                    steps += [f"apply the Docker rules again: {reason}" for reason in wrong]
    if not steps and not files and load == NOTHING and not run_guard:
        return Plan()
    before = [*describe(seen), *_guard_words(seen.files)]
    after = ["ufw enable", *_settings_lines(policy), *_rule_lines(entries[V4], entries[V6], policy.ipv6)]
    after += _guard_words(guard_texts)
    return Plan(
        files=files,
        load=load,
        guard=run_guard,
        enable_unit=enable_unit,
        steps=[*_changes(before, after), *steps],
        before=before,
        after=after,
    )


def after(plan: Plan, seen: Observed) -> dict[str, Optional[str]]:
    """The files as a plan would leave them."""
    files = {**seen.files, **plan.files}
    enabled = "no" if plan.load == DISABLE else "yes"
    return {**files, CONFIGURATION: settings.change(files.get(CONFIGURATION) or "", {"ENABLED": enabled})}


def overlay(seen: Observed, files: Mapping[str, Optional[str]]) -> Observed:
    """The firewall as earlier tasks would have left it."""
    return replace(seen, installed=True, files={**seen.files, **files}, starts_at_boot=True, foreseen=True)


def _guard_words(files: Mapping[str, Optional[str]]) -> list[str]:
    words = (line for path in docker.FILES.values() for line in docker.commands(files.get(path) or ""))
    return list(dict.fromkeys(words))


def merge(found: Sequence[Entry], declared: Sequence[Entry]) -> list[Entry]:
    """Declared rules in their order; foreign ones stay, before them those that stood before the first of them."""
    known = {entry.rule.matches() for entry in declared if entry.rule}
    before: list[Entry] = []
    after: list[Entry] = []
    met = False
    for entry in found:
        if entry.rule is not None and entry.rule.matches() in known:
            met = True
        else:
            (after if met else before).append(entry)
    return [*before, *declared, *after] if met else [*declared, *before]


def describe(seen: Observed) -> list[str]:
    """What a host has, as ufw commands."""
    now = seen.settings
    lines = ["ufw enable" if seen.active else "ufw disable"]
    for name, word in (("INPUT", "incoming"), ("OUTPUT", "outgoing"), ("FORWARD", "routed")):
        lines.append(f"ufw default {settings.default_word(now[f'DEFAULT_{name}_POLICY'])} {word}")
    lines.append(f"ufw logging {now['LOGLEVEL'].lower()}")
    lines.append(f"IPV6={now['IPV6'].lower()}")
    v4, v6 = (rules_file.parse(seen.text(RULES[family]), family) for family in (V4, V6))
    return [*lines, *_rule_lines(v4, v6, seen.ipv6)]


def _settings_lines(policy: Policy) -> list[str]:
    return [
        f"ufw default {policy.incoming} incoming",
        f"ufw default {policy.outgoing} outgoing",
        f"ufw default {policy.routed} routed",
        f"ufw logging {policy.logging}",
        f"IPV6={'yes' if policy.ipv6 else 'no'}",
    ]


def _rule_lines(v4: Sequence[Entry], v6: Sequence[Entry], ipv6: bool) -> list[str]:
    return [f"ufw {line}" for line in rules_file.commands(v4, v6 if ipv6 else (), ipv6)]


def _key(entry: Entry) -> object:
    return entry.rule if entry.rule is not None else entry.text


# What is set has one value: only the new one is news.
_SETTINGS = ("ufw enable", "ufw disable", "ufw default", "ufw logging", "IPV6=")


def _changes(before: Sequence[str], after: Sequence[str]) -> list[str]:
    removed = Counter(before) - Counter(after)
    added = Counter(after) - Counter(before)
    lines = [f"delete: {line}" for line in before if removed[line] > 0 and not line.startswith(_SETTINGS)]
    for line in after:
        if added[line] > 0:
            lines.append(f"{'set' if line.startswith(_SETTINGS) else 'add'}: {line}")
    if not lines and list(before) != list(after):
        lines.append("put the rules into the declared order")
    return lines


def _live_differences(policy: Policy, seen: Observed, texts: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Live differences that need a whole reload, and those that the user rules alone put right."""
    base: list[str] = []
    rules: list[str] = []
    if seen.foreseen:
        return base, rules
    for family, text in texts.items():
        table = seen.table(family)
        if table is None:
            # A kernel without this family: ufw skips it as well.
            continue
        if not live.is_loaded(table, family):
            base.append(f"ufw is not loaded for IPv{'4' if family == V4 else '6'}")
            continue
        base += live.wrong_policies(table, family, policy)
        rules += live.wrong_rules(table, family, text)
    return base, rules
