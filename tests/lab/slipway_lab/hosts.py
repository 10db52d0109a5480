"""Lab hosts: Debian with systemd and sshd in a container, a little computer as far as a playbook can tell."""

from __future__ import annotations

import hashlib
import io
import json
import socket
import tarfile
from dataclasses import asdict, dataclass
from typing import Any

from . import images, settings
from .engine import docker, ensure_network, inspect
from .shell import LabError, lock, run, say, step, wait_until

# systemd as PID 1 without --privileged, which fails where the bounding set lacks CAP_SYS_RESOURCE.
BOOT_OPTIONS = (
    "--cap-add=ALL", "--cap-drop=SYS_RESOURCE",
    "--security-opt=seccomp=unconfined", "--security-opt=apparmor=unconfined", "--security-opt=systempaths=unconfined",
    "--cgroupns=host", "--volume=/sys/fs/cgroup:/sys/fs/cgroup:rw",
    "--tmpfs=/run", "--tmpfs=/run/lock", "--stop-signal=SIGRTMIN+3",
)  # fmt: skip
# overlayfs does not nest: the engine inside needs real volumes
DATA_VOLUMES = (("docker", "/var/lib/docker"), ("containerd", "/var/lib/containerd"))
ALIASES_LABEL = f"{settings.LABEL}.aliases"
KEY_LABEL = f"{settings.LABEL}.key"


@dataclass(frozen=True)
class Host:
    """How to reach a lab host; the keys of what `host create` prints."""

    name: str
    address: str
    port: int
    user: str
    key_file: str


def container_name(name: str) -> str:
    return f"{settings.PREFIX}-{name}"


def volume_name(name: str, volume: str) -> str:
    return f"{settings.PREFIX}-{name}-{volume}"


@dataclass(frozen=True)
class Machine:
    """A container that boots like a computer: everything that `docker create` must know."""

    name: str
    image: str
    address: str | None = None
    aliases: tuple[str, ...] = ()
    volumes: tuple[tuple[str, str], ...] = ()  # (name's last part, path)
    publish: tuple[str, ...] = ()
    kind: str = "host"


def address_v6(address: str) -> str:
    """A fixed host's other address: the last number is the same, away from those that the engine hands out."""
    return f"{settings.PREFIX_V6}a:{address.rpartition('.')[2]}"


def names_of(name: str, aliases: tuple[str, ...]) -> tuple[str, ...]:
    """What a machine is called inside the lab."""
    return (name, f"{name}.lab", *aliases)


def key_mark(public_key: str) -> str:
    """Tells one checkout's lab from another's: a host lets in by the key that it was made with alone."""
    return hashlib.sha256(public_key.encode()).hexdigest()[:16]


def create_command(machine: Machine, public_key: str) -> list[str]:
    """Builds the command; runs nothing."""
    command = ["docker", "create", f"--name={container_name(machine.name)}", f"--hostname={machine.name}"]
    command += [f"--label={settings.LABEL}={machine.kind}", f"--label={ALIASES_LABEL}={','.join(machine.aliases)}"]
    command += [f"--label={KEY_LABEL}={key_mark(public_key)}"]
    command += [*BOOT_OPTIONS, f"--network={settings.NETWORK}"]
    command += [f"--volume={volume_name(machine.name, volume)}:{path}" for volume, path in machine.volumes]
    command += [f"--ip={machine.address}", f"--ip6={address_v6(machine.address)}"] if machine.address else []
    command += [f"--network-alias={alias}" for alias in names_of(machine.name, machine.aliases)]
    command += [f"--publish={port}" for port in machine.publish]
    return [*command, machine.image, "/sbin/init"]


def ensure_key() -> str:
    """The key pair of the lab; returns the public half."""
    with lock(settings.STATE / "key.lock"):
        if not settings.KEY.exists():
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "slipway-lab", "-f", str(settings.KEY)])
    return settings.KEY.with_suffix(".pub").read_text()


def authorized_keys(public_key: str) -> bytes:
    """A tar of ~/.ssh for the login user (whose ids are fixed in the image)."""
    home = f"home/{settings.USER}/.ssh"
    key = public_key.encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, kind, mode, data in (
            (home, tarfile.DIRTYPE, 0o700, b""),
            (f"{home}/authorized_keys", tarfile.REGTYPE, 0o600, key),
        ):
            entry = tarfile.TarInfo(path)
            entry.type, entry.mode, entry.size = kind, mode, len(data)
            entry.uid = entry.gid = 1000
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def create(
    name: str,
    release: str = settings.DEFAULT_RELEASE,
    docker_inside: bool = False,
    address: str | None = None,
    aliases: tuple[str, ...] = (),
) -> Host:
    """Bring a host up; one that is up already is left as it is."""
    if name in settings.RESERVED_NAMES:
        raise LabError(f"{name} is a machine of the lab itself: choose another name for the host")
    image = images.ensure(images.host(release, docker_inside))
    return boot(Machine(name, image, address, aliases, DATA_VOLUMES))


def boot(machine: Machine) -> Host:
    """Make and start what is missing, and wait until it takes a login."""
    ensure_network()
    public_key = ensure_key()
    container = container_name(machine.name)
    found = inspect("container", container)
    if found is not None and not is_lab(found):
        raise LabError(f"a container {container} exists that is not the lab's: remove it, or choose another name")
    if found is not None and found["Config"]["Labels"].get(KEY_LABEL) != key_mark(public_key):
        say(f"{machine.name} belongs to another checkout's lab, whose key is not ours: it is made anew")
        remove(machine.name)
        found = None
    if found is not None and found["State"]["Running"]:
        return describe(machine.name)
    with step(f"boot {machine.name}"):
        if found is None:
            for volume, _path in machine.volumes:
                docker("volume", "create", f"--label={settings.LABEL}", volume_name(machine.name, volume))
            run(create_command(machine, public_key))
            run(["docker", "cp", "-", f"{container}:/"], stdin=authorized_keys(public_key))
        docker("start", container)
        host = describe(machine.name)
        if found is None:
            forget_keys(host.address)
        remedy = f"look with: docker exec {container} journalctl -b"
        wait_until(f"sshd on {machine.name}", lambda: takes_login(host.address), 180, 0.1, remedy)
    return host


def is_lab(found: dict[str, Any]) -> bool:
    return settings.LABEL in (found["Config"]["Labels"] or {})


def takes_login(address: str) -> bool:
    """On the port of a bare host, or on the one that it was given later."""
    return any(takes_login_on(address, port) for port in settings.SSH_PORTS)


def takes_login_on(address: str, port: int) -> bool:
    """sshd has spoken its banner and boot has gone past the point where logins are refused."""
    try:
        with socket.create_connection((address, port), 1) as connection:
            connection.settimeout(2)
            if not connection.recv(32).startswith(b"SSH-"):
                return False
    except OSError:
        return False
    command = ["ssh", "-i", str(settings.KEY), "-p", str(port), "-o", "BatchMode=yes", "-o", "ConnectTimeout=3"]
    command += ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
    return run([*command, f"{settings.USER}@{address}", "true"], check=False, timeout=15).returncode == 0


def forget_keys(address: str) -> None:
    """A new host at an old address has new keys; what the lab remembers of the old one goes."""
    if not settings.KNOWN_HOSTS.exists():
        return
    with lock(settings.STATE / "known_hosts.lock"):
        for entry in (address, *(f"[{address}]:{port}" for port in settings.SSH_PORTS)):
            run(["ssh-keygen", "-q", "-R", entry, "-f", str(settings.KNOWN_HOSTS)], check=False)


def describe(name: str) -> Host:
    found = inspect("container", container_name(name))
    if found is None:
        raise LabError(f"there is no lab host {name}: create it with `lab.py host create {name}`")
    address = found["NetworkSettings"]["Networks"][settings.NETWORK]["IPAddress"]
    return Host(name, address, 22, settings.USER, str(settings.KEY))


def remove(name: str) -> None:
    """The host and its volumes; nothing else."""
    container = container_name(name)
    found = inspect("container", container)
    if found is not None:
        if not is_lab(found):
            raise LabError(f"container {container} is not the lab's; left alone")
        docker("rm", "--force", "--volumes", container)
    volumes = docker(
        "volume", "ls", "--quiet", f"--filter=label={settings.LABEL}", f"--filter=name={container}-"
    ).split()
    for volume in volumes:
        if volume.rpartition("-")[0] == container:
            docker("volume", "rm", "--force", volume)


@dataclass(frozen=True)
class Listed:
    """One line of what there is."""

    name: str
    kind: str
    address: str
    aliases: tuple[str, ...]
    running: bool
    image: str


def listing() -> list[Listed]:
    """Every machine of the lab, by name."""
    names = docker("ps", "--all", "--quiet", f"--filter=label={settings.LABEL}").split()
    found = json.loads(docker("container", "inspect", *names)) if names else []
    return sorted((listed(container) for container in found), key=lambda one: one.name)


def listed(container: dict[str, Any]) -> Listed:
    labels = container["Config"]["Labels"]
    return Listed(
        name=container["Name"].removeprefix(f"/{settings.PREFIX}-"),
        kind=labels[settings.LABEL],
        address=container["NetworkSettings"]["Networks"].get(settings.NETWORK, {}).get("IPAddress", ""),
        aliases=tuple(filter(None, labels.get(ALIASES_LABEL, "").split(","))),
        running=container["State"]["Running"],
        image=container["Config"]["Image"],
    )


def as_json(host: Host) -> str:
    return json.dumps(asdict(host))
