"""The engine from a repository: signed by the right key, in a pinned version, held, and upgraded only when asked.

The distribution's real engine under other versions, in a signed repository over HTTP, on bare hosts of both releases.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path[:0] = [str(ROOT / "tests/lab"), str(HERE.parent)]

from apt_repository import COMPONENT, SUITE, Repository
from slipway_lab import hosts, settings

PACKAGES = {"trixie": ["docker.io", "docker-cli"], "bookworm": ["docker.io"]}
ONE, TWO = "99:1+lab1", "99:2+lab2"


class Trial:
    def __init__(self, release: str, directory: Path, repository: Repository, url: str) -> None:
        self.failed = 0
        self.directory = directory
        self.repository = repository
        self.name = f"engine-{release}"
        hosts.remove(self.name)
        self.host = hosts.create(self.name, release)
        self.variables: dict[str, Any] = {
            "docker_packages": PACKAGES[release],
            "docker_repository_url": url,
            "docker_repository_suite": SUITE,
            "docker_repository_components": [COMPONENT],
            "docker_repository_key": repository.key,
            "docker_repository_key_fingerprint": repository.fingerprint,
            "docker_version": "99:1*",
            "upgrade_reboot": "never",
        }

    def claim(self, text: str, seen: Callable[[], bool] | bool) -> None:
        good = seen() if callable(seen) else seen
        self.failed += not good
        print(f"  {'ok    ' if good else 'FAILED'} {self.name}: {text}", flush=True)

    def on(self, command: str) -> str:
        container = hosts.container_name(self.name)
        done = subprocess.run(["docker", "exec", container, "bash", "-ec", command], capture_output=True, check=False)
        if done.returncode:
            raise SystemExit(f"{self.name}: {command}: {(done.stdout + done.stderr).decode(errors='replace')}")
        return done.stdout.decode(errors="replace").strip()

    def publish(self, version: str) -> None:
        for package in self.variables["docker_packages"]:
            self.repository.add_file(self.again(package, version))
        self.repository.publish()

    def again(self, package: str, version: str) -> Path:
        """The distribution's package, with another version on it."""
        place = "/tmp/again"
        self.on("apt-get -qq update")
        unpack = f"rm -rf {place}; mkdir {place}; cd {place}; apt-get -qq download {package}; dpkg-deb -R *.deb tree"
        self.on(f'{unpack}; sed -i "s/^Version:.*/Version: {version}/" tree/DEBIAN/control; rm *.deb')
        self.on(f"cd {place}; dpkg-deb -Znone -b tree again.deb; chmod 644 again.deb")
        found = self.directory / f"{package}_{self.name}_{version.replace(':', '.')}.deb"
        with found.open("wb") as handle:
            container = hosts.container_name(self.name)
            subprocess.run(["docker", "exec", container, "cat", f"{place}/again.deb"], stdout=handle, check=True)
        return found

    def play(self, playbook: str = "site.yml", *options: str, **changed: Any) -> tuple[int, str]:
        login = {"ansible_user": settings.USER, "ansible_ssh_private_key_file": str(settings.KEY)}
        listed = {self.name: {"ansible_host": self.host.address}}
        inventory = {"all": {"hosts": listed, "vars": {**login, **self.variables, **changed}}}
        (self.directory / "hosts.json").write_text(json.dumps(inventory))
        command = [str(ROOT / ".venv/bin/ansible-playbook"), "-i", str(self.directory / "hosts.json")]
        done = subprocess.run(
            [*command, str(HERE / playbook), *options],
            cwd=ROOT,
            env={**os.environ, "ANSIBLE_FORCE_COLOR": "0"},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, re.sub(r"\s+", " ", done.stdout + done.stderr)

    def version(self) -> str:
        return self.on("dpkg-query -W -f '${Version}' docker.io 2>/dev/null || echo none")


def prove(trial: Trial, stranger: Repository, strange_url: str) -> None:
    trial.publish(ONE)
    sources = "ls /etc/apt/sources.list.d /etc/docker 2>/dev/null | grep -c -e slipway -e daemon.json || true"
    code, said = trial.play(docker_repository_key_fingerprint="0" * 40)
    trial.claim("a key of another fingerprint is refused", code != 0 and "not repository_key_fingerprint 0000" in said)
    trial.claim("and nothing is there of it", trial.on(sources) == "0" and trial.version() == "none")
    code, said = trial.play(docker_repository_url=strange_url)
    trial.claim(
        "a repository that another key signed is refused", code != 0 and "APT does not accept the repository" in said
    )
    trial.claim("and is taken out again", trial.on("ls /etc/apt/sources.list.d") == "" and trial.version() == "none")
    code, said = trial.play(docker_version="7:9*")
    remedy = (
        "docker_version: 7:9* of docker.io is not to be had" in said and ONE in said and "choose one of them" in said
    )
    trial.claim("a version that is not there is refused, with those that are", code != 0 and remedy)
    trial.claim("and no engine is installed", trial.version() == "none")
    code, said = trial.play()
    trial.claim("the pinned version comes from the repository", code == 0 and trial.version() == ONE)
    trial.claim("and is held", "docker.io" in trial.on("apt-mark showhold").split())
    code, said = trial.play()
    trial.claim("a second run changes nothing", code == 0 and "changed=0" in said)

    tool = "apt-get -qq install --no-install-recommends busybox-static; tar -C / -c bin/busybox | docker import - tool"
    trial.on(f"{tool}; docker run -d --name kept -v data:/data tool /bin/busybox sleep 1000000")
    state = 'docker inspect -f "{{.State.StartedAt}} {{.State.Pid}}" kept'
    before = trial.on(state)
    trial.publish(TWO)
    trial.on("apt-get -qq update; DEBIAN_FRONTEND=noninteractive apt-get -qq upgrade")
    trial.claim("a newer version and an upgrade by hand leave it", trial.version() == ONE)
    code, said = trial.play("upgrade.yml")
    trial.claim("and so does the upgrade, beyond the pin", code == 0 and trial.version() == ONE)
    code, said = trial.play(docker_version="99:2*")
    told = f"docker.io {ONE} is installed, not 99:2*; playbooks/upgrade.yml upgrades the engine" in said
    trial.claim("a new pin alone upgrades nothing, and says what does", code == 0 and told and trial.version() == ONE)
    code, said = trial.play("upgrade.yml")
    trial.claim("the upgrade brings the new version", code == 0 and trial.version() == TWO)
    trial.claim("the container has run on, without a restart", trial.on(state) == before)
    trial.claim("and the engine is held again", "docker.io" in trial.on("apt-mark showhold").split())


def main() -> int:
    failed = 0
    for release in PACKAGES:
        with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
            repository, stranger = Repository(Path(first)), Repository(Path(second))
            stranger.publish()
            with repository.served(settings.GATEWAY) as url, stranger.served(settings.GATEWAY) as strange_url:
                trial = Trial(release, Path(first), repository, url)
                try:
                    prove(trial, stranger, strange_url)
                finally:
                    hosts.remove(trial.name)
                failed += trial.failed
    print(f"engine: {'proved' if not failed else f'{failed} claims failed'}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
