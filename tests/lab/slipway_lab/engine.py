"""The outer container engine: find it, else install and start it; the lab's network on it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

from . import settings
from .shell import LabError, lock, output, run, say, step, wait_until

WATCH_LIMIT = Path("/proc/sys/fs/inotify/max_user_instances")


def docker(*arguments: str) -> str:
    """Ask the engine; the answer is what it printed."""
    return output(["docker", *arguments])


def answers() -> bool:
    if shutil.which("docker") is None:
        return False
    return run(["docker", "version", "--format", "{{.Server.Version}}"], check=False, timeout=20).returncode == 0


def ensure() -> None:
    """Use the engine that runs; else start the one that is installed; else install one. Make room for many systemds."""
    find_or_start()
    raise_watch_limit()


def raise_watch_limit() -> None:
    """Each systemd takes dozens of inotify instances, and all hosts share the machine's 128 of root."""
    if os.geteuid() == 0 and int(WATCH_LIMIT.read_text()) < settings.WATCH_INSTANCES:
        settings.STATE.mkdir(parents=True, exist_ok=True)
        settings.WATCH_INSTANCES_BEFORE.write_text(WATCH_LIMIT.read_text())
        WATCH_LIMIT.write_text(str(settings.WATCH_INSTANCES))


def restore_watch_limit() -> None:
    if os.geteuid() == 0 and settings.WATCH_INSTANCES_BEFORE.exists():
        WATCH_LIMIT.write_text(settings.WATCH_INSTANCES_BEFORE.read_text())
        settings.WATCH_INSTANCES_BEFORE.unlink()


def find_or_start() -> None:
    if answers():
        return
    with lock(settings.STATE / "engine.lock"):
        if answers():
            return
        if os.geteuid() != 0:
            raise LabError("no Docker engine answers and only root can start one: start it, or run this as root")
        if shutil.which("dockerd") is None:
            install()
        if Path("/run/systemd/system").is_dir():
            with step("start the Docker service"):
                run(["systemctl", "start", "docker.service"])
        else:
            start_by_hand()


def install() -> None:
    if shutil.which("apt-get") is None:
        raise LabError("no Docker engine and no apt-get here: install Docker, then run this again")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with step("install Docker (docker.io)"):
        run(["apt-get", "update", "-qq"], env=environment)
        run(["apt-get", "install", "-y", "-qq", "docker.io", "iptables"], env=environment)


def start_by_hand() -> None:
    """Without an init system nobody else starts the daemon; its process id is kept so that `down` can end it."""
    settings.STATE.mkdir(parents=True, exist_ok=True)
    stale = Path("/run/docker.pid")
    if stale.exists() and not is_dockerd(read_pid(stale)):
        stale.unlink()
    with step("start dockerd"):
        with settings.DOCKERD_LOG.open("ab") as log:
            daemon = subprocess.Popen(
                ["dockerd", "--log-level", "warn"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        settings.DOCKERD_PID.write_text(f"{daemon.pid}\n")
        wait_until("dockerd", answers, 60, 0.5, f"see {settings.DOCKERD_LOG}")


def read_pid(path: Path) -> int:
    try:
        return int(path.read_text().strip())
    except (OSError, ValueError):
        return 0


def is_dockerd(pid: int) -> bool:
    try:
        return pid > 0 and Path(f"/proc/{pid}/comm").read_text().strip() == "dockerd"
    except OSError:
        return False


def stop_own() -> None:
    """End the daemon that this lab started, and no other."""
    pid = read_pid(settings.DOCKERD_PID)
    if is_dockerd(pid):
        with step("stop the dockerd that the lab started"):
            os.kill(pid, signal.SIGTERM)
            wait_until("the end of dockerd", lambda: not is_dockerd(pid), 30)
    settings.DOCKERD_PID.unlink(missing_ok=True)


def exists(kind: str, name: str) -> bool:
    return run(["docker", kind, "inspect", name], check=False).returncode == 0


def inspect(kind: str, name: str) -> dict[str, Any] | None:
    result = run(["docker", kind, "inspect", name], check=False)
    return json.loads(result.stdout)[0] if result.returncode == 0 else None


def ensure_network() -> None:
    if exists("network", settings.NETWORK):
        return
    with lock(settings.STATE / "engine.lock"):
        if exists("network", settings.NETWORK):
            return
        common = [
            "network", "create", "--label", settings.LABEL, "--subnet", settings.SUBNET,
            "--gateway", settings.GATEWAY, "--ip-range", settings.DYNAMIC_RANGE,
        ]  # fmt: skip
        dual = [*common, "--ipv6", "--subnet", settings.SUBNET_V6, settings.NETWORK]
        if run(["docker", *dual], check=False).returncode != 0:
            docker(*common, settings.NETWORK)
            say("  (this engine gives the lab no IPv6 network; IPv4 alone)")


def remove_network() -> None:
    if exists("network", settings.NETWORK):
        docker("network", "rm", settings.NETWORK)
