"""Restore to the transaction before an accident, and lose a host under load: what is exact, what is lost: `make
prove-points`.

*Targets.* A host of the lab follows the logs of its PostgreSQL, MariaDB and MySQL into the lab's S3. On each of them a
writer commits numbered rows, one transaction each, and now and then drops one of many tables, in a transaction of its
own. For each drop the proof knows its transaction, and a moment and a place in the log just before it. Then, for as
many drops, chosen at random, the databases are restored beside the live ones to the transaction before the drop: by its
number (`--before`), by the moment, or by the place, in turns. *Exact* means: the rows are those that were committed
before the drop, without a gap, not one more and not one less; the table is there with its rows; what was dropped before
it is not, and what was dropped after it is.

*Losses.* Four writers commit 500 numbered rows a second together. The host is cut off (SIGKILL of everything on it at
once) at a random moment, and counts as lost with its disk: another host, set up for the same repository, restores the
latest state from the repository alone. *Lost* are the rows whose commit a writer was told of and that are not there;
lost seconds go from when the first of them was acknowledged to when the host was cut off. p50, p99 and the worst are
printed. The first host is then booted again and goes on, for the next trial.

A host that alone has what it confirmed may cost what was not yet sent; the proof does not ask for more than it
promises: p99 of 1 s is the goal, and is printed as held or not; trials in which a restore fails, or rows are missing in
the midst, fail the proof.

*Losses with a receiver.* The same, but the server's commits wait for a receiver on another host (role receiver). Then
one lost row fails the proof.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path[:0] = [str(ROOT / "tests/lab"), str(HERE), str(ROOT / ".cache/collections")]

from slipway_lab import hosts, settings
from slipway_lab.shell import LabError, wait_until
from slipway_recovery.ground import Ground, Stack, load_average

STACK = "shop"
GOAL_SECONDS = 1.0
WRITERS, RATE = 4, 500
SERVER = f"{STACK}-postgres-1"
FOLLOWED = {"backup_log_enabled": True}
XID, TIME, PLACE = "transaction", "moment", "place in the log"
KINDS = (XID, TIME, PLACE)


RECEIVING_ROLE = """
CREATE ROLE receiver LOGIN REPLICATION PASSWORD 'secret';
GRANT pg_monitor TO receiver;
"""
RECEIVING_RULE = "host replication receiver all scram-sha-256"
LOGIN = 'MYSQL_PWD="$MYSQL_ROOT_PASSWORD"'


@dataclass(frozen=True)
class Engine:
    """How a kind of server is asked."""

    kind: str
    service: str
    # In its container: a session whose answers come at once, one line each.
    client: str
    place: str
    moment: str
    tables: str
    # A log that knows a commit's second only needs more time around it.
    pause_seconds: float = 0.01

    def name(self, place: str) -> str:
        """A place in the log as a target is named. MariaDB's place in one domain is its last transaction."""
        return f"gtid:{place}" if self.kind == "mariadb" else place

    def insert(self, row: int) -> str:
        return f"INSERT INTO numbers (n) VALUES ({row}); SELECT {row}"

    def drop(self, sql: Sql, table: int) -> str:
        """The accident; returns its transaction, as a target is named."""
        if self.kind == "postgresql":
            sql.send("BEGIN")
            transaction = sql.ask("SELECT pg_current_xact_id()")
            sql.send(f"DROP TABLE victim_{table}")
            sql.ask("COMMIT; SELECT 1")
            return f"xid:{transaction}"
        if self.kind == "mariadb":
            return "gtid:" + sql.ask(f"DROP TABLE victim_{table}; SELECT @@last_gtid")
        source, _colon, ranges = sql.ask(f"DROP TABLE victim_{table}; {self.place}").rpartition(",")[2].partition(":")
        return f"gtid:{source}:{ranges.rpartition(':')[2].rpartition('-')[2]}"


MYSQL_MOMENT = "SELECT DATE_FORMAT(UTC_TIMESTAMP(6), '%Y-%m-%d %H:%i:%s.%f')"
MYSQL_TABLES = (
    "SET SESSION group_concat_max_len = 100000; SELECT GROUP_CONCAT(table_name SEPARATOR ' ') FROM"
    " information_schema.tables WHERE table_schema = 'shop' AND table_name LIKE 'victim%'"
)
ENGINES = (
    Engine(
        "postgresql",
        "postgres",
        "psql -qXAtU shop -v ON_ERROR_STOP=1 -d shop",
        "SELECT pg_current_wal_flush_lsn()",
        "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')",
        "SELECT string_agg(tablename, ' ') FROM pg_tables WHERE tablename LIKE 'victim%'",
    ),
    Engine(
        "mariadb",
        "mariadb",
        f"{LOGIN} exec mariadb --user=root --batch --skip-column-names --unbuffered shop",
        "SELECT @@gtid_binlog_pos",
        MYSQL_MOMENT,
        MYSQL_TABLES,
        1.1,
    ),
    Engine(
        "mysql",
        "mysql",
        f"{LOGIN} exec mysql --user=root --batch --skip-column-names --unbuffered shop",
        "SELECT @@GLOBAL.gtid_executed",
        MYSQL_MOMENT,
        MYSQL_TABLES,
    ),
)
POSTGRESQL = ENGINES[0]


class Sql:
    """One session of a server, through which statements go one after the other."""

    def __init__(self, ground: Ground, engine: Engine) -> None:
        words = ["docker", "exec", "-i", ground.container, "docker", "exec", "-i", f"{STACK}-{engine.service}-1"]
        words += ["sh", "-c", engine.client]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def send(self, statement: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{statement};\n")
        self.process.stdin.flush()

    def line(self) -> str:
        """The next line of an answer; empty when the server has gone."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ask(self, statement: str) -> str:
        """A statement whose answer is one line."""
        self.send(statement)
        answer = self.line().replace("\\n", "")
        if not answer:
            raise LabError(f"the server does not answer: {statement}")
        return answer

    def close(self) -> None:
        with contextlib.suppress(OSError):
            assert self.process.stdin is not None
            self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()


@dataclass(frozen=True)
class Drop:
    """An accident, and what was there just before it."""

    table: int
    transaction: str
    moment: str
    place: str
    rows: int

    def words(self, kind: str) -> str:
        if kind == XID:
            return f"--to {self.transaction} --before"
        return f"--to '{self.moment}'" if kind == TIME else f"--to '{self.place}'"


@dataclass
class Trial:
    title: str
    engine: str = ""
    seconds: float = 0.0
    lost_rows: int = 0
    lost_seconds: float = 0.0
    problems: list[str] = field(default_factory=list)


def await_log(ground: Ground, seconds: float = 180) -> None:
    """Until all that the servers have written by now is in the repository, by what the follower says of itself."""
    since = float(ground.shell("date +%s")) + 2

    def all_sent() -> bool:
        done = ground.run(f"cat /var/lib/slipway/backup/{STACK}/log.json")
        if done.code != 0 or not done.out.strip():
            return False
        status = done.json
        sources = list((status.get("sources") or {}).values())
        waiting = [each.get("unsent_objects") for one in sources for each in (one.get("repositories") or {}).values()]
        behind = [one.get("behind_seconds") for one in sources]
        followed = bool(waiting) and all(one.get("position") for one in sources)
        return followed and float(status.get("epoch") or 0) > since and not any(waiting) and not any(behind)

    wait_until("all of the log in the repository", all_sent, seconds, 1.0)


# Targets


def write(ground: Ground, engine: Engine, tables: int) -> list[Drop]:
    """Rows, and in between the accidents, in one session: the order of its transactions is known."""
    sql, row = Sql(ground, engine), 0
    drops: list[Drop] = []
    sql.send("DROP TABLE IF EXISTS numbers; CREATE TABLE numbers (n bigint PRIMARY KEY)")
    for table in range(tables):
        sql.send(f"DROP TABLE IF EXISTS victim_{table}")
        sql.send(f"CREATE TABLE victim_{table} (n int)")
        sql.send(f"INSERT INTO victim_{table} VALUES {', '.join(f'({n})' for n in range(table + 1))}")
    for table in random.sample(range(tables), tables):
        for _turn in range(random.randint(1, 40)):
            row += 1
            sql.ask(engine.insert(row))
        place = engine.name(sql.ask(engine.place))
        time.sleep(engine.pause_seconds)
        moment = sql.ask(engine.moment)
        time.sleep(engine.pause_seconds)
        transaction = engine.drop(sql, table)
        drops.append(Drop(table, transaction, f"{moment} UTC", place, row))
    sql.ask(engine.insert(row + 1))
    sql.close()
    return drops


def restored(ground: Ground, engine: Engine, words: str) -> Iterator[str]:
    """What a restore beside the live databases opened: a command that asks it; discarded in the end."""
    done = ground.run(f"slipway restore --stack {STACK} --beside --service {engine.service} {words} --json", 900)
    if done.code != 0:
        raise LabError(f"slipway restore {words}: {done.said[-600:]}")
    try:
        found = done.json["opened"][0]
        if engine.kind == "postgresql":
            yield f"{STACK}-pg shop {found['container']}"
        else:
            visit = str(found["visit"]).replace("docker exec -it", "docker exec -i").rstrip("'")
            yield f"{visit} --batch --skip-column-names shop'"
    finally:
        ground.shell(f"slipway restore --stack {STACK} --discard-beside")


opened = contextlib.contextmanager(restored)


def hold_target(ground: Ground, engine: Engine, drops: Sequence[Drop], index: int, kind: str) -> list[str]:
    drop = drops[index]
    with opened(ground, engine, drop.words(kind)) as ask:
        rows = ground.shell(ask, text="SELECT count(*), min(n), max(n) FROM numbers;").replace("\t", "|")
        tables = set(ground.shell(ask, text=f"{engine.tables};").split())
        count = "none, for it is not there"
        if f"victim_{drop.table}" in tables:
            count = ground.shell(ask, text=f"SELECT count(*) FROM victim_{drop.table};")
    problems = []
    if rows != f"{drop.rows}|1|{drop.rows}":
        problems.append(f"rows are {rows} (count, first, last), and {drop.rows} were committed")
    wanted = {f"victim_{each.table}" for each in drops[index:]}
    if tables != wanted:
        problems.append(f"tables differ: {sorted(tables ^ wanted)}")
    if count != str(drop.table + 1):
        problems.append(f"the table's rows are {count}, and {drop.table + 1} were in it")
    return problems


def prove_targets(ground: Ground, engine: Engine, count: int) -> list[Trial]:
    drops = write(ground, engine, count)
    await_log(ground)
    trials = []
    for turn, index in enumerate(random.sample(range(count), count)):
        kind = KINDS[turn % len(KINDS)]
        trial = Trial(f"{engine.kind}: drop {index + 1} of {count}, by its {kind}", engine.kind)
        begun = time.monotonic()
        try:
            trial.problems = hold_target(ground, engine, drops, index, kind)
        except (LabError, subprocess.SubprocessError, ValueError, KeyError, IndexError) as error:
            trial.problems = [f"it could not be held: {error}"]
        trial.seconds = time.monotonic() - begun
        tell(trial, "exact")
        trials.append(trial)
    return trials


# Losses


class Writer:
    """One session that commits numbered rows at a steady rate, and knows when each was acknowledged."""

    def __init__(self, ground: Ground, number: int, first: int, rate: float) -> None:
        self.number = number
        self.first = first
        self.acknowledged: dict[int, float] = {}
        self._sql = Sql(ground, POSTGRESQL)
        self._rate = rate
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=each, daemon=True) for each in (self._send, self._listen)]
        for thread in self._threads:
            thread.start()

    def _send(self) -> None:
        begun, row = time.monotonic(), self.first
        with contextlib.suppress(OSError, ValueError):
            while not self._stopping.is_set():
                due = begun + (row - self.first) / self._rate
                time.sleep(max(0.0, due - time.monotonic()))
                self._sql.send(f"INSERT INTO losses VALUES ({self.number}, {row}) RETURNING n")
                row += 1

    def _listen(self) -> None:
        while line := self._sql.line():
            self.acknowledged[int(line)] = time.monotonic()

    def stop(self) -> None:
        self._stopping.set()
        self._sql.process.kill()
        for thread in self._threads:
            thread.join(20)


class Keeper:
    """Another host, which receives the log of the first one's server; that server's commits wait for it."""

    def __init__(self, ground: Ground, host: Ground) -> None:
        (stack,) = ground.stacks
        self._ground, self._host = ground, host
        ground.shell(f"{STACK}-pg", text=RECEIVING_ROLE)
        ground.shell(f"docker exec {SERVER} sh -c 'echo {RECEIVING_RULE} >> \"$PGDATA/pg_hba.conf\"'")
        ground.shell(f"echo 'SELECT pg_reload_conf()' | {STACK}-pg")
        host.play(
            "receiver.yml",
            receiver_stack_name=STACK,
            receiver_repositories=stack.variables()["backup_repositories"],
            receiver_databases=[
                {
                    "service": POSTGRESQL.service,
                    "address": ground.address,
                    "image": "postgres:17-alpine",
                    "user": "receiver",
                    "password": "secret",
                }
            ],
        )

    def await_waited_for(self) -> None:
        """Until the server's commits wait for it."""
        asked = f"echo 'SHOW synchronous_standby_names' | timeout 5 {STACK}-pg"
        wait_until("commits that wait", lambda: self._ground.run(asked).out.strip() == "slipway_receiver", 180, 1.0)

    def await_sent(self) -> None:
        """Until it has sent what it had when the server fell silent."""

        def all_sent() -> bool:
            source = self._host.run(f"cat /var/lib/slipway/backup/{STACK}/log.json").json["sources"][POSTGRESQL.service]
            waiting = [each["unsent_objects"] for each in source["repositories"].values()]
            return not source["receiving"] and not any(waiting)

        wait_until("what was received in the repository", all_sent, 120, 1.0)


def hold_loss(ground: Ground, other: Ground, turn: int, first: int, keeper: Keeper | None = None) -> tuple[Trial, int]:
    """One loss of the host; returns what the next trial's numbers begin with, too."""
    if keeper is not None:
        keeper.await_waited_for()
    trial, begun = Trial(f"loss {turn}" + (" with a receiver" if keeper else "")), time.monotonic()
    writers = [Writer(ground, number, first, RATE / WRITERS) for number in range(WRITERS)]
    time.sleep(random.uniform(8, 14))
    cut = time.monotonic()
    subprocess.run(["docker", "kill", ground.container], capture_output=True, check=True)
    for writer in writers:
        writer.stop()
    try:
        if keeper is not None:
            keeper.await_sent()
        with opened(other, POSTGRESQL, "--to latest") as ask:
            said = other.shell(
                ask,
                text=f"SELECT writer, count(*), max(n) FROM losses WHERE n >= {first} GROUP BY writer ORDER BY writer",
            )
        held = {int(w): (int(c), int(m)) for w, c, m in (line.split("|") for line in said.splitlines())}
        total, earliest = 0, cut
        for writer in writers:
            count, last = held.get(writer.number, (0, first - 1))
            if count != last - first + 1:
                trial.problems.append(f"writer {writer.number}: {count} rows are there up to {last}: some are missing")
            lost = [at for row, at in writer.acknowledged.items() if row > last and at <= cut]
            total += len(lost)
            earliest = min([earliest, *lost])
            if not writer.acknowledged:
                trial.problems.append(f"writer {writer.number} could commit nothing")
        trial.lost_rows, trial.lost_seconds = total, cut - earliest
        if keeper is not None and total:
            trial.problems.append(f"{total} confirmed rows are lost")
        rate = sum(sum(at <= cut for at in writer.acknowledged.values()) for writer in writers) / max(
            0.1, cut - min(min(writer.acknowledged.values(), default=cut) for writer in writers)
        )
        trial.title += f", at {rate:.0f} commits/s"
    finally:
        subprocess.run(["docker", "start", ground.container], capture_output=True, check=True)
        wait_until("sshd", lambda: hosts.takes_login(ground.address), 120, 0.5)
        wait_until("the database", lambda: ground.run(f"{STACK}-ready").code == 0, 180, 1)
        await_log(ground)
    trial.seconds = time.monotonic() - begun
    return trial, max([first, *(row for writer in writers for row in writer.acknowledged)]) + 10_000


def prove_losses(ground: Ground, other: Ground, count: int, keeper: Keeper | None = None) -> list[Trial]:
    ground.shell(f"echo 'CREATE TABLE losses (writer int, n bigint, PRIMARY KEY (writer, n))' | {STACK}-pg")
    done = ground.backup(STACK)
    if done.code != 0:
        raise SystemExit(f"the base backup fails: {done.said}")
    await_log(ground)
    trials, first = [], 1
    for turn in range(1, count + 1):
        try:
            trial, first = hold_loss(ground, other, turn, first, keeper)
        except (LabError, subprocess.SubprocessError, ValueError, KeyError) as error:
            trial = Trial(f"loss {turn}", problems=[f"it could not be held: {error}"])
            first += 1_000_000
        tell(trial, f"{trial.lost_rows} rows lost, {trial.lost_seconds:.2f} s")
        trials.append(trial)
    return trials


def prove_received(stack: Stack, count: int) -> list[Trial]:
    """Losses of a host whose server's commits wait for a receiver."""
    stack = replace(stack, url=f"{stack.url}-received", engines=("postgresql",))
    more = {
        "proof_published": "5432",
        "backup_log_receivers": [{"service": POSTGRESQL.service, "patience_seconds": 30}],
    }
    with (
        Ground("proof-points", [replace(stack, more={**FOLLOWED, **more})]) as ground,
        Ground("proof-points-other", [stack]) as other,
        Ground("proof-points-keeper", []) as host,
    ):
        return prove_losses(ground, other, count, Keeper(ground, host))


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that so large a share of them does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]


def tell(trial: Trial, good: str) -> None:
    mark = "FAILED" if trial.problems else "ok    "
    print(f"  {mark} {trial.title}: {good} ({trial.seconds:.0f} s, load {load_average()})", flush=True)
    for problem in trial.problems:
        print(f"         {problem}", flush=True)


def table(targets: Sequence[Trial], losses: Sequence[Trial], received: Sequence[Trial]) -> str:
    lines = ["| server | what | trials | result |", "|---|---|---|---|"]
    for engine in ENGINES:
        for kind in KINDS:
            mine = [trial for trial in targets if trial.engine == engine.kind and trial.title.endswith(kind)]
            if mine:
                exact = sum(not trial.problems for trial in mine)
                seconds = percentile([trial.seconds for trial in mine], 0.5)
                what = f"restored to just before a drop, by its {kind}"
                lines.append(f"| {engine.kind} | {what} | {len(mine)} | {exact} exact; {seconds:.0f} s each (median) |")
    for what, trials in (("lost", losses), ("lost, with a receiver on another host,", received)):
        held = [trial for trial in trials if not trial.problems]
        if not held:
            continue
        found = [trial.lost_seconds for trial in held]
        worst = max(trial.lost_rows for trial in held)
        verdict = "held" if percentile(found, 0.99) <= GOAL_SECONDS else "not held"
        lines.append(
            f"| postgresql | host and disk {what} under {RATE} commits/s | {len(trials)}, {len(held)} held |"
            f" lost seconds: p50 {percentile(found, 0.5):.2f},"
            f" p99 {percentile(found, 0.99):.2f}, worst {max(found):.2f} ({worst} rows); goal of {GOAL_SECONDS:g} s"
            f" {verdict} |"
        )
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="prove_points.py", description=__doc__)
    parser.add_argument("--count", type=int, default=50, help="random targets of each server")
    parser.add_argument("--engine", action="append", choices=[engine.kind for engine in ENGINES])
    parser.add_argument("--losses", type=int, default=20, help="losses of the host")
    parser.add_argument("--received-losses", type=int, default=20, help="losses while a receiver is waited for")
    parser.add_argument("--quick", action="store_true", help="two targets of PostgreSQL and no loss")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args(argv)
    print(f"seed {options.seed}", flush=True)
    random.seed(options.seed)
    count, lose, lose_received = (
        (2, 0, 0) if options.quick else (options.count, options.losses, options.received_losses)
    )
    s3 = json.loads(settings.S3_FILE.read_text(encoding="utf-8"))
    url = f"s3:{s3['endpoint']}/{s3['bucket']}/proof-points-{options.seed}"
    kinds = options.engine or (["postgresql"] if options.quick else [engine.kind for engine in ENGINES])
    engines = [engine for engine in ENGINES if engine.kind in kinds]
    stack = Stack(STACK, url, tuple(kinds), s3["access_key"], s3["secret_key"], more=FOLLOWED)
    targets: list[Trial] = []
    losses: list[Trial] = []
    received: list[Trial] = []
    if count or lose:
        with Ground("proof-points", [stack]) as ground:
            await_log(ground)
            done = ground.backup(STACK)
            if done.code != 0:
                raise SystemExit(f"the base backup fails: {done.said}")
            for engine in engines if count else []:
                targets += prove_targets(ground, engine, count)
            if lose and POSTGRESQL in engines:
                with Ground("proof-points-other", [replace(stack, engines=("postgresql",))]) as other:
                    losses = prove_losses(ground, other, lose)
    if lose_received and POSTGRESQL in engines:
        received = prove_received(stack, lose_received)
    print(f"\n{table(targets, losses, received)}")
    trials = [*targets, *losses, *received]
    failed = sum(bool(trial.problems) for trial in trials)
    print(f"{len(trials)} trials, {failed} failed")
    return 1 if failed or not trials else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
