# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep nginx's upstreams at the containers' addresses between releases: after a restart, a crash, a reboot."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from ansible_collections.slipway.ops.plugins.module_utils._lease import lease
from ansible_collections.slipway.ops.plugins.module_utils._proxy import upstreams
from ansible_collections.slipway.ops.plugins.module_utils._proxy.gateway import Nginx, Proxy, ProxyError
from ansible_collections.slipway.ops.plugins.module_utils._proxy.neighbours import Neighbours
from ansible_collections.slipway.ops.plugins.module_utils._proxy.swarm import Agent
from ansible_collections.slipway.ops.plugins.module_utils._raft.gateway import RaftGateway
from ansible_collections.slipway.ops.plugins.module_utils._raft.state import OBJECT_PREFIX
from ansible_collections.slipway.ops.plugins.module_utils._release import records
from ansible_collections.slipway.ops.plugins.module_utils._release.docker_gateway import DockerGateway
from ansible_collections.slipway.ops.plugins.module_utils._release.engine import EngineError
from ansible_collections.slipway.ops.plugins.module_utils._release.observed import (
    Container,
    parse_container,
    with_standing,
)
from ansible_collections.slipway.ops.plugins.module_utils._release.standing import retire
from ansible_collections.slipway.ops.plugins.module_utils._release.wiring import Places
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Stack

DEBOUNCE_SECONDS = 0.3
FULL_SYNC_SECONDS = 60.0
HELD_RETRY_SECONDS = 5.0
ACTIONS = ("start", "die", "health_status", "unpause", "pause", "destroy")


class Containers(Protocol):
    def containers(self, stack: str) -> list[dict[str, Any]]: ...


def sync(gateway: Containers, places: Places, proxy: Proxy) -> dict[str, str]:
    """Bring every stack's upstream files to what runs: stack → changed, unchanged or the holder of its lease."""
    result: dict[str, str] = {}
    wish: dict[str, str] = {}
    for name, book, stack in _deployed(places):
        held = lease.holder(name, places.leases)
        if held is not None and held.get("steers", True):
            result[name] = f"held by {lease.describe(held)}"
            continue
        found = _to_ask([parse_container(raw) for raw in gateway.containers(name)], book.journal() or {})
        standing = book.standing()
        mine = upstreams.wanted(stack, with_standing(found, standing))
        differing = upstreams.differing(mine, proxy.read(list(mine)))
        result[name] = "changed" if differing else "unchanged"
        wish.update(mine)
    proxy.apply(wish)
    return result


def _deployed(places: Places) -> Iterator[tuple[str, records.Records, Stack]]:
    """The stacks that this host itself runs; those of a Swarm have their state in raft."""
    for name in records.stacks(places.stacks):
        book = records.Records(name, places.stacks, places.state)
        model = book.model()
        if model is not None:
            yield name, book, Stack(model)


def _to_ask(containers: list[Container], journal: Mapping[str, Any]) -> list[Container]:
    """Without those that an interrupted release was ending, or had not sent requests to yet."""
    out = {*(journal.get("removing") or ()), *(journal.get("standing") or ())}
    if not journal.get("switched") or float(journal.get("share") or 0) < 1:
        stopped = set(journal.get("stopped") or [])
        alone = {each.service for each in containers if each.id in stopped}  # their successors serve already
        out |= {
            each.id for each in containers if each.id in (journal.get("created") or ()) and each.service not in alone
        }
    return [each for each in containers if each.id not in out]


def close(places: Places, proxy: Proxy) -> dict[str, str]:
    """Send the requests of every stack on Compose nowhere: stack → closed.

    For the boot, before nginx: what had an address before may not be what has it now.
    """
    closing: dict[str, str] = {}
    wish: dict[str, str] = {}
    for name, _book, stack in _deployed(places):
        wish.update(upstreams.wanted(stack, ()))
        closing[name] = "closed"
    proxy.apply(wish)
    return closing


def _program_version() -> int:
    try:
        return os.stat(sys.argv[0]).st_mtime_ns
    except OSError:
        return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def watch(
    places: Places,
    connect: Callable[[], DockerGateway] = DockerGateway.connect,
    say: Callable[[str], None] = _say,
    join: Callable[[], RaftGateway] = RaftGateway.connect,
) -> None:
    """Sync at the start, after each event of a container and once a minute. Beside it `swarm.py` follows a Swarm.

    Ends when the engine's events end or when the program was replaced: the service manager starts the new one.
    """
    program = _program_version()
    gateway = connect()
    proxy = Nginx(places.upstreams)
    try:
        proxy.load()
    except (ProxyError, OSError, subprocess.SubprocessError) as error:
        say(str(error))
    events: queue.Queue[bool] = queue.Queue()
    of_swarm: queue.Queue[bool] = queue.Queue()

    def listen(
        source: Iterator[dict[str, Any]], matters: Callable[[dict[str, Any]], bool], *to: queue.Queue[bool]
    ) -> None:
        try:
            for event in source:
                if matters(event):
                    for each in to:
                        each.put(True)
        except EngineError as error:
            say(str(error))
        events.put(False)

    def follow_swarm() -> None:
        try:
            neighbours = Neighbours(say)
            neighbours.start()
            Agent(join(), proxy, say, meet=neighbours.know).run(of_swarm)
        finally:
            events.put(False)

    for work, arguments in (
        (listen, (connect().events(), _of_container, events, of_swarm)),
        (listen, (join().events(), _of_cluster, of_swarm)),
        (follow_swarm, ()),
    ):
        threading.Thread(target=work, args=arguments, daemon=True).start()
    alive = True
    while alive and _program_version() == program:
        again = FULL_SYNC_SECONDS
        try:
            for name in records.stacks(places.stacks):
                gone = retire(name, gateway, places)
                if gone:
                    say(f"{name}: the colour before has stood its time; stopped {', '.join(gone)}")
            for name, what in sync(gateway, places, proxy).items():
                if what == "changed":
                    say(f"{name}: upstreams changed, nginx reloaded")
                elif what != "unchanged":
                    again = HELD_RETRY_SECONDS
        except (ProxyError, EngineError, OSError, ValueError) as error:
            say(str(error))
            again = HELD_RETRY_SECONDS
        try:
            alive = events.get(timeout=again)
        except queue.Empty:
            continue
        time.sleep(DEBOUNCE_SECONDS)
        while not events.empty():
            alive = events.get_nowait() and alive


def _of_container(event: dict[str, Any]) -> bool:
    return str(event.get("Action", "")).partition(":")[0] in ACTIONS


def _of_cluster(event: dict[str, Any]) -> bool:
    """Nodes, and the state objects of stacks."""
    name = str(event.get("Actor", {}).get("Attributes", {}).get("name", ""))
    return event.get("Type") == "node" or name.startswith(OBJECT_PREFIX)
