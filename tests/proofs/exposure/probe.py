"""Runs inside machines and containers. Tries what stdin lists and prints who answered; `watch` goes on until stopped.

stdin: JSON of {"attempts": [[key, family, protocol, address, port], ...], "seconds": 1.2, "watch": path or null}
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def who(family: str, protocol: str, address: str, port: int, seconds: float) -> str:
    """The name that the server gave, empty when nobody answered."""
    version = socket.AF_INET6 if family == "v6" else socket.AF_INET
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    payload = os.urandom(8).hex()
    with socket.socket(version, kind) as client:
        client.settimeout(seconds if protocol == "tcp" else seconds / 2)
        for _attempt in (1,) if protocol == "tcp" else (1, 2):
            try:
                client.connect((address, port))
                client.sendall(payload.encode())
                name, _space, echo = client.recv(128).decode().partition(" ")
            except OSError:
                continue
            return name if echo == payload else f"something else than {payload}"
    return ""


def main() -> None:
    asked: dict[str, Any] = json.load(sys.stdin)
    attempts, seconds, stop = asked["attempts"], asked["seconds"], asked["watch"]
    found: dict[str, Any] = {}
    rounds = 0
    with ThreadPoolExecutor(max_workers=64) as pool:
        while True:
            begun = time.time()
            names = list(pool.map(lambda attempt: who(*attempt[1:], seconds), attempts))
            rounds += 1
            for attempt, name in zip(attempts, names):
                if stop is None:
                    found[attempt[0]] = name
                elif name:
                    first = found.get(attempt[0], {"server": name, "first": begun})
                    found[attempt[0]] = {**first, "last": time.time()}
            if stop is None or os.path.exists(stop):
                break
    print(json.dumps({"found": found, "rounds": rounds}))


if __name__ == "__main__":
    main()
