"""Marine Maroc from a bare host to production, its loss and its return. The tests tell one story, in order."""

from __future__ import annotations

import json
import re
import shutil

import yaml
from ansible.parsing.vault import VaultLib, VaultSecret

from tests.integration.site.conftest import AUTHORITY, ROOT, SITE, Lab, Run

OUTPUTS = ROOT / ".cache/site-runs"

FINGERPRINT = r"""
find /etc /usr/local /opt /var/lib/slipway -xdev -type f -exec sha256sum {} + 2>/dev/null | sort -k2
find /etc /opt /home -xdev -not -path '/home/*/.ansible*' -printf '%p %m %u %g %l\n' | sort
dpkg -l
sysctl -a 2>/dev/null | grep -E '^net\.ipv[46]\.conf\.(all|default)|^net\.core'
systemctl list-unit-files --no-legend | grep -v transient
"""

LOAD = f"""
rm -f /tmp/load.*
cat > /tmp/load.sh <<'END'
for i in $(seq 3000); do
  curl -s -o /dev/null -w '%{{http_code}}\\n' --max-time 15 --cacert {AUTHORITY} {SITE}/health
  [ -e /tmp/load.stop ] && break
  sleep 0.05
done
END
nohup sh /tmp/load.sh > /tmp/load.log 2>&1 < /dev/null &
"""

CERTIFICATE = (
    "openssl s_client -connect fleet.marinemaroc.com:443 < /dev/null 2> /dev/null | openssl x509 -noout -serial"
)


def _keep(name: str, run: Run) -> Run:
    OUTPUTS.mkdir(parents=True, exist_ok=True)
    (OUTPUTS / f"{name}.log").write_text(run.output, encoding="utf-8")
    return run


def _release(lab: Lab, version: str, check: bool = True, **variables: int) -> Run:
    overrides = json.dumps({"stack_environment_overrides": {"FLEET_VERSION": version}, **variables})
    return _keep(f"deploy-{version}", lab.playbook("playbooks/deploy.yml", "-e", overrides, check=check))


def _version(lab: Lab) -> str:
    return str(json.loads(lab.curl("/api/version"))["version"])


def test_check_mode_on_a_bare_host_runs_to_its_end_and_changes_nothing(lab: Lab) -> None:
    before = lab.fleet(FINGERPRINT, port=22).splitlines()
    run = _keep("check", lab.playbook("site.yml", "--check", "--diff"))
    assert run.recap()["changed"] > 0
    after = lab.fleet(FINGERPRINT, port=22).splitlines()
    assert set(before) ^ set(after) == set()


def test_a_bare_host_becomes_the_production_server(lab: Lab) -> None:
    run = _keep("first", lab.playbook("site.yml", "--diff"))
    assert run.recap()["failed"] == 0


def test_a_second_run_changes_nothing(lab: Lab) -> None:
    run = _keep("second", lab.playbook("site.yml", "--diff"))
    assert run.recap()["changed"] == 0, run.output


def test_check_mode_afterwards_predicts_no_change(lab: Lab) -> None:
    run = _keep("check-afterwards", lab.playbook("site.yml", "--check", "--diff"))
    assert run.recap()["changed"] == 0, run.output


def test_the_world_sees_the_site_over_verified_tls(lab: Lab) -> None:
    assert json.loads(lab.curl("/health"))["status"] == "ok"
    assert _version(lab) == "1.0.0"
    assert "<html" in lab.curl("/").lower()
    headers = lab.curl("/", "-D -", "-o /dev/null").lower()
    assert "strict-transport-security: max-age=" in headers
    assert "x-content-type-options: nosniff" in headers
    assert "x-frame-options: sameorigin" in headers
    redirect = lab.probe(
        "curl -sS -o /dev/null -w '%{http_code} %{redirect_url}' 'http://fleet.marinemaroc.com/orders?page=2'"
    )
    assert redirect == f"301 {SITE}/orders?page=2"
    upgrade = lab.probe(
        f"curl -sS -i --max-time 3 --http1.1 --cacert {AUTHORITY} -H 'Connection: Upgrade' -H 'Upgrade: websocket' "
        f"-H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: c2xpcHdheS1zbGlwd2F5IQ==' {SITE}/socket",
        check=False,
    )
    assert upgrade.startswith("HTTP/1.1 101 ")


def test_requests_over_the_limit_are_turned_away(lab: Lab) -> None:
    request = f"curl -s -o /dev/null -w '%{{http_code}}\\n' --cacert {AUTHORITY} {SITE}/api/version"
    assert set(lab.probe(f"for i in $(seq 120); do {request} & done; wait").split()) == {"200", "429"}
    lab.probe("sleep 20")


def test_the_host_lets_in_by_key_on_the_new_port_alone(lab: Lab) -> None:
    effective = lab.fleet("sshd -T")
    assert "permitrootlogin no" in effective
    assert "passwordauthentication no" in effective
    assert re.findall(r"^port (\d+)$", effective, re.MULTILINE) == ["2222"]
    reached = lab.probe(
        "for p in 22 3306 6379 8000 4200 38000 9100 2222 443; do\n"
        "  nc -z -w 2 fleet.marinemaroc.com $p && echo $p\ndone; true"
    )
    assert reached.split() == ["2222", "443"]


def test_the_documents_indexes_exist(lab: Lab) -> None:
    names = lab.fleet(
        "docker exec -i fleet-database-1 sh -c 'MYSQL_PWD=$MYSQL_ROOT_PASSWORD exec mysql -uroot -N' <<'SQL'\n"
        "select distinct index_name from information_schema.statistics where table_schema = 'fleetbase';\nSQL\n"
    ).split()
    assert {
        "idx_orders_status",
        "idx_orders_driver_id",
        "idx_orders_created_at",
        "idx_orders_status_driver",
        "idx_tracking_driver_id",
        "idx_tracking_created_at",
        "idx_tracking_driver_created",
    } <= set(names)


def test_a_new_version_is_rolled_out_without_a_failed_request(lab: Lab) -> None:
    lab.probe(LOAD)
    _release(lab, "1.1.0")
    counted = lab.probe("touch /tmp/load.stop; sleep 1; sort /tmp/load.log | uniq -c").split()
    assert counted[1::2] == ["200"], f"status codes under the release: {counted}"
    assert int(counted[0]) > 100
    assert _version(lab) == "1.1.0"


def test_a_recovery_point_was_made_before_the_migration(lab: Lab) -> None:
    last = json.loads(lab.fleet("slipway status fleet --json"))[0]["history"][-1]
    assert (last["outcome"], last["migrated"]) == ("succeeded", ["application"])
    points = json.loads(lab.fleet("slipway points --stack fleet --json"))["points"]
    assert [point["kind"] for point in points if point["point"] == last["recovery_point"]] == ["before-release"]


def test_a_broken_version_leaves_the_old_one_serving(lab: Lab) -> None:
    assert _release(lab, "1.2.0-broken", check=False, stack_health_timeout_seconds=45).code != 0
    assert _version(lab) == "1.1.0"
    assert json.loads(lab.curl("/health"))["status"] == "ok"


def test_a_containers_new_address_is_followed(lab: Lab) -> None:
    lab.fleet("docker restart -t 5 $(docker ps -qf name=fleet-console)")
    again = f"curl -sf -o /dev/null --cacert {AUTHORITY} {SITE}/"
    lab.probe(f"for i in $(seq 30); do {again} && exit 0; sleep 1; done; exit 1")


def test_a_lost_host_comes_back_from_the_repository_alone(lab: Lab) -> None:
    assert lab.playbook("playbooks/deploy.yml").recap()["failed"] == 0
    lab.curl("/api/orders", "-X POST", "-H 'Content-Type: application/json'", '-d \'{"reference": "MM-2026-0042"}\'')
    lab.probe("head -c 200000 /dev/urandom > /tmp/manifest.bin")
    before = lab.probe("sha256sum < /tmp/manifest.bin")
    lab.curl("/api/uploads?name=manifest.bin", "-X POST", "--data-binary @/tmp/manifest.bin")
    certificate = lab.probe(CERTIFICATE)
    _keep("backup", lab.playbook("playbooks/backup.yml"))
    alive = lab.playbook("playbooks/rebuild.yml", "-e", "rebuild_confirm=fleet", check=False)
    assert (alive.code, "so it is not lost" in alive.output) == (2, True)

    lab.lose_host()
    unnamed = lab.playbook("playbooks/rebuild.yml", check=False)
    assert (unnamed.code, "-e rebuild_confirm=fleet" in unnamed.output) == (2, True)
    rebuilt = _keep("rebuild", lab.playbook("playbooks/rebuild.yml", "-e", "rebuild_confirm=fleet"))
    assert rebuilt.recap()["failed"] == 0

    assert "MM-2026-0042" in lab.curl("/api/orders")
    lab.curl("/api/uploads/manifest.bin", "-o /tmp/back.bin")
    assert lab.probe("sha256sum < /tmp/back.bin") == before
    assert json.loads(lab.curl("/health"))["status"] == "ok"
    assert lab.probe(CERTIFICATE) == certificate


def test_a_restore_passes_over_a_host_that_is_dead(lab: Lab) -> None:
    # All that the inventory names lies beside it, so the second host is in the same folder.
    inventory = ROOT / ".cache/site-with-dead"
    shutil.rmtree(inventory, ignore_errors=True)
    shutil.copytree(ROOT / "inventories/lab", inventory)
    shutil.copy(ROOT / "tests/integration/site/dead.yml", inventory)
    plan = lab.playbook("playbooks/restore.yml", "--check", inventory=str(inventory))
    assert "lost is passed over" in plan.output
    assert "start the services again" in plan.output
    assert plan.recap("lost")["ignored"] == 1


def test_the_checklists_pass(lab: Lab) -> None:
    run = _keep("audit", lab.playbook("playbooks/audit.yml"))
    counted = re.search(r"fleet: (\d+) pass, (\d+) fail, (\d+) not applicable", run.output)
    assert counted, run.output
    assert int(counted[1]) >= 28
    assert counted[2] == "0"


def test_after_all_of_it_a_run_changes_nothing(lab: Lab) -> None:
    run = lab.playbook("site.yml", "--diff")
    assert run.recap()["changed"] == 0, run.output


def test_no_secret_is_shown_anywhere(lab: Lab) -> None:
    """Every value of the vault, looked for in what the runs printed, in the journal, and in the list of processes."""
    inventory = ROOT / "inventories/lab"
    secret = VaultSecret((inventory / ".vault-password").read_bytes().strip())
    vault = yaml.safe_load(VaultLib([("lab", secret)]).decrypt((inventory / "group_vars/all/vault.yml").read_bytes()))
    canaries = [value for name, value in vault.items() if isinstance(value, str) and "access_key_id" not in name]
    assert len(canaries) >= 5
    seen = {path.name: path.read_text(encoding="utf-8") for path in OUTPUTS.glob("*.log")}
    assert len(seen) >= 8
    seen["journal"] = lab.fleet("journalctl --no-pager -o cat")
    seen["processes"] = lab.fleet("ps axww -o args")
    for canary in canaries:
        assert [name for name, text in seen.items() if canary in text] == []
