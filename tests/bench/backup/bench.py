"""Back the same data up by our stack, by the scripts of every day, and by the tools used bare: `make bench-backup`.

Three contests on one host, each about one kind of data (`--size` MB in each database, and 20 files for each MB):

* PostgreSQL: `slipway backup run`; `pg_dump | gzip`; `pg_basebackup | restic` (what ours is made of, used bare)
* MariaDB: `slipway backup run`; `mariadb-dump | gzip`; `mariadb-backup | restic`
* files: `slipway backup run`; `tar | gzip`; `restic backup`

The tools take turns on the same data (`--turns`), each turn on an empty repository: the first backup, how much it takes
on the disk, a second backup after one row or file of a hundred was changed, and a restore of that until the data is
served again (files: until they lie there). The numbers are medians over the turns.

What is in the seconds differs, and is not made equal: ours reads each point back from the repository and compares
checksums, which none of the others does, and its restore checks what it restored and keeps the old data. The column
`without reading back` is ours up to where the others end. The goals are at most 1.1 times the bare tool, and ahead of
the scripts by three times: the second backup is where a script pays.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path[:0] = [str(ROOT / "tests/lab"), str(ROOT / "tests/proofs/recovery"), str(ROOT / ".cache/collections")]

from slipway_recovery.ground import PASSWORD, Ground, Stack, load_average

PLACE = "/srv/bench"
RESTIC = f'RESTIC_PASSWORD="{PASSWORD}" restic -q -r {PLACE}/restic'
STACKS = (
    Stack("pg", "/srv/backup/pg", ("postgresql",)),
    Stack("maria", "/srv/backup/maria", ("mariadb",)),
    Stack("files", "/srv/backup/files", ()),
)
VOLUME = "/var/lib/docker/volumes/files_uploads/_data"
LOGS_ARE_SENT = '[ -z "$(find /var/lib/slipway/backup/*/log/*/outgoing -type f | head -n 1)" ]'
WORDS = 24
FILES = """
import os, random, sys
first, count, place = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
for number in range(first, first + count):
    directory = f"{place}/{number % 100}"
    os.makedirs(directory, exist_ok=True)
    with open(f"{directory}/{number}", "wb") as stream:
        size = random.randint(2_000, 38_000)
        stream.write(os.urandom(size // 2) + b"a line of text, as files have\\n" * (size // 60))
"""
POSTGRES_IMAGE, MARIADB_IMAGE = "postgres:17-alpine", "mariadb:11.8"
LOGIN = "docker exec -i -e MYSQL_PWD=secret-of-shop maria-mariadb-1"


@dataclass(frozen=True)
class Tool:
    """How a tool does it, as scripts for the host. `wipe` gives it an empty repository."""

    name: str
    wipe: str
    backup: str
    size: str
    restore: str
    clean: str = "true"


@dataclass
class Tally:
    first: list[float] = field(default_factory=list)
    unread: list[float] = field(default_factory=list)
    size: list[float] = field(default_factory=list)
    second: list[float] = field(default_factory=list)
    restore: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Contest:
    title: str
    fill: Callable[[int], str]
    change: str
    tools: tuple[Tool, ...]


def ours(stack: str) -> Tool:
    return Tool(
        "slipway",
        f"rm -rf /srv/backup/{stack} /var/cache/slipway; mkdir -p /srv/backup; slipway backup init --stack {stack}",
        f'slipway backup run --stack {stack} | while read -r line; do echo "$(date +%s.%N) $line"; done',
        f"du -sm /srv/backup/{stack}",
        f"slipway restore --stack {stack} --confirm {stack} --without-safety-point",
        f"slipway restore --discard-previous --stack {stack} --confirm {stack}",
    )


def script(name: str, backup: str, restore: str, clean: str) -> Tool:
    return Tool(
        name,
        f"rm -rf {PLACE}; mkdir -p {PLACE}",
        f"set -o pipefail; {backup}",
        f"du -sm {PLACE}",
        f"set -o pipefail; {restore}",
        clean,
    )


def bare(name: str, backup: str, restore: str, clean: str) -> Tool:
    tool = script(name, backup, restore, clean)
    return Tool(name, f"{tool.wipe}; {RESTIC} init", tool.backup, f"du -sm {PLACE}/restic", tool.restore, clean)


def wait_for(command: str) -> str:
    return f"until {command} >/dev/null 2>&1; do sleep 0.1; done"


def fill_postgres(size: int) -> str:
    text = f"(SELECT string_agg(md5(random()::text || o.n || i), '') FROM generate_series(1, {WORDS}) i)"
    return (
        "pg-pg <<'SQL'\nCREATE TABLE filler (n bigint PRIMARY KEY, t text);\n"
        f"INSERT INTO filler SELECT o.n, {text} FROM generate_series(1, {size * 1200}) o(n);\nCHECKPOINT;\nSQL"
    )


def fill_mariadb(size: int) -> str:
    text = f"CONCAT({', '.join(['MD5(RAND())'] * WORDS)})"
    return (
        "maria-sql <<'SQL'\nCREATE TABLE filler (n BIGINT PRIMARY KEY, t TEXT);\n"
        f"INSERT INTO filler SELECT seq, {text} FROM seq_1_to_{size * 1200};\nSQL"
    )


CONTESTS = (
    Contest(
        "PostgreSQL",
        fill_postgres,
        'echo "UPDATE filler SET t = md5(n::text) || t WHERE n % 100 = $((RANDOM % 100)); CHECKPOINT;" | pg-pg',
        (
            ours("pg"),
            script(
                "pg_dump | gzip",
                f"docker exec pg-postgres-1 pg_dump -U shop shop | gzip > {PLACE}/dump.gz",
                f"echo 'CREATE DATABASE back' | pg-pg; gunzip -c {PLACE}/dump.gz | pg-pg back >/dev/null",
                "echo 'DROP DATABASE back' | pg-pg",
            ),
            bare(
                "pg_basebackup | restic",
                "docker exec pg-postgres-1 pg_basebackup -U shop -D - -Ft -X fetch -c fast"
                f" | {RESTIC} backup --stdin --stdin-filename base.tar",
                f"mkdir {PLACE}/data; {RESTIC} dump latest base.tar | tar -x -C {PLACE}/data; chmod 700 {PLACE}/data;"
                f"docker run -d --name bench-back -v {PLACE}/data:/var/lib/postgresql/data {POSTGRES_IMAGE} >/dev/null;"
                + wait_for("docker exec bench-back psql -U shop -d shop -c 'SELECT 1'"),
                f"docker rm -f bench-back >/dev/null; rm -rf {PLACE}/data",
            ),
        ),
    ),
    Contest(
        "MariaDB",
        fill_mariadb,
        'echo "UPDATE filler SET t = CONCAT(MD5(RAND()), t) WHERE n % 100 = $((RANDOM % 100));" | maria-sql',
        (
            ours("maria"),
            script(
                "mariadb-dump | gzip",
                f"{LOGIN} mariadb-dump -uroot --single-transaction shop | gzip > {PLACE}/dump.gz",
                f"{LOGIN} mariadb -uroot -e 'CREATE DATABASE back';"
                f" gunzip -c {PLACE}/dump.gz | {LOGIN} mariadb -uroot back",
                f"{LOGIN} mariadb -uroot -e 'DROP DATABASE back'",
            ),
            bare(
                "mariadb-backup | restic",
                f"{LOGIN} sh -c 'mariadb-backup --backup --stream=mbstream --user=root --password=\"$MYSQL_PWD\"'"
                f" 2>/dev/null | {RESTIC} backup --stdin --stdin-filename base.mb",
                f'mkdir {PLACE}/data; within() {{ docker run --rm -i -v {PLACE}/data:/back --entrypoint "$@"; }};'
                f"{RESTIC} dump latest base.mb | within mbstream {MARIADB_IMAGE} -x -C /back;"
                f"within mariadb-backup {MARIADB_IMAGE} --prepare --target-dir=/back 2>/dev/null;"
                f"docker run -d --name bench-back -v {PLACE}/data:/var/lib/mysql {MARIADB_IMAGE} >/dev/null;"
                + wait_for("docker exec -e MYSQL_PWD=secret-of-shop bench-back mariadb -uroot -e 'SELECT 1'"),
                f"docker rm -f bench-back >/dev/null; rm -rf {PLACE}/data",
            ),
        ),
    ),
    Contest(
        "files",
        lambda size: f"python3 /root/files.py 0 {size * 20} {VOLUME}",
        f"count=$(find {VOLUME} -type f | wc -l); python3 /root/files.py $((RANDOM % 100)) $((count / 100)) {VOLUME}",
        (
            ours("files"),
            script(
                "tar | gzip",
                f"tar -c -C {VOLUME} . | gzip > {PLACE}/files.tar.gz",
                f"mkdir {PLACE}/back; tar -xz -C {PLACE}/back -f {PLACE}/files.tar.gz",
                f"rm -rf {PLACE}/back",
            ),
            bare(
                "restic backup",
                f"{RESTIC} backup {VOLUME}",
                f"{RESTIC} restore latest --target {PLACE}/back",
                f"rm -rf {PLACE}/back",
            ),
        ),
    ),
)


def seconds_unread(said: str) -> float:
    """From the first line that our backup says until it begins to read back, the last point's storing included."""
    times: dict[str, float] = {}
    for line in said.splitlines():
        found = re.match(r"(\d+\.\d+) (.*)", line)
        if found:
            times.setdefault("reading" if found[2].startswith("reading point") else "begun", float(found[1]))
    return times["reading"] - times["begun"] if "reading" in times else 0.0


def take_turn(ground: Ground, contest: Contest, tool: Tool, tally: Tally) -> None:
    ground.shell(tool.wipe)
    done = measured(ground, tool.backup)
    tally.first.append(done[0])
    tally.unread.append(seconds_unread(done[1]))
    tally.size.append(float(ground.shell(tool.size).split()[0]))
    ground.shell(contest.change, 1200)
    tally.second.append(measured(ground, tool.backup)[0])
    seconds, said = measured(ground, tool.restore)
    # The point that ours makes of what it restored is no part of the restore.
    own = re.search(r"is restored to point \S+ in (?:(\d+) min )?(\d+) s", said)
    tally.restore.append(int(own[1] or 0) * 60 + int(own[2]) if own else seconds)
    ground.shell(tool.clean)


def measured(ground: Ground, words: str) -> tuple[float, str]:
    ground.shell("sync")
    done = ground.run(f"set -e\n{words}", 3600)
    if done.code != 0:
        raise SystemExit(f"{words[:120]}: {done.said[-600:]}")
    return done.seconds, done.out


def bench(ground: Ground, size: int, turns: int) -> list[str]:
    ground.put("/root/files.py", FILES)
    lines = [
        "| data | tool | first, s | without reading back, s | on the disk, MB | second, s | restore, s |",
        "|---|---|---|---|---|---|---|",
    ]
    for contest in CONTESTS:
        ground.shell(contest.fill(size), 3600)
        # What follows the databases' logs has that to do as well, and not within the time of a backup.
        ground.shell(f"sleep 5; {wait_for(LOGS_ARE_SENT)}", 3600)
        tallies = {tool.name: Tally() for tool in contest.tools}
        for turn in range(turns):
            for tool in contest.tools:
                take_turn(ground, contest, tool, tallies[tool.name])
            print(f"  {contest.title}, turn {turn + 1} of {turns} (load {load_average()})", flush=True)
        lines += [row(contest.title, name, tally) for name, tally in tallies.items()]
        lines += verdict(contest.title, list(tallies.items()))
    return lines


def row(title: str, name: str, tally: Tally) -> str:
    unread = statistics.median(tally.unread)
    figures = [statistics.median(each) for each in (tally.first, tally.size, tally.second, tally.restore)]
    first, size, second, restore = figures
    middle = f"{unread:.1f}" if unread else ""
    name = name.replace("|", "\\|")
    return f"| {title} | {name} | {first:.1f} | {middle} | {size:.0f} | {second:.1f} | {restore:.1f} |"


def verdict(title: str, tallies: Sequence[tuple[str, Tally]]) -> list[str]:
    """Ours beside the others: how often as long, and how often faster."""
    (_own, mine), (_script, plain), (_bare, tool) = tallies

    def ratio(over: Tally, under: Tally, what: str) -> float:
        return statistics.median(getattr(over, what)) / max(0.01, statistics.median(getattr(under, what)))

    beside = ", ".join(f"{what} {ratio(mine, tool, what):.2f}" for what in ("first", "second", "restore"))
    ahead = ", ".join(f"{what} {ratio(plain, mine, what):.1f}" for what in ("first", "second", "restore"))
    return [f"| {title} | ours, times the bare tool: {beside}; ahead of the script, times: {ahead} | | | | | |"]


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench.py", description=__doc__)
    parser.add_argument("--size", type=int, default=1000, help="MB in each database; 20 files for each")
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args(argv)
    with Ground("bench-backup", STACKS) as ground:
        lines = bench(ground, options.size, options.turns)
    print("\n" + "\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
