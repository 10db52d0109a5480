# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service of the model as the body of the engine's call that creates its container."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._release import observed, parts
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Service, Stack, digest

COMPOSE_VERSION = "2.26.1"

# Key of the model, name in the engine's body.
CONTAINER_KEYS = (
    ("command", "Cmd"),
    ("entrypoint", "Entrypoint"),
    ("user", "User"),
    ("working_dir", "WorkingDir"),
    ("hostname", "Hostname"),
    ("domainname", "Domainname"),
    ("stop_signal", "StopSignal"),
    ("mac_address", "MacAddress"),
    ("tty", "Tty"),
    ("stdin_open", "OpenStdin"),
)
HOST_KEYS = (
    ("cap_add", "CapAdd"),
    ("cap_drop", "CapDrop"),
    ("cgroup", "CgroupnsMode"),
    ("cgroup_parent", "CgroupParent"),
    ("cpu_period", "CpuPeriod"),
    ("cpu_quota", "CpuQuota"),
    ("cpu_shares", "CpuShares"),
    ("cpuset", "CpusetCpus"),
    ("device_cgroup_rules", "DeviceCgroupRules"),
    ("dns", "Dns"),
    ("dns_opt", "DnsOptions"),
    ("dns_search", "DnsSearch"),
    ("extra_hosts", "ExtraHosts"),
    ("group_add", "GroupAdd"),
    ("init", "Init"),
    ("ipc", "IpcMode"),
    ("mem_swappiness", "MemorySwappiness"),
    ("memswap_limit", "MemorySwap"),
    ("oom_kill_disable", "OomKillDisable"),
    ("oom_score_adj", "OomScoreAdj"),
    ("pid", "PidMode"),
    ("privileged", "Privileged"),
    ("read_only", "ReadonlyRootfs"),
    ("runtime", "Runtime"),
    ("security_opt", "SecurityOpt"),
    ("shm_size", "ShmSize"),
    ("storage_opt", "StorageOpt"),
    ("sysctls", "Sysctls"),
    ("userns_mode", "UsernsMode"),
    ("uts", "UTSMode"),
)
RESOURCE_KEYS = (("memory", "Memory"), ("memory_reservation", "MemoryReservation"), ("pids", "PidsLimit"))


@dataclass(frozen=True)
class ContainerSpec:
    """One container to create: its name, the body of the call, and further networks to join before the start."""

    name: str
    service: str
    number: int
    body: Mapping[str, Any]
    further_networks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class HostFile:
    """A config or secret as a file on the host, named by its content and permissions."""

    name: str
    content: Mapping[str, str]
    mode: int
    uid: int
    gid: int


def host_file(stack: Stack, section: str, grant: Mapping[str, Any]) -> HostFile:
    content = stack.content(section, grant["source"])
    mode, uid, gid = int(grant["mode"]), int(grant.get("uid", 0)), int(grant.get("gid", 0))
    return HostFile(digest([content, mode, uid, gid])[:32], content, mode, uid, gid)


def host_files(stack: Stack) -> dict[str, HostFile]:
    found = (
        host_file(stack, section, grant)
        for service in stack.services.values()
        for section in ("configs", "secrets")
        for grant in service.plain[section]
    )
    return {each.name: each for each in found}


def labels(stack: Stack, service: Service, number: int, release: int, oneoff: bool = False) -> dict[str, str]:
    config_hash = stack.config_hash(service.name)
    return {
        **service.plain["labels"],
        "com.docker.compose.project": stack.name,
        "com.docker.compose.service": service.name,
        "com.docker.compose.version": COMPOSE_VERSION,
        "com.docker.compose.config-hash": config_hash,
        observed.NUMBER_LABEL: str(number),
        observed.ONEOFF_LABEL: "True" if oneoff else "False",
        observed.STACK_LABEL: stack.name,
        observed.SERVICE_LABEL: service.name,
        observed.HASH_LABEL: config_hash,
        observed.RELEASE_LABEL: str(release),
    }


def network_body(stack: Stack, key: str) -> dict[str, Any]:
    """The body of the call that creates the network, with a hash of its settings among the labels."""
    plain = stack.plain["networks"].get(key, {})
    ipam = plain.get("ipam")
    body: dict[str, Any] = {
        "Name": stack.network_name(key),
        "Driver": plain.get("driver", "bridge"),
        "Internal": bool(plain.get("internal")),
        "Attachable": bool(plain.get("attachable")),
        "EnableIPv6": bool(plain.get("enable_ipv6")),
        "Options": dict(plain.get("driver_opts", {})),
        "CheckDuplicate": True,
    }
    if ipam:
        body["IPAM"] = parts.ipam(ipam)
    body["Labels"] = {
        **plain.get("labels", {}),
        "com.docker.compose.project": stack.name,
        "com.docker.compose.network": key,
        observed.STACK_LABEL: stack.name,
        observed.HASH_LABEL: digest(body),
    }
    return body


def volume_body(stack: Stack, key: str) -> dict[str, Any]:
    plain = stack.plain["volumes"].get(key, {})
    return {
        "Name": stack.volume_name(key),
        "Driver": plain.get("driver", "local"),
        "DriverOpts": dict(plain.get("driver_opts", {})),
        "Labels": {
            **plain.get("labels", {}),
            "com.docker.compose.project": stack.name,
            "com.docker.compose.volume": key,
            observed.STACK_LABEL: stack.name,
        },
    }


def service_spec(stack: Stack, name: str, number: int, release: int, files_directory: str) -> ContainerSpec:
    """A replica of the service."""
    service = stack.services[name]
    body, further = _body(stack, service, files_directory, aliases=True)
    body["Labels"] = labels(stack, service, number, release)
    return ContainerSpec(service.container_name or f"{stack.name}-{name}-{number}", name, number, body, further)


def once_spec(
    stack: Stack, name: str, command: list[str], purpose: str, release: int, files_directory: str
) -> ContainerSpec:
    """One command run in a container of its own, with the service's environment, files, volumes and networks."""
    service = stack.services[name]
    body, further = _body(stack, service, files_directory, aliases=False)
    body["Labels"] = {**labels(stack, service, 0, release, oneoff=True), observed.PURPOSE_LABEL: purpose}
    body["Cmd"] = command
    body["Healthcheck"] = {"Test": ["NONE"]}
    body["HostConfig"]["RestartPolicy"] = {"Name": "no"}
    body["HostConfig"].pop("PortBindings", None)
    for endpoint in [*body.get("NetworkingConfig", {}).get("EndpointsConfig", {}).values(), *further.values()]:
        endpoint.pop("IPAMConfig", None)
    body.pop("MacAddress", None)
    return ContainerSpec(f"{stack.name}-{name}-{purpose}-{release}", name, 0, body, further)


def _body(
    stack: Stack, service: Service, files_directory: str, aliases: bool
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    plain = service.plain
    body: dict[str, Any] = {
        "Image": service.image,
        "Env": parts.environment(plain),
        "HostConfig": _host_config(stack, service, files_directory),
        **parts.picked(plain, CONTAINER_KEYS),
    }
    if "stop_grace_period" in plain:
        # The engine counts whole seconds; none must be lost.
        body["StopTimeout"] = int(-(-service.stop_grace_seconds // 1))
    if "healthcheck" in plain:
        body["Healthcheck"] = parts.healthcheck(plain["healthcheck"])
    exposed = [*plain.get("expose", []), *(f"{port['target']}/{port['protocol']}" for port in plain["ports"])]
    if exposed:
        body["ExposedPorts"] = {port: {} for port in exposed}
    endpoints = _endpoints(stack, service, aliases)
    first = next(iter(endpoints), None)
    if first is not None:
        # Engines before 25 accept one endpoint here; the rest is joined before the start.
        body["NetworkingConfig"] = {"EndpointsConfig": {first: endpoints.pop(first)}}
        body["HostConfig"]["NetworkMode"] = first
    return body, endpoints


def _endpoints(stack: Stack, service: Service, aliases: bool) -> dict[str, dict[str, Any]]:
    result: dict[str, dict[str, Any]] = {}
    entries = sorted(service.networks.items(), key=lambda item: -int(item[1].get("priority") or 0))
    for key, entry in entries:
        endpoint: dict[str, Any] = {}
        if aliases:
            endpoint["Aliases"] = [service.name, *entry["aliases"]]
        addresses = {
            name: entry[option]
            for option, name in (
                ("ipv4_address", "IPv4Address"),
                ("ipv6_address", "IPv6Address"),
                ("link_local_ips", "LinkLocalIPs"),
            )
            if entry.get(option)
        }
        if addresses:
            endpoint["IPAMConfig"] = addresses
        result[stack.network_name(key)] = endpoint
    return result


def _host_config(stack: Stack, service: Service, files_directory: str) -> dict[str, Any]:
    plain = service.plain
    policy, _colon, attempts = plain.get("restart", "no").partition(":")
    if policy == "always":
        # The engine starts what was stopped with `always` when it starts itself: beside its successor, on its data.
        policy = "unless-stopped"
    config: dict[str, Any] = {
        "RestartPolicy": {"Name": policy, "MaximumRetryCount": int(attempts or 0)},
        "NetworkMode": plain.get("network_mode", "default"),
        **parts.picked(plain, HOST_KEYS),
    }
    resources = plain["deploy"]["resources"]
    if "cpus" in resources:
        config["NanoCpus"] = parts.nano_cpus(resources["cpus"])
    config.update(parts.picked(resources, RESOURCE_KEYS))
    if "logging" in plain:
        config["LogConfig"] = {"Type": plain["logging"]["driver"], "Config": plain["logging"]["options"]}
    if "tmpfs" in plain:
        config["Tmpfs"] = {
            path: options for path, _colon, options in (entry.partition(":") for entry in plain["tmpfs"])
        }
    if "ulimits" in plain:
        config["Ulimits"] = parts.ulimits(plain)
    if "devices" in plain:
        config["Devices"] = [
            {
                "PathOnHost": device["source"],
                "PathInContainer": device["target"],
                "CgroupPermissions": device["permissions"],
            }
            for device in plain["devices"]
        ]
    if plain["ports"]:
        bindings: dict[str, list[dict[str, str]]] = {}
        for port in plain["ports"]:
            bindings.setdefault(f"{port['target']}/{port['protocol']}", []).append(
                {"HostIp": port["host_ip"], "HostPort": str(port["published"])}
            )
        config["PortBindings"] = bindings
    binds, mounts = _mounts(stack, service, files_directory)
    if binds:
        config["Binds"] = binds
    if mounts:
        config["Mounts"] = mounts
    return config


def _mounts(stack: Stack, service: Service, files_directory: str) -> tuple[list[str], list[dict[str, Any]]]:
    binds: list[str] = []
    mounts: list[dict[str, Any]] = []
    for mount in service.plain["volumes"]:
        if mount["type"] == "bind" and mount["create_host_path"]:
            # Only the older form of a bind creates a missing path.
            options = [
                "ro" if mount["read_only"] else "rw",
                *([mount["propagation"]] if "propagation" in mount else []),
            ]
            binds.append(f"{mount['source']}:{mount['target']}:{','.join(options)}")
        else:
            mounts.append(parts.mount(stack, mount))
    for section in ("configs", "secrets"):
        for grant in service.plain[section]:
            source = f"{files_directory}/{host_file(stack, section, grant).name}"
            mounts.append({"Type": "bind", "Source": source, "Target": grant["target"], "ReadOnly": True})
    return binds, mounts
