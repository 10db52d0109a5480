"""After where.py: all that is there of a stack, as one JSON; looks without changing anything."""

import json
import os
import subprocess
import sys


def ask(*words):
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True).stdout


def inspected(kind, *words):
    """Everything of a kind, whole."""
    ids = ask(kind, "ls", *words, "--quiet").split()
    return json.loads(ask(kind, "inspect", *ids)) if ids else []


def listing(path):
    try:
        return sorted(os.listdir(path))
    except FileNotFoundError:
        return []


def text(path):
    try:
        with open(path) as stream:
            return stream.read()
    except FileNotFoundError:
        return ""


def digests(containers):
    """The registries' names of each image that runs."""
    ids = sorted({each["Image"] for each in containers})
    found = json.loads(ask("image", "inspect", *ids)) if ids else []
    return {each["Id"]: each["RepoDigests"] for each in found}


state, run = f"/var/lib/slipway/stacks/{stack}", f"/run/slipway/releases/{stack}"
upstreams = "/etc/nginx/slipway/upstreams"
containers = inspected("container", "--all")
seen = {
    "containers": containers,
    "digests": digests(containers),
    "networks": sorted(ask("network", "ls", "--format", "{{.Name}}").split()),
    "volumes": sorted(ask("volume", "ls", "--format", "{{.Name}}").split()),
    "files": listing(f"{state}/files"),
    "staged": [name for name in listing(state) if name.startswith(".")],
    "journal": journal(),
    "history": [json.loads(line) for line in text(f"{state}/history.jsonl").splitlines()],
    "kept": [int(name[:-5]) for name in listing(f"{state}/releases") if name[:-5].isdigit()],
    "lease": lease() if is_here(lease()) else {},
    "request": os.path.exists(f"{run}/request.json"),
    "upstreams": {name: text(f"{upstreams}/{name}") for name in listing(upstreams)},
    "armed": listing("/var/lib/slipway/armed"),
}
if engine == "swarm":
    status = subprocess.run(["slipway", "status", stack, "--json"], capture_output=True, text=True, check=True).stdout
    seen.update(
        services=client.services(),
        tasks=client.tasks(),
        nodes=client.nodes(),
        configs=client.configs(),
        secrets=client.secrets(),
        history=json.loads(status)[0]["history"],
    )
json.dump(seen, sys.stdout)
