"""Break backups in every way we know: each fault is noticed, and none costs the last good point: `make prove-faults`.

One host of the lab, set up by the real roles, with two stacks: `shop` (PostgreSQL, MariaDB, a volume; its repository on
a small disk of its own) and `depot` (PostgreSQL, a volume; its repository on the lab's S3, behind a proxy of ours that
makes the weather of a network). Both are put to the test side by side. A trial:

1. the fault is there, and a backup is run (or what else would meet it);
2. it is *noticed*: the command fails with one line that says what is wrong, the status file and the metrics say that
   the last backup failed, and the watch would alert. A killed backup says nothing: status, metrics and watch tell that
   it was begun and did not come to its end. Where the command is not a backup but a look (`verify`, `check`,
   `drill`), or is refused before it begins, its own failure counts: it is *found*. What must not make a
   backup fail (a server that errs now and then) is *overcome*;
3. the fault is removed. Every point that was good before is still there, the newest of them reads back from the
   repository, the next backup succeeds, and the watch has nothing to say.

`--quick` holds some of each kind. A fault of the network that lasts longer than the patience of restic (a quarter of an
hour) is marked `long`; `--without-long` leaves these out.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "lab"), str(HERE), str(HERE.parents[2] / ".cache" / "collections")]

from slipway_lab import settings
from slipway_lab.shell import LabError
from slipway_recovery.ground import PASSWORD, Done, Ground, Stack, load_average
from slipway_recovery.weather import Proxy, Weather

SHOP, DEPOT = "shop", "depot"
REPOSITORY = f"/srv/backup/{SHOP}"
# Debian's own name for it is a wrapper that goes by the name it is called by.
PG_BASEBACKUP = "/usr/lib/postgresql/17/bin/pg_basebackup"
STATE = f"/var/lib/slipway/backup/{SHOP}"
SETTINGS = f"/etc/slipway/backup/{SHOP}"
PROXY_PORT = 17480
SMALL_DISK = "mount -t tmpfs -o size=1800m,mode=700 tmpfs /srv/backup"
RESTIC = f'RESTIC_PASSWORD="{PASSWORD}" restic -q -r {REPOSITORY}'
# The names in a list of restic's; of keys, those that are not the one in use.
IDS = "python3 /root/ids.py"
IDS_PROGRAM = """
import json, sys
print(*(one["id"] for one in json.load(sys.stdin) if not one.get("current")))
"""
# Another job that has the lease of the stack, for so many seconds.
HOLDER = """
import sys, time
sys.path.insert(0, '/usr/local/bin/slipway')
from ansible_collections.slipway.ops.plugins.module_utils._lease.lease import lease
with lease(sys.argv[1], 'release 2.0.0', ttl_seconds=60):
    print('held', flush=True)
    time.sleep(float(sys.argv[2]))
"""


@dataclass
class World:
    """Where the faults happen."""

    ground: Ground
    proxy: Proxy
    # The last good point of each stack.
    newest: dict[str, str] = field(default_factory=dict)

    def backup_at(self, stack: str, pattern: str, strike: str, delay: float = 0.0) -> Done:
        """A backup at which is struck as soon as it says a line like this."""
        return self.ground.struck(f"slipway backup run --stack {stack}", pattern, strike, delay)


Arm = Callable[[World], contextlib.AbstractContextManager[None]]
Act = Callable[[World], Done]
NOTICED, OVERCOME, LOOKED = "noticed", "overcome", "found"


@dataclass(frozen=True)
class Fault:
    """A fault, what meets it, and what must be said."""

    title: str
    stack: str
    says: str
    arm: Arm
    act: Act
    outcome: str = NOTICED
    # What status and watch say, where that is not what the command said.
    recorded: str = ""
    quick: bool = False
    long: bool = False
    # More looks that must find it: a backup that is only made of what is left would not meet a damage of old data.
    looks: tuple[tuple[str, str], ...] = ()


FAULTS: list[Fault] = []


def run_backup(stack: str) -> Act:
    return lambda world: world.ground.backup(stack)


def fault(
    title: str, says: str = "", stack: str = SHOP, act: Act | None = None, **more: object
) -> Callable[[Arm], Arm]:
    """Add a fault to the list: the function below brings it about and takes it away."""

    def add(arm: Arm) -> Arm:
        FAULTS.append(Fault(title, stack, says, arm, act or run_backup(stack), **more))  # type: ignore[arg-type]
        return arm

    return add


@contextlib.contextmanager
def nothing(_world: World) -> Iterator[None]:
    """What is struck is the run itself."""
    yield


# In the sources


@contextlib.contextmanager
def tool(world: World, container: str, name: str, script: str) -> Iterator[None]:
    """A script in the place of a program in a container; it finds the program as `$0.real`."""
    ground = world.ground
    path = ground.shell(f"docker exec {container} sh -c 'command -v {name}'")
    ground.put("/tmp/tool", f"#!/bin/sh\n{script}\n", "0755")
    ground.shell(
        f"docker exec --user root {container} mv {path} {path}.real; docker cp -q /tmp/tool {container}:{path}"
    )
    try:
        yield
    finally:
        ground.shell(f"docker exec --user root {container} mv {path}.real {path}")


@fault("the physical backup dies half way", r"mariadb.*backup ended with exit status 137", quick=True)
@contextlib.contextmanager
def physical_backup_dies(world: World) -> Iterator[None]:
    with tool(world, "shop-mariadb-1", "mariadb-backup", '"$0.real" "$@" | head -c 300000; kill -9 $$'):
        yield


@fault("the physical backup loses its end, and says nothing", r"mariadb.*backup is not whole")
@contextlib.contextmanager
def physical_backup_loses_its_end(world: World) -> Iterator[None]:
    with tool(world, "shop-mariadb-1", "mariadb-backup", '"$0.real" "$@" | head -c 300000; exit 0'):
        yield


@fault("the base backup dies half way", r"base backup ended with exit status 137")
@contextlib.contextmanager
def base_backup_dies(world: World) -> Iterator[None]:
    with tool(world, "shop-postgres-1", "pg_basebackup", f'{PG_BASEBACKUP} "$@" | head -c 3000000; kill -9 $$'):
        yield


@fault("the base backup loses its end, and says nothing", r"base backup is not whole")
@contextlib.contextmanager
def base_backup_loses_its_end(world: World) -> Iterator[None]:
    with tool(world, "shop-postgres-1", "pg_basebackup", f'{PG_BASEBACKUP} "$@" | head -c 3000000; exit 0'):
        yield


def server_dies(world: World) -> Done:
    return world.backup_at(SHOP, "^base backup", "docker kill shop-postgres-1 >/dev/null", 0.3)


@fault("the database server is killed while it is backed up", r"postgres", act=server_dies)
@contextlib.contextmanager
def after_a_killed_server(world: World) -> Iterator[None]:
    try:
        yield
    finally:
        world.ground.shell("docker start shop-postgres-1 >/dev/null; shop-ready")


@fault("the database server is stopped", r"mariadb.*(not running|does not run|is stopped|start)")
@contextlib.contextmanager
def stopped_server(world: World) -> Iterator[None]:
    world.ground.shell("docker stop shop-mariadb-1")
    try:
        yield
    finally:
        world.ground.shell("docker start shop-mariadb-1; shop-ready")


@fault("the container engine is stopped", r"docker")
@contextlib.contextmanager
def stopped_engine(world: World) -> Iterator[None]:
    # The other stack's backups need it as well.
    with DEPOT_RESTS:
        world.ground.shell("systemctl stop docker.socket docker.service")
        try:
            yield
        finally:
            world.ground.shell("systemctl start docker.service; shop-ready; depot-ready")


@fault("the database's password was changed, and nobody told us", r"mariadb.*(?i:access denied)")
@contextlib.contextmanager
def rotated_database_password(world: World) -> Iterator[None]:
    def login(password: str, wanted: str) -> str:
        words = f'SET SQL_LOG_BIN = 0; ALTER USER root@localhost IDENTIFIED BY "{wanted}";'
        return f"docker exec -e MYSQL_PWD={password} shop-mariadb-1 mariadb -uroot -e '{words}'"

    world.ground.shell(login("secret-of-shop", "another-secret"))
    try:
        yield
    finally:
        world.ground.shell(login("another-secret", "secret-of-shop"))


@fault("a database is empty that was full", r"has no row now and had .*--accept-smaller")
@contextlib.contextmanager
def empty_database(world: World) -> Iterator[None]:
    world.ground.shell(
        "echo 'CREATE DATABASE keep; CREATE TABLE keep.orders AS SELECT * FROM orders; TRUNCATE orders;' | shop-sql"
    )
    try:
        yield
    finally:
        world.ground.shell("echo 'INSERT INTO orders SELECT * FROM keep.orders; DROP DATABASE keep;' | shop-sql")


@fault("a volume is gone", r"volume shop_uploads")
@contextlib.contextmanager
def volume_gone(world: World) -> Iterator[None]:
    data = "/var/lib/docker/volumes/shop_uploads"
    world.ground.shell(f"mv {data}/_data {data}/_away")
    try:
        yield
    finally:
        world.ground.shell(f"rm -rf {data}/_data; mv {data}/_away {data}/_data")


# On the disks


@fault("the host's disk is full", r"are free, and a backup wants")
@contextlib.contextmanager
def full_disk(world: World) -> Iterator[None]:
    world.ground.shell(f"mount -t tmpfs -o size=200m tmpfs /mnt && cp -a {STATE}/. /mnt && mount --bind /mnt {STATE}")
    try:
        yield
    finally:
        # What it says of itself while its own disk is full is to be seen afterwards too.
        world.ground.shell(
            f"cp -a /mnt/status.json /tmp/status.json; umount {STATE} && umount /mnt; cp -a /tmp/status.json {STATE}/"
        )


@fault("the repository's disk is full", r"/srv/backup.* are free, and a backup wants")
@contextlib.contextmanager
def full_repository(world: World) -> Iterator[None]:
    world.ground.shell(
        "fallocate -l $(($(df --output=avail -B1 /srv/backup | tail -1) - (100 << 20))) /srv/backup/fill"
    )
    try:
        yield
    finally:
        world.ground.shell("rm /srv/backup/fill")


def fill_while_storing(world: World) -> Done:
    fill = "fallocate -l $(($(df --output=avail -B1 /srv/backup | tail -1) - (1 << 20))) /srv/backup/fill"
    # New data, or nothing would have to be stored.
    world.ground.shell("docker exec shop-application-1 sh -c 'head -c 30000000 /dev/urandom > /data/new'")
    return world.backup_at(SHOP, "^base backup", fill)


@fault(
    "the repository's disk fills up while it is written",
    r"the repository's disk is full; make room",
    act=fill_while_storing,
)
@contextlib.contextmanager
def filling_repository(world: World) -> Iterator[None]:
    try:
        yield
    finally:
        world.ground.shell("rm -f /srv/backup/fill; docker exec shop-application-1 rm /data/new")


@fault("the repository is read-only", r"(?i)read-only|cannot be written")
@contextlib.contextmanager
def read_only_repository(world: World) -> Iterator[None]:
    world.ground.shell("mount -o remount,ro /srv/backup")
    try:
        yield
    finally:
        world.ground.shell("mount -o remount,rw /srv/backup")


# Keys


@fault("the repository's password on the host is wrong", r"the repository's password is wrong")
@contextlib.contextmanager
def wrong_password(world: World) -> Iterator[None]:
    world.ground.shell(
        f"cp -a {SETTINGS}/repositories/main/password /root/good && echo wrong > {SETTINGS}/repositories/main/password"
    )
    try:
        yield
    finally:
        world.ground.shell(f"mv /root/good {SETTINGS}/repositories/main/password")


@fault("the repository's password was changed elsewhere", r"the repository's password is wrong")
@contextlib.contextmanager
def rotated_password(world: World) -> Iterator[None]:
    """What makes it good is the new password on the host: with it, the old points read back."""
    world.ground.shell(f"echo 'a new password' > /root/new; {RESTIC} key passwd --new-password-file /root/new")
    try:
        yield
    finally:
        world.ground.shell(f"cp /root/new {SETTINGS}/repositories/main/password")


@fault("and back again, by a second key", r"the repository's password is wrong")
@contextlib.contextmanager
def rotated_back(world: World) -> Iterator[None]:
    new = f"restic -q -r {REPOSITORY} --password-file /root/new"
    world.ground.shell(
        f'printf %s "{PASSWORD}" > /root/old; {new} key add --new-password-file /root/old;'
        f"{RESTIC} key list --json | {IDS} > /root/ids;"
        f"for id in $(cat /root/ids); do {RESTIC} key remove $id; done"
    )
    try:
        yield
    finally:
        world.ground.shell(f'echo "{PASSWORD}" > {SETTINGS}/repositories/main/password')


@fault("the file with the key is lost", r"repositories/main/password: is missing; run the play")
@contextlib.contextmanager
def lost_key(world: World) -> Iterator[None]:
    world.ground.shell(f"mv {SETTINGS}/repositories/main/password /root/lost")
    try:
        yield
    finally:
        world.ground.shell(f"mv /root/lost {SETTINGS}/repositories/main/password")


@contextlib.contextmanager
def credentials(world: World, expression: str) -> Iterator[None]:
    path = f"/etc/slipway/backup/{DEPOT}/repositories/main/environment"
    world.ground.shell(f"cp -a {path} /root/environment && sed -i '{expression}' {path}")
    try:
        yield
    finally:
        world.ground.shell(f"mv /root/environment {path}")


@fault("the S3 secret is wrong", r"the S3 secret is wrong for this access key", DEPOT, quick=True)
@contextlib.contextmanager
def wrong_secret(world: World) -> Iterator[None]:
    with credentials(world, "s/^\\(AWS_SECRET_ACCESS_KEY=\\).*/\\1wrong/"):
        yield


@fault("the S3 key is not known", r"the S3 access key is not known there", DEPOT)
@contextlib.contextmanager
def unknown_key(world: World) -> Iterator[None]:
    with credentials(world, "s/^\\(AWS_ACCESS_KEY_ID=\\).*/\\1nobody/"):
        yield


# In the network


@contextlib.contextmanager
def weather(world: World, what: Weather) -> Iterator[None]:
    with world.proxy.having(what):
        yield


def under(what: Weather) -> Arm:
    return lambda world: weather(world, what)


def clearing(what: Weather, seconds: float) -> Act:
    """A backup in weather that clears up after a while."""

    def act(world: World) -> Done:
        with world.proxy.having(what):
            threading.Timer(seconds, lambda: setattr(world.proxy, "weather", Weather())).start()
            return world.ground.backup(DEPOT)

    return act


fault("S3 answers 500 to each third request", "", DEPOT, outcome=OVERCOME)(under(Weather(status=500, every=3)))
fault("S3 answers 503 to each second upload", "", DEPOT, outcome=OVERCOME)(under(Weather(503, 2, ("PUT",))))
fault("S3 takes half a second for each answer", "", DEPOT, outcome=OVERCOME)(under(Weather(delay_seconds=0.5)))
fault("S3 answers 503 to everything", r"depot|proof-faults.*(503|Slow|does not answer|limit)", DEPOT)(
    under(Weather(503))
)
fault("S3 answers 500 to everything", r"proof-faults.*(500|Internal|does not answer|limit)", DEPOT)(under(Weather(500)))
fault("S3 takes minutes for each answer", r"does not answer; check the network", DEPOT)(
    under(Weather(delay_seconds=600))
)
fault(
    "the network is lost during the upload, and comes back after half a minute",
    "",
    DEPOT,
    outcome=OVERCOME,
    act=clearing(Weather(cut_after_bytes=6 << 20), 30),
)(nothing)
fault("the network is lost during the upload for good", r"proof-faults", DEPOT, long=True)(
    under(Weather(cut_after_bytes=6 << 20))
)
fault("S3 answers 503 to all uploads", r"proof-faults", DEPOT, long=True)(under(Weather(503, 1, ("PUT",))))


@fault("nothing answers at the address of S3", r"nothing answers at this address", DEPOT)
@contextlib.contextmanager
def nothing_there(world: World) -> Iterator[None]:
    path = f"/etc/slipway/backup/{DEPOT}/backup.json"
    world.ground.shell(f"cp -a {path} /root/backup.json && sed -i 's/:{PROXY_PORT}/:17499/' {path}")
    try:
        yield
    finally:
        world.ground.shell(f"mv /root/backup.json {path}")


# In the repository


FIND_LARGE = f"find {REPOSITORY}/data -type f -size +1M | sort | head -n 1"


@contextlib.contextmanager
def copied(world: World) -> Iterator[None]:
    """What is done to the repository is undone by a copy of it from before."""
    world.ground.shell(f"rm -rf /srv/copy; cp -a {REPOSITORY} /srv/copy")
    try:
        yield
    finally:
        world.ground.shell(f"rm -rf {REPOSITORY}; cp -a /srv/copy {REPOSITORY}; rm -rf /srv/copy")


FLIP = """
for f in $({find}); do chmod u+w $f; python3 - $f <<'END'
import sys
with open(sys.argv[1], 'r+b') as stream:
    stream.seek(200)
    byte = stream.read(1)
    stream.seek(200)
    stream.write(bytes([byte[0] ^ 1]))
END
done
"""


@fault(
    "a byte of the stored data has changed",
    r"base backup|postgres|mariadb|dump|data|read",
    outcome=LOOKED,
    act=lambda world: world.ground.slipway(f"backup verify --stack {SHOP}"),
    looks=((f"drill --stack {SHOP}", r"\S"), (f"backup run --stack {SHOP}", r"\S")),
    quick=True,
)
@contextlib.contextmanager
def flipped_data(world: World) -> Iterator[None]:
    with copied(world):
        world.ground.shell(FLIP.format(find=f"find {REPOSITORY}/data -type f -size +100k"))
        yield


@fault(
    "a byte of the repository's index has changed",
    r"check the structure",
    outcome=LOOKED,
    act=lambda world: world.ground.slipway(f"backup check --stack {SHOP}"),
)
@contextlib.contextmanager
def flipped_index(world: World) -> Iterator[None]:
    with copied(world):
        world.ground.shell(FLIP.format(find=f"find {REPOSITORY}/index -type f | head -n 1"))
        yield


@fault(
    "an object of the stored data is gone",
    r"check the structure",
    outcome=LOOKED,
    act=lambda world: world.ground.slipway(f"backup check --stack {SHOP}"),
    looks=(
        (f"backup verify --stack {SHOP}", r"\S"),
        (f"drill --stack {SHOP}", r"\S"),
    ),
)
@contextlib.contextmanager
def missing_object(world: World) -> Iterator[None]:
    with copied(world):
        world.ground.shell(f"find {REPOSITORY}/data -type f -size +100k -delete")
        yield


@fault(
    "the snapshot of a part is gone",
    r"is not in the repository; choose another point",
    outcome=LOOKED,
    act=lambda world: world.ground.slipway(f"backup verify --stack {SHOP}"),
    looks=((f"drill --stack {SHOP}", r"is not in the repository"),),
)
@contextlib.contextmanager
def missing_part(world: World) -> Iterator[None]:
    with copied(world):
        world.ground.shell(
            f"id=$({RESTIC} snapshots --json --no-lock --tag part:postgresql-postgres | {IDS} | grep -o '[^ ]*$');"
            f"rm -f {REPOSITORY}/snapshots/$id"
        )
        yield


def backup_with_bad_points(world: World) -> Done:
    """No point counts as good any more, and the next backup is not good either: nothing may go."""
    ground = world.ground
    before = [point["point"] for point in ground.points(SHOP)]
    done = ground.backup(SHOP)
    left = [point["point"] for point in ground.points(SHOP)]
    if not set(before) <= set(left) or not before:
        return Done(done.code, done.out, f"points went: {before} became {left}", done.seconds)
    return done


@fault(
    "no point is good any more, and the next backup fails too: none of them goes",
    r"base backup ended with exit status 137",
    act=backup_with_bad_points,
)
@contextlib.contextmanager
def all_points_bad(world: World) -> Iterator[None]:
    with copied(world):
        world.ground.shell(
            f"ids=$({RESTIC} snapshots --json --no-lock --tag slipway-verified | {IDS});{RESTIC} forget $ids"
        )
        with tool(world, "shop-postgres-1", "pg_basebackup", f'{PG_BASEBACKUP} "$@" | head -c 3000000; kill -9 $$'):
            yield


# Two at once


def two_at_once(world: World) -> Done:
    done = world.ground.run(
        f"slipway backup run --stack {SHOP} >/tmp/one 2>&1 & one=$!; sleep 1;"
        f"slipway backup run --stack {SHOP}; two=$?; wait $one || {{ cat /tmp/one >&2; exit 99; }}; exit $two"
    )
    return done


fault("two backups at once", r"held by backup \(manual\)", act=two_at_once, outcome=LOOKED, quick=True)(nothing)


@contextlib.contextmanager
def held_lease(world: World, seconds: float) -> Iterator[None]:
    world.ground.put("/tmp/holder.py", HOLDER)
    holder = world.ground.start(f"exec python3 /tmp/holder.py {SHOP} {seconds}")
    assert holder.stdout is not None
    if holder.stdout.readline().strip() != "held":
        raise LabError(f"the lease could not be taken: {holder.stdout.read()}")
    try:
        yield
    finally:
        world.ground.run("pkill -f '^python3 /tmp/holder.py'")
        holder.wait(30)


fault("a backup while a release has the lease", r"held by release 2.0.0", outcome=LOOKED)(
    lambda world: held_lease(world, 600)
)


def timer_during_release(world: World) -> Done:
    """As the timer starts it: the backup is made as soon as the release has ended."""
    before = world.ground.good(SHOP)
    with held_lease(world, 15):
        world.ground.run(f"systemctl start slipway-backup-{SHOP}.service")
        said = world.ground.run(f"journalctl -u slipway-backup-{SHOP}.service --since -1min -o cat").out
        if "held by release 2.0.0" not in said:
            return Done(99, "", f"the unit met no lease: {said[-300:]}", 0)
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        time.sleep(3)
        if world.ground.good(SHOP)[-1:] > before[-1:]:
            return Done(0, "", "", 0)
    said = world.ground.run(f"journalctl -u slipway-backup-{SHOP}.service --since -4min -o cat").out
    return Done(98, "", f"no backup was made after the release had ended: {said[-300:]}", 0)


fault("the timer's backup falls into a release", "", act=timer_during_release, outcome=OVERCOME)(nothing)


# Time and versions


FAKED = "faketime -f '{offset}' slipway backup run --stack shop"


def status_after_a_jump(world: World) -> Done:
    world.ground.shell(FAKED.format(offset="+400d"))
    done = world.ground.slipway(f"backup status --stack {SHOP}")
    return Done(done.code, "", "\n".join(line for line in done.out.splitlines() if "future" in line), done.seconds)


@fault(
    "the clock jumps a year forward, and back",
    r"the newest good point is from the future",
    outcome=LOOKED,
    act=status_after_a_jump,
    looks=((f"restore --plan --stack {SHOP}", r"is from the future, by this host's clock"),),
)
@contextlib.contextmanager
def clock_forward(world: World) -> Iterator[None]:
    with copied(world):
        world.ground.shell(f"cp -a {STATE} /root/state")
        try:
            yield
            if world.newest[SHOP] not in world.ground.good(SHOP):
                raise LabError(f"the jump cost the last good point {world.newest[SHOP]}")
        finally:
            world.ground.shell(f"rm -rf {STATE}; mv /root/state {STATE}")


@fault(
    "the clock falls a year back",
    "",
    outcome=OVERCOME,
    act=lambda world: world.ground.run(FAKED.format(offset="-400d")),
)
@contextlib.contextmanager
def clock_back(world: World) -> Iterator[None]:
    yield


def another_version(world: World) -> Done:
    return world.ground.slipway(f"restore --stack {SHOP} --confirm {SHOP}")


@fault(
    "the database's version has changed since the backup",
    r"the point is of PostgreSQL 17 and .* has 15",
    act=another_version,
    outcome=LOOKED,
)
@contextlib.contextmanager
def version_changed(world: World) -> Iterator[None]:
    """The service now runs another major version, as far as it says (the lab has but one), on its own volume."""
    ground = world.ground
    ground.shell(
        "docker rm -f shop-postgres-1 >/dev/null; docker create --name other postgres:17-alpine >/dev/null;"
        "printf '#!/bin/sh\\necho \"postgres (PostgreSQL) 15.9\"\\n' > /tmp/postgres; chmod 755 /tmp/postgres;"
        "docker cp -q /tmp/postgres other:/usr/lib/postgresql/17/bin/postgres;"
        "docker commit -c 'ENV PG_MAJOR=15' other postgres:15 >/dev/null; docker rm other >/dev/null;"
        "docker run -d --name shop-postgres-1 --label com.docker.compose.project=shop"
        " --label com.docker.compose.service=postgres --label com.docker.compose.oneoff=False"
        " -v shop_pg15:/var/lib/postgresql/data --entrypoint sleep postgres:15 infinity >/dev/null"
    )
    try:
        yield
    finally:
        ground.shell(
            "docker rm -f shop-postgres-1 >/dev/null; docker volume rm shop_pg15 >/dev/null;"
            "docker rmi postgres:15 >/dev/null; /root/stack.sh"
        )


# Struck


def kill_at(pattern: str, strike: str = "kill -9 $process", delay: float = 0.0, stack: str = SHOP) -> Act:
    return lambda world: world.backup_at(stack, pattern, strike, delay)


KILLED = r"was begun at .* did not come to its end"
STEPS = {
    "base backup": ("^base backup", 0.0),
    "base backup, half a second on": ("^base backup", 0.5),
    "physical backup, half a second on": ("^physical backup", 0.5),
    "storing": ("^storing", 0.0),
    "reading back": ("^reading", 0.0),
}
for name, (pattern, delay) in STEPS.items():
    fault(f"killed at: {name}", "", act=kill_at(pattern, delay=delay), recorded=KILLED, quick=name == "storing")(
        nothing
    )
fault(
    "killed with all that it started, at: base backup, half a second on",
    "",
    act=kill_at("^base backup", "pkill -9 -P $process; kill -9 $process", 0.5),
    recorded=KILLED,
)(nothing)
fault(
    "only restic is killed, while it stores",
    r"restic|store|repository",
    act=kill_at("^base backup", "pkill -9 -P $process restic", 0.3),
)(nothing)
fault("told to stop, at: physical backup", r"was told to stop", act=kill_at("^physical backup", "kill $process"))(
    nothing
)
fault("told to stop, at: base backup", r"was told to stop", act=kill_at("^base backup", "kill $process", 0.3))(nothing)
fault(
    "killed during the upload to S3", "", DEPOT, act=kill_at("^base backup", delay=1.0, stack=DEPOT), recorded=KILLED
)(nothing)

DEPOT_RESTS = threading.RLock()


@dataclass
class Trial:
    fault: Fault
    said: str = ""
    alert: str = ""
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)


def one_line(done: Done) -> str:
    """The complaint, when it is one line."""
    lines = [line for line in done.err.splitlines() if line.strip()]
    return lines[0] if len(lines) == 1 else ""


def judge_drill(done: Done, says: str) -> list[str]:
    """The same of a drill, whose report is its output."""
    if done.code == 0:
        return ["it did not fail"]
    return [] if re.search(says, done.out + done.err) else [f"it says another thing: {done.said[-500:]}"]


def judge_failure(done: Done, says: str, struck: bool) -> list[str]:
    """What is wrong with how a command failed. One that was killed says nothing more."""
    if done.code == 0:
        return ["it did not fail"]
    if struck:
        return (
            [] if done.code in (137, 143) else [f"it was to be killed, and ended with {done.code}: {done.said[-300:]}"]
        )
    if done.code >= 90:
        return [f"the trial could not be held: {done.said[-500:]}"]
    if not one_line(done):
        return [f"it did not say one line: {done.err.strip()[-500:]!r}"]
    return [] if re.search(says, one_line(done)) else [f"it says another thing: {one_line(done)}"]


def judge_record(ground: Ground, stack: str, says: str, killed: bool) -> tuple[str, list[str]]:
    """What status, metrics and watch say after a backup that failed."""
    problems = []
    alert = ground.alert(stack)
    if not alert:
        problems.append("the watch would not alert")
    elif not re.search(says, alert):
        problems.append(f"the watch says another thing: {alert}")
    if killed:
        if ground.metric("running_since_timestamp_seconds", stack) is None:
            problems.append("the metrics do not say that a backup was begun and has not ended")
        return alert, problems
    if ground.status(stack).get("ok") is not False:
        problems.append("the status file does not say that the last backup failed")
    if ground.metric("last_attempt_succeeded", stack) != 0:
        problems.append("the metrics do not say that the last backup failed")
    return alert, problems


def hold(world: World, chosen: Fault) -> Trial:
    trial, begun, ground = Trial(chosen), time.monotonic(), world.ground
    before = world.newest[chosen.stack]
    killed = bool(chosen.recorded)
    with chosen.arm(world):
        done = chosen.act(world)
        trial.said = one_line(done) or done.said[-300:]
        if chosen.outcome == OVERCOME:
            if done.code != 0:
                trial.problems.append(f"it failed: {done.said[-600:]}")
        else:
            trial.problems += judge_failure(done, chosen.says, killed)
        for words, says in chosen.looks:
            looked = ground.slipway(words)
            found = judge_drill(looked, says) if words.startswith("drill") else judge_failure(looked, says, False)
            trial.problems += [f"slipway {words}: {each}" for each in found]
        if chosen.outcome == NOTICED:
            trial.alert, problems = judge_record(ground, chosen.stack, chosen.recorded or chosen.says, killed)
            trial.problems += problems
    again = ground.slipway(f"backup verify --stack {chosen.stack} --point {before}")
    if again.code != 0:
        # A good point that was made after it, before the fault struck, may have taken its place of this day.
        newer = [name for name in ground.good(chosen.stack) if name > before]
        again = ground.slipway(f"backup verify --stack {chosen.stack} --point {newer[-1]}") if newer else again
    if again.code != 0:
        trial.problems.append(f"point {before} does not read back any more: {again.said[-300:]}")
    make_good(world, chosen.stack, trial.problems)
    trial.seconds = time.monotonic() - begun
    return trial


def make_good(world: World, stack: str, problems: list[str]) -> None:
    """The backup that follows: it must be good, and nothing is left to alert of."""
    done = world.ground.backup(stack, "--json")
    if done.code != 0:
        problems.append(f"the next backup fails: {done.err.strip().splitlines()[-1:]}")
        return
    world.newest[stack] = str(done.json["point"])
    if alert := world.ground.alert(stack):
        problems.append(f"the watch still alerts after a good backup: {alert}")


def prove(world: World, chosen: Sequence[Fault]) -> list[Trial]:
    """The two stacks side by side; the faults of one stack one after the other."""

    def one_stack(stack: str) -> list[Trial]:
        trials = []
        for each in chosen:
            if each.stack != stack:
                continue
            with DEPOT_RESTS if stack == DEPOT else contextlib.nullcontext():
                try:
                    trial = hold(world, each)
                except (LabError, subprocess.SubprocessError, ValueError, KeyError) as error:
                    trial = Trial(each, problems=[f"it could not be held: {error}"])
            tell(trial)
            trials.append(trial)
            # Who waits for the other stack's rest comes next.
            time.sleep(0.2)
        return trials

    for stack in (SHOP, DEPOT):
        problems: list[str] = []
        make_good(world, stack, problems)
        if problems:
            raise SystemExit(f"the first backup of {stack}: {problems}")
    with ThreadPoolExecutor(2) as pool:
        return [trial for trials in pool.map(one_stack, (SHOP, DEPOT)) for trial in trials]


def tell(trial: Trial) -> None:
    mark = "FAILED" if trial.problems else "ok    "
    print(
        f"  {mark} {trial.fault.title} ({trial.fault.stack}, {trial.seconds:.0f} s, load {load_average()})", flush=True
    )
    for problem in trial.problems:
        print(f"         {problem}", flush=True)


def table(trials: Sequence[Trial]) -> str:
    lines = ["| fault | where | ended | said |", "|---|---|---|---|"]
    for trial in trials:
        ended = "FAILED" if trial.problems else trial.fault.outcome
        said = (trial.alert if trial.fault.recorded else trial.said) if trial.fault.outcome != OVERCOME else ""
        lines.append(f"| {trial.fault.title} | {trial.fault.stack} | {ended} | {said.replace('|', '/')[:220]} |")
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="prove_faults.py", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="some of each kind")
    parser.add_argument("--without-long", action="store_true", help="not those that take a quarter of an hour")
    parser.add_argument("--begin", action="append", default=[], help="with these titles, each for its stack")
    parser.add_argument("--only", action="append", default=[], help="those whose title has these words")
    options = parser.parse_args(argv)
    chosen = [
        each
        for each in FAULTS
        if (each.quick or not options.quick)
        and not (each.long and (options.without_long or options.quick))
        and (not options.only or any(words in each.title for words in options.only))
    ]
    for title in options.begin:
        first = next(each for each in chosen if title in each.title)
        place = chosen.index(first)
        chosen = [each for each in chosen if each.stack != first.stack or chosen.index(each) >= place]
    s3 = json.loads(settings.S3_FILE.read_text(encoding="utf-8"))
    proxy = Proxy(settings.GATEWAY, PROXY_PORT, (settings.SERVICES_ADDRESS, settings.S3_PORT))
    url = f"s3:http://{proxy.address}/{s3['bucket']}/proof-faults-{int(time.time())}"
    stacks = [
        Stack(SHOP, REPOSITORY, ("postgresql", "mariadb")),
        Stack(DEPOT, url, ("postgresql",), s3["access_key"], s3["secret_key"]),
    ]
    with Ground("proof-faults", stacks, SMALL_DISK) as ground:
        ground.shell("apt-get install -y -qq --no-install-recommends faketime >/dev/null")
        ground.shell(
            "cat > /root/stack.real && chmod 755 /root/stack.real", text=(HERE / "stack.sh").read_text(encoding="utf-8")
        )
        ground.put("/root/stack.sh", f"#!/bin/sh\nexec bash /root/stack.real {SHOP} mariadb postgresql\n", "0755")
        ground.put("/root/ids.py", IDS_PROGRAM)
        trials = prove(World(ground, proxy), chosen)
    proxy.close()
    print(f"\n{table(trials)}")
    failed = sum(bool(trial.problems) for trial in trials)
    print(f"{len(trials)} faults, {failed} failed")
    return 1 if failed or not trials else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
