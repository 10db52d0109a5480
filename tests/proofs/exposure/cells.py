"""The matrix: who tries what, when, and whether it may answer. Values only; nothing here talks to a machine."""

from __future__ import annotations

from dataclasses import dataclass

FAMILIES = ("v4", "v6")
PROTOCOLS = ("tcp", "udp")
SOURCES = ("lan", "public")

DECLARED, UNDECLARED, UNPUBLISHED, LOOPBACK, ROUTED = "declared", "undeclared", "unpublished", "loopback", "routed"
BRIDGE, NAMED_BRIDGE, DEFAULT_BRIDGE, HOST = "bridge", "named bridge", "docker0", "host"

FIRST, CHANGE, RECREATE = "at first", "rules changed and back", "containers recreated"
RESTART, KILL, RELOAD = "dockerd restarted", "dockerd killed", "ufw reload"
DISABLE, ENABLE, NFTABLES, REBOOT = "ufw disable", "ufw enable", "nftables restarted", "reboot"
MOMENTS = (FIRST, CHANGE, RECREATE, RESTART, KILL, RELOAD, DISABLE, ENABLE, NFTABLES, REBOOT)


@dataclass(frozen=True)
class Target:
    """One way to a server: the container behind it, how its port came to be there, and the number that is tried."""

    server: str
    network: str
    way: str
    port: int

    @property
    def title(self) -> str:
        return f"{self.server}:{self.port} ({self.network}, {self.way})"


# `declared` and `same` share a container port. A port declared on the host has the number of a container's own port.
TARGETS = (
    Target("declared", BRIDGE, DECLARED, 8080),
    Target("same", BRIDGE, UNDECLARED, 9999),
    Target("declared", BRIDGE, UNPUBLISHED, 7000),
    Target("same", BRIDGE, LOOPBACK, 7777),
    Target("declared", BRIDGE, ROUTED, 8080),
    Target("same", BRIDGE, ROUTED, 8080),
    Target("declared", BRIDGE, ROUTED, 7000),
    Target("default", DEFAULT_BRIDGE, UNDECLARED, 9997),
    Target("default", DEFAULT_BRIDGE, ROUTED, 8080),
    Target("named", NAMED_BRIDGE, UNDECLARED, 9998),
    Target("named", NAMED_BRIDGE, ROUTED, 8080),
    Target("hostnet", HOST, DECLARED, 8100),
    Target("hostnet", HOST, UNDECLARED, 8200),
)


@dataclass(frozen=True)
class Cell:
    """One attempt. ``source`` is a machine outside, or ``container`` for the way out of one."""

    moment: str
    source: str
    family: str
    protocol: str
    server: str
    title: str
    port: int
    may: bool
    routed: bool = False

    @property
    def text(self) -> str:
        return f"{self.moment}: {self.source} {self.family} {self.protocol} {self.title}"


def may_answer(target: Target, moment: str) -> bool:
    """What is declared answers. Without ufw the host's own ports are open; Docker's stay as declared."""
    if target.network == HOST and moment == DISABLE:
        return True
    return target.way == DECLARED


def cells(moment: str) -> list[Cell]:
    """All attempts of one moment: inwards to each target, and outwards from a container."""
    inwards = [
        Cell(
            moment, source, family, protocol, target.server, target.title, target.port,
            may_answer(target, moment), target.way == ROUTED,
        )
        for target in TARGETS
        for source in SOURCES
        for family in FAMILIES
        for protocol in PROTOCOLS
    ]  # fmt: skip
    outwards = [
        Cell(moment, "container", family, protocol, source, f"out to {source}:5000", 5000, True)
        for source in SOURCES
        for family in FAMILIES
        for protocol in PROTOCOLS
    ]
    return inwards + outwards


def window(moment: str, server: str) -> str:
    """Whose own work opens this for a moment: empty when it may not be open even while the moment comes about.

    ufw flushes its chains with the policy ACCEPT and loads them anew; nftables flushes those of everybody.
    """
    if server == "hostnet" and moment in (RELOAD, DISABLE, ENABLE):
        return "ufw"
    return "nftables" if moment == NFTABLES else ""


def judge(cell: Cell, answered: str) -> str:
    """Empty when the cell is as it should be. An answer of another server than the one asked is wrong as well."""
    if answered and not cell.may:
        return f"LEAK {cell.text} is answered by {answered}"
    if cell.may and answered != cell.server:
        return f"FALSE BLOCK {cell.text} is answered by {answered or 'nobody'}"
    return ""
