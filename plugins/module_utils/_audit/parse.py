# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn what tools print and files hold into plain records."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Optional

from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Stack

_EXAMPLE_VALUES = re.compile(r"^(change[-_ ]?me|example|secret|password|todo|xxx+|<.*>|your[-_ ].*)$", re.I)
_UFW_TUPLE = re.compile(r"^### tuple ### (?P<action>\S+) (?P<protocol>\S+) (?P<port>\S+) ")
_LISTENER = re.compile(r"^\S+\s+\d+\s+\d+\s+(?P<address>\S+):(?P<port>\d+)\s+\S+(?:\s+(?P<process>.*))?$")
_PROCESS = re.compile(r'\("(?P<name>[^"]+)",pid=(?P<pid>\d+)')
_CONTAINER_ID = re.compile(r"\b[0-9a-f]{64}\b")
_DOCKER_BRIDGE = re.compile(r"^(docker\d+|docker_gwbridge|br-[0-9a-f]{12})$")
_FIELD = re.compile(r"^(?P<key>[A-Za-z]+)=(?P<value>.*)$")

UNIT_PROPERTIES = ("Id", "LoadState", "ActiveState", "SubState", "UnitFileState", "Result")


def units(output: str) -> dict[str, dict[str, str]]:
    """Read ``systemctl show --property=...`` for several units: one block a unit, blank lines between."""
    found: dict[str, dict[str, str]] = {}
    for block in output.split("\n\n"):
        values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if values.get("Id"):
            found[values["Id"]] = {
                "load": values.get("LoadState", ""),
                "active": values.get("ActiveState", ""),
                "sub": values.get("SubState", ""),
                "enabled": values.get("UnitFileState", ""),
                "result": values.get("Result", ""),
            }
    return found


def failed_units(output: str) -> list[str]:
    """Read ``systemctl list-units --state=failed --plain --no-legend``."""
    return [line.split()[0] for line in output.splitlines() if line.split()]


def sshd_settings(output: str) -> dict[str, list[str]]:
    """Read ``sshd -T``: each keyword with all its values."""
    settings: dict[str, list[str]] = {}
    for line in output.splitlines():
        keyword, _space, value = line.strip().partition(" ")
        if keyword:
            settings.setdefault(keyword.lower(), []).append(value)
    return settings


def assignments(text: str) -> dict[str, str]:
    """Read a file of shell assignments (``KEY=value``, quotes allowed), as UFW's and systemd's are."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        stripped = line.strip()
        if stripped and not stripped.startswith("#") and "=" in stripped:
            key, _equals, value = stripped.partition("=")
            found[key.strip()] = value.strip().strip("\"'")
    return found


def ufw_rules(text: str) -> list[dict[str, str]]:
    """Read the rules of UFW's ``user.rules`` as UFW itself reads them back: from its tuple comments."""
    return [match.groupdict() for match in map(_UFW_TUPLE.match, text.splitlines()) if match]


def default_policy(output: str) -> Optional[str]:
    """Read the policy of a chain from ``iptables -S INPUT``."""
    match = re.search(r"^-P \S+ (\S+)$", output, re.M)
    return match.group(1) if match else None


def listeners(output: str, protocol: str = "tcp") -> list[dict[str, Any]]:
    """Read ``ss -H -l -n -p`` of one protocol, each socket once, with the first process that holds it."""
    found: list[dict[str, Any]] = []
    for line in output.splitlines():
        match = _LISTENER.match(line.strip())
        if match is None:
            continue
        process = _PROCESS.search(match["process"] or "")
        record = {
            "address": match["address"].partition("%")[0].strip("[]"),
            "port": int(match["port"]),
            "protocol": protocol,
            "process": process["name"] if process else "",
            "pid": int(process["pid"]) if process else 0,
        }
        if record not in found:
            found.append(record)
    return found


def published(listed: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Take the published ports from Docker's list of containers. Without a proxy no process listens on them."""
    return [
        {
            "address": port.get("IP") or "0.0.0.0",  # noqa: S104
            "port": int(port["PublicPort"]),
            "protocol": port.get("Type", "tcp"),
            "container": container_name(entry),
            "container_port": int(port["PrivatePort"]),
        }
        for entry in listed
        for port in entry.get("Ports") or []
        if port.get("PublicPort")
    ]


def container_name(entry: Mapping[str, Any]) -> str:
    """Return the name of an entry of Docker's list of containers."""
    return str((entry.get("Names") or [entry.get("Id", "")[:12]])[0]).lstrip("/")


def container_of(cgroup: str, names: Mapping[str, str]) -> str:
    """Return the name of the container that a process with this ``/proc/PID/cgroup`` runs in, empty for none."""
    return next((names[found] for found in _CONTAINER_ID.findall(cgroup) if found in names), "")


def memory_mib(meminfo: str) -> int:
    """Read the size of the memory from ``/proc/meminfo``."""
    match = re.search(r"^MemTotal:\s+(\d+) kB", meminfo, re.M)
    return int(match.group(1)) // 1024 if match else 0


def environment(text: str) -> dict[str, Any]:
    """Tell from an environment file which variables there are and which are not filled in. Values stay out of it."""
    values = assignments(text)
    return {
        "variables": len(values),
        "empty": sorted(name for name, value in values.items() if not value),
        "examples": sorted(name for name, value in values.items() if _EXAMPLE_VALUES.match(value)),
    }


def openssl_fields(output: str) -> dict[str, str]:
    """Read ``openssl x509 -noout -subject -issuer -enddate``."""
    return {match["key"]: match["value"].strip() for match in map(_FIELD.match, output.splitlines()) if match}


def container(inspected: Mapping[str, Any]) -> dict[str, Any]:
    """Take from Docker's inspection of a container what the audit needs, and no environment."""
    state = inspected.get("State") or {}
    labels = (inspected.get("Config") or {}).get("Labels") or {}
    health = state.get("Health") or {}
    return {
        "name": str(inspected.get("Name", "")).lstrip("/"),
        "service": labels.get("com.docker.compose.service", ""),
        "one_off": str(labels.get("com.docker.compose.oneoff", "False")).lower() == "true",
        "release": labels.get("ops.slipway.release", ""),
        "image": (inspected.get("Config") or {}).get("Image", ""),
        "state": state.get("Status", ""),
        "health": health.get("Status", "none"),
        "restarts": int(inspected.get("RestartCount") or 0),
        "exit_code": int(state.get("ExitCode") or 0),
    }


def definition(model: Mapping[str, Any]) -> dict[str, Any]:
    """Take from the deployed model what the audit needs: names and numbers, no values."""
    stack = Stack(model)
    return {
        "name": stack.name,
        "services": {
            name: {"replicas": service.replicas, "job": stack.is_job(name)} for name, service in stack.services.items()
        },
        "migrates": any(service.migrate for service in stack.services.values()),
    }


def addresses(output: str) -> list[str]:
    """Read ``ip -json address``: the addresses of the host, without those of Docker's bridges."""
    found = [
        str(entry["local"])
        for interface in json.loads(output)
        for entry in interface.get("addr_info", [])
        if entry.get("scope") == "global" and entry.get("local") and not _DOCKER_BRIDGE.match(interface["ifname"])
    ]
    return sorted(set(found))


def certificate_names(output: str) -> list[str]:
    """Read the DNS names from ``openssl x509 -ext subjectAltName``."""
    return sorted({name.lower() for name in re.findall(r"DNS:([^,\s]+)", output)})


def covers(names: Iterable[str], host_name: str) -> bool:
    """Tell whether a certificate with these names is good for a host name; a star stands for one label."""
    wanted = host_name.lower()
    parent = wanted.partition(".")[2]
    return any(name == wanted or (name.startswith("*.") and name[2:] == parent) for name in names)
