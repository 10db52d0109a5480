"""Whether a host is exactly what a release left there: pure, from what look.py saw."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

STACK_LABEL, SERVICE_LABEL, RELEASE_LABEL = (f"ops.slipway.{name}" for name in ("stack", "service", "release"))
REPOSITORY = "proof/web"


def servers_in(upstreams: Mapping[str, str]) -> set[str]:
    """The addresses that nginx sends requests to."""
    words: Sequence[str] = " ".join(upstreams.values()).split()
    after = (second.rstrip(";") for first, second in zip(words, words[1:]) if first == "server")
    return {each for each in after if each != "127.0.0.1:9"}


def host(seen: Mapping[str, Any], wanted: Mapping[str, str], replicas: Mapping[str, int]) -> list[str]:
    """What is wrong. `wanted`: service → version."""
    problems: list[str] = []
    found: dict[str, list[Mapping[str, Any]]] = {service: [] for service in wanted}
    for each in seen["containers"]:
        labels = each["Config"]["Labels"]
        service = labels.get(SERVICE_LABEL, "") if labels.get(STACK_LABEL) == "proof" else ""
        if service not in wanted:
            problems.append(f"stray container {each['Name']}")
            continue
        found[service].append(each)
        if each["Image"] != seen["images"].get(f"{REPOSITORY}:{wanted[service]}", {}).get("id"):
            problems.append(f"{each['Name']} runs {each['Config']['Image']}, not version {wanted[service]}")
        elif (status(each)) != "running, healthy":
            problems.append(f"{each['Name']} is {status(each)}")
    for service, those in found.items():
        if len(those) != replicas[service]:
            problems.append(f"{service} has {len(those)} containers, not {replicas[service]}")
    addresses = {
        f"{network['IPAddress']}:8000"
        for each in found.get("web", [])
        for network in each["NetworkSettings"]["Networks"].values()
    }
    asked = servers_in(seen["upstreams"])
    if asked != addresses:
        problems.append(f"nginx asks {sorted(asked)}, the containers are {sorted(addresses)}")
    mounted = {
        os.path.basename(mount["Source"])
        for each in seen["containers"]
        for mount in each["Mounts"]
        if "/files/" in mount.get("Source", "")
    }
    if set(seen["files"]) != mounted or seen["staged"]:
        problems.append(f"files {seen['files']} and {seen['staged']}, of which mounted are {sorted(mounted)}")
    problems += [f"left: {what} {seen[what]}" for what in ("journal", "request", "armed") if seen[what]]
    if seen["lease"].get("owner"):
        problems.append(f"the lease is held by {seen['lease']['owner']}")
    return problems + untruths(seen, found)


def status(container: Mapping[str, Any]) -> str:
    state = container["State"]
    return f"{state['Status']}, {state.get('Health', {}).get('Status', 'without health')}"


def untruths(seen: Mapping[str, Any], found: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """What the history says that is not so."""
    problems: list[str] = []
    history = seen["history"]
    numbers = [int(record["release"]) for record in history]
    if numbers != sorted(numbers):
        problems.append(f"the releases are numbered {numbers}")
    good = [record for record in history if record["outcome"] == "succeeded"]
    if not good:
        return [*problems, "no release succeeded"]
    last = good[-1]
    if last["release"] not in seen["kept"]:
        problems.append(f"release {last['release']} succeeded and is not kept")
    digests = {image["id"]: set(image["digests"]) for image in seen["images"].values()}
    for service, those in found.items():
        for each in those:
            if last["images"].get(service) not in digests.get(each["Image"], set()):
                problems.append(f"{each['Name']} does not run the {service} of release {last['release']}")
            if int(each["Config"]["Labels"].get(RELEASE_LABEL, 0)) not in numbers:
                problems.append(f"{each['Name']} is of a release that the history does not know")
    return problems
