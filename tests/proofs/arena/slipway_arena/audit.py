"""Whether a host is exactly what a release left there: pure, from what look.py saw."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

STACK_LABEL, SERVICE_LABEL, RELEASE_LABEL = (f"ops.slipway.{name}" for name in ("stack", "service", "release"))


def version_of(container: Mapping[str, Any]) -> str:
    """As its image says."""
    variables = dict(each.partition("=")[::2] for each in container["Config"]["Env"])
    return str(variables.get("PROOF_VERSION", ""))


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
        if version_of(each) != wanted[service]:
            problems.append(f"{each['Name']} runs version {version_of(each)}, not {wanted[service]}")
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
    problems += held(seen)
    return problems + untruths(seen, found)


def held(seen: Mapping[str, Any]) -> list[str]:
    """A record of a process that is gone is no lease."""
    return [f"the lease is held by {seen['lease']['owner']}"] if seen["lease"] else []


def status(container: Mapping[str, Any]) -> str:
    state = container["State"]
    return f"{state['Status']}, {state.get('Health', {}).get('Status', 'without health')}"


def digest_of(name: str) -> str:
    return name.rpartition("@")[2]


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
    for service, those in found.items():
        told = digest_of(last["images"].get(service, ""))
        for each in those:
            if told not in {digest_of(name) for name in seen["digests"].get(each["Image"], ())}:
                problems.append(f"{each['Name']} does not run the {service} of release {last['release']}")
            if int(each["Config"]["Labels"].get(RELEASE_LABEL, 0)) not in numbers:
                problems.append(f"{each['Name']} is of a release that the history does not know")
    return problems


Seen = Mapping[str, Any]


def cluster(everything: Mapping[str, Seen], wanted: Mapping[str, str], replicas: Mapping[str, int]) -> list[str]:
    """What is wrong on a Swarm, by what look.py saw on each of its managers. `wanted`: service → version."""
    seen = next(iter(everything.values()))
    problems: list[str] = []
    services: dict[str, list[Mapping[str, Any]]] = {service: [] for service in wanted}
    for each in seen["services"]:
        labels = each["Spec"]["Labels"]
        service = labels.get(SERVICE_LABEL, "") if labels.get(STACK_LABEL) == "proof" else ""
        if service in wanted:
            services[service].append(each)
        else:
            problems.append(f"stray service {each['Spec']['Name']}")
    for service, those in services.items():
        counts = [each["Spec"]["Mode"].get("Replicated", {}).get("Replicas") for each in those]
        if counts != [replicas[service]]:
            problems.append(f"{service} has Swarm services with replicas {counts}, not one with {replicas[service]}")
    found: dict[str, list[Mapping[str, Any]]] = {service: [] for service in wanted}
    for name, node in everything.items():
        for each in node["containers"]:
            labels = each["Config"]["Labels"]
            service = labels.get(SERVICE_LABEL, "") if labels.get(STACK_LABEL) == "proof" else ""
            if service not in wanted:
                problems.append(f"{name}: stray container {each['Name']}")
            elif each["State"]["Running"]:
                found[service].append(each)
                if version_of(each) != wanted[service] or status(each) != "running, healthy":
                    problems.append(f"{name}: {each['Name']} is version {version_of(each)}, {status(each)}")
    for service, those in found.items():
        if len(those) != replicas[service]:
            problems.append(f"{service} has {len(those)} running tasks, not {replicas[service]}")
    addresses = task_addresses(seen, {each["ID"] for each in services.get("web", [])})
    for name, node in everything.items():
        if servers_in(node["upstreams"]) != addresses:
            asked = sorted(servers_in(node["upstreams"]))
            problems.append(f"{name}: nginx asks {asked}, the tasks are {sorted(addresses)}")
    used = {
        given[f"{kind}Name"]
        for each in seen["services"]
        for kind, many in (("Config", "Configs"), ("Secret", "Secrets"))
        for given in each["Spec"]["TaskTemplate"]["ContainerSpec"].get(many) or []
    }
    for each in [*seen["configs"], *seen["secrets"]]:
        if each["Spec"].get("Labels", {}).get(STACK_LABEL) == "proof" and each["Spec"]["Name"] not in used:
            problems.append(f"stray {each['Spec']['Name']}")
    if seen["journal"]:
        problems.append(f"left: journal {seen['journal']}")
    for each in everything.values():
        problems += held(each)
    return problems + cluster_untruths(seen, services)


def task_addresses(seen: Mapping[str, Any], services: set[str]) -> set[str]:
    """Node and port of each running task of these Swarm services; the first that is told is IPv4's."""
    nodes = {each["ID"]: each["Status"]["Addr"] for each in seen["nodes"]}
    return {
        f"{nodes[task['NodeID']]}:{port['PublishedPort']}"
        for task in seen["tasks"]
        if task["ServiceID"] in services and task["Status"]["State"] == "running"
        for port in (task["Status"].get("PortStatus", {}).get("Ports") or [])[:1]
    }


def cluster_untruths(seen: Mapping[str, Any], services: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    problems: list[str] = []
    numbers = [int(record["release"]) for record in seen["history"]]
    if numbers != sorted(numbers):
        problems.append(f"the releases are numbered {numbers}")
    good = [record for record in seen["history"] if record["outcome"] == "succeeded"]
    if not good:
        return [*problems, "no release succeeded"]
    for service, those in services.items():
        told = digest_of(good[-1]["images"].get(service, ""))
        for each in those:
            if digest_of(each["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"]) != told:
                problems.append(f"{each['Spec']['Name']} is not the {service} of release {good[-1]['release']}")
            number = int(each["Spec"]["Labels"].get(RELEASE_LABEL, 0))
            # The status lists the last ones; a service that none of them changed is of an older one.
            if number not in numbers and not 0 < number < numbers[0]:
                problems.append(f"{each['Spec']['Name']} is of a release that the history does not know")
    return problems
