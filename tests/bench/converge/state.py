"""One state for all four tools: what our roles' first run says that it makes, read back from the host that it made."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

# Which unit takes up which file only when it starts again.
RESTARTS = {
    "docker.service": "/etc/docker/",
    "prometheus-node-exporter.service": "/etc/systemd/system/prometheus-node-exporter.service.d/",
    "auditd.service": "/etc/audit/",
    "fail2ban.service": "/etc/fail2ban/",
    "slipway-mount-options.service": "/etc/systemd/system/slipway-mount-options.service",
    "ssh.service": "/etc/ssh/sshd_config.d/",
    "systemd-journald.service": "/etc/systemd/journald.conf.d/",
}
SYSCTLS = "/etc/sysctl.d/99-slipway-base.conf"
LINES = (
    (re.compile(r"install packages (?P<packages>.+)"), "packages"),
    (re.compile(r"group (?P<groups>\S+): create"), "groups"),
    (re.compile(r"user (?P<users>\S+): .*"), "users"),
    (re.compile(r"mount (?P<mounts>/\S+): .*"), "mounts"),
    (re.compile(r"file (?P<modes>/\S+): \d{4} .*"), "modes"),
    (re.compile(r"(?:directory|file) (?P<paths>/\S+): .*"), "paths"),
    (re.compile(r"link (?P<paths>/\S+) -> .*"), "paths"),
    (re.compile(r"unit (?P<units>\S+): .*"), "units"),
    # Said otherwise: rules and live values are asked of ufw, apt and the kernel; Docker's rules are files.
    (re.compile(r"(?:add|set): .*|sysctl .*|systemd: .*|hold .*"), ""),
)

CAPTURE = r"""
import base64, glob, grp, json, os, pwd, stat, subprocess, sys
FLAGS = ("nodev", "nosuid", "noexec", "hidepid=invisible")
spec = json.loads(sys.stdin.readline())
def said(*argv):
    return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.strip()
def active(name):
    # what runs once may have run or not: what it makes is compared
    once = said("systemctl", "show", "-p", "Type", "--value", name) == "oneshot"
    return "once" if once else said("systemctl", "is-active", name)
def path(name):
    info = os.lstat(name)
    if stat.S_ISLNK(info.st_mode):
        return {"kind": "link", "target": os.readlink(name)}
    found = {"mode": "%04o" % stat.S_IMODE(info.st_mode), "owner": pwd.getpwuid(info.st_uid).pw_name,
             "group": grp.getgrgid(info.st_gid).gr_name}
    if stat.S_ISDIR(info.st_mode):
        return {"kind": "directory", **found}
    if name in spec["modes"]:
        return {"kind": "mode", **found}
    return {"kind": "file", **found, "content": base64.b64encode(open(name, "rb").read()).decode()}
names = set(spec["paths"]) | set(spec["modes"]) | {name for name in glob.glob("/etc/slipway/**", recursive=True)}
status = said("ufw", "status", "verbose").splitlines()
print(json.dumps({
    "packages": {name: said("dpkg-query", "-W", "-f", "${Status}", name) for name in sorted(spec["packages"])},
    "groups": sorted(group for group in spec["groups"] if said("getent", "group", group)),
    "users": {name: said("getent", "passwd", name).split(":")[4:] + sorted(said("id", "-nG", name).split())
              for name in sorted(spec["users"])},
    "paths": {name.rstrip("/"): path(name) for name in sorted(names) if os.path.lexists(name)},
    "sysctls": {key: said("sysctl", "-n", key) for key in sorted(spec["sysctls"])},
    "mounts": {name: sorted(flag for flag in said("findmnt", "-no", "OPTIONS", name).split(",") if flag in FLAGS)
               for name in spec["mounts"]},
    "rules": said("ufw", "show", "added").splitlines()[1:],
    "firewall": [line for line in status if line.startswith(("Status", "Logging", "Default"))],
    "holds": sorted(said("apt-mark", "showhold").split()),
    "units": {name: [said("systemctl", "is-enabled", name), active(name)] for name in sorted(spec["units"])},
}))
"""


def spec_of(plan: Iterable[str]) -> dict[str, list[str]]:
    """What to look at: everything that a line of the plan names."""
    found: dict[str, dict[str, None]] = {
        name: {} for name in ("packages", "groups", "users", "mounts", "modes", "paths", "units")
    }
    for line in plan:
        for pattern, section in LINES:
            match = pattern.fullmatch(line)
            if match:
                if section:
                    found[section].update(dict.fromkeys(match[section].split(", ")))
                break
        else:
            raise SystemExit(f"bench-converge: {line!r} is a kind of change that state.py does not know")
    return {section: list(entries) for section, entries in found.items()}


def capture_input(spec: dict[str, Any], sysctls: Iterable[str] = ()) -> str:
    return json.dumps({**spec, "sysctls": list(sysctls)}) + "\n"


def differences(wanted: dict[str, Any], found: dict[str, Any]) -> list[str]:
    lines: list[str] = []
    for section, value in wanted.items():
        other = found[section]
        if isinstance(value, dict):
            lines += [
                f"{section} {key}: {value.get(key)} != {other.get(key)}"
                for key in sorted({*value, *other})
                if value.get(key) != other.get(key)
            ]
        elif value != other:
            lines.append(f"{section}: {value} != {other}")
    return [line[:300] for line in lines]
