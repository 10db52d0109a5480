# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which host of several runs a service that may run once only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Stack

ALIVE = ("running", "restarting", "paused")


class SinglesError(Exception):
    """A service that runs once cannot be placed; one line with the remedy."""


def place(
    stack: Stack,
    infos: Mapping[str, Mapping[str, Any]],
    hosts: Sequence[str],
    pins: Mapping[str, str],
    gone: Sequence[str],
) -> dict[str, str]:
    """Service to host. `infos` is the status of the stack on each host of the play; `hosts` are all that it has."""
    names = [service.name for service in stack.services.values() if service.single]
    for name in pins:
        if name not in names:
            raise SinglesError(f"stack_single_hosts.{name}: is no service with x-slipway.single; name one that is")
    if not names or len(hosts) < 2:
        return {}
    return {name: _place(stack, name, infos, hosts, pins.get(name, ""), gone) for name in names}


def _place(
    stack: Stack,
    name: str,
    infos: Mapping[str, Mapping[str, Any]],
    hosts: Sequence[str],
    pin: str,
    gone: Sequence[str],
) -> str:
    if stack.services[name].routes:
        raise SinglesError(
            f"services.{name}.x-slipway: single on several hosts cannot have routes, because each nginx asks its own "
            "host's containers; let the service run on each, or take its routes away"
        )
    if stack.services[name].migrate:
        raise SinglesError(
            f"services.{name}.x-slipway: single on several hosts cannot have migrate, because the play's first host "
            "migrates; write migrate to a service that every host runs"
        )
    running = [host for host in infos if _runs(infos[host], name)]
    believed = {str((info.get("elsewhere") or {}).get(name, "")) for info in infos.values()}
    away = sorted(host for host in believed if host and host not in infos and host in hosts and host not in gone)
    if pin:
        if pin not in hosts:
            raise SinglesError(
                f"stack_single_hosts.{name}: {pin} is no host of the stack; name one of {', '.join(hosts)}"
            )
        if pin not in infos and running:
            raise SinglesError(
                f"stack_single_hosts.{name}: {pin} is not in this play and {running[0]} runs it; run the play for both"
            )
        return away[0] if away and not running else pin
    if running:
        return running[0]
    return away[0] if away else next(iter(infos))


def _runs(info: Mapping[str, Any], name: str) -> bool:
    service = (info.get("services") or {}).get(name) or {}
    return any(each.get("state") in ALIVE for each in service.get("containers") or [])
