"""pyinfra: the state that the bench hands over, as a pyinfra user would write it."""

from __future__ import annotations

import base64
import json
import os
import shlex
from io import BytesIO

from pyinfra import host
from pyinfra.api import FactBase
from pyinfra.operations import apt, files, server, systemd

with open(os.environ["BENCH_STATE"], encoding="utf-8") as source:
    STATE = json.load(source)


class FirewallRules(FactBase):
    command = "ufw show added; ufw status verbose | grep -E '^(Status|Logging|Default)'"
    default = list

    def requires_command(self):  # type: ignore[no-untyped-def]
        return "ufw"

    def process(self, output):  # type: ignore[no-untyped-def]
        return list(output)


class Holds(FactBase):
    command = "apt-mark showhold"

    def process(self, output):  # type: ignore[no-untyped-def]
        return sorted(output)


apt.packages(packages=list(STATE["packages"]), update=True, cache_time=86400, no_recommends=True)
for name in STATE["groups"]:
    server.group(group=name, system=True)
for user in STATE["users"]:
    server.user(
        user=user["name"],
        comment=user["comment"],
        home=user["home"],
        shell=user["shell"],
        groups=user["groups"],
        append=True,
        create_home=True,
    )
changed = {}
for path, item in STATE["paths"].items():
    if item["kind"] == "directory":
        files.directory(path=path, user=item["owner"], group=item["group"], mode=item["mode"])
    elif item["kind"] == "link":
        files.link(path=path, target=item["target"], force=True, force_backup=False)
    elif item["kind"] == "mode":
        files.file(path=path, user=item["owner"], group=item["group"], mode=item["mode"])
    else:
        changed[path] = files.put(
            src=BytesIO(base64.b64decode(item["content"])),
            dest=path,
            user=item["owner"],
            group=item["group"],
            mode=item["mode"],
            create_remote_dir=False,
        )
server.shell(commands=[f"sysctl -e -q -p {STATE['sysctls_file']}"], _if=changed[STATE["sysctls_file"]].did_change)
if host.get_fact(Holds) != STATE["holds"]:
    server.shell(commands=[shlex.join(["apt-mark", "hold", *STATE["holds"]])])
found = host.get_fact(FirewallRules)
missing = [rule for rule in STATE["rules"] if rule not in found]
if missing:
    server.shell(commands=missing)
if "Status: active" not in found:
    server.shell(commands=["ufw --force enable"])
unit_files = [operation for path, operation in changed.items() if path.startswith("/etc/systemd/system/")]
systemd.daemon_reload(_if=lambda: any(operation.did_change() for operation in unit_files))
for name, unit in STATE["units"].items():
    systemd.service(service=name, enabled=unit["enabled"], running=unit["running"])
    for path, operation in changed.items():
        if path.startswith(unit["restart_on"] or "-"):
            systemd.service(service=name, restarted=True, _if=operation.did_change)
