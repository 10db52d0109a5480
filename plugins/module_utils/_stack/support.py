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
    swarm: Verdict
    ecs: Verdict = Verdict(UNJUDGED, "this engine is not built yet")

    def on(self, engine: str) -> Verdict:
        return {"compose": self.compose, "swarm": self.swarm, "ecs": self.ecs}[engine]


def honoured(reason: str = "") -> Verdict:
    return Verdict(HONOURED, reason)


def translated(reason: str) -> Verdict:
    return Verdict(TRANSLATED, reason)


def refused(reason: str) -> Verdict:
    return Verdict(REFUSED, reason)


def _on(compose: Verdict, swarm: Verdict | None) -> Support:
    return Support(compose, compose if swarm is None else swarm)


def _yes(reason: str = "", swarm: Verdict | None = None) -> Support:
    """Honoured on one host, and on a Swarm as well unless it says otherwise."""
    return _on(honoured(reason), swarm)


def _as(reason: str, swarm: Verdict | None = None) -> Support:
    return _on(translated(reason), swarm)


def _no(reason: str, swarm: Verdict | None = None) -> Support:
    return _on(refused(reason), swarm)


def _with(parent: str, keys: str, support: Support) -> dict[str, Support]:
    """Keys that share their parent's verdict."""
    return {f"{parent}.{key}": support for key in keys.split()}


_HOST_DATA = "backups and indexes reach the containers of one host; run the database in a stack on a Compose host"
_NO_COLOURS = "blue-green is for Compose hosts: on a Swarm nothing would end the old colour"
_WINDOWS = "only Windows containers know it; remove it"
_ONE_NODE = "there is one node, and everything runs on it"
_ONE_HOST = "one host has nothing to schedule; remove it"
_EVERY_FAILURE = "every failed release returns to the old version, so it has no effect of its own"
_NOT_IN_A_TASK = "Swarm's tasks do not have it; remove it, or run the service on a Compose host"
_BLKIO = _no("block I/O limits are not set; remove it")
_DEVELOP = _as("read by docker compose watch alone; a release does not use it")
_GPU = _no("GPUs are not handed out; remove it")
_HOOK_START = _no(
    "use x-slipway.after_release", refused("nothing can be run inside a task; do it in the image's entrypoint")
)
_HOOK_STOP = _no("handle the stop signal in the image")
_INCLUDE = _no("one file says what the system is; write its services here")
_EXTENDS = _no("write the merged service, or share parts by YAML anchors")
_MODELS = _no("model runners are not deployed; remove it")
_PROVIDER = _no("providers are not run; remove it")
_CREDENTIALS = _no(_WINDOWS)
_HOOK_KEYS = "command environment privileged user working_dir"
_DEVICE_KEYS = "capabilities count device_ids driver options"

SUPPORT: dict[str, Support] = {
    "version": _as("obsolete in the specification and without effect"),
    "name": _yes("the stack's name, unless stack_name says another"),
    "include": _INCLUDE,
    **_with("include[]", "path env_file project_directory", _INCLUDE),
    "models": _MODELS,
    "models.*": _MODELS,
    **_with("models.*", "name model context_size runtime_flags", _MODELS),
    "services": _yes(),
    "services.*": _yes(),
    "services.*.annotations": _no("Docker 20.10 has none; use labels"),
    "services.*.attach": _as("a release has no foreground; docker logs shows every service"),
    "services.*.blkio_config": _BLKIO,
    **_with(
        "services.*.blkio_config",
        "weight weight_device device_read_bps device_read_iops device_write_bps device_write_iops",
        _BLKIO,
    ),
    **_with("services.*.blkio_config.weight_device[]", "path weight", _BLKIO),
    **_with("services.*.blkio_config.device_read_bps[]", "path rate", _BLKIO),
    **_with("services.*.blkio_config.device_read_iops[]", "path rate", _BLKIO),
    **_with("services.*.blkio_config.device_write_bps[]", "path rate", _BLKIO),
    **_with("services.*.blkio_config.device_write_iops[]", "path rate", _BLKIO),
    "services.*.build": _yes("built and pushed by playbooks/build.yml; image: beside it is its name"),
    "services.*.build.additional_contexts": _no("put what the build needs into its context"),
    **_with("services.*.build", "args dockerfile dockerfile_inline labels network no_cache pull target", _yes()),
    "services.*.build.cache_from": _yes("names of images"),
    "services.*.build.cache_to": _no("what is pushed is the image; name it in cache_from"),
    "services.*.build.context": _yes("a directory on the controller, from the Compose file"),
    **_with("services.*.build", "entitlements privileged", _no("a build gets no rights beyond its sandbox; remove it")),
    **_with("services.*.build", "extra_hosts shm_size", _yes()),
    "services.*.build.isolation": _no(_WINDOWS),
    "services.*.build.no_cache_filter": _no("use no_cache"),
    "services.*.build.platforms": _yes("one; the hosts' own without it"),
    **_with("services.*.build", "provenance sbom", _no("the image is pushed alone; attach and sign by cosign")),
    **_with("services.*.build", "secrets ssh", _no("a build has neither; fetch what needs them before it")),
    "services.*.build.tags": _no("image is its name, and its content gives it another"),
    "services.*.build.ulimits": _no("a build has the engine's own; remove it"),
    "services.*.cap_add": _yes(),
    "services.*.cap_drop": _yes(),
    "services.*.cgroup": _yes(swarm=refused(_NOT_IN_A_TASK)),
    "services.*.cgroup_parent": _yes(swarm=refused(_NOT_IN_A_TASK)),
    "services.*.command": _yes(),
    "services.*.configs": _yes(
        "a file under /var/lib/slipway, mounted read-only", swarm=honoured("a config of the Swarm")
    ),
    "services.*.configs[].source": _yes(),
    "services.*.configs[].target": _yes(),
    "services.*.configs[].uid": _yes(),
    "services.*.configs[].gid": _yes(),
    "services.*.configs[].mode": _yes(),
    "services.*.container_name": _yes(
        "one replica, rolled stop-first", swarm=refused("Swarm names the containers of its tasks; remove it")
    ),
    "services.*.cpu_count": _no(_WINDOWS),
    "services.*.cpu_percent": _no(_WINDOWS),
    "services.*.cpu_period": _yes(swarm=refused(_NOT_IN_A_TASK)),
    "services.*.cpu_quota": _yes(swarm=refused(_NOT_IN_A_TASK)),
    "services.*.cpu_rt_period": _no("real-time scheduling is not set; remove it"),
    "services.*.cpu_rt_runtime": _no("real-time scheduling is not set; remove it"),
    "services.*.cpu_shares": _yes(swarm=refused(_NOT_IN_A_TASK)),
    "services.*.cpus": _yes("the same as deploy.resources.limits.cpus"),
    "services.*.cpuset": _yes(swarm=refused(_NOT_IN_A_TASK)),
    "services.*.credential_spec": _CREDENTIALS,
    **_with("services.*.credential_spec", "config file registry", _CREDENTIALS),
    "services.*.depends_on": _yes("order of start and condition"),
    "services.*.depends_on.*": _yes(),
    "services.*.depends_on.*.condition": _yes(),
    "services.*.depends_on.*.required": _yes(),
    "services.*.depends_on.*.restart": _as("the service is rolled when the other one changes"),
    "services.*.deploy": _yes(),
    "services.*.deploy.endpoint_mode": _as(
        "containers find each other by DNS, as with dnsrr",
        swarm=translated("dnsrr always: a virtual address would keep requests on tasks that stop"),
    ),
    "services.*.deploy.labels": _no(
        "there is no service object to carry them; use labels", swarm=honoured("labels of the service")
    ),
    "services.*.deploy.mode": _as(
        "global is one replica on one host; jobs are services others wait for",
        swarm=honoured("replicated and global; jobs are services others wait for"),
    ),
    "services.*.deploy.placement": _as(_ONE_NODE, swarm=honoured()),
    "services.*.deploy.placement.constraints": _as(_ONE_NODE, swarm=honoured("== and != over node and engine labels")),
    "services.*.deploy.placement.max_replicas_per_node": _as(_ONE_NODE, swarm=honoured()),
    "services.*.deploy.placement.preferences": _as(_ONE_NODE, swarm=honoured()),
    "services.*.deploy.placement.preferences[].spread": _as(_ONE_NODE, swarm=honoured()),
    "services.*.deploy.replicas": _yes(),
    "services.*.deploy.resources": _yes(),
    "services.*.deploy.resources.limits": _yes(),
    "services.*.deploy.resources.limits.cpus": _yes(),
    "services.*.deploy.resources.limits.memory": _yes(),
    "services.*.deploy.resources.limits.pids": _yes(),
    "services.*.deploy.resources.reservations": _yes(),
    "services.*.deploy.resources.reservations.cpus": _as(
        "one host has nothing to schedule, so it sets nothing", swarm=honoured()
    ),
    "services.*.deploy.resources.reservations.devices": _no(
        "devices are given by devices:",
        swarm=refused("Swarm hands out devices as generic_resources that its nodes offer; use these"),
    ),
    **_with(
        "services.*.deploy.resources.reservations.devices[]",
        _DEVICE_KEYS,
        _no(
            "devices are given by devices:",
            swarm=refused("Swarm hands out devices as generic_resources that its nodes offer; use these"),
        ),
    ),
    "services.*.deploy.resources.reservations.generic_resources": _no(_ONE_HOST, swarm=honoured()),
    "services.*.deploy.resources.reservations.generic_resources[].discrete_resource_spec": _no(
        _ONE_HOST, swarm=honoured()
    ),
    **_with(
        "services.*.deploy.resources.reservations.generic_resources[].discrete_resource_spec",
        "kind value",
        _no(_ONE_HOST, swarm=honoured()),
    ),
    "services.*.deploy.resources.reservations.memory": _yes(
        "the engine's soft limit", swarm=honoured("kept free on the node")
    ),
    "services.*.deploy.restart_policy": _as("the engine's restart policy", swarm=honoured()),
    "services.*.deploy.restart_policy.condition": _as(
        "any: unless-stopped, on-failure: on-failure, none: no", swarm=honoured("any without it")
    ),
    "services.*.deploy.restart_policy.delay": _no("the engine backs off by itself; remove it", swarm=honoured()),
    "services.*.deploy.restart_policy.max_attempts": _as("on-failure:N", swarm=honoured()),
    "services.*.deploy.restart_policy.window": _no("the engine decides by itself; remove it", swarm=honoured()),
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
    "services.*.develop": _DEVELOP,
    "services.*.develop.watch": _DEVELOP,
    **_with("services.*.develop.watch[]", "action exec ignore include initial_sync path target", _DEVELOP),
    **_with("services.*.develop.watch[].exec", _HOOK_KEYS, _DEVELOP),
    "services.*.device_cgroup_rules": _yes(swarm=refused(_NOT_IN_A_TASK)),
    "services.*.devices": _yes("HOST[:CONTAINER[:rwm]] or the long form", swarm=refused(_NOT_IN_A_TASK)),
    **_with("services.*.devices[]", "source target permissions", _yes(swarm=refused(_NOT_IN_A_TASK))),
    "services.*.dns": _yes(),
    "services.*.dns_opt": _yes(),
    "services.*.dns_search": _yes(),
    "services.*.domainname": _yes(swarm=refused("Swarm sets host names alone; write the whole name under hostname")),
    "services.*.driver_opts": _no("put it under the service's network"),
    "services.*.entrypoint": _yes(swarm=honoured("but not an empty one: Swarm would run the image's own")),
    "services.*.env_file": _yes("read beside the Compose file on the controller"),
    "services.*.env_file[].path": _yes(),
    "services.*.env_file[].required": _yes(),
    "services.*.env_file[].format": _yes("raw: values are taken as they stand"),
    "services.*.environment": _yes(swarm=honoured("{{.Node…}}, {{.Service…}} and {{.Task…}} are filled in by Swarm")),
    "services.*.expose": _yes(swarm=translated("without effect: what shares a network reaches every port")),
    "services.*.extends": _EXTENDS,
    **_with("services.*.extends", "service file", _EXTENDS),
    "services.*.external_links": _no("put both on one network"),
    "services.*.extra_hosts": _yes(),
    "services.*.gpus": _GPU,
    **_with("services.*.gpus[]", _DEVICE_KEYS, _GPU),
    "services.*.group_add": _yes(),
    "services.*.healthcheck": _yes(),
    "services.*.healthcheck.disable": _yes(),
    "services.*.healthcheck.interval": _yes(),
    "services.*.healthcheck.retries": _yes(),
    "services.*.healthcheck.start_interval": _as(
        "set on Docker 25 and newer; older engines probe by interval",
    ),
    "services.*.healthcheck.start_period": _yes(),
    "services.*.healthcheck.test": _yes(),
    "services.*.healthcheck.timeout": _yes(),
    "services.*.hostname": _yes(swarm=honoured("{{.Node…}}, {{.Service…}} and {{.Task…}} are filled in by Swarm")),
    "services.*.image": _yes(),
    "services.*.init": _yes(),
    "services.*.ipc": _yes("host, private, shareable, none", swarm=refused(_NOT_IN_A_TASK)),
    "services.*.isolation": _no(_WINDOWS),
    "services.*.label_file": _no("write them under labels"),
    "services.*.labels": _yes(),
    "services.*.links": _no("services on one network find each other by name; remove it"),
    "services.*.logging": _yes(),
    "services.*.logging.driver": _yes(),
    "services.*.logging.options": _yes(),
    "services.*.mac_address": _yes("rolled stop-first", swarm=refused(_NOT_IN_A_TASK)),
    "services.*.mem_limit": _yes("the same as deploy.resources.limits.memory"),
    "services.*.mem_reservation": _yes("the same as deploy.resources.reservations.memory"),
    "services.*.mem_swappiness": _yes(swarm=refused(_NOT_IN_A_TASK)),
    "services.*.memswap_limit": _yes(swarm=refused(_NOT_IN_A_TASK)),
    "services.*.models": _MODELS,
    "services.*.models.*": _MODELS,
    **_with("services.*.models.*", "endpoint_var model_var", _MODELS),
    "services.*.network_mode": _yes("host or none", swarm=honoured("host")),
    "services.*.networks": _yes(),
    "services.*.networks.*": _yes(),
    "services.*.networks.*.aliases": _yes(),
    "services.*.networks.*.driver_opts": _no("Docker 20.10 has none for an endpoint; remove it"),
    "services.*.networks.*.gw_priority": _no(
        "needs Docker 28; use priority", swarm=refused("needs Docker 28; remove it")
    ),
    "services.*.networks.*.interface_name": _no("needs Docker 28; remove it"),
    "services.*.networks.*.ipv4_address": _yes(
        "one replica, rolled stop-first",
        swarm=refused("Swarm chooses the addresses of its tasks; use the service's name"),
    ),
    "services.*.networks.*.ipv6_address": _yes(
        "one replica, rolled stop-first",
        swarm=refused("Swarm chooses the addresses of its tasks; use the service's name"),
    ),
    "services.*.networks.*.link_local_ips": _yes(swarm=refused(_NOT_IN_A_TASK)),
    "services.*.networks.*.mac_address": _no(
        "needs Docker 25; use the service's mac_address", swarm=refused(_NOT_IN_A_TASK)
    ),
    "services.*.networks.*.priority": _yes("the highest one is joined first", swarm=refused(_NOT_IN_A_TASK)),
    "services.*.oom_kill_disable": _yes(swarm=refused(_NOT_IN_A_TASK)),
    "services.*.oom_score_adj": _yes(swarm=refused(_NOT_IN_A_TASK)),
    "services.*.pid": _yes("host", swarm=refused(_NOT_IN_A_TASK)),
    "services.*.pids_limit": _yes("the same as deploy.resources.limits.pids"),
    "services.*.platform": _no(
        "the host's own platform is pulled; remove it", swarm=translated("only nodes of this platform run its tasks")
    ),
    "services.*.ports": _yes("rolled stop-first: a host port cannot be bound twice"),
    "services.*.ports[].target": _yes(),
    "services.*.ports[].published": _yes("must be given: the firewall declares host ports"),
    "services.*.ports[].protocol": _yes(),
    "services.*.ports[].host_ip": _yes(
        swarm=refused("Swarm publishes on every address of the node; remove it and let the firewall decide")
    ),
    "services.*.ports[].mode": _as(
        "one host: host and ingress are the same",
        swarm=honoured("host, and it must be said: ingress sends requests to tasks that stop"),
    ),
    "services.*.ports[].name": _as("for people; sets nothing"),
    "services.*.ports[].app_protocol": _as("for people; sets nothing"),
    "services.*.post_start": _HOOK_START,
    **_with("services.*.post_start[]", _HOOK_KEYS, _HOOK_START),
    "services.*.pre_stop": _HOOK_STOP,
    **_with("services.*.pre_stop[]", _HOOK_KEYS, _HOOK_STOP),
    "services.*.privileged": _yes(swarm=refused(_NOT_IN_A_TASK)),
    "services.*.profiles": _no("a release runs all services; put optional ones into a file of their own"),
    "services.*.provider": _PROVIDER,
    **_with("services.*.provider", "type options", _PROVIDER),
    "services.*.pull_policy": _yes(
        "always, missing, if_not_present, never",
        swarm=translated("each release resolves the digest once, and every node runs that; never is refused"),
    ),
    "services.*.pull_refresh_after": _no("use pull_policy: always"),
    "services.*.read_only": _yes(),
    "services.*.restart": _as(
        "always is unless-stopped: what a release has stopped must not come back with the engine, beside its successor",
        swarm=honoured("without it any: else the tasks of a lost node would stay lost"),
    ),
    "services.*.runtime": _yes(swarm=refused(_NOT_IN_A_TASK)),
    "services.*.scale": _as("deploy.replicas"),
    "services.*.secrets": _yes(
        "a file under /var/lib/slipway, mounted read-only", swarm=honoured("a secret of the Swarm, in memory")
    ),
    "services.*.secrets[].source": _yes(),
    "services.*.secrets[].target": _yes(),
    "services.*.secrets[].uid": _yes(),
    "services.*.secrets[].gid": _yes(),
    "services.*.secrets[].mode": _yes(),
    "services.*.security_opt": _yes(
        swarm=honoured("no-new-privileges, seccomp=unconfined, apparmor=unconfined; from Docker 25 on")
    ),
    "services.*.shm_size": _yes(swarm=translated("a tmpfs of this size on /dev/shm")),
    "services.*.stdin_open": _yes(),
    "services.*.stop_grace_period": _yes(),
    "services.*.stop_signal": _yes(),
    "services.*.storage_opt": _yes(swarm=refused(_NOT_IN_A_TASK)),
    "services.*.sysctls": _yes(),
    "services.*.tmpfs": _yes(swarm=translated("a tmpfs mount, with the options size and mode")),
    "services.*.tty": _yes(),
    "services.*.ulimits": _yes(),
    "services.*.ulimits.*": _yes(),
    "services.*.ulimits.*.soft": _yes(),
    "services.*.ulimits.*.hard": _yes(),
    "services.*.use_api_socket": _no("the engine's socket is the whole host; mount it by hand if it must be"),
    "services.*.user": _yes(),
    "services.*.userns_mode": _yes(swarm=refused(_NOT_IN_A_TASK)),
    "services.*.uts": _yes("host", swarm=refused(_NOT_IN_A_TASK)),
    "services.*.volumes": _yes(),
    "services.*.volumes[].type": _yes("volume, bind, tmpfs"),
    "services.*.volumes[].source": _yes(
        swarm=honoured(
            "a local volume or a path pins the service, unless it is global: placement.constraints say where"
        )
    ),
    "services.*.volumes[].target": _yes(),
    "services.*.volumes[].read_only": _yes(),
    "services.*.volumes[].consistency": _as("has an effect on desktop engines only"),
    "services.*.volumes[].bind": _yes(),
    "services.*.volumes[].bind.propagation": _yes(),
    "services.*.volumes[].bind.create_host_path": _yes(
        "false: the path must exist on the host", swarm=honoured("false: Swarm never creates it")
    ),
    "services.*.volumes[].bind.recursive": _no("needs Docker 25; remove it"),
    "services.*.volumes[].bind.selinux": _no("Debian and Ubuntu hosts have no SELinux labels; remove it"),
    "services.*.volumes[].image": _no("image mounts need Docker 28; remove it"),
    "services.*.volumes[].image.subpath": _no("image mounts need Docker 28; remove it"),
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
    "services.*.x-slipway.after_release": _yes(
        "run in every new replica, after the switch",
        swarm=refused("nothing can be run inside a task on another node; do it in the entrypoint or in migrate"),
    ),
    "services.*.x-slipway.backup": _yes(swarm=refused(_HOST_DATA)),
    "services.*.x-slipway.canary": _yes("shares of the requests, with strategy: canary"),
    "services.*.x-slipway.canary.cookie": _yes("NAME=VALUE: who sends it gets the new version from the first step on"),
    "services.*.x-slipway.canary.header": _yes("NAME=VALUE: who sends it gets the new version from the first step on"),
    "services.*.x-slipway.canary.steps": _yes("10 % and 50 % for a minute each without it"),
    "services.*.x-slipway.canary.steps[].for": _yes("how long the share is watched before the next one"),
    "services.*.x-slipway.canary.steps[].percent": _yes(
        "of the clients, told apart by their addresses; 0: testers only"
    ),
    "services.*.x-slipway.database": _yes(swarm=refused(_HOST_DATA)),
    "services.*.x-slipway.database.dump": _yes(
        "true: each point holds the data as SQL as well, for another version or to be read", swarm=refused(_HOST_DATA)
    ),
    "services.*.x-slipway.database.kind": _yes("mysql, mariadb, postgresql, redis", swarm=refused(_HOST_DATA)),
    "services.*.x-slipway.database.name": _yes(swarm=refused(_HOST_DATA)),
    "services.*.x-slipway.database.user": _yes(swarm=refused(_HOST_DATA)),
    "services.*.x-slipway.database.password_variable": _yes(
        "the name of a variable of the service's environment", swarm=refused(_HOST_DATA)
    ),
    "services.*.x-slipway.indexes": _yes("table: {index: [columns]}; created when missing", swarm=refused(_HOST_DATA)),
    "services.*.x-slipway.keep_old": _yes(
        "10m without it: how long the old colour stands, with strategy: blue-green", swarm=refused(_NO_COLOURS)
    ),
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
    "services.*.x-slipway.single": _yes(
        "runs once over all hosts of the stack, never two during a release: stop-first",
        honoured("never two during a release: stop-first; a node that is cut off may still run the old one"),
    ),
    "services.*.x-slipway.strategy": _yes(
        "rolling, blue-green, canary, recreate; rolling without it",
        swarm=honoured("rolling, canary, recreate; rolling without it"),
    ),
    "services.*.x-slipway.watch": _yes(
        "judges the answers of new replicas at each share and for update_config.monitor"
    ),
    "services.*.x-slipway.watch.error_ratio": _yes("0.05 without it: answers of 500 and above among all"),
    "services.*.x-slipway.watch.minimum_answers": _yes("20 without it: from fewer, no times are judged or compared"),
    "services.*.x-slipway.watch.minimum_errors": _yes("5 without it: fewer errors than these are not judged"),
    "services.*.x-slipway.watch.more_errors": _yes("0.02 without it: above the old version's ratio at the same time"),
    "services.*.x-slipway.watch.p95": _yes("no limit without it"),
    "services.*.x-slipway.watch.times_slower": _yes(
        "2 without it: the p95, against the old version's at the same time"
    ),
    "networks": _yes(),
    "networks.*": _yes(),
    "networks.*.attachable": _yes(),
    "networks.*.driver": _yes("but not overlay", swarm=honoured("overlay, which is what it is without it")),
    "networks.*.driver_opts": _yes(swarm=honoured('encrypted unless encrypted: "false"')),
    "networks.*.enable_ipv4": _no("needs Docker 28; remove it"),
    "networks.*.enable_ipv6": _yes(
        swarm=refused(
            "each node of a Swarm gives out these addresses by itself, and two tasks may get the same; remove it"
        )
    ),
    "networks.*.external": _yes("must exist on the host", swarm=honoured("must be an overlay of the Swarm")),
    "networks.*.external.name": _no("write external: true, and name: beside it"),
    "networks.*.internal": _yes(),
    "networks.*.ipam": _yes(),
    "networks.*.ipam.config": _yes(),
    "networks.*.ipam.config[].subnet": _yes(),
    "networks.*.ipam.config[].ip_range": _yes(),
    "networks.*.ipam.config[].gateway": _yes(),
    "networks.*.ipam.config[].aux_addresses": _yes(swarm=refused("Swarm forgets them; leave room by ip_range")),
    "networks.*.ipam.driver": _yes(),
    "networks.*.ipam.options": _yes(swarm=refused("Swarm forgets them; remove it")),
    "networks.*.labels": _yes(),
    "networks.*.name": _yes(),
    "volumes": _yes(),
    "volumes.*": _yes(),
    "volumes.*.driver": _yes(),
    "volumes.*.driver_opts": _yes(
        swarm=honoured("type nfs and cifs: every node reaches it, so the service is not pinned")
    ),
    "volumes.*.external": _yes(
        "must exist on the host",
        swarm=refused("a node that lacks it would make an empty one in silence; give it by name: and pin the service"),
    ),
    "volumes.*.external.name": _no("write external: true, and name: beside it"),
    "volumes.*.labels": _yes(),
    "volumes.*.name": _yes(),
    "configs": _yes(),
    "configs.*": _yes(),
    "configs.*.content": _yes(),
    "configs.*.environment": _yes(),
    "configs.*.external": _no("no other place holds configs here; use file, content or environment"),
    "configs.*.external.name": _no("no other place holds configs here; use file, content or environment"),
    "configs.*.file": _yes("read beside the Compose file on the controller"),
    "configs.*.labels": _as("a file carries no labels", swarm=honoured()),
    "configs.*.name": _as("files are named by their content", swarm=translated("configs are named by their content")),
    "configs.*.template_driver": _no("write the final text", swarm=honoured("golang")),
    "secrets": _yes(),
    "secrets.*": _yes(),
    "secrets.*.driver": _no("use file or environment"),
    "secrets.*.driver_opts": _no("use file or environment"),
    "secrets.*.environment": _yes(),
    "secrets.*.external": _no("no other place holds secrets here; use file or environment"),
    "secrets.*.external.name": _no("no other place holds secrets here; use file or environment"),
    "secrets.*.file": _yes("read beside the Compose file on the controller"),
    "secrets.*.labels": _as("a file carries no labels", swarm=honoured()),
    "secrets.*.name": _as("files are named by their content", swarm=translated("secrets are named by their content")),
    "secrets.*.template_driver": _no("write the final text", swarm=honoured("golang")),
    "x-slipway": _yes(),
    "x-slipway.backup": _yes(swarm=refused(_HOST_DATA)),
    "x-slipway.backup.volumes": _yes("volumes to back up, by their names in this file", swarm=refused(_HOST_DATA)),
    "x-slipway.canary": _yes("for services that say nothing else"),
    "x-slipway.canary.cookie": _yes(),
    "x-slipway.canary.header": _yes(),
    "x-slipway.canary.steps": _yes(),
    "x-slipway.canary.steps[].for": _yes(),
    "x-slipway.canary.steps[].percent": _yes(),
    "x-slipway.keep_old": _yes("for services that say nothing else", swarm=refused(_NO_COLOURS)),
    "x-slipway.strategy": _yes("for services that say nothing else; one that cannot follow it is rolled"),
    "x-slipway.watch": _yes("for services that say nothing else, limit by limit"),
    "x-slipway.watch.error_ratio": _yes(),
    "x-slipway.watch.minimum_answers": _yes(),
    "x-slipway.watch.minimum_errors": _yes(),
    "x-slipway.watch.more_errors": _yes(),
    "x-slipway.watch.p95": _yes(),
    "x-slipway.watch.times_slower": _yes(),
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
                if verdict.kind in (REFUSED, UNJUDGED):
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
