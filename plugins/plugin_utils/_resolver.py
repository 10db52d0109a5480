# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask DNS servers for the addresses of host names, from the controller."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Optional

from ansible.errors import AnsibleError

try:
    import dns.exception
    import dns.nameserver
    import dns.resolver
except ImportError:
    HAS_DNSPYTHON = False
else:
    HAS_DNSPYTHON = True

_DNS_PORT = 53
_CONCURRENT_QUESTIONS = 16


@dataclass(frozen=True)
class Answer:
    """What a name resolves to, or why it does not."""

    addresses: tuple[str, ...] = ()
    failure: Optional[str] = None


def split_server(server: str) -> tuple[str, int]:
    """Return address and port of a DNS server written as address, address:port or [address]:port."""
    text = server.strip()
    try:
        return str(ipaddress.ip_address(text)), _DNS_PORT
    except ValueError:
        pass
    address, separator, port = text.rpartition(":")
    try:
        if not separator or not 0 < int(port) < 65536:
            raise ValueError(text)
        return str(ipaddress.ip_address(address.strip("[]"))), int(port)
    except ValueError:
        raise AnsibleError(f"dns_servers: {server!r} is not address, address:port or [address]:port") from None


def _resolver(servers: Sequence[str], timeout_seconds: float) -> Any:
    resolver = dns.resolver.Resolver(configure=not servers)
    if servers:
        pairs = [split_server(server) for server in servers]
        resolver.nameservers = [dns.nameserver.Do53Nameserver(address, port) for address, port in pairs]
    resolver.lifetime = timeout_seconds
    return resolver


def _ask(resolver: Any, name: str) -> Answer:
    addresses: list[str] = []
    failures: list[str] = []
    for record in ("A", "AAAA"):
        try:
            addresses.extend(item.address for item in resolver.resolve(name, record, search=False))
        except dns.resolver.NXDOMAIN:
            return Answer(failure="no such name")
        except dns.resolver.NoAnswer:
            continue
        except dns.exception.Timeout:
            failures.append("the DNS server does not answer")
        except dns.exception.DNSException as error:
            failures.append(str(error).splitlines()[0] if str(error) else type(error).__name__)
    return Answer(tuple(addresses), failures[0] if failures else None)


def ask(names: Sequence[str], servers: Sequence[str], timeout_seconds: float) -> dict[str, Answer]:
    """Return the answer for each name.

    :arg servers: DNS servers to ask; the controller's own when there are none.
    :raises AnsibleError: dnspython is missing or a server is not written as an address.
    """
    if not names:
        return {}
    if not HAS_DNSPYTHON:
        raise AnsibleError(
            "host_names: cannot be checked without the Python package dnspython on the controller: install it"
        )
    try:
        resolver = _resolver(servers, timeout_seconds)
    except dns.resolver.NoResolverConfiguration as error:
        raise AnsibleError(f"host_names: cannot be checked: {error}: set dns_servers") from error
    with ThreadPoolExecutor(max_workers=_CONCURRENT_QUESTIONS) as pool:
        return dict(zip(names, pool.map(lambda name: _ask(resolver, name), names)))


def to_addresses(host: str) -> tuple[str, ...]:
    """Return the addresses of a host given as address or as name (by the controller's own resolver)."""
    try:
        return (str(ipaddress.ip_address(host)),)
    except ValueError:
        pass
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP)}
    except OSError:
        return ()
    return tuple(sorted(found))
