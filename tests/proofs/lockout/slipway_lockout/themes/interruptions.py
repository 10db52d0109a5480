"""What can happen between the moment at which a change is armed and the one at which it is confirmed."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slipway_lockout.operator import login_command, logs_in
from slipway_lockout.stage import Stage
from slipway_lockout.trial import AT_BOOT, BY_ITSELF, BY_PLAY, KEPT, LIMIT_SECONDS, REFUSED, Theme, Trial

NOT_CONFIRMED = f"it was not confirmed within {LIMIT_SECONDS} seconds"
REBOOTED = "the host was rebooted before it was confirmed"
FILE = "/etc/ssh/sshd_config.d/10-try.conf"
OUT = {"lockout_files": [{"path": FILE, "content": "DenyUsers operator\n"}], "lockout_port": 22}
MORE = {
    "lockout_files": [
        {"path": FILE, "content": "DenyUsers operator root\n"},
        {"path": "/etc/ssh/sshd_config.d/11-try.conf", "content": "MaxAuthTries 3\n"},
    ],
    "lockout_port": 22,
}
SHUT = {
    "firewall_rules": [{"port": ["2222"], "protocol": "tcp"}],
    "firewall_protect_ports": [2222],
}
MOVED = {"ssh_port": 2400}
# what makes the confirmation wait, so that there is a time between
DROPPED: dict[str, Any] = {
    "prepare": "iptables -I INPUT -p tcp --dport 2400 -j DROP",
    "undo": "iptables -D INPUT -p tcp --dport 2400 -j DROP",
}
APPLIED_SECONDS = 3.0  # a module ends about two seconds after it has armed its change
FULL = """
mkdir -p /var/lib/slipway
mount -t tmpfs -o size=64k tmpfs /var/lib/slipway
dd if=/dev/zero of=/var/lib/slipway/full bs=1k count=64 2> /dev/null || true
"""
PYTHON = """
for process in /proc/[0-9]*; do
  case "$(readlink $process/exe || true)" in */python3*) kill -9 "${process#/proc/}" || true ;; esac
done
"""


def kill_controller(stage: Stage, wait: float = APPLIED_SECONDS) -> None:
    stage.until_armed()
    time.sleep(wait)
    stage.kill_controller()


def stop_controller(stage: Stage) -> None:
    """As somebody at the keyboard does it."""
    assert stage.playing is not None
    stage.until_armed()
    time.sleep(APPLIED_SECONDS)
    stage.playing.send_signal(signal.SIGINT)


def kill_module(stage: Stage, written: str) -> None:
    """The file is in place, and the unit is not restarted yet."""
    stage.until_there(written, then=PYTHON)


def kill_module_after(written: str) -> Any:
    return lambda stage: kill_module(stage, written)


def reboot(stage: Stage, wait: float = APPLIED_SECONDS) -> None:
    """Without a goodbye: the power is lost."""
    stage.until_armed()
    time.sleep(wait)
    stage.docker("restart", "--time", "1", stage.container)
    stage.find()


def lose_network(stage: Stage) -> None:
    """The cable is pulled, at this machine's end of it: addresses stay."""
    stage.until_armed()
    time.sleep(APPLIED_SECONDS)
    index = stage.shell("cat /sys/class/net/eth0/iflink").strip()
    devices = Path("/sys/class/net").glob("*/ifindex")
    cable = next(path.parent.name for path in devices if path.read_text(encoding="ascii").strip() == index)
    subprocess.run(["ip", "link", "set", cable, "down"], check=True)
    try:
        time.sleep(LIMIT_SECONDS + 5)
    finally:
        subprocess.run(["ip", "link", "set", cable, "up"], check=True)


def cut_connections(stage: Stage) -> None:
    """End all that sshd serves, the play's own included."""
    stage.until_armed()
    time.sleep(APPLIED_SECONDS)
    stage.shell("pkill -9 -f '^sshd(-session)?: operator' || true")


def arm_again(stage: Stage, variables: Mapping[str, Any]) -> None:
    """A second run before the time of the first is over, killed as well."""
    kill_controller(stage)
    stage.start("primitive.yml", {"lockout_limit_seconds": LIMIT_SECONDS, **variables}, {})
    stage.shell(
        "n=0; until [ -e /etc/ssh/sshd_config.d/11-try.conf ]; do n=$((n + 1)); [ $n -lt 1500 ]; sleep 0.02; done"
    )
    time.sleep(APPLIED_SECONDS)
    stage.kill_controller()


def knock_wrongly(stage: Stage) -> None:
    """More failed logins from the operator's own address than fail2ban allows anybody."""
    for _attempt in range(8):
        logs_in(login_command("nobody-here", stage.host.address, stage.host.port, stage.host.key_file))


def forget_neighbour(stage: Stage) -> None:
    """The controller asks for the host's hardware address again and again, as it does once a minute by itself."""
    stage.until_armed()
    give_up = time.monotonic() + LIMIT_SECONDS - 2
    while time.monotonic() < give_up:
        subprocess.run(["ip", "neigh", "flush", "to", stage.host.address], capture_output=True, check=False)
        time.sleep(0.2)


def reexecute(stage: Stage) -> None:
    """As an upgrade of systemd does."""
    kill_controller(stage)
    stage.shell("systemctl daemon-reexec")


def converge(stage: Stage) -> None:
    """The operator, who sees the run die, runs what is good at once."""
    kill_controller(stage, wait=0)
    stage.rerun()


TRIALS = (
    Trial(
        "controller killed between arm and confirm of the ssh role",
        BY_ITSELF,
        NOT_CONFIRMED,
        MOVED,
        **DROPPED,
        disturb=kill_controller,
        quick=True,
    ),
    Trial(
        "controller killed between arm and confirm of the firewall role",
        BY_ITSELF,
        NOT_CONFIRMED,
        SHUT,
        roles=("firewall",),
        disturb=kill_controller,
        held=True,
    ),
    Trial(
        "controller killed while nobody can log in",
        BY_ITSELF,
        NOT_CONFIRMED,
        OUT,
        playbook="primitive.yml",
        disturb=kill_controller,
    ),
    Trial(
        "controller stopped from the keyboard",
        BY_ITSELF,
        NOT_CONFIRMED,
        OUT,
        playbook="primitive.yml",
        disturb=stop_controller,
    ),
    Trial(
        "module killed on the host after it has written its file",
        BY_ITSELF,
        NOT_CONFIRMED,
        OUT,
        playbook="primitive.yml",
        disturb=kill_module_after(FILE),
    ),
    Trial(
        "module of the ssh role killed on the host",
        BY_PLAY,
        "sshd is as it was before",
        {"ssh_max_auth_tries": 5},
        disturb=kill_module_after("/var/lib/slipway/armed/ssh/armed.json"),
    ),
    Trial(
        "module of the firewall role killed on the host",
        BY_PLAY,
        "the firewall is as it was before",
        SHUT,
        roles=("firewall",),
        disturb=kill_module_after("/var/lib/slipway/armed/firewall/armed.json"),
    ),
    Trial(
        "host loses its power while sshd is armed",
        AT_BOOT,
        REBOOTED,
        OUT,
        playbook="primitive.yml",
        disturb=reboot,
    ),
    Trial(
        "host loses its power while the ssh role moves the port",
        AT_BOOT,
        REBOOTED,
        MOVED,
        disturb=lambda stage: reboot(stage, wait=0),
    ),
    Trial(
        "host loses its power while the firewall is armed",
        AT_BOOT,
        REBOOTED,
        SHUT,
        roles=("firewall",),
        disturb=reboot,
        held=True,
    ),
    Trial(
        "network lost while armed",
        BY_ITSELF,
        NOT_CONFIRMED,
        OUT,
        playbook="primitive.yml",
        disturb=lose_network,
    ),
    Trial(
        "all connections cut while armed",
        BY_ITSELF,
        "the host puts it back by itself",
        OUT,
        playbook="primitive.yml",
        disturb=cut_connections,
    ),
    Trial(
        "disk full while sshd is to be armed",
        REFUSED,
        "it could not be armed, so nothing was changed",
        {"ssh_max_auth_tries": 5},
        prepare=FULL,
        undo="umount /var/lib/slipway",
    ),
    Trial(
        "disk full while the firewall is to be armed",
        REFUSED,
        "it could not be armed, so nothing was changed",
        SHUT,
        prepare=FULL,
        undo="umount /var/lib/slipway",
        roles=("firewall",),
    ),
    Trial(
        "armed twice, and killed twice",
        BY_ITSELF,
        NOT_CONFIRMED,
        OUT,
        playbook="primitive.yml",
        disturb=lambda stage: arm_again(stage, MORE),
    ),
    Trial(
        "systemd started anew while armed",
        BY_ITSELF,
        NOT_CONFIRMED,
        OUT,
        playbook="primitive.yml",
        disturb=reexecute,
    ),
    Trial(
        "a network setting that makes the host deaf",
        BY_ITSELF,
        NOT_CONFIRMED,
        {"lockout_files": [], "lockout_sysctls": {"net.ipv4.conf.all.arp_ignore": 8}, "lockout_port": 22},
        playbook="primitive.yml",
        disturb=forget_neighbour,
    ),
    Trial(
        "eight failed logins from the operator's own address, with fail2ban",
        KEPT,
        "failed=0",
        disturb=knock_wrongly,
    ),
    Trial(
        "the good run at once after a killed one",
        KEPT,
        "failed=0",
        MOVED,
        disturb=converge,
    ),
)

THEME = Theme("interruptions", ("firewall", "ssh"), TRIALS)
