"""Where releases are proved: lab hosts, a version put on them as an operator does it, a load, and a look at them.

An arena knows how to make its hosts, how to release, how to kill, how to look, and where requests go in. What is proved
is told in these words alone, so that it is the same on every engine.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from slipway_arena import audit, versions
from slipway_arena.judge import Answer
from slipway_arena.load import Wish
from slipway_lab import hosts, settings
from slipway_lab.shell import LabError, family, wait_until

HERE = Path(__file__).resolve().parents[1]
PACKAGE = Path(__file__).resolve().parent
ON_HOST = HERE / "on_host"
WORK = settings.ROOT / ".cache" / "proofs"
STACK = "proof"
SITE = "proof.example.test"
PLAY_SECONDS = 600
# The last number of the address before a proof's hosts, in the part of the lab's network that the engine leaves alone.
FIRST_ADDRESSES = {"proof-releases": 40, "proof-kills": 50, "proof-failures": 60, "proof-nodes": 70, "proof-bench": 80}
# What the Compose files ask for, where a proof says nothing else; THIRD_VERSION is the version itself.
ENVIRONMENT = {"STOP": "graceful", "FAULT": "", "WEB_FAULT": "", "MONITOR": "0s", "MIGRATE_EXIT": "0"}
PHASES = (
    "recovery point",
    "prepare",
    "stop",
    "migrate",
    "start",
    "switch",
    "watch",
    "replace",
    "finish",
    "after_release",
)
WITNESS = """
tail -n +1 /etc/nginx/slipway/upstreams/*
slipway upstreams status; docker ps -a; docker node ls; docker service ls
docker service ps --no-trunc $(docker service ls -q)
journalctl -o short-precise -n 60 -u slipway-upstreams; journalctl -o short-precise -n 60 -u docker
"""
CERTIFICATE = f"""
place=/etc/slipway/certificates/{SITE}/current; mkdir -p $place
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN={SITE} \\
  -keyout $place/privkey.pem -out $place/fullchain.pem 2>/dev/null
"""


@dataclass(frozen=True)
class Said:
    """How a play ended."""

    code: int
    output: str
    begun: float
    ended: float
    tasks: list[dict[str, Any]]

    @property
    def seconds(self) -> float:
        return self.ended - self.begun

    @property
    def line(self) -> str:
        """Everything in one line, for Ansible folds what it says."""
        return " ".join(self.output.split())

    def task(self, words: str) -> tuple[float, float]:
        """When the tasks with these words in their name began and ended, over all hosts."""
        found = [each for each in self.tasks if words in each["task"]]
        return min(each["begun"] for each in found), max(each["ended"] for each in found)


class Play:
    """An ansible-playbook that runs; it shares the machine with the host that it deploys to, so it gives way (nice)."""

    def __init__(self, directory: Path, playbook: str, inventory: Mapping[str, Any], *options: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        (directory / "inventory.json").write_text(json.dumps(inventory), encoding="utf-8")
        self._times = directory / "times.jsonl"
        self._times.unlink(missing_ok=True)
        program = str(settings.ROOT / ".venv/bin/ansible-playbook")
        command = ["nice", "-n", "19", program, "-i", str(directory / "inventory.json"), str(HERE / playbook), *options]
        environment = {
            **os.environ,
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_FORCE_COLOR": "0",
            "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callback_plugins"),
            "ANSIBLE_CALLBACKS_ENABLED": "times",
            "TIMES_FILE": str(self._times),
            "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=60s "
            "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR",
        }
        self.begun = time.monotonic()
        with (directory / "output").open("wb") as output:
            self._process = subprocess.Popen(
                command,
                cwd=settings.ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def kill(self) -> None:
        """Everything that the play runs on the controller, at once."""
        for process in reversed(family(self._process.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self._process.wait()

    def wait(self, seconds: float = PLAY_SECONDS) -> Said:
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            code = -1
        ended = time.monotonic()
        tasks = self._times.read_text(encoding="utf-8").splitlines() if self._times.exists() else []
        output = (self.directory / "output").read_text(encoding="utf-8", errors="replace")
        return Said(code, output, self.begun, ended, [json.loads(line) for line in tasks])


@dataclass
class Machine:
    """A host of the lab, and the doors beside SSH."""

    name: str
    address: str
    release: str = settings.DEFAULT_RELEASE

    @property
    def container(self) -> str:
        return hosts.container_name(self.name)

    def make(self) -> None:
        """At the address that it has: the engine would give it another one after a power cut."""
        hosts.remove(self.name)
        self.address = hosts.create(self.name, self.release, docker_inside=True, address=self.address).address

    def shell(self, script: str, check: bool = True, timeout: float = 180) -> str:
        command = ["docker", "exec", "-i", self.container, "bash", "-eu"]
        done = subprocess.run(command, input=script.encode(), capture_output=True, timeout=timeout, check=False)
        if check and done.returncode != 0:
            raise LabError(f"{self.name}: {script[:200]}: {(done.stderr or done.stdout).decode().strip()[-1500:]}")
        return done.stdout.decode()

    @contextlib.contextmanager
    def follow(self, engine: str, program: str, *arguments: str) -> Iterator[list[str]]:
        """As `start`, beside the block; the lines that it prints, as they come."""
        lines: list[str] = []
        with self.start(engine, program, *arguments) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            reader = threading.Thread(target=lines.extend, args=(iter(process.stdout.readline, ""),), daemon=True)
            reader.start()
            try:
                yield lines
            finally:
                process.stdin.close()
                reader.join(10)

    def start(self, engine: str, program: str, *arguments: str) -> subprocess.Popen[str]:
        """Run a program of on_host/ on the host, after where.py; standard input and output are pipes."""
        text = "".join((ON_HOST / name).read_text(encoding="utf-8") for name in ("where.py", program))
        arguments = (engine, STACK, *arguments)
        command = ["docker", "exec", "-i", self.container, "python3", "-c", text, *arguments]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def power_off(self) -> None:
        subprocess.run(["docker", "kill", "--signal=KILL", self.container], capture_output=True, check=True)

    def power_on(self) -> None:
        subprocess.run(["docker", "start", self.container], capture_output=True, check=True)
        self.address = hosts.describe(self.name).address
        wait_until(f"sshd on {self.name}", lambda: hosts.takes_login(self.address), 120, 0.2)


class Strike:
    """A release that is held at a step of its own journal, until it is struck or let go on."""

    def __init__(self, engine: str, machine: Machine, step: str, steps: Sequence[str], seconds: float = 180) -> None:
        self._process = machine.start(engine, "strike.py", step, ",".join(steps), str(seconds))

    def wait(self) -> str:
        """The step that it came to, or `never`."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().split(" ")[0] or "never"

    def say(self, word: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(f"{word}\n")
            self._process.stdin.close()
        self._process.wait(30)

    def kill(self) -> None:
        self.say("kill")

    def go_on(self) -> None:
        self.say("go on")


@dataclass
class Load:
    """The load as it runs; its answers when it has ended."""

    path: Path
    process: subprocess.Popen[bytes]
    answers: list[Answer] = field(default_factory=list)

    def so_far(self) -> list[Answer]:
        whole, _newline, _rest = self.path.read_text(encoding="utf-8").rpartition("\n")
        return [Answer(**json.loads(line)) for line in whole.splitlines()]

    def end(self) -> list[Answer]:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)
        self.answers = self.so_far()
        return self.answers


class Arena:
    """Hosts of the lab with everything but the stack, which each of them runs on its own or all together."""

    engine = "compose"
    steps: tuple[str, ...] = ("lease", *PHASES)
    replicas = {"store": 1, "web": 2, "third": 1, "worker": 1}  # of four.yaml, on each host

    def __init__(self, name: str, count: int, compose_file: str, **variables: Any) -> None:
        self.name = name
        first = FIRST_ADDRESSES[name.rpartition("-")[0]]
        self.machines = [Machine(f"{name}{number}", f"172.30.0.{first + number}") for number in range(1, count + 1)]
        self.compose_file = HERE / compose_file
        self.variables = variables
        self.directory = WORK / name
        self._plays = 0

    # Making and unmaking

    def __enter__(self) -> Arena:
        # Whoever ends us leaves no hosts behind.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        hosts.ensure_key()
        versions.ensure_base()
        for version in ("store", "0"):
            versions.publish(version)
        with ThreadPoolExecutor(len(self.machines)) as pool:
            list(pool.map(Machine.make, self.machines))
            list(pool.map(lambda one: one.shell(CERTIFICATE), self.machines))
        self.prepare()
        return self

    def __exit__(self, *_error: object) -> None:
        if os.environ.get("PROOF_KEEP"):
            return
        for machine in self.machines:
            hosts.remove(machine.name)

    def prepare(self) -> None:
        said = self.play("prepare.yml", "0").wait()
        if said.code != 0:
            raise LabError(f"the hosts cannot be prepared: {said.output[-3000:]}")

    # Releasing

    def inventory(self, version: str, environment: Mapping[str, str], **variables: Any) -> dict[str, Any]:
        own = variables.pop("own", {})
        wanted = {"VERSION": version, "THIRD_VERSION": version, **ENVIRONMENT, **environment}
        listed = {
            machine.name: {
                "ansible_host": machine.address,
                "ansible_user": settings.USER,
                "ansible_ssh_private_key_file": str(settings.KEY),
                "stack_environment": {**wanted, **own.get(machine.name, {})},
            }
            for machine in self.machines
        }
        common = {
            "stack_name": STACK,
            "stack_compose_file": str(self.compose_file),
            "docker_registry_mirrors": [versions.REGISTRY],
            "docker_insecure_registries": [versions.REGISTRY.removeprefix("http://")],
            "docker_prune_enabled": False,
            **self.variables,
            **variables,
        }
        return {"all": {"hosts": listed, "vars": common}}

    def play(self, playbook: str, version: str, *options: str, **variables: Any) -> Play:
        """Start a play; `environment` and `own` (by host) are laid over the stack's environment."""
        self._plays += 1
        environment = variables.pop("environment", {})
        inventory = self.inventory(version, environment, **variables)
        return Play(self.directory / f"play-{self._plays % 20}", playbook, inventory, *options)

    def begin(self, version: str, *options: str, **variables: Any) -> Play:
        return self.play("release.yml", version, *options, **variables)

    def release(self, version: str, *options: str, **variables: Any) -> Said:
        return self.begin(version, *options, **variables).wait()

    @property
    def releaser(self) -> Machine:
        """A host that a release works on; not the first, which a play also tells others about."""
        return self.machines[-1]

    # Asking

    @property
    def entrances(self) -> list[tuple[str, int]]:
        return [(machine.address, 443) for machine in self.machines]

    def entrances_beside(self, _victim: Machine) -> list[tuple[str, int]]:
        """Where requests go in while a host is struck: here each has a site of its own."""
        return self.entrances

    @contextlib.contextmanager
    def load(self, **how: Any) -> Iterator[Load]:
        """A steady load from here; what came of it is in `answers` after the block."""
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / "answers.jsonl"
        path.unlink(missing_ok=True)
        wish = Wish(**{"entrances": self.entrances, "name": SITE, **how})
        process = subprocess.Popen(
            [sys.executable, str(PACKAGE / "load.py"), str(path)], stdin=subprocess.PIPE, stderr=sys.stderr
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(asdict(wish)).encode() + b"\n")
        process.stdin.close()
        running = Load(path, process)
        try:
            wait_until("the load", path.exists, 10)
            yield running
        finally:
            running.end()

    # Looking

    @contextlib.contextmanager
    def leases(self) -> Iterator[list[tuple[float, float]]]:
        """From when to when the stack's lease was held, each time, on the first host; there after the block."""
        held: list[tuple[float, float]] = []
        with self.machines[0].follow(self.engine, "holds.py") as lines:
            yield held
            time.sleep(0.2)
        times = [(what, float(at)) for what, _space, at in (line.strip().rpartition(" ") for line in lines)]
        held += [(at, until) for (what, at), (_what, until) in zip(times, times[1:]) if what == "taken"]

    def look(self, machine: Machine) -> dict[str, Any]:
        said, _nothing = machine.start(self.engine, "look.py").communicate(timeout=180)
        found: dict[str, Any] = json.loads(said)
        return found

    def containers(self, service: str) -> list[dict[str, Any]]:
        """The running containers of a service on all hosts, as the engine shows them."""
        ask = f"""
        ids=$(docker ps -q --filter label=ops.slipway.stack={STACK} --filter label=ops.slipway.service={service})
        [ -z "$ids" ] && echo '[]' || docker inspect $ids
        """
        return [each for machine in self.machines for each in json.loads(machine.shell(ask))]

    def everything(self) -> dict[str, dict[str, Any]]:
        with ThreadPoolExecutor(len(self.machines)) as pool:
            return dict(zip((one.name for one in self.machines), pool.map(self.look, self.machines)))

    def await_quiet(self, seconds: float = 180) -> None:
        """Wait until nobody holds the stack's lease any more: a release whose controller is gone may still work."""
        for machine in self.machines:
            quiet = functools.partial(self.is_quiet, machine)
            wait_until(f"the end of the release on {machine.name}", quiet, seconds, 0.5)

    def is_quiet(self, machine: Machine) -> bool:
        with machine.follow(self.engine, "quiet.py") as lines:
            wait_until(f"an answer of {machine.name}", lambda: bool(lines), 60, 0.05)
        return lines[0].strip() == "quiet"

    def strike(self, machine: Machine, step: str) -> Strike:
        return Strike(self.engine, machine, step, self.steps)

    def testify(self) -> Path:
        """Write down what every host knows at this moment, for whoever looks for a reason."""
        path = self.directory / f"testimony-{self._plays}.txt"
        with ThreadPoolExecutor(len(self.machines)) as pool:
            told = pool.map(lambda one: one.shell(f"set +e; exec 2>&1; {WITNESS}", check=False), self.machines)
            path.write_text("\n".join(f"==== {one.name}\n{text}" for one, text in zip(self.machines, told)))
        return path

    def serving(self) -> set[str]:
        """The versions that the hosts run of what is asked."""
        return {audit.version_of(each) for each in self.containers("web")}

    def wanted(self, version: str) -> dict[str, str]:
        """Service → version, where nothing else is said."""
        return {service: "store" if service == "store" else version for service in self.replicas}

    def remember(self) -> None:
        """What belongs to the stack and to nobody else, once it runs well."""
        everything = self.everything().items()
        self.baseline = {name: {key: seen[key] for key in ("networks", "volumes")} for name, seen in everything}

    def audit(self, versions_wanted: Mapping[str, str]) -> list[str]:
        """What is not exactly this, and nothing else, on every host. `versions_wanted`: service → version."""
        problems: list[str] = []
        for name, seen in self.everything().items():
            wrong = audit.host(seen, versions_wanted, self.replicas)
            wrong += [
                f"{key} are {seen[key]}, not {self.baseline[name][key]}"
                for key in ("networks", "volumes")
                if seen[key] != self.baseline[name][key]
            ]
            problems += [f"{name}: {each}" for each in wrong]
        return problems


def load_average() -> str:
    return " ".join(f"{each:.1f}" for each in os.getloadavg())
