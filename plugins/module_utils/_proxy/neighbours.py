# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nodes that a proxy sends requests to: one that falls silent has its connections cut.

A node that loses its power says nothing. Requests on connections to it, also on those that nginx keeps for the next
request, would wait for an answer until a timeout of a minute, long after the managers noticed. Cut off, nginx sends
those that may be repeated to another server, and passes over this one for a while.
"""

from __future__ import annotations

import errno
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

SWARM_PORT = 7946  # every node of a Swarm listens here for every other
PROBE_SECONDS = 1.0
SILENT_PROBES = 3
SILENT = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ETIMEDOUT)

Ports = frozenset[int]


def answers(host: str) -> bool:
    """Whether the machine is there; that it refuses is an answer too."""
    try:
        socket.create_connection((host.strip("[]"), SWARM_PORT), PROBE_SECONDS).close()
    except socket.timeout:
        return False
    except OSError as error:
        return error.errno not in SILENT
    return True


def cut(host: str, ports: Ports) -> None:
    """End our connections to these ports. A kernel without INET_DIAG_DESTROY leaves them to their timeouts."""
    program = shutil.which("ss", path="/usr/bin:/bin:/usr/sbin:/sbin") or "ss"
    wanted = " or ".join(f"dport = :{port}" for port in sorted(ports))
    subprocess.run(
        [program, "--kill", "--tcp", "--numeric", f"dst {host} and ( {wanted} )"],
        capture_output=True,
        timeout=10,
        check=False,
    )


class Neighbours:
    """Ask each of them once a second. Only who has answered before can fall silent: a firewall is no power cut."""

    def __init__(
        self,
        say: Callable[[str], None],
        ask: Callable[[str], bool] = answers,
        end: Callable[[str, Ports], None] = cut,
    ) -> None:
        self._say = say
        self._ask = ask
        self._end = end
        self._servers: Mapping[str, Ports] = {}
        self._silent: dict[str, int] = {}  # probes without an answer since the last one

    def know(self, servers: Mapping[str, Ports]) -> None:
        """These are they: address of the node → the ports that requests go to."""
        self._servers = servers

    def look(self) -> None:
        """Ask all at once."""
        servers = self._servers
        if not servers:
            return
        with ThreadPoolExecutor(max_workers=len(servers)) as pool:
            answered = dict(zip(servers, pool.map(self._ask, servers)))
        for host, there in answered.items():
            if there:
                if self._silent.get(host, 0) >= SILENT_PROBES:
                    self._say(f"{host} answers again")
                self._silent[host] = 0
            elif host in self._silent:
                self._silent[host] += 1
                if self._silent[host] == SILENT_PROBES:
                    self._say(f"{host} does not answer any more, connections to it are cut")
                if self._silent[host] >= SILENT_PROBES:
                    self._end(host, servers[host])
        self._silent = {host: count for host, count in self._silent.items() if host in servers}

    def start(self) -> None:
        threading.Thread(target=self._run, name="neighbours", daemon=True).start()

    def _run(self) -> None:
        while True:
            begun = time.monotonic()
            self.look()
            time.sleep(max(0.1, PROBE_SECONDS - (time.monotonic() - begun)))
