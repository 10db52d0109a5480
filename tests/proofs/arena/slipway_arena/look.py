"""Runs on a host: all that is there of a stack on Compose, as one JSON; looks without changing anything."""

import json
import os
import subprocess
import sys

stack = sys.argv[1]


def docker(*words):
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True).stdout


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


def images():
    listed = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "proof/web").split()
    tags = [entry for entry in listed if not entry.endswith("<none>")]
    found = json.loads(docker("image", "inspect", *tags)) if tags else []
    return {tag: {"id": each["Id"], "digests": each["RepoDigests"]} for tag, each in zip(tags, found)}


state, run = f"/var/lib/slipway/stacks/{stack}", f"/run/slipway/releases/{stack}"
upstreams = "/etc/nginx/slipway/upstreams"
ids = docker("ps", "--all", "--quiet").split()
json.dump(
    {
        "containers": json.loads(docker("inspect", *ids)) if ids else [],
        "images": images(),
        "networks": sorted(docker("network", "ls", "--format", "{{.Name}}").split()),
        "volumes": sorted(docker("volume", "ls", "--format", "{{.Name}}").split()),
        "files": listing(f"{state}/files"),
        "staged": [name for name in listing(state) if name.startswith(".")],
        "journal": json.loads(text(f"{state}/journal.json") or "null"),
        "history": [json.loads(line) for line in text(f"{state}/history.jsonl").splitlines()],
        "kept": [int(name[:-5]) for name in listing(f"{state}/releases") if name[:-5].isdigit()],
        "lease": json.loads(text(f"/var/lib/slipway/lease/{stack}.json") or "{}"),
        "request": os.path.exists(f"{run}/request.json"),
        "upstreams": {name: text(f"{upstreams}/{name}") for name in listing(upstreams)},
        "armed": listing("/var/lib/slipway/armed"),
    },
    sys.stdout,
)
