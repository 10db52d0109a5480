# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at a host: files, units, containers, sshd, firewall, certificates. Nothing is changed.

What cannot be observed is said in the observation itself (``error``), so that one broken part does not hide the others.
"""

from __future__ import annotations

import contextlib
import glob
import grp
import hashlib
import http.client
import json
import os
import pwd
import shutil
import socket
import ssl
import stat
import subprocess
import time
import urllib.parse
from collections.abc import Sequence
from typing import Any, Optional

from ansible_collections.slipway.ops.plugins.module_utils._audit import parse
from ansible_collections.slipway.ops.plugins.module_utils._certificate.pair import (
    PLACEHOLDER_ORGANIZATION,
    UnreadableCertificate,
    leaf_fingerprint,
    parse_time,
)

DOCKER_SOCKET = "/var/run/docker.sock"
_TOOL_SECONDS = 20
_HANDSHAKE_SECONDS = 5
_HISTORY_RECORDS = 200
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def _run(*command: str) -> tuple[int, str, str]:
    """Run a tool in the C locale; 127 when it is not installed."""
    executable = shutil.which(command[0], path=_SYSTEM_PATH)
    if executable is None:
        return 127, "", f"{command[0]} is not installed"
    try:
        completed = subprocess.run(
            [executable, *command[1:]],
            capture_output=True,
            text=True,
            timeout=_TOOL_SECONDS,
            check=False,
            env={"PATH": _SYSTEM_PATH, "LC_ALL": "C.UTF-8"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return 126, "", str(error)
    return completed.returncode, completed.stdout, completed.stderr.strip()


def _read(path: str) -> Optional[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return None


def _read_json(path: str) -> Any:
    text = _read(path)
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError as error:
        return {"error": f"{path} is not JSON: {error}"}


def _read_records(path: str) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = []
    for line in (_read(path) or "").splitlines()[-_HISTORY_RECORDS:]:
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            records.append(value)
    return records


def system() -> dict[str, Any]:
    """Return the sizes of the host and its distribution."""
    release = parse.assignments(_read("/etc/os-release") or "")
    disk = shutil.disk_usage("/")
    return {
        "distribution": release.get("PRETTY_NAME", ""),
        "cpus": os.cpu_count() or 0,
        "memory_mib": parse.memory_mib(_read("/proc/meminfo") or ""),
        "disk_gib": round(disk.total / 2**30, 1),
        "disk_free_gib": round(disk.free / 2**30, 1),
        "disk_used_percent": round(100 * disk.used / (disk.used + disk.free), 1) if disk.total else 0,
    }


def units(names: Sequence[str]) -> dict[str, Any]:
    """Return the state of some units and the names of all that have failed."""
    observed: dict[str, Any] = {"units": {}, "failed_units": [], "error": ""}
    if names:
        properties = ",".join(parse.UNIT_PROPERTIES)
        status, output, error = _run("systemctl", "show", f"--property={properties}", "--", *names)
        observed["units"] = parse.units(output)
        observed["error"] = error if status else ""
    _status, output, _error = _run("systemctl", "list-units", "--state=failed", "--plain", "--no-legend", "--no-pager")
    observed["failed_units"] = parse.failed_units(output)
    return observed


def users(names: Sequence[str]) -> dict[str, Any]:
    """Return the groups of some users; None for a user that does not exist."""
    found: dict[str, Any] = {}
    for name in names:
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            found[name] = None
            continue
        groups = {group.gr_name for group in grp.getgrall() if name in group.gr_mem}
        try:
            groups.add(grp.getgrgid(user.pw_gid).gr_name)
        except KeyError:
            groups.add(str(user.pw_gid))
        found[name] = sorted(groups)
    return found


class _DockerConnection(http.client.HTTPConnection):
    def __init__(self) -> None:
        super().__init__("docker", timeout=_TOOL_SECONDS)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(DOCKER_SOCKET)


def _ask_docker(path: str) -> Any:
    connection = _DockerConnection()
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise OSError(f"the Docker engine answers {response.status}: {body.decode('utf-8', 'replace').strip()}")
        return json.loads(body)
    finally:
        connection.close()


def docker(stack_name: str) -> dict[str, Any]:
    """Return the engine's version and the stack's containers."""
    observed: dict[str, Any] = {"answers": False, "version": "", "containers": [], "error": ""}
    if not os.path.exists(DOCKER_SOCKET):
        observed["error"] = "there is no Docker engine"
        return observed
    try:
        observed["version"] = _ask_docker("/version").get("Version", "")
        observed["answers"] = True
        if stack_name:
            wanted = json.dumps({"label": [f"com.docker.compose.project={stack_name}"]})
            listed = _ask_docker(f"/containers/json?all=1&filters={urllib.parse.quote(wanted)}")
            inspected = [_ask_docker(f"/containers/{entry['Id']}/json") for entry in listed]
            observed["containers"] = sorted(map(parse.container, inspected), key=lambda container: container["name"])
    except (OSError, ValueError, http.client.HTTPException) as error:
        observed["error"] = str(error)
    return observed


def stack(name: str) -> dict[str, Any]:
    """Return what is deployed: the definition's names, the releases and the state of the environment file."""
    observed: dict[str, Any] = {"definition": None, "releases": [], "environment": None}
    if not name:
        return observed
    directory = f"/etc/slipway/stacks/{name}"
    model = _read_json(f"{directory}/stack.json")
    if isinstance(model, dict) and "error" not in model:
        observed["definition"] = parse.definition(model)
    observed["releases"] = _read_records(f"/var/lib/slipway/stacks/{name}/history.jsonl")
    text = _read(f"{directory}/environment")
    if text is not None:
        status = os.stat(f"{directory}/environment")
        observed["environment"] = {
            **parse.environment(text),
            "private": stat.S_IMODE(status.st_mode) & 0o077 == 0 and status.st_uid == 0,
        }
    return observed


def backup(name: str) -> dict[str, Any]:
    """Return the backup's own records."""
    directory = f"/var/lib/slipway/backup/{name}"
    settings = _read_json(f"/etc/slipway/backup/{name}/backup.json") if name else None
    sources = settings.get("sources") if isinstance(settings, dict) else None
    return {
        "source_kinds": sorted({str(source.get("kind")) for source in sources or [] if isinstance(source, dict)}),
        "status": _read_json(f"{directory}/status.json") if name else None,
        "history": _read_records(f"{directory}/history.jsonl") if name else [],
    }


def firewall() -> dict[str, Any]:
    """Return what UFW's files say and what the running kernel does."""
    configuration = _read("/etc/ufw/ufw.conf")
    defaults = parse.assignments(_read("/etc/default/ufw") or "")
    observed: dict[str, Any] = {
        "installed": configuration is not None,
        "enabled": parse.assignments(configuration or "").get("ENABLED", "no").lower() == "yes",
        "default_input": defaults.get("DEFAULT_INPUT_POLICY", ""),
        "ipv6": defaults.get("IPV6", "no").lower() == "yes",
        "rules": parse.ufw_rules(_read("/etc/ufw/user.rules") or ""),
        "kernel_input": {},
        "error": "",
    }
    for version, tool in (("ipv4", "iptables"), ("ipv6", "ip6tables")):
        status, output, error = _run(tool, "-w", "5", "-S", "INPUT")
        observed["kernel_input"][version] = parse.default_policy(output) if status == 0 else None
        if status and observed["installed"]:
            observed["error"] = error
    return observed


def sshd() -> dict[str, Any]:
    """Return sshd's effective settings, every keyword with its values."""
    status, output, error = _run("sshd", "-T")
    return {"settings": parse.sshd_settings(output) if status == 0 else {}, "error": error if status else ""}


def owners() -> list[dict[str, Any]]:
    """Return who uses the host's ports: the process of each listening socket, the container of each published port."""
    listed: list[dict[str, Any]] = []
    if os.path.exists(DOCKER_SOCKET):
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
            listed = _ask_docker("/containers/json")
    names = {str(entry["Id"]): parse.container_name(entry) for entry in listed}
    found: list[dict[str, Any]] = []
    for protocol, option in (("tcp", "-t"), ("udp", "-u")):
        _status, output, _error = _run("ss", "-H", "-l", option, "-n", "-p")
        found += parse.listeners(output, protocol)
    for owner in found:
        owner["container"] = parse.container_of(_read(f"/proc/{owner.pop('pid')}/cgroup") or "", names)
    return found + parse.published(listed)


def addresses() -> list[str]:
    """Return the host's own addresses."""
    status, output, _error = _run("ip", "-json", "address")
    try:
        return parse.addresses(output) if status == 0 else []
    except ValueError:
        return []


def _served_fingerprint(name: str, port: int) -> tuple[str, str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # only which certificate is served is asked here
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=_HANDSHAKE_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=name) as secured,
        ):
            served = secured.getpeercert(binary_form=True) or b""
    except OSError as error:
        return "", str(error)
    return hashlib.sha256(served).hexdigest(), ""


def _stored_certificate(path: str) -> dict[str, Any]:
    stored: dict[str, Any] = {"path": path, "error": ""}
    text = _read(path)
    status, output, error = _run(
        "openssl", "x509", "-noout", "-subject", "-issuer", "-enddate", "-ext", "subjectAltName", "-in", path
    )
    if text is None or status:
        return {**stored, "error": error or "cannot be read"}
    fields = parse.openssl_fields(output)
    try:
        fingerprint, not_after = leaf_fingerprint(text), parse_time(fields.get("notAfter", ""))
    except UnreadableCertificate as problem:
        return {**stored, "error": str(problem)}
    return {
        **stored,
        "names": parse.certificate_names(output),
        "fingerprint": fingerprint,
        "not_after": not_after,
        "placeholder": PLACEHOLDER_ORGANIZATION in fields.get("subject", ""),
        "self_signed": fields.get("subject") == fields.get("issuer"),
    }


def certificates(directory: str, host_names: Sequence[str], port: int) -> dict[str, Any]:
    """Return for each host name the certificate in the files and the fingerprint of the one that is served."""
    stored = [_stored_certificate(path) for path in sorted(glob.glob(f"{directory}/*/current/fullchain.pem"))]
    observed: dict[str, Any] = {}
    for name in host_names:
        file = next((entry for entry in stored if parse.covers(entry.get("names", []), name)), None)
        broken = next((entry for entry in stored if entry["error"] and f"/{name}/" in entry["path"]), None)
        fingerprint, error = _served_fingerprint(name, port)
        observed[name] = {"file": file or broken, "served_fingerprint": fingerprint, "served_error": error}
    return observed


def observe(
    stack_name: str,
    host_names: Sequence[str],
    unit_names: Sequence[str],
    user_names: Sequence[str],
    certificate_directory: str,
) -> dict[str, Any]:
    """Return all observations of this host."""
    return {
        "time": int(time.time()),
        "host_program": os.path.exists("/usr/local/bin/slipway"),
        "addresses": addresses(),
        "system": system(),
        "systemd": units(unit_names),
        "users": users(user_names),
        "docker": docker(stack_name),
        "stack": stack(stack_name),
        "backup": backup(stack_name),
        "firewall": firewall(),
        "sshd": sshd(),
        "owners": owners(),
        "certificates": certificates(certificate_directory, host_names, 443),
    }
