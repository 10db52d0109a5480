"""What a host is, as far as getting in goes. Runs on the host, as root, with nothing but its own Python."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
import subprocess
import sys

# Docker writes these into a container itself.
NOT_OURS = {"/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/etc/mtab", "/etc/.pwd.lock"}
ARMED = "/var/lib/slipway/armed"


def said(*argv: str) -> str:
    try:
        return subprocess.run(argv, capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return ""


def one(path: str) -> str:
    info = os.lstat(path)
    kind = "file"
    content = ""
    if os.path.islink(path):
        kind, content = "link", os.readlink(path)
    elif os.path.isdir(path):
        kind = "directory"
    elif os.path.isfile(path):
        with open(path, "rb") as handle:
            content = hashlib.sha256(handle.read()).hexdigest()
    return f"{kind} {info.st_mode & 0o7777:04o} {info.st_uid}:{info.st_gid} {content}"


def files() -> dict[str, str]:
    found = {}
    for top in ["/etc", *glob.glob("/home/*"), *glob.glob("/home/*/.ssh"), "/root/.ssh"]:
        if not os.path.isdir(top):
            continue
        found[top] = one(top)
        if top.startswith("/home/") and not top.endswith("/.ssh"):
            continue
        for directory, directories, names in os.walk(top):
            for name in directories + names:
                path = os.path.join(directory, name)
                if path not in NOT_OURS:
                    found[path] = one(path)
    return found


def rules() -> dict[str, list[str]]:
    """Chains with their rules in order; counters and the order of the chains do not matter."""
    found: dict[str, list[str]] = {}
    for program in ("iptables-save", "ip6tables-save"):
        for line in said(program, "-t", "filter").splitlines():
            chain = re.match(r":(\S+) (\S+)", line)
            rule = re.match(r"-A (\S+)", line)
            if chain:
                found.setdefault(f"{program} {chain[1]}", []).append(f"policy {chain[2]}")
            elif rule:
                found.setdefault(f"{program} {rule[1]}", []).append(line)
    return found


def sockets() -> list[str]:
    found = set()
    for line in said("ss", "-Hlntup").splitlines():
        words = line.split()
        if words[4].startswith("127.0.0.11:"):  # Docker's own DNS
            continue
        names = set(re.findall(r'\("([^"]+)",pid=', line))
        # a socket of systemd's stays one, whether a login has started the service behind it or not
        owner = "systemd" if "systemd" in names else ",".join(sorted(names))
        found.add(f"{words[0]} {words[4]} {owner}")
    return sorted(found)


def armed() -> list[str]:
    """Everything that would still put something back."""
    found = glob.glob(f"{ARMED}/*/armed.json") + glob.glob("/etc/systemd/system/slipway-armed-*")
    found += glob.glob("/etc/systemd/system/*.wants/slipway-armed-*")
    listed = said("systemctl", "list-units", "--no-legend", "--plain", "slipway-armed-*").splitlines()
    return found + [line.split()[0] for line in listed if line.split()]


def reverted() -> list[dict[str, object]]:
    found = []
    for path in glob.glob(f"{ARMED}/*/reverted.json"):
        with open(path, encoding="utf-8") as handle:
            found.append(json.load(handle))
    return found


if __name__ == "__main__":
    found: dict[str, object] = {"armed": armed()}
    if sys.argv[1:] != ["armed"]:
        found.update(files=files(), rules=rules(), sockets=sockets(), reverted=reverted())
    json.dump(found, sys.stdout)
