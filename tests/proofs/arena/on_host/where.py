"""Before the other programs of this directory: where the lease and the journal of a stack are, on each engine.

Sets `stack`, `lease()`, `journal()`, and `stamp()`, which changes when one of them has.
"""

import json
import os
import socket
import sys

engine, stack = sys.argv[1:3]
del sys.argv[1:3]
HELD = f"/var/lib/slipway/lease/{stack}.json"
JOURNAL = f"/var/lib/slipway/stacks/{stack}/journal.json"


def read(path):
    try:
        with open(path) as stream:
            return json.load(stream)
    except (FileNotFoundError, ValueError):
        return {}


def number(path):
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return 0


if engine == "swarm":
    import docker

    client = docker.APIClient("unix:///var/run/docker.sock", version="auto", timeout=20)
    PAUSE = 0.005

    def labels():
        try:
            return client.inspect_config(f"slipway-{stack}")["Spec"].get("Labels") or {}
        except docker.errors.APIError:
            return {}

    def lease():
        return json.loads(labels().get("ops.slipway.lease") or "{}")

    def journal():
        return json.loads(labels().get("ops.slipway.journal") or "null") or {}

    def stamp():
        return labels()

else:
    PAUSE = 0.0005

    def lease():
        return read(HELD)

    def journal():
        return read(JOURNAL)

    def stamp():
        return (number(JOURNAL), number(HELD))


def is_here(held):
    """Whether a living process of this host holds the lease."""
    if not held.get("owner") or held.get("host", socket.gethostname()) != socket.gethostname():
        return False
    return os.path.exists(f"/proc/{held['pid']}")
