# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps ports that Docker publishes behind the firewall: one chain of ours, first in DOCKER-USER.

A connection that arrives on a public interface is let through only when its original destination port, the number on
the host that the operator wrote, is declared. ctstate DNAT keeps out whoever routes straight to a container's address,
where the same number could be another container's own port.

A trusted address, such as another node of a Swarm, may reach every published port: a task's is a random number.

What comes in by another network interface of the host is let through likewise, but may be forwarded elsewhere than to
containers. Interfaces that come later than the rules are told from Docker's own by the names of those.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from ansible_collections.slipway.ops.plugins.module_utils._ufw.live import Table, expected_chains
from ansible_collections.slipway.ops.plugins.module_utils._ufw.model import V4, V6, DockerPort

CHAIN = "SLIPWAY-DOCKER"
USER_CHAIN = "DOCKER-USER"
DIRECTORY = "/etc/slipway/docker-firewall"
FILES = {V4: f"{DIRECTORY}/rules.v4", V6: f"{DIRECTORY}/rules.v6"}
PROGRAM = "/usr/local/sbin/slipway-docker-firewall"


DOCKER_BRIDGES = ("docker+", "br-+")


@dataclass(frozen=True)
class Interfaces:
    """By which interfaces others come in. Without ``other`` those that are not public are trusted.

    The ``trusted`` addresses and networks may reach every published port, by whichever interface they come.
    """

    public: Sequence[str]
    other: Optional[Sequence[str]] = None
    trusted: Sequence[str] = ()


def render(ports: Sequence[DockerPort], interfaces: Interfaces, family: str) -> str:
    """The chain of one family for iptables-restore --noflush."""
    declared = [_declared(port) for port in ports if family in port.families]
    lines = ["*filter", f":{CHAIN} - [0:0]"]
    lines.append(f"-A {CHAIN} -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN")
    networks = [ipaddress.ip_network(source) for source in interfaces.trusted]
    lines += [
        f"-A {CHAIN} -s {network} -m conntrack --ctstate DNAT -j RETURN"
        for network in networks
        if network.version == (4 if family == V4 else 6)
    ]
    for interface in interfaces.public:
        lines += [f"-A {CHAIN} -i {interface} {match} -j RETURN" for match in declared]
        lines.append(f"-A {CHAIN} -i {interface} -j DROP")
    if interfaces.other is not None:
        lines += _elsewhere(declared, interfaces.public, interfaces.other)
    return "\n".join([*lines, "COMMIT", ""])


def _declared(port: DockerPort) -> str:
    match = f"-p {port.protocol} -m conntrack --ctstate DNAT --ctdir ORIGINAL --ctorigdstport {port.port}"
    return f"{match} --ctorigdst {port.address}" if port.address else match


def _elsewhere(declared: Sequence[str], public: Sequence[str], other: Sequence[str]) -> list[str]:
    """Rules for the other interfaces, and for those that nobody has seen yet."""
    lines: list[str] = []
    for interface in other:
        lines += [f"-A {CHAIN} -i {interface} {match} -j RETURN" for match in declared]
        lines += [f"-A {CHAIN} -i {interface} -o {out} -j RETURN" for out in (*public, *other)]
        lines.append(f"-A {CHAIN} -i {interface} -j DROP")
    lines += [f"-A {CHAIN} -i {bridge} -j RETURN" for bridge in DOCKER_BRIDGES]
    lines += [f"-A {CHAIN} {match} -j RETURN" for match in declared]
    lines.append(f"-A {CHAIN} -m conntrack --ctstate DNAT -j DROP")
    return lines + [f"-A {CHAIN} -o {bridge} -j DROP" for bridge in DOCKER_BRIDGES]


def differences(table: Optional[Table], family: str, text: str) -> list[str]:
    """Where the live chain is not the declared one. Without Docker there is nothing to guard."""
    if table is None or USER_CHAIN not in table.chains:
        return []
    version = "IPv4" if family == V4 else "IPv6"
    found: list[str] = []
    if list(table.chains[USER_CHAIN][:1]) != [(("-j", CHAIN),)]:
        found.append(f"{USER_CHAIN} does not begin with {CHAIN} ({version})")
    if list(table.chains.get(CHAIN, ())) != expected_chains(text.splitlines(), [CHAIN])[CHAIN]:
        found.append(f"live chain {CHAIN} differs from its file ({version})")
    return found


def removal(table: Optional[Table]) -> str:
    """What takes our chain away, for iptables-restore --noflush; empty where it is not."""
    if table is None or CHAIN not in table.chains:
        return ""
    jumps = list(table.chains.get(USER_CHAIN, ())).count((("-j", CHAIN),))
    lines = ["*filter", *[f"-D {USER_CHAIN} -j {CHAIN}"] * jumps, f"-F {CHAIN}", f"-X {CHAIN}", "COMMIT", ""]
    return "\n".join(lines)


def early_removal() -> list[list[str]]:
    """What takes the chain out of the table where Docker before 23 needs it for IPv6; the first asks for it."""
    words = (["-n", "-L", CHAIN], ["-D", "FORWARD", "-j", CHAIN], ["-F", CHAIN], ["-X", CHAIN])
    return [["ip6tables", "-w", "10", "-t", "mangle", *command] for command in words]


def commands(text: str) -> list[str]:
    """What a rendered file says, in words, for a diff."""
    said: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if words[:1] != ["-A"] or "RELATED,ESTABLISHED" in words or _is_of_bridges(words):
            continue
        if "-s" in words:
            said.append(f"docker allow every published port from {_plain(words[words.index('-s') + 1])}")
            continue
        interface = f"on {words[words.index('-i') + 1]}" if "-i" in words else "on interfaces to come"
        if "--ctorigdstport" in words:
            port = f"{words[words.index('--ctorigdstport') + 1]}/{words[words.index('-p') + 1]}"
            address = f" at {words[words.index('--ctorigdst') + 1]}" if "--ctorigdst" in words else ""
            said.append(f"docker allow {port}{address} {interface}")
        elif "-o" in words:
            said.append(f"docker leave alone what goes out on {words[words.index('-o') + 1]} {interface}")
        else:
            said.append(f"docker deny everything else {interface}")
    return said


def declared(text: str) -> tuple[list[dict[str, str]], list[str], list[str]]:
    """The ports, the public interfaces (none where they were not named) and the trusted addresses of rendered files."""
    named = True
    trusted: list[str] = []
    ports: dict[tuple[str, str, str], dict[str, str]] = {}
    public: dict[str, None] = {}
    for line in text.splitlines():
        words = line.split()
        if words[:1] != ["-A"] or _is_of_bridges(words):
            named = named and words[:1] != ["-A"]
            continue
        said = {word: words[index + 1] for index, word in enumerate(words[:-1]) if word.startswith("-")}
        if "--ctorigdstport" in said:
            port, protocol, address = said["--ctorigdstport"], said["-p"], said.get("--ctorigdst", "")
            ports[port, protocol, address] = {"port": port, "protocol": protocol}
            if address:
                ports[port, protocol, address]["host_ip"] = address
        elif "-s" in said:
            trusted.append(_plain(said["-s"]))
        elif "-i" in said and said["-j"] == "DROP":
            public[said["-i"]] = None
    return list(ports.values()), list(public) if named else [], trusted


def _plain(network: str) -> str:
    """A network as people write it: a single address without its length."""
    found = ipaddress.ip_network(network)
    return str(found.network_address) if found.prefixlen == found.max_prefixlen else str(found)


def _is_of_bridges(words: Sequence[str]) -> bool:
    return any(words[index] in ("-i", "-o") and words[index + 1] in DOCKER_BRIDGES for index in range(len(words) - 1))
