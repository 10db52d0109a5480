"""Images that no registry can be asked for: built here, pushed to the lab's registry under their real names."""

from __future__ import annotations

import json
from collections.abc import Container
from dataclasses import dataclass

from . import images, settings
from .engine import docker
from .images import Image
from .shell import LabError, lock, run, step

PARTS = ("application", "console", "socket")
# Tag: the fault that its application has (app.py says what each does).
VERSIONS = {
    "1.0.0": "",
    "1.1.0": "",
    "1.2.0-broken": "FAULT_START_UNHEALTHY=1",
    "1.2.0-broken-migration": "FAULT_MIGRATION=1",
    "1.2.0-broken-later": "FAULT_UNHEALTHY_AFTER_SECONDS=5",
    "1.2.0-errors": "FAULT_ERROR_RATE=0.3",
}
SERVERS = (("library/mysql:8.4", "mysql"), ("library/redis:7.4-alpine", "redis"))
# For systems that the demo does not run: the name in the registry, and the folder of the image.
FURTHER_SERVERS = (
    ("library/postgres:17-alpine", "postgres"),
    ("library/mariadb:11.8", "mariadb"),
    ("edoburu/pgbouncer:v1.24.1-p1", "pgbouncer"),
)
CHMS_VERSIONS = ("1.0.0", "1.1.0")
PUSHED = settings.STATE / "pushed.json"
MANIFESTS = "application/vnd.docker.distribution.manifest.v2+json"


@dataclass(frozen=True)
class StandIn:
    """A real name in the registry and the image behind it."""

    name: str
    image: Image


def servers(further: bool = False) -> list[StandIn]:
    base = images.base(settings.DEFAULT_RELEASE)
    names = SERVERS + (FURTHER_SERVERS if further else ())
    return [
        StandIn(name, Image(f"standin-{context}", name.rpartition(":")[2], context, base)) for name, context in names
    ]


def runtime() -> Image:
    return Image("standin-runtime", "python", "application-base", images.base(settings.DEFAULT_RELEASE))


def applications(further: bool = False) -> list[StandIn]:
    marine_maroc = [
        application("marinemaroc", part, version, fault if part == "application" else "")
        for version, fault in VERSIONS.items()
        for part in PARTS
    ]
    return marine_maroc + [application("chms", "backend", version) for version in (CHMS_VERSIONS if further else ())]


def application(system: str, part: str, version: str, fault: str = "") -> StandIn:
    arguments = (("PART", part), ("VERSION", version), ("FAULT", fault))
    return StandIn(f"{system}/{part}:{version}", Image(f"standin-{part}", version, "application", runtime(), arguments))


def ensure(further: bool = False) -> None:
    """Build what has changed, push what the registry lacks."""
    pushed = read_pushed()
    everything = servers(further) + applications(further)
    wanted = {one.name: images.reference(one.image) for one in everything}
    missing = [one for one in everything if pushed.get(one.name) != wanted[one.name] or not in_registry(one.name)]
    if not missing:
        return
    build(missing)
    with step(f"push {len(missing)} stand-in images to the lab's registry"):
        for one in missing:
            push(one, wanted[one.name])
            pushed[one.name] = wanted[one.name]
            PUSHED.write_text(json.dumps(pushed, indent=1, sort_keys=True) + "\n")


def build(missing: list[StandIn]) -> None:
    """The servers one by one; the many small images of the application as one step."""
    small = [one.image for one in missing if one.image.parent == runtime()]
    for image in (one.image for one in missing if one.image not in small):
        images.ensure(image)
    if small:
        images.ensure(runtime())
        with step(f"build {len(small)} application images"):
            for image in small:
                images.ensure(image, quiet=True)


def foundations(further: bool = False) -> list[Image]:
    """The images that take long to build."""
    return [*(one.image for one in servers(further)), runtime()]


def read_pushed() -> dict[str, str]:
    try:
        found = json.loads(PUSHED.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def forget() -> None:
    """The registry is gone, and with it what was pushed."""
    PUSHED.unlink(missing_ok=True)


def in_registry(name: str) -> bool:
    repository, _colon, tag = name.rpartition(":")
    url = f"http://{settings.SERVICES_ADDRESS}:{settings.REGISTRY_PORT}/v2/{repository}/manifests/{tag}"
    command = ["curl", "-fsS", "--noproxy", "*", "-o", "/dev/null", "-I", "-H", f"Accept: {MANIFESTS}", url]
    return run(command, check=False).returncode == 0


def offer(names: Container[str]) -> None:
    """Have the real servers of these names in the lab's registry, from where a host's engine takes them."""
    for one in servers(further=True):
        if one.name in names:
            tag = images.ensure(one.image)
            with lock(settings.STATE / "offer.lock"):
                if not in_registry(one.name):
                    push(one, tag)


def push(one: StandIn, tag: str) -> None:
    """Push one at a time: of two that push the same layers at once, the registry refuses one (`blob unknown`)."""
    target = f"{settings.REGISTRY_PUBLISHED}/{one.name}"
    with lock(settings.STATE / "push.lock"):
        docker("tag", tag, target)
        try:
            docker("push", "--quiet", target)
        except LabError as error:
            raise LabError(f"{error}; is something else on {settings.REGISTRY_PUBLISHED}?") from error
        finally:
            run(["docker", "image", "rm", target], check=False)
