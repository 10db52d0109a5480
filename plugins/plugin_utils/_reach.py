# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find out from the controller which of some ports an SSH server answers on."""

from __future__ import annotations

import shlex
import socket
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

_BANNER = b"SSH-"
_BANNER_BYTES = 255
_SSH_CONFIGURATION_SECONDS = 10


@dataclass(frozen=True)
class Outcome:
    """What one port said: the server's banner, or why there is none."""

    port: int
    banner: Optional[str] = None
    failure: Optional[str] = None


@dataclass(frozen=True)
class Route:
    """How the ssh client would go to a host: to which address, and whether through another host."""

    address: str
    indirect: bool = False


def parse_route(configuration: str, host: str) -> Route:
    """Read the output of ``ssh -G``."""
    values: dict[str, str] = {}
    for line in configuration.splitlines():
        key, _space, value = line.partition(" ")
        values.setdefault(key.lower(), value.strip())
    proxies = (values.get("proxyjump", "none"), values.get("proxycommand", "none"))
    return Route(values.get("hostname") or host, any(proxy.lower() not in ("", "none") for proxy in proxies))


def find_route(ssh_executable: str, arguments: Sequence[str], host: str) -> Route:
    """Ask the ssh client itself, which knows the arguments of the play and the user's own configuration."""
    command = [ssh_executable, *(part for text in arguments for part in shlex.split(text)), "-G", host]
    try:
        completed = subprocess.run(
            command, capture_output=True, text=True, timeout=_SSH_CONFIGURATION_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return Route(host)
    return parse_route(completed.stdout, host) if completed.returncode == 0 else Route(host)


def probe(address: str, port: int, timeout_seconds: float) -> Outcome:
    """Connect and read the SSH server's banner."""
    try:
        with socket.create_connection((address, port), timeout=timeout_seconds) as connection:
            received = connection.recv(_BANNER_BYTES)
    except socket.gaierror as error:
        return Outcome(port, failure=f"the name {address} does not resolve ({error.strerror})")
    except socket.timeout:
        return Outcome(port, failure="timed out")
    except ConnectionRefusedError:
        return Outcome(port, failure="refused")
    except OSError as error:
        return Outcome(port, failure=(error.strerror or str(error)).lower())
    if not received.startswith(_BANNER):
        return Outcome(port, failure="something answers, but not SSH" if received else "closed without a word")
    return Outcome(port, banner=received.splitlines()[0].decode("ascii", "replace"))


def probe_all(address: str, ports: Sequence[int], timeout_seconds: float) -> list[Outcome]:
    """Probe all ports at once, and wait no longer than until the first in their order answers.

    Returns the outcomes up to that port. Ports that drop packets cost one timeout together.
    """
    found: dict[int, Outcome] = {}

    def look(port: int) -> None:
        found[port] = probe(address, port, timeout_seconds)

    # Daemons: a port that is not waited for must not hold up the end of the process either.
    threads = [(port, threading.Thread(target=look, args=(port,), daemon=True)) for port in ports]
    for _port, thread in threads:
        thread.start()
    outcomes: list[Outcome] = []
    for port, thread in threads:
        thread.join()
        outcomes.append(found[port])
        if found[port].banner is not None:
            break
    return outcomes


def describe(host: str, address: str, outcomes: Sequence[Outcome]) -> str:
    """Say in one line that no port answers, and why."""
    ports = ", ".join(str(outcome.port) for outcome in outcomes)
    reasons = list(dict.fromkeys(outcome.failure or "no answer" for outcome in outcomes))
    if len(reasons) == 1:
        why = reasons[0]
    else:
        why = ", ".join(f"{outcome.port} {outcome.failure or 'no answer'}" for outcome in outcomes)
    noun = "port" if len(outcomes) == 1 else "ports"
    return f"{host} ({address}): no SSH server answers on {noun} {ports}: {why}; check address, network, firewall"


def explain_login(host: str, address: str, port: int, user: Optional[str], reason: str) -> str:
    """Say in one line why a login fails, and what to look at."""
    text = " ".join(reason.split())
    lowered = text.lower()
    who = f"as {user} " if user else ""
    where = f"{host} ({address}, port {port})"
    if "sudo" in lowered or "become" in lowered or "privilege escalation" in lowered:
        return f"{where}: the login {who}works, but sudo does not: {text}; check the user's sudo rights or use -K"
    if "host key verification failed" in lowered or "identification has changed" in lowered:
        return (
            f"{where}: the host key is not the known one; if the host was made anew, remove its line from known_hosts"
        )
    if "permission denied" in lowered or "too many authentication failures" in lowered:
        return (
            f"{where}: the login {who}is refused (permission denied); "
            "check ansible_user, the private key and the user's authorized keys"
        )
    if "python" in lowered and ("not found" in lowered or "no such file or directory" in lowered):
        return (
            f"{where}: the login {who}works, but Python is missing: install python3 or set ansible_python_interpreter"
        )
    return f"{where}: the login {who}does not work: {text}"
