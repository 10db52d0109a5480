# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Swarm reads of a Compose file that one host has no use for, and what it cannot do with the rest."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._stack import values
from ansible_collections.slipway.ops.plugins.module_utils._stack.problems import Problems

# Swarm's own limits, measured on Docker 20.10 and 26.1. A service's name carries the stack, the release and, for a
# one-off command, its purpose beside the service's own name.
NAMES_LENGTH = 45
CONTENT_BYTES = {"configs": 1_024_000, "secrets": 512_000}

SHARED_MEMORY = "/dev/shm"  # noqa: S108
SHARED_FILE_SYSTEMS = ("nfs", "nfs4", "cifs")
CONDITIONS = ("none", "on-failure", "any")

_LABEL = r"(?:node|engine)\.labels\.[A-Za-z0-9][A-Za-z0-9._/-]*"
_CONSTRAINT = re.compile(rf"(node\.(?:id|hostname|role|ip|platform\.(?:os|arch))|{_LABEL})\s*(==|!=)\s*(\S.*)")
_SPREAD = re.compile(_LABEL)
_PINS = re.compile(rf"node\.(?:id|hostname)|{_LABEL}")
_PLATFORM = re.compile(r"[a-z0-9]+(/[a-z0-9_]+){0,2}")
_SECURITY = re.compile(r"no-new-privileges([:=](true|false))?|seccomp[:=]unconfined|apparmor[:=]unconfined")


class SwarmRules:
    """Completes what was read for every engine. Problems go to the collector, as everywhere."""

    def __init__(self, problems: Problems, volumes: Mapping[str, Any]) -> None:
        self.problems = problems
        self.volumes = volumes

    def service(self, name: str, service: dict[str, Any], raw: Mapping[str, Any], path: str) -> None:
        if "." in name:
            self.problems.add(path, "Swarm takes no dots in the names of services", "write - instead")
        if service.get("entrypoint") == []:
            self.problems.add(
                f"{path}.entrypoint", "Swarm cannot clear the image's entrypoint", "write the program as entrypoint"
            )
        if service.get("network_mode") == "none":
            self.problems.add(
                f"{path}.network_mode", "Swarm has no such network", "use a network of its own with internal: true"
            )
        if service.get("network_mode") == "host" and service["slipway"]["routes"]:
            self.problems.add(
                f"{path}.network_mode",
                "has no published port of its own to which requests could be routed",
                "remove it, or publish by ports instead of routes",
            )
        if service.get("pull_policy") == "never":
            self.problems.add(
                f"{path}.pull_policy", "every node has to fetch the image by its digest", "push it, and remove this"
            )
        self._ports(raw.get("ports"), f"{path}.ports")
        self._security(service.get("security_opt", []), f"{path}.security_opt")
        self._mounts(service, raw, path)
        self._deploy(service, raw, path)
        self._pinned(service, path)

    def _ports(self, value: Any, path: str) -> None:
        for index, item in enumerate(value if isinstance(value, list) else []):
            if self.problems.at(f"{path}[{index}]"):
                continue
            if not isinstance(item, Mapping):
                self.problems.add(
                    f"{path}[{index}]",
                    "is published by ingress, which sends requests to tasks that stop",
                    "write target, published and mode: host",
                )
            elif item.get("mode", "ingress") != "host":
                self.problems.add(
                    f"{path}[{index}].mode", "ingress sends requests to tasks that stop", "write mode: host"
                )

    def _security(self, options: list[str], path: str) -> None:
        for index, option in enumerate(options):
            if not _SECURITY.fullmatch(option):
                self.problems.add(
                    f"{path}[{index}]",
                    f"{option!r} cannot be set for a task",
                    "give no-new-privileges, seccomp=unconfined or apparmor=unconfined",
                )

    def _mounts(self, service: dict[str, Any], raw: Mapping[str, Any], path: str) -> None:
        asked = raw.get("volumes")
        for index, item in enumerate(asked if isinstance(asked, list) else []):
            bind = item.get("bind") if isinstance(item, Mapping) else None
            if isinstance(bind, Mapping) and values.boolean(
                bind.get("create_host_path", False), f"{path}.volumes[{index}].bind.create_host_path", Problems()
            ):
                self.problems.add(
                    f"{path}.volumes[{index}].bind.create_host_path",
                    "Swarm does not create missing paths",
                    "write false, and create the path on the node",
                )
        for mount in service["volumes"]:
            if mount["type"] == "bind":
                mount["create_host_path"] = False
        for index, entry in enumerate(service.pop("tmpfs", [])):
            service["volumes"].append(self._tmpfs(entry, f"{path}.tmpfs[{index}]"))
        if "shm_size" in service:
            service["volumes"].append(_memory(SHARED_MEMORY, {"size": service.pop("shm_size")}))

    def _tmpfs(self, entry: str, path: str) -> dict[str, Any]:
        target, _colon, options = entry.partition(":")
        read: dict[str, Any] = {}
        for option in options.split(",") if options else []:
            key, _sign, value = option.partition("=")
            if key == "size":
                read["size"] = values.size(value, path, self.problems)
            elif key == "mode":
                read["mode"] = values.file_mode(value.zfill(4), path, self.problems)
            elif option not in ("rw", "noexec", "nosuid", "nodev"):
                self.problems.add(path, f"Swarm does not know the option {option}", "give size and mode alone")
        return _memory(target, read)

    def _deploy(self, service: dict[str, Any], raw: Mapping[str, Any], path: str) -> None:
        here = f"{path}.deploy"
        asked = raw.get("deploy")
        asked = asked if isinstance(asked, Mapping) else {}
        deploy = service["deploy"]
        if asked.get("mode") == "global":
            deploy["mode"] = "global"
            if asked.get("replicas") is not None or raw.get("scale") is not None:
                self.problems.add(
                    f"{here}.mode", "global has a task on each node, and no number", "remove the number of replicas"
                )
        if asked.get("labels"):
            found = values.pairs(asked["labels"], f"{here}.labels", self.problems)
            deploy["labels"] = {key: value or "" for key, value in found.items()}
        placement = self._placement(asked.get("placement"), f"{here}.placement")
        platform = raw.get("platform")
        if platform is not None:
            if isinstance(platform, str) and _PLATFORM.fullmatch(platform):
                placement["platform"] = platform
            else:
                self.problems.add(f"{path}.platform", f"{platform!r} is no platform", "write for example linux/amd64")
        if placement:
            deploy["placement"] = placement
        policy = self._restart_policy(asked.get("restart_policy"), f"{here}.restart_policy")
        if policy:
            deploy["restart_policy"] = policy
            if raw.get("restart") is not None:
                self.problems.add(f"{path}.restart", "is said by deploy.restart_policy as well", "keep one of them")
        self._reservations(asked, deploy["resources"], here)

    def _placement(self, value: Any, path: str) -> dict[str, Any]:
        raw = values.mapping(value, path, self.problems)
        result: dict[str, Any] = {}
        if raw.get("constraints"):
            result["constraints"] = values.texts(raw["constraints"], f"{path}.constraints", self.problems)
            for index, constraint in enumerate(result["constraints"]):
                if not _CONSTRAINT.fullmatch(constraint):
                    self.problems.add(
                        f"{path}.constraints[{index}]",
                        f"{constraint!r} is no constraint of Swarm",
                        "write for example node.labels.disk == ssd or node.hostname == app1",
                    )
        preferences = raw.get("preferences")
        if preferences:
            result["preferences"] = []
            for index, item in enumerate(preferences if isinstance(preferences, list) else [preferences]):
                spread = values.mapping(item, f"{path}.preferences[{index}]", self.problems).get("spread")
                if isinstance(spread, str) and _SPREAD.fullmatch(spread):
                    result["preferences"].append(spread)
                elif not self.problems.at(f"{path}.preferences[{index}]"):
                    self.problems.add(
                        f"{path}.preferences[{index}].spread",
                        f"{spread!r} is no label to spread over",
                        "write for example node.labels.zone",
                    )
        if raw.get("max_replicas_per_node") is not None:
            number = values.integer(raw["max_replicas_per_node"], f"{path}.max_replicas_per_node", self.problems, 1)
            if number is not None:
                result["max_replicas_per_node"] = number
        return result

    def _restart_policy(self, value: Any, path: str) -> dict[str, Any]:
        raw = values.mapping(value, path, self.problems)
        result: dict[str, Any] = {}
        if raw.get("condition") is not None:
            result["condition"] = values.choice(raw["condition"], f"{path}.condition", self.problems, CONDITIONS)
        if raw.get("max_attempts") is not None:
            result["max_attempts"] = values.integer(raw["max_attempts"], f"{path}.max_attempts", self.problems, 0)
        for key in ("delay", "window"):
            if raw.get(key) is not None:
                result[key] = values.duration(raw[key], f"{path}.{key}", self.problems)
        return result

    def _reservations(self, deploy: Mapping[str, Any], resources: dict[str, Any], path: str) -> None:
        above = deploy.get("resources")
        reservations = above.get("reservations") if isinstance(above, Mapping) else None
        if not isinstance(reservations, Mapping):
            return
        here = f"{path}.resources.reservations"
        if reservations.get("cpus") is not None:
            cpus = values.decimal(reservations["cpus"], f"{here}.cpus", self.problems)
            if cpus is not None:
                resources["cpu_reservation"] = cpus
        asked = reservations.get("generic_resources")
        if asked is not None and not isinstance(asked, list):
            self.problems.add(f"{here}.generic_resources", "is not a list", "write - discrete_resource_spec: below it")
            return
        found = []
        for index, item in enumerate(asked or []):
            below = f"{here}.generic_resources[{index}]"
            outer = values.mapping(item, below, self.problems)
            spec = values.mapping(outer.get("discrete_resource_spec"), f"{below}.discrete_resource_spec", self.problems)
            number = values.integer(spec.get("value"), f"{below}.discrete_resource_spec.value", self.problems, 0)
            if not spec.get("kind"):
                self.problems.add(f"{below}.discrete_resource_spec.kind", "is missing", "write for example kind: gpu")
            elif number is not None:
                found.append({"kind": str(spec["kind"]), "value": number})
        if found:
            resources["generic_resources"] = found

    def _pinned(self, service: Mapping[str, Any], path: str) -> None:
        if service["deploy"].get("mode") == "global":
            return
        constraints = service["deploy"].get("placement", {}).get("constraints", [])
        matches = [_CONSTRAINT.fullmatch(constraint) for constraint in constraints]
        if any(match and match[2] == "==" and _PINS.fullmatch(match[1]) for match in matches):
            return
        for mount in service["volumes"]:
            if mount["type"] == "bind":
                what = f"the path {mount['source']}"
            elif mount["type"] == "volume" and self._is_local(mount["source"]):
                what = f"the volume {mount['source']}"
            else:
                continue
            self.problems.add(
                f"{path}.deploy.placement",
                f"{what} is on one node, and Swarm may start the task on another",
                "add the constraint node.hostname == NODE or node.labels.LABEL == VALUE",
            )
            return

    def _is_local(self, key: str) -> bool:
        definition = self.volumes.get(key)
        definition = definition if isinstance(definition, Mapping) else {}
        options = definition.get("driver_opts")
        options = options if isinstance(options, Mapping) else {}
        if definition.get("external"):
            return False
        return definition.get("driver", "local") == "local" and options.get("type") not in SHARED_FILE_SYSTEMS

    def network(self, network: Mapping[str, Any], path: str) -> None:
        if network.get("driver", "overlay") != "overlay":
            self.problems.add(
                f"{path}.driver",
                f"a network of the kind {network['driver']} ends at its node",
                "write overlay, or remove it",
            )

    def content(self, section: str, result: dict[str, Any], raw: Mapping[str, Any], path: str) -> None:
        size = (
            len(base64.b64decode(result["content_base64"]))
            if "content_base64" in result
            else len(result["content"].encode("utf-8"))
        )
        if not 0 < size < CONTENT_BYTES[section] and not self.problems.at(path):
            self.problems.add(
                path, f"has {size} bytes", f"Swarm takes 1 to {CONTENT_BYTES[section] - 1}; put the rest into the image"
            )
        if raw.get("labels"):
            found = values.pairs(raw["labels"], f"{path}.labels", self.problems)
            result["labels"] = {key: value or "" for key, value in found.items()}
        if raw.get("template_driver") is not None:
            driver = values.choice(raw["template_driver"], f"{path}.template_driver", self.problems, ("golang",))
            if driver is not None:
                result["template_driver"] = driver

    def names(self, stack: str, services: Mapping[str, Any]) -> None:
        for name in services:
            if len(stack) + len(name) > NAMES_LENGTH:
                self.problems.add(
                    f"services.{name}",
                    f"{stack} and {name} are too long together for a name in Swarm",
                    f"use {NAMES_LENGTH} characters at most for both",
                )


def _memory(target: str, options: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "tmpfs", "source": "", "target": target, "read_only": False, **options}
