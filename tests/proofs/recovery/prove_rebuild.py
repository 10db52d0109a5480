"""Lose a host with all its disks and bring it back from nothing, with a gigabyte of data: `make prove-rebuild`.

Two systems in turn on the lab's one server: Marine Maroc as its inventory says it (MySQL), and a system on PostgreSQL
under the same name in DNS. Each is set up by `site.yml` on a bare host, filled (`--size` MB in its database and 20
files for each MB among its uploads), and backed up into the lab's S3. The host is removed with its disks. A bare one
with its address comes back by `playbooks/rebuild.yml`, from the inventory, the vault's password and the repository
alone. The time is that playbook's, the first answer over verified TLS included. Every row and file must be there.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT), str(ROOT / "tests/lab")]

from slipway_lab import hosts, settings

from tests.integration.site.conftest import Lab

HERE = Path(__file__).resolve().parent
CHUNK_ROWS = 20_000
CHUNKS_FOR_100_MB = 6
GOAL_SECONDS = 600
POSTGRESQL = "docker exec -i shop-database-1 psql -qXAt -v ON_ERROR_STOP=1 -U chms chms"
MYSQL = "docker exec -i fleet-database-1 sh -c 'MYSQL_PWD=\"$MYSQL_ROOT_PASSWORD\" exec mysql -uroot -N fleetbase'"
FILES = """
import os, sys
count, place = int(sys.argv[1]), sys.argv[2]
for number in range(count):
    os.makedirs(f"{place}/filler/{number % 100}", exist_ok=True)
    with open(f"{place}/filler/{number % 100}/{number}", "wb") as stream:
        stream.write(os.urandom(10_000) + b"a line of text, as files have\\n" * 300)
"""


@dataclass(frozen=True)
class System:
    """What is lost, and how it is looked at. `client` takes SQL; `chunk` writes some twenty thousand rows."""

    title: str
    stack: str
    inventory: str
    client: str
    table: str
    chunk: str
    volume: str

    def look(self, address: str) -> str:
        count = f"echo 'SELECT count(*), sum(length(t)) FROM filler;' | {self.client}"
        place = f"/var/lib/docker/volumes/{self.volume}/_data"
        return shell(address, f"{count}; cd {place} && find . -type f | sort | xargs -r sha256sum | sha256sum")


SYSTEMS = (
    System(
        "Marine Maroc (MySQL)",
        "fleet",
        "inventories/lab",
        MYSQL,
        "CREATE TABLE filler (n BIGINT AUTO_INCREMENT PRIMARY KEY, t TEXT);",
        f"SET SESSION cte_max_recursion_depth = {CHUNK_ROWS}; INSERT INTO filler (t) WITH RECURSIVE s(n) AS"
        f" (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {CHUNK_ROWS})"
        f" SELECT CONCAT({', '.join(['SHA2(RAND(), 256)'] * 12)}) FROM s;",
        "fleet_uploads",
    ),
    System(
        "a system on PostgreSQL",
        "shop",
        ".cache/prove-rebuild",
        POSTGRESQL,
        "CREATE TABLE filler (n bigserial PRIMARY KEY, t text);",
        "INSERT INTO filler (t) SELECT (SELECT string_agg(md5(random()::text || o.n || i), '')"
        f" FROM generate_series(1, 24) i) FROM generate_series(1, {CHUNK_ROWS}) o(n);",
        "shop_uploads",
    ),
)


def shell(name: str, script: str, text: str = "") -> str:
    """A script as root on the lab's host."""
    words = ["docker", "exec", "-i", hosts.container_name(name), "bash", "-c", f"set -euo pipefail\n{script}"]
    done = subprocess.run(words, input=text, capture_output=True, text=True, timeout=1800, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{script[:160]}: {done.stdout[-400:]}{done.stderr[-800:]}")
    return done.stdout


def make_inventory() -> None:
    """The lab's inventory with another system in it."""
    place = ROOT / ".cache/prove-rebuild"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(ROOT / "inventories/lab", place)
    for name, target in (("compose.yaml", "compose.yaml"), ("system.yml", "group_vars/all/zz-system.yml")):
        shutil.copy(HERE / "rebuild" / name, place / target)
    # It is made anew, for another repository.
    (place / ".escrow").unlink(missing_ok=True)


def prove(lab: Lab, system: System, size: int) -> tuple[float, bool]:
    lab.lose_host()
    lab.playbook("playbooks/escrow.yml", inventory=system.inventory)
    lab.playbook("site.yml", inventory=system.inventory)
    chunks = "\n".join([system.chunk] * max(1, size * CHUNKS_FOR_100_MB // 100))
    shell(settings.FLEET, system.client, f"{system.table}\n{chunks}\n")
    volume = f"/var/lib/docker/volumes/{system.volume}/_data"
    shell(settings.FLEET, f"python3 - {size * 20} {volume}", FILES)
    before = system.look(settings.FLEET)
    backed_up = lab.playbook("playbooks/backup.yml", inventory=system.inventory)
    lab.lose_host()
    begun = time.monotonic()
    lab.playbook("playbooks/rebuild.yml", "-e", f"rebuild_confirm={system.stack}", inventory=system.inventory)
    lab.curl("/api/health" if system.stack == "shop" else "/health")
    seconds = time.monotonic() - begun
    whole = system.look(settings.FLEET) == before
    print(
        f"  {'ok    ' if whole else 'FAILED'} {system.title}: {' '.join(before.split()[:1])} rows, backed up in"
        f" {backed_up.seconds:.0f} s, back after {seconds:.0f} s",
        flush=True,
    )
    return seconds, whole


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="prove_rebuild.py", description=__doc__)
    parser.add_argument("--size", type=int, default=1000, help="MB in the database; 20 files of 20 kB for each")
    parser.add_argument("--only", choices=[system.stack for system in SYSTEMS])
    options = parser.parse_args(argv)
    make_inventory()
    lab = Lab()
    lab.tool("up", "--all")
    lines, failed = [], 0
    for system in SYSTEMS:
        if options.only in (None, system.stack):
            seconds, whole = prove(lab, system, options.size)
            failed += not whole or seconds > GOAL_SECONDS
            lines.append(f"| {system.title} | {options.size} MB, {options.size * 20} files | {seconds:.0f} |")
    print("\n| system | data | seconds from nothing until it answers |\n|---|---|---|\n" + "\n".join(lines))
    print(f"goal: under {GOAL_SECONDS} s, and all of it there: {'missed' if failed else 'held'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
