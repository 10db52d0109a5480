"""Whether a running container is what the model says, key by key, as the engine itself shows it."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._release import observed, parts
from ansible_collections.slipway.ops.plugins.module_utils._release.container import CONTAINER_KEYS, HOST_KEYS
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Stack

TEMPLATED = "{{."


def differences(stack: Stack, containers: list[Mapping[str, Any]], files: Mapping[str, str]) -> list[str]:
    """What differs, a line each; a service of which nothing runs is one too, unless it is a job."""
    found = []
    for name, service in stack.services.items():
        running = [each for each in containers if each["Config"]["Labels"].get(observed.SERVICE_LABEL) == name]
        if not running and not stack.is_job(name) and service.plain.get("restart") != "no":
            found.append(f"{name}: nothing runs")
        for each in running:
            found += [f"{name}.{line}" for line in _of_container(stack, service.plain, each)]
            found += [f"{name}.{line}" for line in _of_files(stack, service.plain, files.get(each["Id"], ""))]
    return found


def _of_container(stack: Stack, plain: Mapping[str, Any], seen: Mapping[str, Any]) -> Iterator[str]:
    config, host = seen["Config"], seen["HostConfig"]
    pairs = [(key, plain[key], config.get(name)) for key, name in CONTAINER_KEYS if key in plain]
    pairs += [(key, plain[key], host.get(name)) for key, name in HOST_KEYS if key in plain]
    resources = plain["deploy"]["resources"]
    pairs += [
        (key, resources[key], host.get(name))
        for key, name in (("memory", "Memory"), ("pids", "PidsLimit"))
        if key in resources
    ]
    if "cpus" in resources:
        pairs.append(("cpus", parts.nano_cpus(resources["cpus"]), host["NanoCpus"]))
    if "logging" in plain:
        pairs.append(("logging.driver", plain["logging"]["driver"], host["LogConfig"]["Type"]))
        pairs.append(("logging.options", plain["logging"]["options"], host["LogConfig"]["Config"]))
    if "ulimits" in plain:
        limits = {each["Name"]: {"soft": each["Soft"], "hard": each["Hard"]} for each in host["Ulimits"]}
        pairs.append(("ulimits", plain["ulimits"], limits))
    if "healthcheck" in plain:
        asked = parts.healthcheck(plain["healthcheck"])
        pairs.append(("healthcheck", asked, {key: (config.get("Healthcheck") or {}).get(key) for key in asked}))
    if "network_mode" in plain:
        pairs.append(("network_mode", plain["network_mode"], host["NetworkMode"]))
    for key, value in plain["environment"].items():
        pairs.append((f"environment.{key}", f"{key}={value}", _named(config["Env"], f"{key}=")))
    for key, value in plain["labels"].items():
        pairs.append((f"labels.{key}", value, config["Labels"].get(key)))
    for port in plain["ports"]:
        bound = host["PortBindings"].get(f"{port['target']}/{port['protocol']}") or []
        there = str(port["published"]) in {each["HostPort"] for each in bound}
        pairs.append((f"ports.{port['published']}", True, there))
    for key in plain["networks"]:
        pairs.append((f"networks.{key}", True, stack.network_name(key) in seen["NetworkSettings"]["Networks"]))
    for mount in plain["volumes"]:
        pairs.append((f"volumes.{mount['target']}", _wanted(stack, mount), _mounted(mount, seen)))
    for key, asked, there in pairs:
        if TEMPLATED not in str(asked) and _plain(key, asked) != _plain(key, there):
            yield f"{key}: asked for {asked!r}, found {there!r}"


def _named(lines: list[str], start: str) -> str | None:
    return next((line for line in lines if line.startswith(start)), None)


def _wanted(stack: Stack, mount: Mapping[str, Any]) -> tuple[Any, ...]:
    source = stack.volume_name(mount["source"]) if mount["type"] == "volume" else mount["source"]
    return (mount["type"], source, not mount["read_only"])


def _mounted(mount: Mapping[str, Any], seen: Mapping[str, Any]) -> tuple[Any, ...] | None:
    for each in seen["Mounts"]:
        if each["Destination"] == mount["target"]:
            source = each.get("Name") if each["Type"] == "volume" else each["Source"]
            return (each["Type"], source or "", each["RW"])
    return None


def _plain(key: str, value: Any) -> Any:
    """Both sides in one spelling: the engine has two words for a capability, and more than one for an option."""
    if key in ("cap_add", "cap_drop"):
        return sorted(each.removeprefix("CAP_") for each in value or [])
    if key == "security_opt":
        return sorted(each.replace("=", ":", 1) for each in value or [])
    if key in ("cgroup", "ipc", "userns_mode", "uts", "pid"):
        return value or ""
    return value


def _of_files(stack: Stack, plain: Mapping[str, Any], listed: str) -> Iterator[str]:
    """`listed` has for each file: its path, mode, owner, group and content in base64."""
    there = {line.split()[0]: line.split()[1:] for line in listed.splitlines() if line}
    for section in ("configs", "secrets"):
        for grant in plain[section]:
            content = stack.content(section, grant["source"])
            text = content.get("content_base64") or base64.b64encode(content["content"].encode()).decode()
            asked = [f"{grant['mode']:o}", str(grant.get("uid", 0)), str(grant.get("gid", 0)), text]
            found = there.get(grant["target"])
            if "template_driver" in stack.plain[section][grant["source"]] and found:
                asked[3] = found[3]
            if found != asked:
                yield f"{section}.{grant['source']}: asked for {asked}, found {found}"
