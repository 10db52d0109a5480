from __future__ import annotations

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._stack import support
from ansible_collections.slipway.ops.plugins.module_utils._stack.problems import Problems

# Every attribute of a service in the Compose Specification.
SERVICE = """
annotations attach build blkio_config cpu_count cpu_percent cpu_shares cpu_period cpu_quota cpu_rt_runtime
cpu_rt_period cpus cpuset cap_add cap_drop cgroup cgroup_parent command configs container_name credential_spec
depends_on deploy develop device_cgroup_rules devices dns dns_opt dns_search domainname entrypoint env_file
environment expose extends external_links extra_hosts gpus group_add healthcheck hostname image init ipc isolation
labels label_file links logging mac_address mem_limit mem_reservation mem_swappiness memswap_limit models
network_mode networks oom_kill_disable oom_score_adj pid pids_limit platform ports post_start pre_stop privileged
profiles provider pull_policy read_only restart runtime scale secrets security_opt shm_size stdin_open
stop_grace_period stop_signal storage_opt sysctls tmpfs tty ulimits use_api_socket user userns_mode uts volumes
volumes_from working_dir
"""


@pytest.mark.parametrize("attribute", SERVICE.split())
def test_every_attribute_of_a_service_has_its_verdict(attribute: str) -> None:
    for engine in ("compose", "swarm"):
        verdict = support.verdict(f"services.*.{attribute}", engine)
        assert verdict.kind in (support.HONOURED, support.TRANSLATED, support.REFUSED)


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
