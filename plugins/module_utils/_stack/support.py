# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each attribute of the Compose Specification becomes on each engine: the one table of the checker and the guide.

Patterns: `*` stands for a name, `[]` for an item of a list. A mapping without patterns below it is free-form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._stack.problems import Problems, did_you_mean

HONOURED = "honoured"
TRANSLATED = "translated"
REFUSED = "refused"
UNJUDGED = "unjudged"

ENGINES = ("compose", "swarm", "ecs")


@dataclass(frozen=True)
class Verdict:
    kind: str
    reason: str = ""


@dataclass(frozen=True)
class Support:
    compose: Verdict
    swarm: Verdict = Verdict(UNJUDGED, "this engine is not built yet")
    ecs: Verdict = Verdict(UNJUDGED, "this engine is not built yet")

    def on(self, engine: str) -> Verdict:
        return {"compose": self.compose, "swarm": self.swarm, "ecs": self.ecs}[engine]


def _yes(reason: str = "") -> Support:
    return Support(compose=Verdict(HONOURED, reason))


def _as(reason: str) -> Support:
    return Support(compose=Verdict(TRANSLATED, reason))


def _no(reason: str) -> Support:
    return Support(compose=Verdict(REFUSED, reason))


_WINDOWS = "only Windows containers know it; remove it"
_ONE_HOST = "one host has nothing to schedule; remove it"
_EVERY_FAILURE = "every failed release returns to the old version, so it has no effect of its own"

SUPPORT: dict[str, Support] = {
    "version": _as("obsolete in the specification and without effect"),
    "name": _yes("the stack's name, unless stack_name says another"),
    "include": _no("one file says what the system is; write its services here"),
    "models": _no("model runners are not deployed; remove it"),
    "services": _yes(),
    "services.*": _yes(),
    "services.*.annotations": _no("Docker 20.10 has none; use labels"),
    "services.*.attach": _as("a release has no foreground; docker logs shows every service"),
    "services.*.blkio_config": _no("block I/O limits are not set; remove it"),
    "services.*.build": _no("a release runs images; build and push it first and keep image only"),
    "services.*.cap_add": _yes(),
    "services.*.cap_drop": _yes(),
    "services.*.cgroup": _yes(),
    "services.*.cgroup_parent": _yes(),
    "services.*.command": _yes(),
    "services.*.configs": _yes("a file under /var/lib/slipway, mounted read-only"),
    "services.*.configs[].source": _yes(),
    "services.*.configs[].target": _yes(),
    "services.*.configs[].uid": _yes(),
    "services.*.configs[].gid": _yes(),
    "services.*.configs[].mode": _yes(),
    "services.*.container_name": _yes("one replica, rolled stop-first"),
    "services.*.cpu_count": _no(_WINDOWS),
    "services.*.cpu_percent": _no(_WINDOWS),
    "services.*.cpu_period": _yes(),
    "services.*.cpu_quota": _yes(),
    "services.*.cpu_rt_period": _no("real-time scheduling is not set; remove it"),
    "services.*.cpu_rt_runtime": _no("real-time scheduling is not set; remove it"),
    "services.*.cpu_shares": _yes(),
    "services.*.cpus": _yes("the same as deploy.resources.limits.cpus"),
    "services.*.cpuset": _yes(),
    "services.*.credential_spec": _no(_WINDOWS),
    "services.*.depends_on": _yes("order of start and condition"),
    "services.*.depends_on.*": _yes(),
    "services.*.depends_on.*.condition": _yes(),
    "services.*.depends_on.*.required": _yes(),
    "services.*.depends_on.*.restart": _as("the service is rolled when the other one changes"),
    "services.*.deploy": _yes(),
    "services.*.deploy.endpoint_mode": _no("containers find each other by DNS; remove it"),
    "services.*.deploy.labels": _no("there is no service object to carry them; use labels"),
    "services.*.deploy.mode": _as("global is one replica on one host; jobs are services others wait for"),
    "services.*.deploy.placement": _no(_ONE_HOST),
    "services.*.deploy.replicas": _yes(),
    "services.*.deploy.resources": _yes(),
    "services.*.deploy.resources.limits": _yes(),
    "services.*.deploy.resources.limits.cpus": _yes(),
    "services.*.deploy.resources.limits.memory": _yes(),
    "services.*.deploy.resources.limits.pids": _yes(),
    "services.*.deploy.resources.reservations": _yes(),
    "services.*.deploy.resources.reservations.cpus": _as("one host has nothing to schedule, so it sets nothing"),
    "services.*.deploy.resources.reservations.devices": _no("devices are given by devices:"),
    "services.*.deploy.resources.reservations.generic_resources": _no(_ONE_HOST),
    "services.*.deploy.resources.reservations.memory": _yes("the engine's soft limit"),
    "services.*.deploy.restart_policy": _as("the engine's restart policy"),
    "services.*.deploy.restart_policy.condition": _as("any: unless-stopped, on-failure: on-failure, none: no"),
    "services.*.deploy.restart_policy.delay": _no("the engine backs off by itself; remove it"),
    "services.*.deploy.restart_policy.max_attempts": _as("on-failure:N"),
    "services.*.deploy.restart_policy.window": _no("the engine decides by itself; remove it"),
    "services.*.deploy.rollback_config": _as(_EVERY_FAILURE),
    "services.*.deploy.rollback_config.delay": _as(_EVERY_FAILURE),
    "services.*.deploy.rollback_config.failure_action": _as(_EVERY_FAILURE),
    "services.*.deploy.rollback_config.max_failure_ratio": _as(_EVERY_FAILURE),
    "services.*.deploy.rollback_config.monitor": _as(_EVERY_FAILURE),
    "services.*.deploy.rollback_config.order": _as(_EVERY_FAILURE),
    "services.*.deploy.rollback_config.parallelism": _as(_EVERY_FAILURE),
    "services.*.deploy.update_config": _yes(),
    "services.*.deploy.update_config.delay": _as("all new replicas start beside the old ones, so there are no batches"),
    "services.*.deploy.update_config.failure_action": _yes("rollback; other values are refused"),
    "services.*.deploy.update_config.max_failure_ratio": _yes("0; other values are refused"),
    "services.*.deploy.update_config.monitor": _yes("watched this long after the switch, the old replicas still up"),
    "services.*.deploy.update_config.order": _yes("without it: start-first with routes, else stop-first"),
    "services.*.deploy.update_config.parallelism": _as("all new replicas start at once, beside the old ones"),
    "services.*.develop": _as("read by docker compose watch alone; a release does not use it"),
    "services.*.device_cgroup_rules": _yes(),
    "services.*.devices": _yes("short form HOST[:CONTAINER[:rwm]]"),
    "services.*.dns": _yes(),
    "services.*.dns_opt": _yes(),
    "services.*.dns_search": _yes(),
    "services.*.domainname": _yes(),
    "services.*.driver_opts": _no("put it under the service's network"),
    "services.*.entrypoint": _yes(),
    "services.*.env_file": _yes("read beside the Compose file on the controller"),
    "services.*.env_file[].path": _yes(),
    "services.*.env_file[].required": _yes(),
    "services.*.env_file[].format": _yes("raw: values are taken as they stand"),
    "services.*.environment": _yes(),
    "services.*.expose": _yes(),
    "services.*.extends": _no("write the merged service, or share parts by YAML anchors"),
    "services.*.external_links": _no("put both on one network"),
    "services.*.extra_hosts": _yes(),
    "services.*.gpus": _no("GPUs are not handed out; remove it"),
    "services.*.group_add": _yes(),
    "services.*.healthcheck": _yes(),
    "services.*.healthcheck.disable": _yes(),
    "services.*.healthcheck.interval": _yes(),
    "services.*.healthcheck.retries": _yes(),
    "services.*.healthcheck.start_interval": _as("set on Docker 25 and newer; older engines probe by interval"),
    "services.*.healthcheck.start_period": _yes(),
    "services.*.healthcheck.test": _yes(),
    "services.*.healthcheck.timeout": _yes(),
    "services.*.hostname": _yes(),
    "services.*.image": _yes(),
    "services.*.init": _yes(),
    "services.*.ipc": _yes("host, private, shareable, none"),
    "services.*.isolation": _no(_WINDOWS),
    "services.*.label_file": _no("write them under labels"),
    "services.*.labels": _yes(),
    "services.*.links": _no("services on one network find each other by name; remove it"),
    "services.*.logging": _yes(),
    "services.*.logging.driver": _yes(),
    "services.*.logging.options": _yes(),
    "services.*.mac_address": _yes("rolled stop-first"),
    "services.*.mem_limit": _yes("the same as deploy.resources.limits.memory"),
    "services.*.mem_reservation": _yes("the same as deploy.resources.reservations.memory"),
    "services.*.mem_swappiness": _yes(),
    "services.*.memswap_limit": _yes(),
    "services.*.models": _no("model runners are not deployed; remove it"),
    "services.*.network_mode": _yes("host or none"),
    "services.*.networks": _yes(),
    "services.*.networks.*": _yes(),
    "services.*.networks.*.aliases": _yes(),
    "services.*.networks.*.driver_opts": _no("Docker 20.10 has none for an endpoint; remove it"),
    "services.*.networks.*.gw_priority": _no("needs Docker 28; use priority"),
    "services.*.networks.*.interface_name": _no("needs Docker 28; remove it"),
    "services.*.networks.*.ipv4_address": _yes("one replica, rolled stop-first"),
    "services.*.networks.*.ipv6_address": _yes("one replica, rolled stop-first"),
    "services.*.networks.*.link_local_ips": _yes(),
    "services.*.networks.*.mac_address": _no("needs Docker 25; use the service's mac_address"),
    "services.*.networks.*.priority": _yes("the highest one is joined first"),
    "services.*.oom_kill_disable": _yes(),
    "services.*.oom_score_adj": _yes(),
    "services.*.pid": _yes("host"),
    "services.*.pids_limit": _yes("the same as deploy.resources.limits.pids"),
    "services.*.platform": _no("the host's own platform is pulled; remove it"),
    "services.*.ports": _yes("rolled stop-first: a host port cannot be bound twice"),
    "services.*.ports[].target": _yes(),
    "services.*.ports[].published": _yes("must be given: the firewall declares host ports"),
    "services.*.ports[].protocol": _yes(),
    "services.*.ports[].host_ip": _yes(),
    "services.*.ports[].mode": _as("one host: host and ingress are the same"),
    "services.*.ports[].name": _as("for people; sets nothing"),
    "services.*.ports[].app_protocol": _as("for people; sets nothing"),
    "services.*.post_start": _no("use x-slipway.after_release"),
    "services.*.pre_stop": _no("handle the stop signal in the image"),
    "services.*.privileged": _yes(),
    "services.*.profiles": _no("a release runs all services; put optional ones into a file of their own"),
    "services.*.provider": _no("providers are not run; remove it"),
    "services.*.pull_policy": _yes("always, missing, if_not_present, never"),
    "services.*.pull_refresh_after": _no("use pull_policy: always"),
    "services.*.read_only": _yes(),
    "services.*.restart": _yes(),
    "services.*.runtime": _yes(),
    "services.*.scale": _as("deploy.replicas"),
    "services.*.secrets": _yes("a file under /var/lib/slipway, mounted read-only"),
    "services.*.secrets[].source": _yes(),
    "services.*.secrets[].target": _yes(),
    "services.*.secrets[].uid": _yes(),
    "services.*.secrets[].gid": _yes(),
    "services.*.secrets[].mode": _yes(),
    "services.*.security_opt": _yes(),
    "services.*.shm_size": _yes(),
    "services.*.stdin_open": _yes(),
    "services.*.stop_grace_period": _yes(),
    "services.*.stop_signal": _yes(),
    "services.*.storage_opt": _yes(),
    "services.*.sysctls": _yes(),
    "services.*.tmpfs": _yes(),
    "services.*.tty": _yes(),
    "services.*.ulimits": _yes(),
    "services.*.ulimits.*": _yes(),
    "services.*.ulimits.*.soft": _yes(),
    "services.*.ulimits.*.hard": _yes(),
    "services.*.use_api_socket": _no("the engine's socket is the whole host; mount it by hand if it must be"),
    "services.*.user": _yes(),
    "services.*.userns_mode": _yes(),
    "services.*.uts": _yes("host"),
    "services.*.volumes": _yes(),
    "services.*.volumes[].type": _yes("volume, bind, tmpfs"),
    "services.*.volumes[].source": _yes(),
    "services.*.volumes[].target": _yes(),
    "services.*.volumes[].read_only": _yes(),
    "services.*.volumes[].consistency": _as("has an effect on desktop engines only"),
    "services.*.volumes[].bind": _yes(),
    "services.*.volumes[].bind.propagation": _yes(),
    "services.*.volumes[].bind.create_host_path": _yes("false: the path must exist on the host"),
    "services.*.volumes[].bind.recursive": _no("needs Docker 25; remove it"),
    "services.*.volumes[].bind.selinux": _no("Debian and Ubuntu hosts have no SELinux labels; remove it"),
    "services.*.volumes[].image": _no("image mounts need Docker 28; remove it"),
    "services.*.volumes[].tmpfs": _yes(),
    "services.*.volumes[].tmpfs.size": _yes(),
    "services.*.volumes[].tmpfs.mode": _yes(),
    "services.*.volumes[].volume": _yes(),
    "services.*.volumes[].volume.labels": _no("label the volume at the top level"),
    "services.*.volumes[].volume.nocopy": _yes(),
    "services.*.volumes[].volume.subpath": _no("needs Docker 26; use a volume of its own"),
    "services.*.volumes_from": _no("name the volume in both services"),
    "services.*.working_dir": _yes(),
    "services.*.x-slipway": _yes(),
    "services.*.x-slipway.after_release": _yes("run in every new replica, after the switch"),
    "services.*.x-slipway.backup": _yes(),
    "services.*.x-slipway.database": _yes(),
    "services.*.x-slipway.database.kind": _yes("mysql, mariadb, postgresql, redis"),
    "services.*.x-slipway.database.name": _yes(),
    "services.*.x-slipway.database.user": _yes(),
    "services.*.x-slipway.database.password_variable": _yes("the name of a variable of the service's environment"),
    "services.*.x-slipway.indexes": _yes("table: {index: [columns]}; created when missing"),
    "services.*.x-slipway.migrate": _yes("run once from the new image, before the switch"),
    "services.*.x-slipway.routes": _yes(),
    "services.*.x-slipway.routes[].access_log": _yes(),
    "services.*.x-slipway.routes[].host": _yes(),
    "services.*.x-slipway.routes[].max_body": _yes("1m without it"),
    "services.*.x-slipway.routes[].path": _yes("/ without it"),
    "services.*.x-slipway.routes[].port": _yes("the container's port"),
    "services.*.x-slipway.routes[].requests_per_minute": _yes("0 or nothing: no limit"),
    "services.*.x-slipway.routes[].timeout": _yes("60s without it"),
    "services.*.x-slipway.routes[].websocket": _yes(),
    "services.*.x-slipway.watch": _yes("judges the answers of new replicas for the time of update_config.monitor"),
    "services.*.x-slipway.watch.error_ratio": _yes("0.05 without it: answers of 500 and above among all"),
    "services.*.x-slipway.watch.minimum_errors": _yes("5 without it: fewer errors than these are not judged"),
    "services.*.x-slipway.watch.p95": _yes("no limit without it; judged from 20 answers on"),
    "networks": _yes(),
    "networks.*": _yes(),
    "networks.*.attachable": _yes(),
    "networks.*.driver": _yes(),
    "networks.*.driver_opts": _yes(),
    "networks.*.enable_ipv4": _no("needs Docker 28; remove it"),
    "networks.*.enable_ipv6": _yes(),
    "networks.*.external": _yes("must exist on the host"),
    "networks.*.internal": _yes(),
    "networks.*.ipam": _yes(),
    "networks.*.ipam.config": _yes(),
    "networks.*.ipam.config[].subnet": _yes(),
    "networks.*.ipam.config[].ip_range": _yes(),
    "networks.*.ipam.config[].gateway": _yes(),
    "networks.*.ipam.config[].aux_addresses": _yes(),
    "networks.*.ipam.driver": _yes(),
    "networks.*.ipam.options": _yes(),
    "networks.*.labels": _yes(),
    "networks.*.name": _yes(),
    "volumes": _yes(),
    "volumes.*": _yes(),
    "volumes.*.driver": _yes(),
    "volumes.*.driver_opts": _yes(),
    "volumes.*.external": _yes("must exist on the host"),
    "volumes.*.labels": _yes(),
    "volumes.*.name": _yes(),
    "configs": _yes(),
    "configs.*": _yes(),
    "configs.*.content": _yes(),
    "configs.*.environment": _yes(),
    "configs.*.external": _no("no other place holds configs here; use file, content or environment"),
    "configs.*.file": _yes("read beside the Compose file on the controller"),
    "configs.*.labels": _as("a file carries no labels"),
    "configs.*.name": _as("files are named by their content"),
    "configs.*.template_driver": _no("write the final text"),
    "secrets": _yes(),
    "secrets.*": _yes(),
    "secrets.*.driver": _no("use file or environment"),
    "secrets.*.driver_opts": _no("use file or environment"),
    "secrets.*.environment": _yes(),
    "secrets.*.external": _no("no other place holds secrets here; use file or environment"),
    "secrets.*.file": _yes("read beside the Compose file on the controller"),
    "secrets.*.labels": _as("a file carries no labels"),
    "secrets.*.name": _as("files are named by their content"),
    "secrets.*.template_driver": _no("write the final text"),
    "x-slipway": _yes(),
    "x-slipway.backup": _yes(),
    "x-slipway.backup.volumes": _yes("volumes to back up, by their names in this file"),
}


def _children() -> dict[str, set[str]]:
    tree: dict[str, set[str]] = {}
    for pattern in SUPPORT:
        parent, dot, key = pattern.rpartition(".")
        tree.setdefault(parent if dot else "", set()).add(key)
    return tree


_TREE = _children()


def check(document: Mapping[str, Any], engine: str, problems: Problems) -> None:
    """Add a problem for each key that is unknown or that the engine cannot honour."""
    _walk(document, "", "", engine, problems)


def _walk(value: Any, pattern: str, path: str, engine: str, problems: Problems) -> None:
    if isinstance(value, Mapping):
        known = _TREE.get(pattern)
        if known is None:
            return
        for key, child in value.items():
            here = f"{path}.{key}" if path else str(key)
            if not isinstance(key, str):
                problems.add(here, f"the key {key!r} is not a text", "put it in quotes")
            elif "*" in known:
                _walk(child, f"{pattern}.*", here, engine, problems)
            elif key in known:
                below = f"{pattern}.{key}" if pattern else key
                verdict = SUPPORT[below].on(engine)
                if verdict.kind == REFUSED:
                    problems.add(here, f"not supported on {engine}", verdict.reason)
                else:
                    _walk(child, below, here, engine, problems)
            elif not key.startswith("x-"):
                problems.add(here, "unknown key", did_you_mean(key, known))
            elif "slipway" in key:
                problems.add(here, "unknown key", did_you_mean(key, ["x-slipway"]))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            _walk(child, f"{pattern}[]", f"{path}[{index}]", engine, problems)


def verdict(pattern: str, engine: str) -> Verdict:
    """What the engine does with the attribute, e.g. `services.*.ports`."""
    return SUPPORT[pattern].on(engine)
