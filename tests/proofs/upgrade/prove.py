"""Upgrade three hosts, of which the second breaks by the new version: it stops there, and the third is not touched.

Real hosts of the lab, real packages from a signed repository of version 1 and then 2, a real reboot of systemd.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path[:0] = [str(ROOT / "tests/lab"), str(HERE.parent)]

from apt_repository import COMPONENT, SUITE, Package, Repository
from slipway_lab import hosts, settings

NAMES = ("upgrade-1", "upgrade-2", "upgrade-3")
RELEASES = ("trixie", "bookworm", "trixie")
UNIT = "[Service]\nExecStart=/usr/bin/demo-serve\n[Install]\nWantedBy=multi-user.target\n"
SLEEPER = "[Service]\nExecStart=/usr/bin/demo-sleep 1000000\n[Install]\nWantedBy=multi-user.target\n"
SERVE = "#!/bin/sh\n{check}exec sleep 1000000\n"
NO_LEGACY = 'grep -qs legacy /etc/demo.conf && { echo "demo.conf: legacy is gone since version 2" >&2; exit 78; }\n'
START = "systemctl daemon-reload; systemctl enable --now --quiet demo.service demo-sleep.service; "
START += "systemctl restart demo.service"


def demo(version: int) -> Package:
    """A service that its package restarts, and one that it leaves running on the replaced program."""
    sleeper = Path("/bin/sleep").read_bytes() + b"\0" * version
    files: dict[str, str | bytes] = {
        "/lib/systemd/system/demo.service": UNIT,
        "/lib/systemd/system/demo-sleep.service": SLEEPER,
        "/usr/bin/demo-serve*": SERVE.format(check=NO_LEGACY if version > 1 else ""),
        "/usr/bin/demo-sleep*": sleeper,
    }
    reboot = "; touch /run/reboot-required" if version > 1 else ""
    return Package("demo", f"{version}.0", files, postinst=f"({START}) || true{reboot}")


class Proof:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.failed = 0
        self.hosts: dict[str, hosts.Host] = {}

    def claim(self, text: str, seen: Callable[[], bool] | bool) -> None:
        good = seen() if callable(seen) else seen
        self.failed += not good
        print(f"  {'ok    ' if good else 'FAILED'} {text}", flush=True)

    def on(self, name: str, command: str, check: bool = True) -> str:
        container = hosts.container_name(name)
        command = ["docker", "exec", container, "bash", "-ec", command]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if check and done.returncode:
            raise SystemExit(f"{name}: {command}: {done.stdout}{done.stderr}")
        return done.stdout.strip()

    def prepare(self, url: str, key: str) -> None:
        for name, release in zip(NAMES, RELEASES):
            hosts.remove(name)
            self.hosts[name] = hosts.create(name, release, docker_inside=True)
            # What a machine does by itself when it reboots, its container does by this.
            subprocess.run(
                ["docker", "update", "--restart=always", hosts.container_name(name)], check=True, capture_output=True
            )
            self.on(name, f"cat > /etc/apt/keyrings/lab.asc <<K\n{key}K\n")
            source = f"deb [signed-by=/etc/apt/keyrings/lab.asc] {url} {SUITE} {COMPONENT}"
            self.on(
                name,
                f'echo "{source}" > /etc/apt/sources.list.d/lab.list; apt-get -qq update; apt-get -qq install demo',
            )
        self.on(NAMES[1], "echo legacy > /etc/demo.conf")
        container = "tar -C / -c bin/busybox | docker import - lab/tool >/dev/null; docker volume create data; "
        container += "docker run -d --name kept --restart always -v data:/data lab/tool /bin/busybox sleep 1000000"
        self.on(NAMES[0], f"apt-get -qq install --no-install-recommends busybox-static; {container}")
        listed = {name: {"ansible_host": host.address} for name, host in self.hosts.items()}
        probe = {"outside": {"hosts": {"probe": {"ansible_host": settings.PROBE_ADDRESS}}}}
        inventory: dict[str, Any] = {
            "all": {"children": {"servers": {"hosts": listed}, **probe}, "vars": self._variables()}
        }
        (self.directory / "hosts.json").write_text(json.dumps(inventory))

    def _variables(self) -> dict[str, Any]:
        return {
            "ansible_user": settings.USER,
            "ansible_ssh_private_key_file": str(settings.KEY),
            "stack_name": "nothing",
            "stack_compose_file": str(HERE / "compose.yaml"),
            "audit_probe_host": "probe",
            "audit_tcp_ports": ["1-10000"],
            "upgrade_health_timeout_seconds": 20,
        }

    def upgrade(self, *options: str) -> tuple[int, str, float]:
        command = [str(ROOT / ".venv/bin/ansible-playbook"), "-i", str(self.directory / "hosts.json")]
        begun = time.monotonic()
        done = subprocess.run(
            [*command, str(ROOT / "playbooks/upgrade.yml"), *options],
            cwd=ROOT,
            env={**os.environ, "ANSIBLE_FORCE_COLOR": "0"},
            capture_output=True,
            text=True,
            check=False,
        )
        said = re.sub(r"\s+", " ", done.stdout + done.stderr)
        (self.directory / "last.log").write_text(done.stdout + done.stderr)
        return done.returncode, said, time.monotonic() - begun

    def version(self, name: str) -> str:
        return self.on(name, "dpkg-query -W -f \\${Version} demo")

    def boot(self, name: str) -> str:
        return self.on(name, 'cut -d" " -f22 /proc/1/stat')


def main() -> int:
    with tempfile.TemporaryDirectory() as place:
        proof = Proof(Path(place))
        repository = Repository(Path(place))
        repository.add(demo(1))
        repository.publish()
        try:
            with repository.served(settings.GATEWAY) as url:
                prove(proof, repository, url)
        finally:
            for name in NAMES:
                hosts.remove(name)
    print(f"upgrade: {'proved' if not proof.failed else f'{proof.failed} claims failed'}", flush=True)
    return 1 if proof.failed else 0


def prove(proof: Proof, repository: Repository, url: str) -> None:
    first, second, third = NAMES
    proof.prepare(url, repository.key)
    repository.add(demo(2))
    repository.publish()
    boots = {name: proof.boot(name) for name in NAMES}
    lists = proof.on(first, "sha256sum /var/lib/apt/lists/*_InRelease")
    kept = proof.on(first, "docker inspect -f {{.Id}} kept")

    code, said, seconds = proof.upgrade("--check")
    proof.claim(
        f"--check prints the plan of every host ({seconds:.0f} s)",
        code == 0 and said.count("upgrade demo 1.0 -> 2.0") == 3,
    )
    proof.claim("--check changes no host, its package lists included", lambda: (
        [proof.version(name) for name in NAMES] == ["1.0"] * 3
        and proof.on(first, "sha256sum /var/lib/apt/lists/*_InRelease") == lists
    ))  # fmt: skip

    code, said, seconds = proof.upgrade()
    proof.claim(f"the upgrade stops with a failure ({seconds:.0f} s)", code != 0)
    proof.claim(
        f"it names the host, {second}, and the unit",
        f"[{second}]: FAILED!" in said and "unit demo.service: ran before, is failed now" in said,
    )
    proof.claim(f"{first} is upgraded, was rebooted, and runs all that it ran", lambda: (
        proof.version(first) == "2.0" and proof.boot(first) != boots[first]
        and proof.on(first, "systemctl is-active demo demo-sleep docker ssh").split() == ["active"] * 4
        and proof.on(first, "docker inspect -f \"{{.Id}} {{.State.Running}}\" kept") == f"{kept} true"
    ))  # fmt: skip
    proof.claim(
        f"{first} had its ports tried from outside before {second}'s turn",
        f"changed: [{first} -> probe" in said or f"ok: [{first} -> probe" in said,
    )
    proof.claim(f"{third} is not touched: version, boot, journal", lambda: (
        proof.version(third) == "1.0" and proof.boot(third) == boots[third]
        and not proof.on(third, "ls /var/lib/slipway/upgrade", check=False)
    ))  # fmt: skip

    proof.on(second, "rm /etc/demo.conf; systemctl reset-failed demo; systemctl start demo")
    code, said, seconds = proof.upgrade("-e", "upgrade_reboot=never")
    proof.claim(
        f"repaired, the same command goes on where it stopped ({seconds:.0f} s)",
        code == 0 and "was not proved good; the state of then" in said,
    )
    proof.claim("all hosts are upgraded", lambda: [proof.version(name) for name in NAMES] == ["2.0"] * 3)
    proof.claim(
        f"{third} ran on the replaced program, and was restarted",
        "restart demo-sleep.service, which ran replaced files" in said,
    )
    proof.claim("without a reboot, one that is due is told", "a reboot is due, and upgrade_reboot is never" in said)
    holder = (
        'import fcntl,time; f=open("/var/lib/dpkg/lock-frontend","w"); fcntl.lockf(f,fcntl.LOCK_EX); time.sleep(60)'
    )
    proof.on(first, f"systemd-run --quiet --unit=lock python3 -c {json.dumps(holder)}")
    code, said, seconds = proof.upgrade("-e", "upgrade_reboot=never")
    proof.claim(
        f"a run with nothing to upgrade changes nothing ({seconds:.0f} s)", code == 0 and said.count("changed=0") == 3
    )
    proof.claim("a lock on the packages is waited for and told", "which had locked the packages" in said)

    repository.add(Package("demo", "3.0", {}, postinst="exit 1"))
    repository.publish()
    proof.on(
        first,
        "ip route del default; sed -i s,172.30.0.1,203.0.113.1, /etc/apt/sources.list.d/lab.list",
    )
    code, said, seconds = proof.upgrade("--limit", first)
    proof.claim(
        "without a way to the internet it says so and changes nothing",
        code != 0 and "the package lists cannot be fetched" in said and "nothing was changed" in said,
    )
    proof.on(
        first, "ip route add default via 172.30.0.1; sed -i s,203.0.113.1,172.30.0.1, /etc/apt/sources.list.d/lab.list"
    )
    code, said, seconds = proof.upgrade("--limit", first, "-e", "upgrade_free_mib=999999999")
    proof.claim(
        "without room on the disk it says so and changes nothing",
        code != 0 and "MiB of upgrade_free_mib; nothing was changed" in said,
    )
    code, said, seconds = proof.upgrade("--limit", third)
    proof.claim("a package that cannot be configured stops it", code != 0 and "apt-get upgrade" in said)
    repository.add(Package("demo", "4.0", demo(2).files, postinst=demo(1).postinst))
    repository.publish()
    code, said, seconds = proof.upgrade("--limit", third, "-e", "upgrade_reboot=never")
    proof.claim(
        "an interrupted run of dpkg is finished by the next upgrade", code == 0 and proof.version(third) == "4.0"
    )


if __name__ == "__main__":
    raise SystemExit(main())
