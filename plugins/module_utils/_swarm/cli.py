# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`slipway swarm`: this manager's backup, and its own availability around a reboot."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._raft.gateway import RaftGateway
from ansible_collections.slipway.ops.plugins.module_utils._release.quiet import all_stacks
from ansible_collections.slipway.ops.plugins.module_utils._release.wiring import Places
from ansible_collections.slipway.ops.plugins.module_utils._swarm import archive
from ansible_collections.slipway.ops.plugins.module_utils._swarm.apply import Applier
from ansible_collections.slipway.ops.plugins.module_utils._swarm.engine import Dockerd
from ansible_collections.slipway.ops.plugins.module_utils._swarm.gateway import SwarmError, SwarmGateway
from ansible_collections.slipway.ops.plugins.module_utils._swarm.keep import METHODS, STOP, Keeper, Keeping
from ansible_collections.slipway.ops.plugins.module_utils._swarm.observe import observe_cluster, observe_local
from ansible_collections.slipway.ops.plugins.module_utils._swarm.values import ACTIVE, DRAIN

LEASE_WAIT_SECONDS = 600


def swarm(argv: list[str]) -> int:
    """The verb."""
    arguments = _arguments(argv)
    report = arguments.work(arguments)
    if arguments.json:
        sys.stdout.write(json.dumps(report, sort_keys=True) + "\n")
    else:
        sys.stdout.write(arguments.page(report) + "\n")
    return 0


def _status(_arguments: argparse.Namespace) -> dict[str, Any]:
    gateway = SwarmGateway()
    local, _root = observe_local(gateway)
    cluster = observe_cluster(gateway, local)
    return {"local": local.plain(), "cluster": cluster.plain() if cluster else None, "backups": archive.kept()}


def _status_page(report: dict[str, Any]) -> str:
    local, cluster = report["local"], report["cluster"]
    part = ", manager" if local["manager"] else ""
    lines = [f"{local['hostname']}: {local['state'] or 'no engine'}{part} {local['error']}".rstrip()]
    for node in cluster["nodes"] if cluster else []:
        part = ("leader" if node["leader"] else node["reachability"]) or "worker"
        lines.append(f"  {node['hostname']:<20} {node['state']:<8} {node['availability']:<7} {part}")
    lines.append(
        f"backups: {len(report['backups'])}" + (f", the last {report['backups'][-1]}" if report["backups"] else "")
    )
    return "\n".join(lines)


def _backup(arguments: argparse.Namespace) -> dict[str, Any]:
    keeping = Keeping.load()
    method = arguments.method or keeping.method
    keeper = Keeper(SwarmGateway(), Dockerd())
    if method != STOP:
        return keeper.backup(Keeping(keeping.keep, method))
    with all_stacks("swarm backup", Places(), LEASE_WAIT_SECONDS, RaftGateway.connect):
        return keeper.backup(Keeping(keeping.keep, method))


def _backup_page(report: dict[str, Any]) -> str:
    counts = ", ".join(f"{number} {kind}" for kind, number in report["counts"].items())
    return (
        f"{report['path']}: {report['bytes']} bytes, raft index {report['raft']['index']}, {counts};"
        f" dockerd was away for {report['away_seconds']} s; {report['kept']} kept"
    )


def _restore(arguments: argparse.Namespace) -> dict[str, Any]:
    manifest = archive.verify(arguments.archive)
    if arguments.confirm != manifest["hostname"]:
        raise SwarmError(
            f"{arguments.archive} makes this host the only manager of the Swarm that {manifest['hostname']} was in"
            f" ({manifest['created']}); say --confirm {manifest['hostname']} to do it"
        )
    return Keeper(SwarmGateway(), Dockerd()).restore(arguments.archive, int(time.time()), arguments.address)


def _restore_page(report: dict[str, Any]) -> str:
    kept = f"; what was there before is in {report['before']}" if report["before"] else ""
    return f"restored: {report['found']} of {report['manifest']['counts']}{kept}"


def _available(arguments: argparse.Namespace) -> dict[str, Any]:
    gateway = SwarmGateway()
    local, _root = observe_local(gateway)
    if not local.member:
        return {"node": local.hostname, "changed": False, "availability": "no node of a Swarm"}
    if not local.manager:
        raise SwarmError(f"{local.hostname} is a worker, whose availability a manager says: docker node update there")
    wanted = DRAIN if arguments.verb == "drain" else ACTIVE
    changed = Applier(gateway, arguments.timeout_seconds).set_availability(local.node_id, wanted)
    return {"node": local.hostname, "changed": changed, "availability": wanted}


def _available_page(report: dict[str, Any]) -> str:
    return f"{report['node']}: {report['availability']}"


def _arguments(argv: list[str]) -> argparse.Namespace:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="one line of JSON")
    parser = argparse.ArgumentParser(prog="slipway swarm", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    status = verbs.add_parser("status", parents=[common], help="this host's part, the nodes, the backups")
    status.set_defaults(work=_status, page=_status_page)
    backup = verbs.add_parser("backup", parents=[common], help="keep this manager's state as an archive")
    backup.add_argument("--method", choices=METHODS, help="pause dockerd for the copy, or stop it (a drained node)")
    backup.set_defaults(work=_backup, page=_backup_page)
    restore = verbs.add_parser("restore", parents=[common], help="make this host the only manager, from an archive")
    restore.add_argument("archive")
    restore.add_argument("--confirm", default="", help="the hostname that the archive is of")
    restore.add_argument("--address", default="", help="address by which others reach this host")
    restore.set_defaults(work=_restore, page=_restore_page)
    for name, told in (("drain", "move this manager's tasks away and wait"), ("activate", "let it take tasks again")):
        available = verbs.add_parser(name, parents=[common], help=told)
        available.add_argument("--timeout-seconds", type=float, default=300)
        available.set_defaults(work=_available, page=_available_page)
    return parser.parse_args(argv)
