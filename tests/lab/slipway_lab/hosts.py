"""Lab hosts: Debian with systemd and sshd in a container, a little computer as far as a playbook can tell."""

from __future__ import annotations

import io
import json
import socket
import tarfile
from dataclasses import asdict, dataclass
from typing import Any

from . import images, settings
from .engine import docker, ensure_network, exists, inspect
from .shell import LabError, lock, run, step, wait_until

# systemd as PID 1 without --privileged, which fails where the bounding set lacks CAP_SYS_RESOURCE.
BOOT_OPTIONS = (
    "--cap-add=ALL", "--cap-drop=SYS_RESOURCE",
    "--security-opt=seccomp=unconfined", "--security-opt=apparmor=unconfined", "--security-opt=systempaths=unconfined",
    "--cgroupns=host", "--volume=/sys/fs/cgroup:/sys/fs/cgroup:rw",
    "--tmpfs=/run", "--tmpfs=/run/lock", "--stop-signal=SIGRTMIN+3",
)  # fmt: skip
DATA_VOLUMES = ("docker", "containerd")  # overlayfs does not nest: the engine inside needs real volumes


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


def create_command(
    name: str, image: str, address: str | None = None, aliases: tuple[str, ...] = (), extra: tuple[str, ...] = ()
) -> list[str]:
    """The container's whole description; runs nothing."""
    command = ["docker", "create", f"--name={container_name(name)}", f"--hostname={name}", f"--label={settings.LABEL}=host"]
    command += [*BOOT_OPTIONS, f"--network={settings.NETWORK}"]
    command += [f"--volume={volume_name(name, volume)}:/var/lib/{volume}" for volume in DATA_VOLUMES]
    command += [f"--ip={address}"] if address else []
    command += [f"--network-alias={alias}" for alias in (name, *aliases)]
    return [*command, *extra, image, "/sbin/init"]


def ensure_key() -> str:
    """The key pair of the lab; returns the public half."""
    with lock(settings.STATE / "key.lock"):
        if not settings.KEY.exists():
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "slipway-lab", "-f", str(settings.KEY)])
    return settings.KEY.with_suffix(".pub").read_text()


def authorized_keys(public_key: str) -> bytes:
    """A tar of ~/.ssh for the login user (the operator's ids are fixed in the image)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, mode, data in (("home/operator/.ssh", 0o700, None), ("home/operator/.ssh/authorized_keys", 0o600, public_key.encode())):
            entry = tarfile.TarInfo(path)
            entry.mode, entry.uid, entry.gid = mode, 1000, 1000
            entry.type, entry.size = (tarfile.DIRTYPE, 0) if data is None else (tarfile.REGTYPE, len(data))
            archive.addfile(entry, io.BytesIO(data or b""))
    return buffer.getvalue()


def create(
    name: str,
    release: str = settings.DEFAULT_RELEASE,
    docker_inside: bool = False,
    address: str | None = None,
    aliases: tuple[str, ...] = (),
    fresh: bool = False,
) -> Host:
    """Bring the host up and wait until it takes a login; one that is up already is left as it is."""
    image = images.ensure(images.host(release, docker_inside))
    return boot(name, image, address, aliases, fresh)


def boot(
    name: str,
    image: str,
    address: str | None = None,
    aliases: tuple[str, ...] = (),
    fresh: bool = False,
    extra: tuple[str, ...] = (),
) -> Host:
    ensure_network()
    public_key = ensure_key()
    container = container_name(name)
    if fresh:
        remove(name)
    found = inspect("container", container)
    if found is not None and not is_lab(found):
        raise LabError(f"a container {container} exists that is not the lab's: remove it, or choose another name")
    if found is None:
        for volume in DATA_VOLUMES:
            docker("volume", "create", f"--label={settings.LABEL}", volume_name(name, volume))
        run(create_command(name, image, address, aliases, extra))
        run(["docker", "cp", "-", f"{container}:/"], stdin=authorized_keys(public_key))
    if found is None or not found["State"]["Running"]:
        with step(f"boot {name}"):
            docker("start", container)
            host = describe(name)
            forget_keys(host.address)
            wait_until(f"sshd on {name}", lambda: takes_login(host.address), 60, 0.1, f"look with: docker logs {container}")
    return describe(name)


def is_lab(found: dict[str, Any]) -> bool:
    return settings.LABEL in (found["Config"]["Labels"] or {})


def takes_login(address: str, port: int = 22) -> bool:
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
        for entry in (address, f"[{address}]:2222"):
            run(["ssh-keygen", "-q", "-R", entry, "-f", str(settings.KNOWN_HOSTS)], check=False)


def describe(name: str) -> Host:
    found = inspect("container", container_name(name))
    if found is None:
        raise LabError(f"there is no lab host {name}: create it with `lab.py host create {name}`")
    address = found["NetworkSettings"]["Networks"][settings.NETWORK]["IPAddress"]  # type: ignore[index]
    return Host(name, address, 22, settings.USER, str(settings.KEY))


def remove(name: str) -> None:
    container = container_name(name)
    found = inspect("container", container)
    if found is not None:
        if not is_lab(found):
            raise LabError(f"container {container} is not the lab's; left alone")
        docker("rm", "--force", "--volumes", container)
    for volume in DATA_VOLUMES:
        if exists("volume", volume_name(name, volume)):
            docker("volume", "rm", "--force", volume_name(name, volume))


def listing() -> list[dict[str, str]]:
    lines = docker("ps", "--all", f"--filter=label={settings.LABEL}", "--format", "{{json .}}").splitlines()
    return [json.loads(line) for line in lines]


def as_json(host: Host) -> str:
    return json.dumps(asdict(host))
