"""ChMS from bare hosts to a Swarm with data nodes, and a release under load. The tests tell one story, in order."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from tests.integration.chms.conftest import DOMAIN, EDGES, HOSTS, Chms
from tests.integration.site.conftest import AUTHORITY, ROOT, Run

OUTPUTS = ROOT / ".cache/chms-runs"
EMAIL = "first@chms.example"
TASKS = (
    "docker ps -q --filter label=com.docker.stack.namespace=chms --filter label=ops.slipway.service={service} | wc -l"
)
LOAD = f"""
rm -f /tmp/chms.*
cat > /tmp/chms.sh <<'END'
while ! [ -e /tmp/chms.stop ]; do
  for edge in {" ".join(EDGES.values())}; do
    curl -s -o /dev/null -w '%{{http_code}}\\n' --max-time 15 --cacert {AUTHORITY} --resolve {DOMAIN}:443:$edge https://{DOMAIN}/api/health
  done
  sleep 0.2
done
END
nohup sh /tmp/chms.sh > /tmp/chms.log 2>&1 < /dev/null &
"""


def keep(name: str, run: Run) -> Run:
    OUTPUTS.mkdir(parents=True, exist_ok=True)
    (OUTPUTS / f"{name}.log").write_text(run.output, encoding="utf-8")
    return run


def until(ready: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, "gave up waiting"
        time.sleep(1)


def test_bare_hosts_become_the_system(chms: Chms) -> None:
    run = keep("first", chms.playbook("site.yml", "--diff"))
    assert {host: run.recap(host)["failed"] for host in HOSTS} == dict.fromkeys(HOSTS, 0)


def test_a_second_run_changes_nothing(chms: Chms) -> None:
    run = keep("second", chms.playbook("site.yml", "--diff"))
    assert {host: run.recap(host)["changed"] for host in HOSTS} == dict.fromkeys(HOSTS, 0), run.output


@pytest.mark.parametrize("edge", EDGES)
def test_requests_through_each_edge_reach_the_backend(chms: Chms, edge: str) -> None:
    health = json.loads(chms.ask("/api/health", edge=edge))
    assert health["status"] == "ok"
    assert health["checks"] == {"database": True, "redis": True, "queue": True, "readers": True}
    for path in ("health", "metrics", "performance"):
        assert json.loads(chms.ask(f"/api/monitoring/{path}", "--fail-with-body", edge=edge))
    headers = chms.ask("/api/version", "-D -", "-o /dev/null", edge=edge).lower()
    assert "strict-transport-security: max-age=" in headers
    assert "x-frame-options: sameorigin" in headers


def test_all_replicas_take_part(chms: Chms) -> None:
    seen = {json.loads(chms.ask("/api/version"))["hostname"] for _time in range(12)}
    assert len(seen) == 3


def test_a_write_lands_on_the_primary_and_is_seen_on_the_replica(chms: Chms) -> None:
    made = json.loads(chms.ask("/api/members", "-X POST", f"""-d '{{"email": "{EMAIL}"}}'"""))
    counted = f"psql -U postgres -Atqc \"SELECT count(*) FROM members WHERE email = '{EMAIL}'\" chms"
    assert chms.container("chms-database", "database", counted).strip() == "1"
    until(lambda: chms.container("chms-replica", "replica", counted).strip() == "1")
    assert made["id"] in [member["id"] for member in json.loads(chms.ask("/api/members?from=reader"))]
    refused = chms.container("chms-replica", "replica", "psql -U postgres -c 'DELETE FROM members' chms 2>&1 || true")
    assert "cannot execute DELETE in a read-only transaction" in refused


def test_workers_take_jobs_over_redis(chms: Chms) -> None:
    def welcomed() -> list[bool]:
        members = json.loads(chms.ask("/api/members?from=primary"))
        return [member["welcomed"] for member in members if member["email"] == EMAIL]

    until(lambda: welcomed() == [True])
    until(lambda: json.loads(chms.ask("/api/queue"))["heartbeat"] is not None)


def test_the_scheduler_runs_exactly_once(chms: Chms) -> None:
    counted = [int(chms.on(edge, TASKS.format(service="scheduler"))) for edge in EDGES]
    assert sum(counted) == 1


def test_the_indexes_exist(chms: Chms) -> None:
    names = chms.container(
        "chms-database", "database", "psql -U postgres -Atqc 'SELECT indexname FROM pg_indexes' chms"
    )
    assert {"idx_members_email", "idx_attendance_service", "idx_families_name", "idx_badges_type"} <= set(names.split())


def test_the_primary_s_backup_is_proven(chms: Chms) -> None:
    made = json.loads(chms.on("chms-database", "slipway backup run --json 2>/dev/null"))
    assert made["rows"] > 0
    drill = json.loads(chms.on("chms-database", "slipway drill --json 2>/dev/null"))
    assert drill["ok"], drill
    assert "NOT AS PROMISED" not in chms.on("chms-database", "slipway backup status")


def test_data_nodes_answer_the_application_alone(chms: Chms) -> None:
    wanted = {"chms-database": (5432, 6432), "chms-replica": (6432,), "chms-cache": (6379,)}
    script = "\n".join(
        f"nc -z -w 2 {HOSTS[host]} {port} && echo {host}:{port}" for host, ports in wanted.items() for port in ports
    )
    assert chms.probe(f"{script}\ntrue").split() == []
    asked = script.replace("nc -z -w 2", "timeout 2 bash -c 'exec 3<>/dev/tcp/$0/$1'")
    reached = chms.on("chms-edge-1", f"{asked}\ntrue").split()
    assert reached == [f"{host}:{port}" for host, ports in wanted.items() for port in ports]


def test_an_edge_answers_a_challenge_that_the_other_ordered(chms: Chms) -> None:
    folder = "/var/lib/slipway/acme-challenge/.well-known/acme-challenge"
    chms.on("chms-edge-1", f"umask 022 && mkdir -p {folder} && printf known > {folder}/of-edge-1")
    answer = chms.ask("/.well-known/acme-challenge/of-edge-1", edge="chms-edge-2", scheme="http")
    chms.on("chms-edge-1", f"rm {folder}/of-edge-1")
    assert answer == "known"


def test_a_new_version_is_released_without_a_failed_request(chms: Chms) -> None:
    chms.probe(LOAD)
    overrides = json.dumps({"stack_environment_overrides": {"CHMS_VERSION": "1.1.0"}})
    run = keep("deploy", chms.playbook("playbooks/deploy.yml", "-e", overrides))
    counted = chms.probe("touch /tmp/chms.stop; sleep 2; sort /tmp/chms.log | uniq -c").split()
    assert run.recap("chms-database")["changed"] == 0
    assert counted[1::2] == ["200"], f"status codes under the release: {counted}"
    assert int(counted[0]) > 40
    assert [json.loads(chms.ask("/api/version", edge=edge))["version"] for edge in EDGES] == ["1.1.0"] * len(EDGES)
    assert sum(int(chms.on(edge, TASKS.format(service="scheduler"))) for edge in EDGES) == 1
