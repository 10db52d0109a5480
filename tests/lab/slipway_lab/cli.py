"""The command line: reads arguments, calls one function, prints one result."""

from __future__ import annotations

import argparse

from . import engine, guide, hosts, services, settings, site
from .shell import LabError, lock, say


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(prog="lab.py", description="Throwaway hosts and services for trying Slipway.")
    verbs = root.add_subparsers(dest="verb", required=True)
    host = verbs.add_parser("host", help="create or remove one host").add_subparsers(dest="action", required=True)
    create = host.add_parser("create", help="bring a host up; prints how to reach it as JSON")
    create.add_argument("name")
    create.add_argument("--release", choices=settings.RELEASES, default=settings.DEFAULT_RELEASE)
    create.add_argument("--docker", action="store_true", help="with Docker, python3-docker and nginx installed")
    create.add_argument("--alias", action="append", default=[], help="a further name in the lab (repeatable)")
    create.add_argument("--address", help="a fixed address below 172.30.0.128")
    create.add_argument("--fresh", action="store_true", help="remove an old host of this name first")
    up = verbs.add_parser("up", help="bring everything up: services, probe, stand-in images, the first host")
    up.add_argument("--services", action="store_true", help="without the first host: what scenarios need")
    up.add_argument("--all", action="store_true", help="with the stand-in images that the demo does not need")
    down = verbs.add_parser("down", help="remove everything of the lab, and nothing else")
    down.add_argument("--images", action="store_true", help="remove the lab's images too")
    verbs.add_parser("status", help="what there is, and whether it answers")
    verbs.add_parser("guide", help="where to look in the demo, and what to type")
    remove = host.add_parser("remove", help="remove a host and its volumes")
    remove.add_argument("name")
    return root


def main(arguments: list[str]) -> int:
    options = parser().parse_args(arguments)
    try:
        return dispatch(options)
    except LabError as error:
        say(f"lab: {error}")
        return 1
    except KeyboardInterrupt:
        say("lab: interrupted; run the same command again to go on")
        return 130


def dispatch(options: argparse.Namespace) -> int:
    settings.STATE.mkdir(parents=True, exist_ok=True)
    if options.verb in ("up", "host"):
        engine.ensure()
    verbs = {"up": up_verb, "down": down_verb, "status": status_verb, "guide": guide_verb, "host": host_verb}
    return verbs[options.verb](options)


def up_verb(options: argparse.Namespace) -> int:
    with lock(settings.STATE / "services.lock"):
        site.up(with_host=not options.services, further=options.all)
    return 0


def down_verb(options: argparse.Namespace) -> int:
    with lock(settings.STATE / "services.lock"):
        site.down(options.images)
    return 0


def status_verb(_options: argparse.Namespace) -> int:
    print("\n".join(site.status()))
    return 0


def guide_verb(_options: argparse.Namespace) -> int:
    print(guide.page())
    return 0


def host_verb(options: argparse.Namespace) -> int:
    if options.action == "remove":
        hosts.remove(options.name)
        return 0
    if options.fresh:
        hosts.remove(options.name)
    host = hosts.create(options.name, options.release, options.docker, options.address, tuple(options.alias))
    if services.are_up():
        services.publish_names(host.name, host.address, tuple(options.alias))
    print(hosts.as_json(host))
    return 0
