"""Marine Maroc from a bare host to production, its loss and its return. The tests tell one story, in order."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml
from ansible.parsing.vault import VaultLib, VaultSecret

from tests.integration.site.conftest import ROOT, Lab, Run

FINGERPRINT = (
    "find /etc /usr/local /opt /var/lib/slipway -xdev -type f -not -name .updated -not -path /etc/ssh/ssh_host\\* "
    "-exec sha256sum {} + 2>/dev/null | sort -k2 | sha256sum; dpkg -l | sha256sum; cat /etc/passwd /etc/group | sha256sum; "
    "ls -la /proc/1/root/etc/systemd/system | sha256sum; sysctl -a 2>/dev/null | grep ^net.ipv4.conf.all | sha256sum"
)
OUTPUTS = ROOT / ".cache/site-runs"


def _keep(name: str, run: Run) -> None:
    OUTPUTS.mkdir(parents=True, exist_ok=True)
    (OUTPUTS / f"{name}.log").write_text(run.output, encoding="utf-8")


def test_check_mode_on_a_bare_host_runs_to_its_end_and_changes_nothing(lab: Lab) -> None:
    before = lab.fleet(FINGERPRINT, port=22)
    run = lab.playbook("site.yml", "--check", "--diff")
    _keep("check", run)
    assert run.recap()["changed"] > 0
    assert lab.fleet(FINGERPRINT, port=22) == before


def test_a_bare_host_becomes_the_production_server(lab: Lab) -> None:
    run = lab.playbook("site.yml", "--diff")
    _keep("first", run)
    assert run.recap()["failed"] == 0


def test_a_second_run_changes_nothing(lab: Lab) -> None:
    run = lab.playbook("site.yml", "--diff")
    _keep("second", run)
    assert run.recap()["changed"] == 0, run.output


def test_check_mode_afterwards_predicts_no_change(lab: Lab) -> None:
    assert lab.playbook("site.yml", "--check", "--diff").recap()["changed"] == 0


def test_the_world_sees_the_site_over_verified_tls(lab: Lab) -> None:
    assert json.loads(lab.curl("/health"))["status"] == "ok"
    assert json.loads(lab.curl("/api/version"))["version"] == "1.0.0"
    assert "<html" in lab.curl("/").lower()
    headers = lab.curl("/", "-D", "-", "-o", "/dev/null").lower()
    assert "strict-transport-security: max-age=" in headers
    assert "x-content-type-options: nosniff" in headers
    assert "x-frame-options: sameorigin" in headers
    redirect = lab.probe("curl -sS -o /dev/null -w '%{http_code} %{redirect_url}' http://fleet.marinemaroc.com/orders?page=2")
    assert redirect == "301 https://fleet.marinemaroc.com/orders?page=2"
    upgrade = lab.probe(
        "curl -sS -i --max-time 3 --http1.1 --cacert /etc/ssl/lab/pebble-root.pem -H 'Connection: Upgrade' "
        "-H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: c2xpcHdheS1zbGlwd2F5IQ==' "
        "https://fleet.marinemaroc.com/socket",
        check=False,
    )
    assert upgrade.startswith("HTTP/1.1 101 ")


def test_requests_over_the_limit_are_turned_away(lab: Lab) -> None:
    codes = lab.probe(
        "seq 120 | xargs -P 8 -I{} curl -s -o /dev/null -w '%{http_code}\\n' --cacert /etc/ssl/lab/pebble-root.pem "
        "https://fleet.marinemaroc.com/api/version"
    ).split()
    assert "429" in codes
    assert "200" in codes


def test_the_host_lets_in_by_key_on_the_new_port_alone(lab: Lab) -> None:
    effective = lab.fleet("sshd -T")
    assert "permitrootlogin no" in effective
    assert "passwordauthentication no" in effective
    assert re.findall(r"^port (\d+)$", effective, re.MULTILINE) == ["2222"]
    closed = lab.probe("for p in 22 3306 6379 8000 4200 38000 9100; do nc -z -w 2 fleet.marinemaroc.com $p && echo $p; done; true")
    assert closed.split() == []


def test_the_documents_indexes_exist(lab: Lab) -> None:
    names = lab.fleet(
        "docker exec fleet-database-1 sh -c \"MYSQL_PWD=\\$MYSQL_ROOT_PASSWORD mysql -uroot -N -e "
        "\\\"select distinct index_name from information_schema.statistics where table_schema=\\\\\\\"fleetbase\\\\\\\"\\\"\""
    ).split()
    assert {"idx_orders_status", "idx_orders_status_driver", "idx_tracking_driver_created"} <= set(names)


def test_a_new_version_is_rolled_out_without_a_failed_request(lab: Lab) -> None:
    lab.probe(
        "rm -f /tmp/load.log; nohup sh -c 'for i in $(seq 1200); do curl -s -o /dev/null -w \"%{http_code}\\n\" --max-time 15 "
        "--cacert /etc/ssl/lab/pebble-root.pem https://fleet.marinemaroc.com/health; sleep 0.05; [ -e /tmp/load.stop ] && break; done' "
        "> /tmp/load.log 2>&1 & rm -f /tmp/load.stop"
    )
    run = lab.playbook("playbooks/deploy.yml", "-e", '{"stack_environment_overrides": {"FLEET_VERSION": "1.1.0"}}')
    _keep("deploy", run)
    codes = lab.probe("touch /tmp/load.stop; sleep 1; sort /tmp/load.log | uniq -c").split()
    assert codes[1::2] == ["200"], f"status codes under the release: {codes}"
    assert json.loads(lab.curl("/api/version"))["version"] == "1.1.0"


def test_a_broken_version_leaves_the_old_one_serving(lab: Lab) -> None:
    run = lab.playbook(
        "playbooks/deploy.yml", "-e", '{"stack_environment_overrides": {"FLEET_VERSION": "1.2.0-broken"}}', check=False
    )
    _keep("broken", run)
    assert run.code != 0
    assert json.loads(lab.curl("/api/version"))["version"] == "1.1.0"
    assert lab.playbook("playbooks/deploy.yml").recap()["failed"] == 0


def test_what_is_lost_comes_back_from_the_backup(lab: Lab) -> None:
    lab.curl("/api/orders", "-X POST -H 'Content-Type: application/json' -d '{\"reference\": \"MM-2026-0042\"}'")
    lab.probe("head -c 200000 /dev/urandom > /tmp/manifest.bin")
    before = lab.probe("sha256sum < /tmp/manifest.bin")
    lab.curl("/api/uploads?name=manifest.bin", "-X POST --data-binary @/tmp/manifest.bin")
    _keep("backup", lab.playbook("playbooks/backup.yml"))

    lab.fleet(
        "docker rm -f $(docker ps -aq --filter label=com.docker.compose.project=fleet) > /dev/null && "
        "docker volume rm fleet_mysql fleet_uploads"
    )
    _keep("restore", lab.playbook("playbooks/restore.yml", "-e", "restore_confirm=fleet"))

    assert "MM-2026-0042" in lab.curl("/api/orders")
    lab.probe(
        "curl -sS --fail -o /tmp/back.bin --cacert /etc/ssl/lab/pebble-root.pem https://fleet.marinemaroc.com/api/uploads/manifest.bin"
    )
    assert lab.probe("sha256sum < /tmp/back.bin") == before
    assert json.loads(lab.curl("/health"))["status"] == "ok"


def test_the_checklists_pass(lab: Lab) -> None:
    run = lab.playbook("playbooks/audit.yml")
    _keep("audit", run)
    assert re.search(r"\bpass\b", run.output)


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
    seen = {path.name: path.read_text(encoding="utf-8") for path in Path(OUTPUTS).glob("*.log")}
    assert len(seen) >= 6
    seen["journal"] = lab.fleet("journalctl --no-pager -o cat")
    seen["processes"] = lab.fleet("ps axww -o args")
    for canary in canaries:
        assert [name for name, text in seen.items() if canary in text] == []
