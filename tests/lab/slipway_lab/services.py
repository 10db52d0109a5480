"""The machines around the hosts: the services' container on its fixed address, and the probe."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from . import hosts, images, settings
from .engine import inspect
from .shell import LabError, run, say, step, wait_until

ADDRESS = settings.SERVICES_ADDRESS
REMEDY = "look with: docker exec slipway-lab-services journalctl -b"


def ensure() -> None:
    """Bring services and probe up; quick when they are."""
    registry = (("registry", "/var/lib/docker-registry"),)
    ensure_machine(
        hosts.Machine(
            settings.SERVICES,
            images.ensure(images.services()),
            ADDRESS,
            settings.SERVICE_NAMES,
            registry,
            (f"{settings.REGISTRY_PUBLISHED}:{settings.REGISTRY_PORT}",),
            "services",
        )
    )
    if not all_answer():
        with step("wait for registry, ACME, DNS, S3 and sink"):
            wait_until("the lab's services", all_answer, 240, 0.3, REMEDY)
    ensure_machine(
        hosts.Machine(settings.PROBE, images.ensure(images.probe()), settings.PROBE_ADDRESS, (), (), (), "probe")
    )
    hand_out_roots()
    root_on_probe()
    write_s3()
    for host in hosts.listing():
        publish_names(host.name, host.address, host.aliases)


def ensure_machine(machine: hosts.Machine) -> None:
    """One that was made from older sources is made anew; it holds nothing that cannot be had again."""
    found = inspect("container", hosts.container_name(machine.name))
    if found is not None and hosts.is_lab(found) and found["Config"]["Image"] != machine.image:
        say(f"  (the sources of {machine.name} have changed: it is made anew)")
        hosts.remove(machine.name)
    hosts.boot(machine)


def are_up() -> bool:
    found = inspect("container", hosts.container_name(settings.SERVICES))
    return found is not None and bool(found["State"]["Running"])


def request(url: str, method: str = "GET", body: Any = None, timeout: float = 3) -> bytes:
    """A request inside the lab: no proxy, no question of trust."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(url, data=data, method=method, headers={"Content-Type": "application/json"})
    try:
        with opener.open(asked, timeout=timeout) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        raise LabError(f"{url} answered {error.code}; {REMEDY}") from error
    except OSError as error:
        raise LabError(f"{url} does not answer ({error}); {REMEDY}") from error


def urls() -> dict[str, str]:
    """One address a service that answers when the service is ready."""
    return {
        "registry": f"http://{ADDRESS}:{settings.REGISTRY_PORT}/v2/",
        "acme": f"https://{ADDRESS}:{settings.ACME_PORT}/dir",
        "dns": f"http://{ADDRESS}:{settings.DNS_MANAGEMENT_PORT}/dns-request-history",
        "s3": f"http://{ADDRESS}:{settings.S3_PORT}/",
        "sink": f"http://{ADDRESS}:{settings.SINK_PORT}/messages",
    }


def answers(name: str) -> bool:
    """Whether one service does its work; DNS has no page to read, so its history of a name is asked for."""
    url = urls()[name]
    try:
        if name == "dns":
            request(url, "POST", {"host": "nobody.lab"})
        else:
            request(url)
    except LabError:
        return False
    return True


def all_answer() -> bool:
    return all(answers(name) for name in urls())


def hand_out_roots() -> None:
    """Save Pebble's root (new at each of its starts) and the authority of the ACME directory's own certificate."""
    root = request(f"https://{ADDRESS}:{settings.ACME_MANAGEMENT_PORT}/roots/0")
    authority = run(["docker", "exec", hosts.container_name(settings.SERVICES), "cat", "/etc/lab/authority.pem"]).stdout
    write_if_new(settings.PEBBLE_DIRECTORY, authority)
    write_if_new(settings.PEBBLE_ROOT, root.rstrip() + b"\n" + authority)


def write_if_new(path: Path, content: bytes) -> None:
    if not path.exists() or path.read_bytes() != content:
        path.write_bytes(content)


def root_on_probe() -> None:
    command = [
        "docker",
        "exec",
        "-i",
        hosts.container_name(settings.PROBE),
        "sh",
        "-c",
        "cat > /etc/ssl/lab/pebble-root.pem",
    ]
    run(command, stdin=settings.PEBBLE_ROOT.read_bytes())


def write_s3() -> None:
    content = {
        "endpoint": f"http://s3.lab:{settings.S3_PORT}",
        "bucket": settings.S3_BUCKET,
        "access_key": settings.S3_ACCESS_KEY,
        "secret_key": settings.S3_SECRET_KEY,
    }
    settings.S3_FILE.write_text(json.dumps(content, indent=2) + "\n")


def publish_names(name: str, address: str, aliases: tuple[str, ...]) -> None:
    """What the ACME server resolves: every name of a host with a dot in it. Adding alone would pile addresses up."""
    management = f"http://{ADDRESS}:{settings.DNS_MANAGEMENT_PORT}"
    for host in hosts.names_of(name, aliases):
        if "." in host:
            request(f"{management}/clear-a", "POST", {"host": host})
            request(f"{management}/add-a", "POST", {"host": host, "addresses": [address]})
