"""The whole lab: up, down, and what there is."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from . import engine, hosts, images, services, settings, standins
from .shell import say, step


def up(with_host: bool = True, further: bool = False) -> None:
    """Everything that the demo needs; quick and quiet when it is there."""
    start = time.monotonic()
    build(further)
    say("lab: services and the probe")
    services.ensure()
    say("lab: stand-in images")
    standins.ensure(further)
    if with_host:
        say("lab: the first host")
        fleet = hosts.create(settings.FLEET, address=settings.FLEET_ADDRESS, aliases=(settings.FLEET_DOMAIN,))
        services.publish_names(fleet.name, fleet.address, (settings.FLEET_DOMAIN,))
    say(f"lab: up after {time.monotonic() - start:.0f} s")


def build(further: bool) -> None:
    """All images that are missing, two at a time: they wait for the network more than for the processor."""
    wanted = [images.services(), images.probe(), *standins.foundations(further)]
    missing = [image for image in wanted if not images.is_built(image)]
    if missing:
        say("lab: images")
        images.ensure(images.host(settings.DEFAULT_RELEASE))
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(images.ensure, missing))


def down(with_images: bool = False) -> None:
    """All containers, volumes and the network of the lab, its images on demand, its own dockerd; nothing else."""
    if engine.answers():
        for machine in hosts.listing():
            with step(f"remove {machine.name}"):
                hosts.remove(machine.name)
        volumes = engine.docker("volume", "ls", "--quiet", f"--filter=label={settings.LABEL}").split()
        if volumes:
            engine.docker("volume", "rm", "--force", *volumes)
        engine.remove_network()
        standins.forget()
        if with_images:
            with step("remove the lab's images"):
                images.remove_all()
    engine.restore_watch_limit()
    engine.stop_own()
    for path in (settings.PEBBLE_ROOT, settings.PEBBLE_DIRECTORY, settings.S3_FILE):
        path.unlink(missing_ok=True)


def status() -> list[str]:
    """A short page; the first column says whether the thing works."""
    if not engine.answers():
        return ["no Docker engine answers: `lab.py up` finds or starts one"]
    machines = hosts.listing()
    if not machines:
        return ["the lab is down: `lab.py up` brings it up"]
    lines = [
        f"{'up  ' if one.running else 'DOWN'}  {one.name:<24} {one.address:<16} {' '.join(one.aliases)}".rstrip()
        for one in machines
    ]
    if services.are_up():
        lines += [
            "",
            *(
                f"{'up  ' if services.answers(name) else 'DOWN'}  {name:<24} {url}"
                for name, url in services.urls().items()
            ),
        ]
    login = f"ssh -i {settings.KEY.relative_to(settings.ROOT)} {settings.USER}@ADDRESS"
    outside = f"docker exec -it {hosts.container_name(settings.PROBE)} bash"
    return [*lines, "", f"log in             {login}", f"look from outside  {outside}"]
