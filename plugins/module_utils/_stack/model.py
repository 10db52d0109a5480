# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The model with names: plain values inside, typed questions outside."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

START_FIRST = "start-first"
STOP_FIRST = "stop-first"

ROLLING = "rolling"
BLUE_GREEN = "blue-green"
CANARY = "canary"
RECREATE = "recreate"

COMPOSE = "compose"
SWARM = "swarm"

# What of deploy, when it changes, needs new containers.
TASK_KEYS = ("resources", "mode", "placement", "restart_policy", "labels")


def digest(value: Any) -> str:
    """A stable SHA-256 over a plain value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


@dataclass(frozen=True)
class Service:
    name: str
    plain: Mapping[str, Any]

    @property
    def image(self) -> str:
        return str(self.plain["image"])

    @property
    def environment(self) -> dict[str, str]:
        return dict(self.plain["environment"])

    @property
    def replicas(self) -> int:
        return int(self.plain["deploy"]["replicas"])

    @property
    def is_global(self) -> bool:
        """A replica on each node that suits it."""
        return bool(self.plain["deploy"].get("mode") == "global")

    @property
    def container_name(self) -> str | None:
        return self.plain.get("container_name")

    @property
    def depends_on(self) -> dict[str, dict[str, Any]]:
        return dict(self.plain["depends_on"])

    @property
    def networks(self) -> dict[str, dict[str, Any]]:
        return dict(self.plain["networks"])

    @property
    def routes(self) -> list[dict[str, Any]]:
        return list(self.plain["slipway"]["routes"])

    @property
    def migrate(self) -> list[str] | None:
        return self.plain["slipway"].get("migrate")

    @property
    def after_release(self) -> list[list[str]]:
        return list(self.plain["slipway"]["after_release"])

    @property
    def single(self) -> bool:
        """Whether it runs exactly once, over all hosts of the stack."""
        return bool(self.plain["slipway"].get("single"))

    @property
    def watch(self) -> dict[str, Any]:
        return dict(self.plain["slipway"]["watch"])

    @property
    def strategy(self) -> str:
        """How the new version takes over; models kept by earlier versions do not say it."""
        return str(self.plain["slipway"].get("strategy", ROLLING))

    @property
    def canary(self) -> dict[str, Any]:
        """Steps of share and seconds, and the cookie and header of testers."""
        return dict(self.plain["slipway"].get("canary") or {"steps": [], "cookie": "", "header": ""})

    @property
    def keep_old_seconds(self) -> float:
        return float(self.plain["slipway"].get("keep_old_seconds") or 0)

    @property
    def database(self) -> dict[str, Any] | None:
        return self.plain["slipway"].get("database")

    @property
    def has_healthcheck(self) -> bool:
        test = self.plain.get("healthcheck", {}).get("test")
        return bool(test) and test != ["NONE"]

    @property
    def monitor_seconds(self) -> float:
        return float(self.plain["deploy"]["update_config"].get("monitor") or 0)

    @property
    def stop_grace_seconds(self) -> float:
        return float(self.plain.get("stop_grace_period", 10))

    @property
    def stop_grace_whole(self) -> int:
        """As the engine takes it: whole seconds, rounded up."""
        return int(-(-self.stop_grace_seconds // 1))

    @property
    def pull_policy(self) -> str:
        return str(self.plain.get("pull_policy", "missing")).replace("if_not_present", "missing")

    @property
    def single_reason(self) -> str:
        """Why two containers of the service cannot live side by side; empty when they can."""
        if self.single:
            return "x-slipway.single lets it run once only"
        if self.plain["ports"]:
            port = self.plain["ports"][0]
            return f"the host port {port['published']} cannot be bound twice"
        if self.container_name:
            return f"the container name {self.container_name} is fixed"
        if any("ipv4_address" in entry or "ipv6_address" in entry for entry in self.networks.values()):
            return "its address is fixed"
        if self.plain.get("mac_address"):
            return "its mac_address is fixed"
        if self.plain.get("network_mode") == "host":
            return "it uses the host's network"
        return ""

    @property
    def order(self) -> tuple[str, str]:
        """start-first or stop-first, and why."""
        if self.single_reason:
            return STOP_FIRST, self.single_reason
        if self.strategy != ROLLING:
            return (STOP_FIRST if self.strategy == RECREATE else START_FIRST), f"the strategy is {self.strategy}"
        asked = self.plain["deploy"]["update_config"].get("order")
        if asked:
            return str(asked), f"update_config.order is {asked}"
        if self.routes:
            return START_FIRST, "it has routes"
        return STOP_FIRST, "update_config.order is not set"


@dataclass(frozen=True)
class Stack:
    plain: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.plain["name"])

    @property
    def engine(self) -> str:
        """What it runs on. Models written before there was a choice do not say it."""
        return str(self.plain.get("engine", COMPOSE))

    @property
    def hooks(self) -> dict[str, list[list[str]]]:
        """The operator's own commands by moment; part of the model, so that a release that comes back has its own."""
        return dict(self.plain["slipway"].get("hooks") or {})

    @property
    def elsewhere(self) -> dict[str, str]:
        """Services that run once and not on this host, with the host that runs them."""
        return dict(self.plain["slipway"].get("elsewhere") or {})

    @property
    def hook_timeout_seconds(self) -> float:
        return float(self.plain["slipway"].get("hook_timeout_seconds") or 300)

    @property
    def services(self) -> dict[str, Service]:
        return {name: Service(name, plain) for name, plain in self.plain["services"].items()}

    def network_name(self, key: str) -> str:
        return self._full_name("networks", key)

    def volume_name(self, key: str) -> str:
        return self._full_name("volumes", key)

    def is_external(self, section: str, key: str) -> bool:
        return bool(self.plain[section].get(key, {}).get("external"))

    def _full_name(self, section: str, key: str) -> str:
        definition = self.plain[section].get(key, {})
        if definition.get("name"):
            return str(definition["name"])
        return key if definition.get("external") else f"{self.name}_{key}"

    def content(self, section: str, key: str) -> Mapping[str, str]:
        """The content of a config or secret: {content: text} or {content_base64: text}."""
        value = self.plain[section][key]
        return {name: value[name] for name in ("content", "content_base64") if name in value}

    def config_hash(self, service: str) -> str:
        """What, when it changes, needs a new container: nothing of number, order, routes or waiting."""
        plain = dict(self.plain["services"][service])
        for key in ("depends_on", "slipway", "pull_policy", "build"):
            plain.pop(key, None)
        plain["deploy"] = {key: plain["deploy"][key] for key in TASK_KEYS if key in plain["deploy"]}
        routed = sorted({route["port"] for route in self.services[service].routes})
        return digest(
            {
                "service": plain,
                # On a Swarm the ports that requests are routed to are published, and so part of the service.
                **({"routed": routed} if routed and self.engine == SWARM else {}),
                "networks": {key: self.network_name(key) for key in plain["networks"]},
                "volumes": {
                    mount["source"]: self.volume_name(mount["source"])
                    for mount in plain["volumes"]
                    if mount["type"] == "volume"
                },
                "contents": {
                    section: {grant["source"]: digest(self.plain[section][grant["source"]]) for grant in plain[section]}
                    for section in ("configs", "secrets")
                },
            }
        )

    def start_order(self) -> list[str]:
        """Services so that each comes after those it depends on; file order otherwise."""
        done: list[str] = []

        def visit(name: str, trail: tuple[str, ...]) -> None:
            if name in done or name in trail:
                return
            for other in self.plain["services"][name]["depends_on"]:
                visit(other, (*trail, name))
            done.append(name)

        for name in self.plain["services"]:
            visit(name, ())
        return done

    def dependencies(self, service: str) -> set[str]:
        """All services that the service needs, directly or through others."""
        found: set[str] = set()
        waiting = [service]
        while waiting:
            for other in self.plain["services"][waiting.pop()]["depends_on"]:
                if other not in found and other != service:
                    found.add(other)
                    waiting.append(other)
        return found

    def is_job(self, service: str) -> bool:
        """Whether the service is meant to end: another one waits for its completion."""
        return any(
            needs.get(service, {}).get("condition") == "service_completed_successfully"
            for needs in (plain["depends_on"] for plain in self.plain["services"].values())
        )
