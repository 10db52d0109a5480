# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service of the model as the bodies of the calls that create it on a Swarm: service, job, network, objects."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._release import observed, parts
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Service, Stack, digest

NAMESPACE_LABEL = "com.docker.stack.namespace"
CONFIG = "config"
SECRET = "secret"  # noqa: S105
SECTIONS = {CONFIG: "configs", SECRET: "secrets"}
SECRETS_DIRECTORY = "/run/secrets/"
PRIVILEGES_VERSION = 25

# Swarm fills in `{{.Node.Hostname}}` and its like; any other pair of braces is the author's own text.
_BRACES = re.compile(r"\{\{(?!-?\s*(?:index\s+)?\.(?:Service|Node|Task)\.)")

# Key of the model, name in the engine's body.
CONTAINER_KEYS = (
    ("entrypoint", "Command"),
    ("command", "Args"),
    ("user", "User"),
    ("working_dir", "Dir"),
    ("hostname", "Hostname"),
    ("stop_signal", "StopSignal"),
    ("tty", "TTY"),
    ("stdin_open", "OpenStdin"),
    ("group_add", "Groups"),
    ("init", "Init"),
    ("read_only", "ReadOnly"),
    ("sysctls", "Sysctls"),
    ("cap_add", "CapabilityAdd"),
    ("cap_drop", "CapabilityDrop"),
)
DNS_KEYS = (("dns", "Nameservers"), ("dns_search", "Search"), ("dns_opt", "Options"))
# What `restart` means here; Compose's own default, "no", would leave the tasks of a lost node lost.
CONDITIONS = {"no": "none", "on-failure": "on-failure", "always": "any", "unless-stopped": "any"}


@dataclass(frozen=True)
class ClusterObject:
    """A config or secret of the Swarm. They cannot be changed, so the name tells the content."""

    kind: str
    name: str
    data: bytes = field(repr=False)
    labels: Mapping[str, str] = field(default_factory=dict)
    template_driver: str = ""

    def body(self) -> dict[str, Any]:
        return {
            "Name": self.name,
            "Labels": dict(self.labels),
            "Data": base64.b64encode(self.data).decode("ascii"),
            **({"Templating": {"Name": self.template_driver}} if self.template_driver else {}),
        }


def service_name(stack: Stack, name: str, release: int) -> str:
    return f"{stack.name}_{name}-r{release}"


def objects(stack: Stack) -> list[ClusterObject]:
    """The configs and secrets that services of the stack use, each once."""
    found = {
        (kind, grant["source"]): cluster_object(stack, kind, grant["source"])
        for service in stack.services.values()
        for kind, section in SECTIONS.items()
        for grant in service.plain[section]
    }
    return list(found.values())


def cluster_object(stack: Stack, kind: str, key: str) -> ClusterObject:
    content = stack.content(SECTIONS[kind], key)
    data = (
        base64.b64decode(content["content_base64"])
        if "content_base64" in content
        else content["content"].encode("utf-8")
    )
    definition = stack.plain[SECTIONS[kind]][key]
    mark = digest([stack.name, kind, key, definition])[:12]
    # Swarm takes 64 characters for a name.
    stem = re.sub(r"[^a-zA-Z0-9._-]", "-", f"{stack.name}_{key}")[:51]
    labels = {**definition.get("labels", {}), **_stack_labels(stack)}
    return ClusterObject(kind, f"{stem}-{mark}", data, labels, definition.get("template_driver", ""))


def network_body(stack: Stack, key: str) -> dict[str, Any]:
    """The body of the call that creates the overlay network: encrypted unless the file says otherwise."""
    plain = stack.plain["networks"].get(key, {})
    options = {"encrypted": "", **plain.get("driver_opts", {})}
    if options["encrypted"].lower() in ("false", "0", "no"):
        # Engines before 25 encrypt when the option is there at all, whatever its value.
        del options["encrypted"]
    body: dict[str, Any] = {
        "Name": stack.network_name(key),
        "Driver": plain.get("driver", "overlay"),
        "Scope": "swarm",
        "Internal": bool(plain.get("internal")),
        "Attachable": bool(plain.get("attachable")),
        "Options": options,
        "CheckDuplicate": True,
    }
    if plain.get("ipam"):
        body["IPAM"] = parts.ipam(plain["ipam"])
    body["Labels"] = {**plain.get("labels", {}), **_stack_labels(stack), observed.HASH_LABEL: digest(body)}
    return body


def service_body(
    stack: Stack, name: str, release: int, replicas: int, object_ids: Mapping[str, str], image: str | None = None
) -> dict[str, Any]:
    """The body of the call that creates the service; `image` is the reference with its digest."""
    service = stack.services[name]
    labels = _service_labels(stack, service, release)
    template = _template(stack, service, object_ids, image, labels)
    template["Networks"] = _networks(stack, service, aliases=True)
    template["RestartPolicy"] = _restart_policy(service)
    body: dict[str, Any] = {
        "Name": service_name(stack, name, release),
        "Labels": {**service.plain["deploy"].get("labels", {}), **labels},
        "TaskTemplate": template,
    }
    if stack.is_job(name):
        return {**body, "Mode": _job(replicas), "TaskTemplate": {**template, "RestartPolicy": _until_done(service)}}
    body["Mode"] = (
        {"Global": {}} if service.plain["deploy"].get("mode") == "global" else {"Replicated": {"Replicas": replicas}}
    )
    body["EndpointSpec"] = {"Mode": "dnsrr", "Ports": _ports(service)}
    return body


def job_body(
    stack: Stack,
    name: str,
    command: list[str],
    purpose: str,
    release: int,
    object_ids: Mapping[str, str],
    image: str | None = None,
) -> dict[str, Any]:
    """One command run once as a job, with the service's environment, files, volumes, networks and placement."""
    service = stack.services[name]
    labels = {
        **_service_labels(stack, service, release),
        observed.ONEOFF_LABEL: "True",
        observed.PURPOSE_LABEL: purpose,
    }
    template = _template(stack, service, object_ids, image, labels)
    template["ContainerSpec"].update(Args=command, Healthcheck={"Test": ["NONE"]})
    template["Networks"] = _networks(stack, service, aliases=False)
    template["RestartPolicy"] = {"Condition": "none"}
    return {
        "Name": f"{stack.name}_{name}-{purpose}-r{release}",
        "Labels": labels,
        "TaskTemplate": template,
        "Mode": _job(1),
    }


def needs_newer_engine(stack: Stack) -> list[str]:
    """The keys that Docker before PRIVILEGES_VERSION drops in silence, on managers and on the nodes of tasks."""
    return [
        f"services.{service.name}.security_opt"
        for service in stack.services.values()
        if service.plain.get("security_opt")
    ]


def _job(count: int) -> dict[str, Any]:
    return {"ReplicatedJob": {"MaxConcurrent": count, "TotalCompletions": count}}


def _stack_labels(stack: Stack) -> dict[str, str]:
    return {NAMESPACE_LABEL: stack.name, observed.STACK_LABEL: stack.name}


def _service_labels(stack: Stack, service: Service, release: int) -> dict[str, str]:
    return {
        **_stack_labels(stack),
        observed.SERVICE_LABEL: service.name,
        observed.HASH_LABEL: stack.config_hash(service.name),
        observed.RELEASE_LABEL: str(release),
    }


def _template(
    stack: Stack,
    service: Service,
    object_ids: Mapping[str, str],
    image: str | None,
    labels: Mapping[str, str],
) -> dict[str, Any]:
    plain = service.plain
    container: dict[str, Any] = {
        "Image": image or service.image,
        "Labels": {**plain["labels"], **labels},
        "Env": [literal(line) for line in parts.environment(plain)],
        **parts.picked(plain, CONTAINER_KEYS),
        "Mounts": [_mount(stack, mount) for mount in plain["volumes"]],
        "Configs": _references(stack, service, CONFIG, object_ids),
        "Secrets": _references(stack, service, SECRET, object_ids),
    }
    dns = parts.picked(plain, DNS_KEYS)
    if dns:
        container["DNSConfig"] = dns
    if "hostname" in plain:
        container["Hostname"] = literal(plain["hostname"])
    if "stop_grace_period" in plain:
        container["StopGracePeriod"] = parts.nanoseconds(service.stop_grace_seconds)
    if "healthcheck" in plain:
        container["Healthcheck"] = parts.healthcheck(plain["healthcheck"])
    if "extra_hosts" in plain:
        container["Hosts"] = [
            f"{address} {host}" for host, _colon, address in (entry.partition(":") for entry in plain["extra_hosts"])
        ]
    if "ulimits" in plain:
        container["Ulimits"] = parts.ulimits(plain)
    if plain.get("security_opt"):
        container["Privileges"] = _privileges(plain["security_opt"])
    template: dict[str, Any] = {"ContainerSpec": container, "Resources": _resources(plain["deploy"]["resources"])}
    placement = _placement(plain["deploy"].get("placement", {}))
    if placement:
        template["Placement"] = placement
    if "logging" in plain:
        template["LogDriver"] = {"Name": plain["logging"]["driver"], "Options": plain["logging"]["options"]}
    return template


def literal(text: str) -> str:
    """The text so that Swarm's template engine gives it back as it is, but for Swarm's own placeholders."""
    return _BRACES.sub('{{"{{"}}', text)


def _mount(stack: Stack, plain: Mapping[str, Any]) -> dict[str, Any]:
    """A mount; the node that runs the task creates a missing volume, so the mount says how."""
    entry = parts.mount(stack, plain)
    if plain["type"] == "volume":
        definition = stack.plain["volumes"].get(plain["source"], {})
        options = entry.setdefault("VolumeOptions", {})
        options["Labels"] = {**definition.get("labels", {}), **_stack_labels(stack)}
        if "driver" in definition or definition.get("driver_opts"):
            options["DriverConfig"] = {
                "Name": definition.get("driver", "local"),
                "Options": dict(definition.get("driver_opts", {})),
            }
    return entry


def _references(stack: Stack, service: Service, kind: str, object_ids: Mapping[str, str]) -> list[dict[str, Any]]:
    result = []
    for grant in service.plain[SECTIONS[kind]]:
        name = cluster_object(stack, kind, grant["source"]).name
        target = grant["target"]
        result.append(
            {
                "File": {
                    "Name": target[len(SECRETS_DIRECTORY) :] if target.startswith(SECRETS_DIRECTORY) else target,
                    "UID": str(grant.get("uid", 0)),
                    "GID": str(grant.get("gid", 0)),
                    "Mode": grant["mode"],
                },
                f"{kind.capitalize()}ID": object_ids[name],
                f"{kind.capitalize()}Name": name,
            }
        )
    return result


def _privileges(options: list[str]) -> dict[str, Any]:
    privileges: dict[str, Any] = {}
    for option in options:
        key, _sign, value = option.replace("=", ":", 1).partition(":")
        if key == "no-new-privileges":
            privileges["NoNewPrivileges"] = value in ("", "true")
        elif key == "seccomp":
            privileges["Seccomp"] = {"Mode": "unconfined"}
        elif key == "apparmor":
            privileges["AppArmor"] = {"Mode": "disabled"}
    return privileges


def _resources(plain: Mapping[str, Any]) -> dict[str, Any]:
    limits = parts.picked(plain, (("memory", "MemoryBytes"), ("pids", "Pids")))
    reservations = parts.picked(plain, (("memory_reservation", "MemoryBytes"),))
    for key, target in (("cpus", limits), ("cpu_reservation", reservations)):
        if key in plain:
            target["NanoCPUs"] = parts.nano_cpus(plain[key])
    if plain.get("generic_resources"):
        reservations["GenericResources"] = [
            {"DiscreteResourceSpec": {"Kind": each["kind"], "Value": each["value"]}}
            for each in plain["generic_resources"]
        ]
    return {"Limits": limits, "Reservations": reservations}


def _placement(plain: Mapping[str, Any]) -> dict[str, Any]:
    placement = parts.picked(plain, (("constraints", "Constraints"), ("max_replicas_per_node", "MaxReplicas")))
    if "platform" in plain:
        system, _slash, rest = plain["platform"].partition("/")
        placement["Platforms"] = [{"OS": system, "Architecture": rest.partition("/")[0]}]
    if plain.get("preferences"):
        placement["Preferences"] = [{"Spread": {"SpreadDescriptor": label}} for label in plain["preferences"]]
    return placement


def _networks(stack: Stack, service: Service, aliases: bool) -> list[dict[str, Any]]:
    if service.plain.get("network_mode") == "host":
        return [{"Target": "host"}]
    return [
        {
            "Target": stack.network_name(key),
            **({"Aliases": [service.name, *entry["aliases"]]} if aliases else {}),
        }
        for key, entry in service.networks.items()
    ]


def _ports(service: Service) -> list[dict[str, Any]]:
    """The file's own host ports, and a random one for each further port that requests are routed to."""
    fixed = [
        {
            "Protocol": port["protocol"],
            "TargetPort": port["target"],
            "PublishedPort": port["published"],
            "PublishMode": "host",
        }
        for port in service.plain["ports"]
    ]
    there = {port["TargetPort"] for port in fixed if port["Protocol"] == "tcp"}
    routed = dict.fromkeys(route["port"] for route in service.routes if route["port"] not in there)
    return [*fixed, *({"Protocol": "tcp", "TargetPort": port, "PublishMode": "host"} for port in routed)]


def _restart_policy(service: Service) -> dict[str, Any]:
    policy, _colon, attempts = service.plain.get("restart", "unless-stopped").partition(":")
    result: dict[str, Any] = {"Condition": CONDITIONS[policy]}
    if attempts:
        result["MaxAttempts"] = int(attempts)
    asked = service.plain["deploy"].get("restart_policy", {})
    result.update(parts.picked(asked, (("condition", "Condition"), ("max_attempts", "MaxAttempts"))))
    for key, name in (("delay", "Delay"), ("window", "Window")):
        if key in asked:
            result[name] = parts.nanoseconds(asked[key])
    return result


def _until_done(service: Service) -> dict[str, Any]:
    """A job knows on-failure and none; Compose's own default is none."""
    policy = _restart_policy(service)
    asked = service.plain["deploy"].get("restart_policy") or service.plain.get("restart")
    if not asked or policy["Condition"] == "none":
        return {"Condition": "none"}
    return {**policy, "Condition": "on-failure"}
