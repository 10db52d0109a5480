from __future__ import annotations

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._stack import support
from ansible_collections.slipway.ops.plugins.module_utils._stack.problems import Problems

# Every key of the Compose Specification, as its JSON schema has them (compose-go, late 2025, and what Compose's own
# documentation has beyond it): the place, and the keys there.
HOOK = "command user privileged working_dir environment"
DEVICE = "capabilities count device_ids driver options"
UPDATE = "parallelism delay failure_action monitor max_failure_ratio order"
SPECIFICATION = {
    "": "version name include services models networks volumes secrets configs",
    "include[]": "path env_file project_directory",
    "models.*": "name model context_size runtime_flags",
    "services.*": """
        annotations attach build blkio_config cpu_count cpu_percent cpu_shares cpu_period cpu_quota cpu_rt_runtime
        cpu_rt_period cpus cpuset cap_add cap_drop cgroup cgroup_parent command configs container_name credential_spec
        depends_on deploy develop device_cgroup_rules devices dns dns_opt dns_search domainname entrypoint env_file
        environment expose extends external_links extra_hosts gpus group_add healthcheck hostname image init ipc
        isolation labels label_file links logging mac_address mem_limit mem_reservation mem_swappiness memswap_limit
        models network_mode networks oom_kill_disable oom_score_adj pid pids_limit platform ports post_start pre_stop
        privileged profiles provider pull_policy pull_refresh_after read_only restart runtime scale secrets
        security_opt shm_size stdin_open stop_grace_period stop_signal storage_opt sysctls tmpfs tty ulimits
        use_api_socket user userns_mode uts volumes volumes_from working_dir
    """,
    "services.*.blkio_config": """
        weight weight_device device_read_bps device_read_iops device_write_bps device_write_iops
    """,
    "services.*.blkio_config.weight_device[]": "path weight",
    "services.*.blkio_config.device_read_bps[]": "path rate",
    "services.*.blkio_config.device_read_iops[]": "path rate",
    "services.*.blkio_config.device_write_bps[]": "path rate",
    "services.*.blkio_config.device_write_iops[]": "path rate",
    "services.*.build": """
        context dockerfile dockerfile_inline entitlements args ssh labels cache_from cache_to no_cache no_cache_filter
        additional_contexts network provenance sbom pull target shm_size extra_hosts isolation privileged secrets tags
        ulimits platforms
    """,
    "services.*.configs[]": "source target uid gid mode",
    "services.*.credential_spec": "config file registry",
    "services.*.depends_on.*": "restart required condition",
    "services.*.deploy": """
        mode endpoint_mode replicas labels rollback_config update_config resources restart_policy placement
    """,
    "services.*.deploy.placement": "constraints preferences max_replicas_per_node",
    "services.*.deploy.placement.preferences[]": "spread",
    "services.*.deploy.resources": "limits reservations",
    "services.*.deploy.resources.limits": "cpus memory pids",
    "services.*.deploy.resources.reservations": "cpus memory generic_resources devices",
    "services.*.deploy.resources.reservations.devices[]": DEVICE,
    "services.*.deploy.resources.reservations.generic_resources[]": "discrete_resource_spec",
    "services.*.deploy.resources.reservations.generic_resources[].discrete_resource_spec": "kind value",
    "services.*.deploy.restart_policy": "condition delay max_attempts window",
    "services.*.deploy.rollback_config": UPDATE,
    "services.*.deploy.update_config": UPDATE,
    "services.*.develop": "watch",
    "services.*.develop.watch[]": "ignore include initial_sync path action target exec",
    "services.*.develop.watch[].exec": HOOK,
    "services.*.devices[]": "source target permissions",
    "services.*.env_file[]": "path format required",
    "services.*.extends": "service file",
    "services.*.gpus[]": DEVICE,
    "services.*.healthcheck": "disable interval retries test timeout start_period start_interval",
    "services.*.logging": "driver options",
    "services.*.models.*": "endpoint_var model_var",
    "services.*.networks.*": """
        aliases interface_name ipv4_address ipv6_address link_local_ips mac_address driver_opts priority gw_priority
    """,
    "services.*.ports[]": "name mode host_ip target published protocol app_protocol",
    "services.*.post_start[]": HOOK,
    "services.*.pre_stop[]": HOOK,
    "services.*.provider": "type options",
    "services.*.secrets[]": "source target uid gid mode",
    "services.*.ulimits.*": "soft hard",
    "services.*.volumes[]": "type source target read_only consistency bind volume tmpfs image",
    "services.*.volumes[].bind": "propagation create_host_path recursive selinux",
    "services.*.volumes[].image": "subpath",
    "services.*.volumes[].tmpfs": "size mode",
    "services.*.volumes[].volume": "labels nocopy subpath",
    "networks.*": "name driver driver_opts ipam external internal enable_ipv4 enable_ipv6 attachable labels",
    "networks.*.external": "name",
    "networks.*.ipam": "driver config options",
    "networks.*.ipam.config[]": "subnet ip_range gateway aux_addresses",
    "volumes.*": "name driver driver_opts external labels",
    "volumes.*.external": "name",
    "configs.*": "name content environment file external labels template_driver",
    "configs.*.external": "name",
    "secrets.*": "name environment file external labels driver driver_opts template_driver",
    "secrets.*.external": "name",
}


@pytest.mark.parametrize("place", SPECIFICATION)
def test_every_key_of_the_specification_has_its_verdict(place: str) -> None:
    for key in SPECIFICATION[place].split():
        for engine in ("compose", "swarm"):
            verdict = support.verdict(f"{place}.{key}" if place else key, engine)
            assert verdict.kind in (support.HONOURED, support.TRANSLATED, support.REFUSED)


def test_the_table_has_no_key_that_nobody_specified() -> None:
    there = {f"{place}.{key}" if place else key for place, keys in SPECIFICATION.items() for key in keys.split()}
    ours = {key for key in support.SUPPORT if "x-slipway" not in key and not key.endswith("*")}
    # An old slip that people make, answered with a remedy of its own.
    assert ours - there == {"services.*.driver_opts"}


@pytest.mark.parametrize("pattern", sorted(support.SUPPORT))
@pytest.mark.parametrize("engine", support.ENGINES)
def test_what_is_not_plainly_honoured_says_why(pattern: str, engine: str) -> None:
    verdict = support.verdict(pattern, engine)
    assert verdict.kind == support.HONOURED or verdict.reason


@pytest.mark.parametrize("pattern", sorted(support.SUPPORT))
def test_every_pattern_hangs_below_another(pattern: str) -> None:
    parent = pattern.rpartition(".")[0]
    assert not parent or parent in support.SUPPORT or parent.removesuffix("[]") in support.SUPPORT


def test_engines_not_built_are_said_to_be_so_and_take_nothing() -> None:
    assert support.verdict("services.*.image", "ecs").kind == support.UNJUDGED
    problems = Problems()
    support.check({"services": {"web": {"image": "i:1"}}}, "ecs", problems)
    assert [str(problem) for problem in problems.found] == [
        "services: not supported on ecs; this engine is not built yet"
    ]
