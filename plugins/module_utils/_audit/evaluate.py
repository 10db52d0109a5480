# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answer the lines of the checklist from what was observed on the host and from outside.

A line passes on evidence alone. What was not observed never passes: it fails, or it does not apply and says why.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Optional

from ansible_collections.slipway.ops.plugins.module_utils._audit.checklist import LINES, PEOPLE, Line
from ansible_collections.slipway.ops.plugins.module_utils._exposure.findings import sentence

PASS = "pass"  # noqa: S105
FAIL = "fail"
NOT_APPLICABLE = "not applicable"
WARNING = "warning"
STATUSES = (PASS, FAIL, NOT_APPLICABLE, WARNING)

_HOUR = 3600
_DAY = 24 * _HOUR
_DATABASE_KINDS = ("mysql", "mariadb", "postgresql", "redis")
_FILE_KINDS = ("volume", "file", "files")
_SUCCESS = ("ok", "success", "succeeded", "done", "complete", "completed", "committed", "deployed", "restored")


@dataclass(frozen=True)
class Expectations:
    """What the operator wants; see the role's variables of the same names."""

    stack_name: str = ""
    host_names: Sequence[str] = ()
    addresses: Sequence[str] = ()
    routes: Sequence[Mapping[str, Any]] = ()
    ssh_port: int = 22
    users: Sequence[str] = ()
    minimum_cpus: int = 1
    minimum_memory_mib: int = 1
    minimum_disk_gib: float = 1
    maximum_disk_used_percent: float = 90
    maximum_restarts: int = 5
    backup_unit: str = ""
    backup_max_age_hours: float = 26
    monitoring_units: Sequence[str] = ()
    ignored_units: Sequence[str] = ()
    certificate_minimum_days: float = 2
    response_p95_milliseconds: float = 500
    required_headers: Sequence[str] = ("strict-transport-security", "x-frame-options", "x-content-type-options")


@dataclass(frozen=True)
class Evidence:
    """Everything that was observed. ``outside`` and ``alert`` are None when nobody looked."""

    expected: Expectations
    host: Mapping[str, Any]
    outside: Optional[Mapping[str, Any]] = None
    alert: Optional[Mapping[str, Any]] = None

    @property
    def names(self) -> Mapping[str, Any]:
        """Return what was seen from outside, by host name."""
        return (self.outside or {}).get("names") or {}


@dataclass(frozen=True)
class Answer:
    """The answer to one check."""

    status: str
    reason: str


@dataclass(frozen=True)
class Verdict:
    """One line of the report."""

    id: str
    section: str
    text: str
    status: str
    reason: str
    how: str = field(default="")


def _passed(reason: str) -> Answer:
    return Answer(PASS, reason)


def _failed(*reasons: str) -> Answer:
    return Answer(FAIL, "; ".join(reasons))


def _judge(problems: Sequence[str], reason: str) -> Answer:
    return _failed(*problems) if problems else _passed(reason)


def _not_applicable(reason: str) -> Answer:
    return Answer(NOT_APPLICABLE, reason)


def _age(seconds: float) -> str:
    if seconds < 2 * 60:
        return f"{seconds:.0f} s"
    if seconds < 2 * _HOUR:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / _HOUR:.0f} h" if seconds < 2 * _DAY else f"{seconds / _DAY:.0f} days"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _listed(values: Iterable[Any], shown: int = 5) -> str:
    items = [str(value) for value in values]
    return ", ".join(items[:shown]) + (f" and {len(items) - shown} more" if len(items) > shown else "")


def _nobody_looked(evidence: Evidence) -> Optional[Answer]:
    """Return the answer for a check from outside that has nothing to look at."""
    if not evidence.expected.host_names:
        return _not_applicable("the stack has no host name")
    if evidence.outside is None:
        return _failed("nobody looked from outside")
    return None


def _each_name(evidence: Evidence, check: Callable[[str, Mapping[str, Any]], list[str]], reason: str) -> Answer:
    """Judge every host name by what was seen of it from outside."""
    missing = _nobody_looked(evidence)
    if missing is not None:
        return missing
    problems: list[str] = []
    for name in evidence.expected.host_names:
        seen = evidence.names.get(name)
        problems.extend([f"{name}: was not looked at"] if seen is None else check(name, seen))
    return _judge(problems, reason)


def _people(evidence: Evidence) -> Answer:
    return _not_applicable("for people to answer")


def _environment(evidence: Evidence) -> Answer:
    environment = (evidence.host.get("stack") or {}).get("environment")
    if environment is None:
        return _failed("the stack's environment file is not on the host")
    problems = []
    if not environment["private"]:
        problems.append("the environment file can be read by others than root")
    if environment["empty"]:
        problems.append(f"empty: {_listed(environment['empty'])}")
    if environment["examples"]:
        problems.append(f"still at an example value: {_listed(environment['examples'])}")
    return _judge(problems, f"{_count(environment['variables'], 'variable')}, all filled in, readable by root alone")


def _certificate_file(evidence: Evidence) -> Answer:
    if not evidence.expected.host_names:
        return _not_applicable("the stack has no host name")
    problems = []
    for name in evidence.expected.host_names:
        seen = (evidence.host.get("certificates") or {}).get(name) or {}
        stored = seen.get("file")
        if stored is None:
            problems.append(f"{name}: no certificate on the host")
        elif stored.get("error"):
            problems.append(f"{name}: {stored['error']}")
        elif stored["placeholder"]:
            problems.append(f"{name}: only the placeholder, no authority has issued one yet")
        elif stored["self_signed"]:
            problems.append(f"{name}: is self-signed")
        elif stored["not_after"] <= evidence.host["time"]:
            problems.append(f"{name}: expired {_age(evidence.host['time'] - stored['not_after'])} ago")
        elif seen.get("served_error"):
            problems.append(f"{name}: not served: {seen['served_error']}")
        elif seen.get("served_fingerprint") != stored["fingerprint"]:
            problems.append(f"{name}: another certificate is served than the one in {stored['path']}")
    return _judge(problems, f"{_listed(evidence.expected.host_names)}: issued and served")


def _certificate_served(evidence: Evidence) -> Answer:
    now = evidence.host["time"]
    remaining: list[float] = []

    def check(name: str, seen: Mapping[str, Any]) -> list[str]:
        shown = seen["handshake"]
        if not shown["verified"]:
            return [f"{name}: {shown['error'] or 'no handshake'}"]
        left = shown["not_after"] - now
        remaining.append(left)
        if left < evidence.expected.certificate_minimum_days * _DAY:
            return [f"{name}: is valid for {_age(max(0, left))} only"]
        stored = ((evidence.host.get("certificates") or {}).get(name) or {}).get("file") or {}
        if stored.get("fingerprint") and stored["fingerprint"] != shown["fingerprint"]:
            return [f"{name}: another certificate is served than the one on the host"]
        return []

    answer = _each_name(evidence, check, "")
    if answer.status != PASS:
        return answer
    return _passed(f"chain verified from outside, valid for {_age(min(remaining))} more")


def _backup_state(evidence: Evidence) -> Mapping[str, Any]:
    return (evidence.host.get("backup") or {}).get("status") or {}


def _seconds(value: Any) -> Optional[float]:
    """Return seconds since 1970 from an ISO 8601 text with its zone; None when it is not one."""
    try:
        # Python before 3.11 does not read the Z.
        return datetime.fromisoformat(str(value).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None


def _last_restore(evidence: Evidence) -> Optional[Mapping[str, Any]]:
    history = (evidence.host.get("backup") or {}).get("history") or []
    return next((record for record in reversed(history) if record.get("event") in ("restore", "drill")), None)


def _judge_restore(evidence: Evidence, restore: Mapping[str, Any]) -> Answer:
    if restore.get("outcome") not in _SUCCESS:
        return _failed(f"the last restore failed: {restore.get('error') or 'no reason recorded'}")
    when = _seconds(restore.get("time"))
    ago = f" {_age(max(0.0, evidence.host['time'] - when))} ago" if when else ""
    return _passed(f"point {restore.get('point', '?')} was restored{ago}")


def _backup_tested(evidence: Evidence) -> Answer:
    restore = _last_restore(evidence)
    if restore is not None:
        return _judge_restore(evidence, restore)
    state = _backup_state(evidence)
    if not state.get("last_success_epoch"):
        return _failed("no backup has been read back yet")
    rows, files = state.get("rows"), state.get("files")
    return _passed(f"point {state.get('point', '?')} was read back ({rows or 0} rows, {files or 0} files)")


def _backup_running(evidence: Evidence) -> Answer:
    state = _backup_state(evidence)
    last = state.get("last_success_epoch")
    if not last:
        return _failed(f"there is no good backup: {state['error']}" if state.get("error") else "there is no backup yet")
    age = evidence.host["time"] - float(last)
    problems = []
    if age > evidence.expected.backup_max_age_hours * _HOUR:
        problems.append(f"the last good backup is {_age(age)} old, limit {evidence.expected.backup_max_age_hours} h")
    if state.get("ok") is False:
        problems.append(f"the last attempt failed: {state.get('error') or 'no reason recorded'}")
    return _judge(problems, f"the last good backup is {_age(max(0, age))} old")


def _unit_problems(evidence: Evidence, names: Sequence[str], running: bool) -> list[str]:
    """Return what is wrong with units that must be enabled (and, when asked for, active and not failed)."""
    known = (evidence.host.get("systemd") or {}).get("units") or {}
    problems = []
    for name in names:
        unit = known.get(name) or {}
        if not unit or unit["load"] in ("not-found", ""):
            problems.append(f"{name} is not installed")
        elif unit["load"] == "masked":
            problems.append(f"{name} is masked")
        elif unit["enabled"] not in ("enabled", "enabled-runtime", "static", "generated", "alias"):
            problems.append(f"{name} is not enabled ({unit['enabled'] or 'unknown'})")
        elif running and unit["active"] != "active":
            problems.append(f"{name} is {unit['active']}")
        elif running and unit["result"] not in ("", "success"):
            problems.append(f"{name} failed when it last ran ({unit['result']})")
    return problems


def _backup_scheduled(evidence: Evidence) -> Answer:
    unit = evidence.expected.backup_unit
    return _judge(_unit_problems(evidence, [unit], running=True), f"{unit} is active and enabled")


def _monitoring_configured(evidence: Evidence) -> Answer:
    names = evidence.expected.monitoring_units
    if not names:
        return _not_applicable("no monitoring units are declared")
    return _judge(_unit_problems(evidence, names, running=False), f"{_listed(names)}: installed and enabled")


def _monitoring_active(evidence: Evidence) -> Answer:
    names = evidence.expected.monitoring_units
    if not names:
        return _not_applicable("no monitoring units are declared")
    return _judge(_unit_problems(evidence, names, running=True), f"{_listed(names)}: active")


def _alerts(evidence: Evidence) -> Answer:
    if evidence.alert is None:
        if not evidence.host.get("host_program"):
            return _failed("the host program that sends alerts is not installed")
        return _not_applicable("no test alert was asked for")
    failed = evidence.alert.get("failed") or {}
    problems = [f"{channel}: {reason}" for channel, reason in sorted(failed.items())]
    if evidence.alert.get("error"):
        problems.append(str(evidence.alert["error"]))
    sent = evidence.alert.get("sent") or []
    if not problems and not sent:
        problems.append("the test alert was handed to nobody")
    return _judge(problems, f"a test alert was handed over by {_listed(sent)}")


def _server(evidence: Evidence) -> Answer:
    system, expected = evidence.host["system"], evidence.expected
    problems = []
    if system["cpus"] < expected.minimum_cpus:
        problems.append(f"has {_count(system['cpus'], 'processor')}, fewer than {expected.minimum_cpus}")
    if system["memory_mib"] < expected.minimum_memory_mib:
        problems.append(f"has {system['memory_mib']} MiB of memory, less than {expected.minimum_memory_mib}")
    if system["disk_gib"] < expected.minimum_disk_gib:
        problems.append(f"has a disk of {system['disk_gib']} GiB, less than {expected.minimum_disk_gib}")
    if system["disk_used_percent"] > expected.maximum_disk_used_percent:
        problems.append(f"the disk is {system['disk_used_percent']} % full")
    missing = [name for name in expected.users if (evidence.host.get("users") or {}).get(name) is None]
    if missing:
        problems.append(f"missing users: {_listed(missing)}")
    return _judge(
        problems,
        f"{system['distribution']}, {_count(system['cpus'], 'processor')}, {system['memory_mib']} MiB of memory, "
        f"{system['disk_free_gib']} of {system['disk_gib']} GiB of disk free",
    )


def _docker(evidence: Evidence) -> Answer:
    engine = evidence.host["docker"]
    if not engine["answers"]:
        return _failed(engine["error"] or "the Docker engine does not answer")
    return _judge(_unit_problems(evidence, ["docker.service"], running=True), f"version {engine['version']}, active")


def _definition(evidence: Evidence) -> Answer:
    problems = []
    if not (evidence.host.get("stack") or {}).get("definition"):
        problems.append("the stack's definition is not on the host")
    if not evidence.host.get("host_program"):
        problems.append("the host program slipway is not installed")
    return _judge(problems, "definition and host program are there; images are pulled, so nothing is cloned")


def _last_release(evidence: Evidence) -> Optional[Mapping[str, Any]]:
    releases = (evidence.host.get("stack") or {}).get("releases") or []
    return releases[-1] if releases else None


def _running(evidence: Evidence) -> list[Mapping[str, Any]]:
    containers = evidence.host["docker"]["containers"]
    return [entry for entry in containers if entry["state"] == "running" and not entry["one_off"]]


def _application(evidence: Evidence) -> Answer:
    release = _last_release(evidence)
    if release is None:
        return _failed("no release is recorded")
    outcome = str(release.get("outcome", ""))
    if outcome not in _SUCCESS:
        return _failed(f"the last release ended as {outcome or 'unknown'}: {release.get('reason') or 'no reason'}")
    if not _running(evidence):
        return _failed("no container of the stack runs")
    return _passed(f"release {release.get('release', '?')} {outcome}")


def _migration(evidence: Evidence) -> Answer:
    definition = (evidence.host.get("stack") or {}).get("definition")
    if not definition:
        return _failed("the stack is not deployed")
    if not definition["migrates"]:
        return _not_applicable("the stack declares no migration")
    release = _last_release(evidence)
    if release is None:
        return _failed("no release is recorded")
    if str(release.get("outcome", "")) not in _SUCCESS:
        return _failed(f"the last release ended as {release.get('outcome') or 'unknown'}")
    releases = evidence.host["stack"]["releases"]
    migrated = next(
        (record for record in reversed(releases) if record.get("migrated") and record.get("outcome") in _SUCCESS), None
    )
    if migrated is None:
        return _failed("no release has run the migration")
    return _passed(f"release {migrated.get('release', '?')} ran the migration of {_listed(migrated['migrated'])}")


def _services(evidence: Evidence) -> Answer:
    answer = _containers(evidence)
    ignored = evidence.expected.ignored_units
    failed = [unit for unit in evidence.host["systemd"]["failed_units"] if unit not in ignored]
    if not failed:
        return answer
    problem = f"failed units: {_listed(failed)}"
    return _failed(problem) if answer.status == PASS else _failed(answer.reason, problem)


def _containers(evidence: Evidence) -> Answer:
    definition = (evidence.host.get("stack") or {}).get("definition")
    if not definition:
        return _failed("the stack is not deployed")
    problems: list[str] = []
    for name, wanted in definition["services"].items():
        own = [entry for entry in evidence.host["docker"]["containers"] if entry["service"] == name]
        own = [entry for entry in own if not entry["one_off"]]
        if wanted["job"]:
            bad = [entry for entry in own if entry["state"] == "exited" and entry["exit_code"] != 0]
            problems.extend(f"{entry['name']} ended with {entry['exit_code']}" for entry in bad)
            continue
        good = [entry for entry in own if entry["state"] == "running" and entry["health"] in ("healthy", "none")]
        if len(good) != wanted["replicas"]:
            problems.append(f"{name}: {len(good)} of {wanted['replicas']} well")
        problems.extend(
            f"{entry['name']} was restarted {entry['restarts']} times"
            for entry in own
            if entry["restarts"] > evidence.expected.maximum_restarts
        )
    total = sum(service["replicas"] for service in definition["services"].values() if not service["job"])
    return _judge(problems, f"{_count(len(definition['services']), 'service')}, {_count(total, 'container')}, all well")


def _tls_problems(evidence: Evidence, name: str, seen: Mapping[str, Any]) -> list[str]:
    problems = []
    versions = seen["tls_versions"]
    if not any(versions.values()):
        return [f"{name}: {seen['handshake']['error'] or 'no handshake'}"]
    old = [version for version in ("TLSv1", "TLSv1.1") if versions.get(version)]
    if old:
        problems.append(f"{name}: still speaks {_listed(old)}")
    if not any(versions.get(version) for version in ("TLSv1.2", "TLSv1.3")):
        problems.append(f"{name}: speaks neither TLS 1.2 nor 1.3")
    redirect = seen["redirect"]
    if redirect["status"] not in (301, 302, 307, 308) or not redirect["location"].startswith("https://"):
        got = redirect["error"] or redirect["status"]
        problems.append(f"{name}: HTTP does not lead to HTTPS ({got})")
    headers = seen["start"].get("headers") or {}
    missing = [header for header in evidence.expected.required_headers if header not in headers]
    if seen["start"] and missing:
        problems.append(f"{name}: headers missing: {_listed(missing)}")
    if not seen["handshake"]["verified"]:
        problems.append(f"{name}: {seen['handshake']['error'] or 'no handshake'}")
    return problems


def _tls(evidence: Evidence) -> Answer:
    return _each_name(
        evidence,
        lambda name, seen: _tls_problems(evidence, name, seen),
        "TLS 1.2 and 1.3 only, HTTP leads to HTTPS, headers set",
    )


def _port_problems(evidence: Evidence) -> list[str]:
    exposure = (evidence.outside or {}).get("exposure")
    if not exposure:
        return ["nobody looked at the ports from outside"]
    problems = [f"nothing is proved about {reason}" for reason in exposure["inconclusive"]]
    return problems + [sentence(finding) for finding in exposure["undeclared"]]


def _ports_seen(evidence: Evidence) -> str:
    exposure = (evidence.outside or {})["exposure"]
    addresses = exposure["addresses"]
    found = sorted({port for seen in addresses.values() for port in seen["tcp_open"]})
    tried = f"{_count(exposure['tcp_ports'], 'TCP port')} tried at {_listed(addresses)} in {exposure['seconds']:.0f} s"
    left_out = f", not at {_listed(exposure['left_out'])}" if exposure["left_out"] else ""
    return f"{tried}{left_out}; open are {_listed(found, shown=10)}, all declared"


def _unreachable_ports(evidence: Evidence) -> list[str]:
    return [sentence(finding) for finding in ((evidence.outside or {}).get("exposure") or {}).get("unreachable") or []]


def _sshd_problems(evidence: Evidence) -> list[str]:
    sshd = evidence.host["sshd"]
    settings = sshd["settings"]
    if not settings:
        return [f"sshd's settings cannot be read: {sshd['error'] or 'no output'}"]
    problems = []
    if settings.get("permitrootlogin") != ["no"]:
        problems.append(f"sshd permits root ({_listed(settings.get('permitrootlogin', []))})")
    if settings.get("passwordauthentication") != ["no"]:
        problems.append("sshd accepts passwords")
    if settings.get("kbdinteractiveauthentication", ["no"]) != ["no"] and settings.get("usepam") == ["yes"]:
        problems.append("sshd accepts passwords by keyboard-interactive")
    ports = settings.get("port", [])
    if ports != [str(evidence.expected.ssh_port)]:
        problems.append(f"sshd uses port {_listed(ports)}, not {evidence.expected.ssh_port}")
    return problems


def _security(evidence: Evidence) -> Answer:
    problems = [*_sshd_problems(evidence), *_port_problems(evidence)]
    for name in evidence.expected.host_names:
        seen = evidence.names.get(name)
        problems.extend([f"{name}: was not looked at"] if seen is None else _tls_problems(evidence, name, seen))
    if problems:
        return _failed(*problems)
    return _passed(f"{_ports_seen(evidence)}; sshd by keys alone; TLS and headers good")


def _firewall(evidence: Evidence) -> Answer:
    firewall = evidence.host["firewall"]
    if not firewall["installed"]:
        return _failed("UFW is not installed")
    problems = []
    if not firewall["enabled"]:
        problems.append("UFW is not enabled")
    if firewall["default_input"] not in ("DROP", "REJECT"):
        problems.append(f"UFW's default for incoming is {firewall['default_input'] or 'unknown'}")
    versions = ["ipv4", "ipv6"] if firewall["ipv6"] else ["ipv4"]
    for version in versions:
        policy = firewall["kernel_input"].get(version)
        if policy != "DROP":
            problems.append(f"the kernel's {version} policy for incoming is {policy or firewall['error'] or 'unknown'}")
    problems.extend(_port_problems(evidence))
    if problems:
        return _failed(*problems)
    closed = _unreachable_ports(evidence)
    if closed:
        return Answer(WARNING, "; ".join(closed))
    return _passed(f"incoming is dropped by default; {_ports_seen(evidence)}")


def _health(evidence: Evidence) -> Answer:
    def check(name: str, seen: Mapping[str, Any]) -> list[str]:
        health = seen["health"]
        if not health:
            return [f"{name}: {seen['handshake']['error'] or 'no handshake'}"]
        document = health.get("json")
        parts = document.get("checks") if isinstance(document, Mapping) else None
        unwell = [part for part, well in sorted(parts.items()) if not well] if isinstance(parts, Mapping) else []
        if health["status"] != 200:
            detail = f" ({_listed(unwell)} not well)" if unwell else ""
            return [f"{name}: the health page answers {health['error'] or health['status']}{detail}"]
        if isinstance(document, Mapping) and document.get("status", "ok") != "ok":
            return [f"{name}: the health page says {document['status']}"]
        return [f"{name}: {part} is not well" for part in unwell]

    return _each_name(evidence, check, f"{_listed(evidence.expected.host_names)}: 200 and well")


def _timing(evidence: Evidence, key: str, missing: str) -> Answer:
    limit = evidence.expected.response_p95_milliseconds
    slowest: list[float] = []

    def check(name: str, seen: Mapping[str, Any]) -> list[str]:
        times = seen[key]
        if not times:
            return [f"{name}: {missing}"]
        problems = []
        if times["failed"]:
            problems.append(f"{name}: {times['failed']} of {times['requests']} requests failed ({times['failure']})")
        if times["p95_milliseconds"] >= limit:
            problems.append(f"{name}: 95 % within {times['p95_milliseconds']:.0f} ms, the target is {limit:.0f} ms")
        slowest.append(times["p95_milliseconds"])
        return problems

    answer = _each_name(evidence, check, "")
    if answer.status != PASS:
        return answer
    first = next(iter(evidence.names.values()))[key]
    users = f" by {first['concurrency']} users at once" if first.get("concurrency") else ""
    return _passed(f"{first['requests']} requests{users}: 95 % within {max(slowest):.0f} ms, target {limit:.0f} ms")


def _performance(evidence: Evidence) -> Answer:
    return _timing(evidence, "times", "the health page did not answer")


def _load(evidence: Evidence) -> Answer:
    if evidence.outside is not None and not evidence.outside.get("load_asked"):
        return _not_applicable("no load was asked for (audit_load: true)")
    return _timing(evidence, "load", "the health page did not answer")


def _access(evidence: Evidence) -> Answer:
    def check(name: str, seen: Mapping[str, Any]) -> list[str]:
        start = seen["start"]
        if not start:
            return [f"{name}: {seen['handshake']['error'] or 'no handshake'}"]
        if start["status"] != 200:
            return [f"{name}: the start page answers {start['error'] or start['status']}"]
        return []

    return _each_name(evidence, check, "the start page answers from outside; logging in is for people to try")


def _functions(evidence: Evidence) -> Answer:
    if not evidence.expected.routes:
        return _not_applicable("the stack has no routes")

    def check(name: str, seen: Mapping[str, Any]) -> list[str]:
        problems = []
        for route in seen["routes"]:
            where = f"{name}{route['path']}"
            if route["status"] == 0:
                problems.append(f"{where} does not answer ({route['error']})")
            elif route["websocket"] and route["status"] != 101:
                problems.append(f"{where} is not upgraded to a websocket ({route['status']})")
            elif route["status"] >= 500:
                problems.append(f"{where} answers {route['status']}")
        if not seen["handshake"]["verified"]:
            problems.append(f"{name}: {seen['handshake']['error'] or 'no handshake'}")
        return problems

    routes = _listed([route["path"] for route in evidence.expected.routes])
    return _each_name(evidence, check, f"answered from outside: {routes}")


def _dns_problems(evidence: Evidence) -> list[str]:
    problems = []
    for name in evidence.expected.host_names:
        addresses = (evidence.names.get(name) or {}).get("addresses") or []
        if not addresses:
            problems.append(f"{name} does not resolve from outside")
            continue
        own = {*evidence.expected.addresses, *(evidence.host.get("addresses") or [])}
        foreign = [address for address in addresses if address not in own]
        if foreign and evidence.expected.addresses:
            problems.append(f"{name} leads to {_listed(foreign)}, not to {_listed(evidence.expected.addresses)}")
    return problems


def _dns(evidence: Evidence) -> Answer:
    missing = _nobody_looked(evidence)
    if missing is not None:
        return missing
    seen = [
        f"{name} leads to {_listed(evidence.names.get(name, {}).get('addresses') or [])}" for name in evidence.names
    ]
    return _judge(_dns_problems(evidence), "; ".join(seen))


def _notify(evidence: Evidence) -> Answer:
    if _nobody_looked(evidence) is None and not _dns_problems(evidence):
        return _not_applicable("not needed: the host names lead to this host")
    return _not_applicable("for people to do, once the names lead to this host")


def _restored(evidence: Evidence, kinds: Sequence[str], what: str) -> Answer:
    saved = (evidence.host.get("backup") or {}).get("source_kinds") or []
    if saved and not set(saved) & set(kinds):
        return _not_applicable(f"the backup holds no {what}")
    restore = _last_restore(evidence)
    if restore is None:
        return _not_applicable("no restore is recorded on this host")
    return _judge_restore(evidence, restore)


def _restored_database(evidence: Evidence) -> Answer:
    return _restored(evidence, _DATABASE_KINDS, "databases")


def _restored_files(evidence: Evidence) -> Answer:
    return _restored(evidence, _FILE_KINDS, "files")


CHECKS: Mapping[str, Callable[[Evidence], Answer]] = {
    PEOPLE: _people,
    "access": _access,
    "alerts": _alerts,
    "application": _application,
    "backup_running": _backup_running,
    "backup_scheduled": _backup_scheduled,
    "backup_tested": _backup_tested,
    "certificate_file": _certificate_file,
    "certificate_served": _certificate_served,
    "containers": _containers,
    "definition": _definition,
    "dns": _dns,
    "docker": _docker,
    "environment": _environment,
    "firewall": _firewall,
    "functions": _functions,
    "health": _health,
    "load": _load,
    "migration": _migration,
    "monitoring_active": _monitoring_active,
    "monitoring_configured": _monitoring_configured,
    "notify": _notify,
    "performance": _performance,
    "restored_database": _restored_database,
    "restored_files": _restored_files,
    "security": _security,
    "server": _server,
    "services": _services,
    "tls": _tls,
}


def read_alert(result: Mapping[str, Any]) -> Optional[dict[str, Any]]:
    """Read the result of running ``slipway watch --test --json``; None when it was not run."""
    if result.get("skipped"):
        return None
    try:
        document = json.loads(str(result.get("stdout") or ""))
    except ValueError:
        document = None
    if isinstance(document, Mapping):
        return {"sent": document.get("sent") or [], "failed": document.get("failed") or {}, "error": ""}
    words = str(result.get("stderr") or result.get("msg") or "it printed no JSON")
    return {"sent": [], "failed": {}, "error": " ".join(words.split())}


def evaluate(evidence: Evidence, lines: Sequence[Line] = LINES) -> list[Verdict]:
    """Return one verdict for each line, in the checklist's order."""
    verdicts = []
    for line in lines:
        answer = CHECKS[line.check](evidence)
        verdicts.append(Verdict(line.id, line.section, line.text, answer.status, answer.reason, line.how))
    return verdicts


def as_records(verdicts: Iterable[Verdict]) -> list[dict[str, str]]:
    """Return the verdicts as plain mappings."""
    return [asdict(verdict) for verdict in verdicts]


def table(records: Sequence[Mapping[str, str]], host: str = "") -> str:
    """Lay the verdicts out as a table of status, text and reason under the headings of the sections."""
    status_width = max([len(status) for status in STATUSES])
    text_width = max([len(record["text"]) for record in records], default=0)
    lines: list[str] = []
    section = None
    for record in records:
        if record["section"] != section:
            section = record["section"]
            lines.append(section)
        row = f"  {record['status']:<{status_width}}  {record['text']:<{text_width}}  {record['reason']}"
        lines.append(row.rstrip())
    counts = {status: sum(1 for record in records if record["status"] == status) for status in STATUSES}
    summary = ", ".join(f"{counts[status]} {status}" for status in STATUSES if counts[status] or status != WARNING)
    lines.append(f"{host}: {summary}" if host else summary)
    return "\n".join(lines)
