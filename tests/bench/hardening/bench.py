"""make bench-hardening: what ssh-audit, Lynis and OpenSCAP say of fresh hosts before and after the host roles.

A second host of each release stays untouched and is what "before" means. Scanners are installed by the bench alone, and
on the hardened host after the roles. Workloads are tried after hardening, and again after a reboot.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path.insert(0, str(ROOT / "tests/lab"))

from slipway_lab import hosts
from slipway_lab.shell import LabError, run

HOST_ROLES = ROOT / "tests/integration/hosts"
WORK = ROOT / ".cache/bench/hardening"
SSH_PORT = 2222
GOAL = 85
POLICIES = {"trixie": "Hardened Debian 13 (version 1)", "bookworm": "Hardened Debian 12 (version 3)"}
PROFILE = "xccdf_org.ssgproject.content_profile_anssi_bp28_enhanced"
CONTENT = "/opt/ssg-debian12-ds.xml"
INSTALL = "DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends"


@dataclass
class Score:
    """What the scanners say of one host."""

    lynis: int = 0
    tests: int = 0
    warnings: list[str] = field(default_factory=list)
    suggestions: list[str] = field(default_factory=list)
    openscap: dict[str, int] = field(default_factory=dict)
    openscap_failed: list[str] = field(default_factory=list)
    openscap_score: str = ""


@dataclass
class Subject:
    release: str
    before: Score = field(default_factory=Score)
    after: Score = field(default_factory=Score)
    policy: str = ""
    policy_passes: bool = False
    workloads: list[str] = field(default_factory=list)

    @property
    def hardened(self) -> str:
        return f"hardening-{self.release}"

    @property
    def untouched(self) -> str:
        return f"hardening-{self.release}-untouched"

    @property
    def problems(self) -> list[str]:
        found = [] if self.policy_passes else [f"ssh-audit: {self.policy}"]
        if self.after.lynis < GOAL:
            found.append(f"Lynis: {self.after.lynis}, the goal is {GOAL}")
        return found + [line for line in self.workloads if " FAILED " in line]

    def say(self, text: str) -> None:
        print(f"  {self.release:<9} {text}", flush=True)


def shell(name: str, script: str, check: bool = True, timeout: int = 900) -> str:
    command = ["docker", "exec", hosts.container_name(name), "sh", "-c", script]
    done = run(command, check=check, timeout=timeout)
    return done.stdout.decode("utf-8", "replace")


def scan(name: str, content: Path | None) -> Score:
    """Install Lynis, and OpenSCAP where there is content for the release, and ask both."""
    shell(name, f"apt-get update -qq; {INSTALL} lynis {'openscap-scanner' if content else ''} > /dev/null 2>&1")
    shell(name, "cd / && lynis audit system --quiet --no-colors > /dev/null 2>&1", check=False)
    report = shell(name, "cat /var/log/lynis-report.dat")
    score = Score(
        lynis=int(re.findall(r"^hardening_index=(\d+)", report, re.M)[0]),
        tests=int((re.findall(r"^lynis_tests_done=(\d+)", report, re.M) or ["0"])[0]),
        warnings=[told(line) for line in re.findall(r"^warning\[\]=(.*)", report, re.M)],
        suggestions=[told(line) for line in re.findall(r"^suggestion\[\]=(.*)", report, re.M)],
    )
    (WORK / f"{name}-lynis.log").write_text(shell(name, "cat /var/log/lynis.log"), encoding="utf-8")
    if content:
        run(["docker", "cp", str(content), f"{hosts.container_name(name)}:{CONTENT}"])
        said = shell(
            name, f"oscap xccdf eval --profile {PROFILE} --results /root/oscap.xml {CONTENT} 2>&1", check=False
        )
        results = re.findall(r"^Rule\s+(\S+)$.*?^Result\s+(\S+)$", said, re.M | re.S)
        for rule, result in results:
            score.openscap[result] = score.openscap.get(result, 0) + 1
            if result == "fail":
                score.openscap_failed.append(rule.rpartition("content_rule_")[2])
        found = shell(name, "grep -o '<score[^>]*>[0-9.]*' /root/oscap.xml", check=False)
        score.openscap_score = found.rpartition(">")[2].strip()[:5]
    return score


def told(line: str) -> str:
    """One entry of Lynis' report: test, text, details."""
    parts = [part for part in line.split("|") if part not in ("", "-")]
    return " ".join(parts[:3])


def openscap_content() -> Path:
    """Debian 12's content 0.1.76, out of Debian 13's package."""
    wanted = WORK / "ssg-debian12-ds.xml"
    if not wanted.exists():
        name = Subject("trixie").untouched
        fetch = "apt-get update -qq && apt-get download -qq ssg-debian && dpkg-deb -x ssg-debian_*.deb ssg"
        shell(name, f"cd /root && {fetch}")
        source = f"/root/ssg/usr/share/xml/scap/ssg/content/{wanted.name}"
        run(["docker", "cp", f"{hosts.container_name(name)}:{source}", str(wanted)])
    return wanted


def untouched(subject: Subject) -> None:
    hosts.remove(subject.untouched)
    hosts.create(subject.untouched, subject.release)


def security_archive() -> str:
    """Where this machine itself gets its security updates from."""
    text = "".join(
        path.read_text(encoding="utf-8") for path in sorted(Path("/etc/apt").rglob("*sources*")) if path.is_file()
    )
    found = re.search(r"^[^#\n]*?(https?://\S+-security)\b", text, re.MULTILINE)
    if found is None:
        raise LabError("/etc/apt: names no archive of security updates; add the one of the release")
    return found.group(1)


def harden(subject: Subject) -> str:
    """The host roles on a bare host; returns its address."""
    hosts.remove(subject.hardened)
    address = hosts.create(subject.hardened, subject.release).address
    archive = {
        "name": "security updates",
        "uri": security_archive(),
        "suites": [f"{subject.release}-security"],
    }
    variables = {
        "base_apt_sources": [archive],
        "docker_registry_mirrors": ["http://172.30.0.2:5000"],
        "docker_insecure_registries": ["172.30.0.2:5000"],
    }
    command = [str(ROOT / ".venv/bin/ansible-playbook"), "-i", str(HOST_ROLES / "inventory.yml")]
    command += [str(HOST_ROLES / "hosts.yml"), "-e", json.dumps(variables)]
    environment = {**os.environ, "HOST_ADDRESS": address, "ANSIBLE_HOST_KEY_CHECKING": "False"}
    begun = time.monotonic()
    done = run(command, check=False, timeout=1200, env=environment)
    (WORK / f"{subject.hardened}-roles.log").write_bytes(done.stdout)
    if done.returncode:
        raise LabError(f"the host roles failed on {subject.hardened}: see {WORK}/{subject.hardened}-roles.log")
    subject.say(f"host roles: {time.monotonic() - begun:.0f} s")
    return address


def workloads(subject: Subject, when: str) -> None:
    for line in shell(subject.hardened, "sh /opt/workloads.sh check").splitlines():
        state, name, said = line.split("|", 2)
        subject.workloads.append(f"{when:<14} {state} {name}: {said}")
        subject.say(subject.workloads[-1])


def reboot(subject: Subject) -> str:
    """The address after it: Docker may give a host that comes back another one's."""
    run(["docker", "restart", "--time", "30", hosts.container_name(subject.hardened)], timeout=120)
    address = hosts.describe(subject.hardened).address
    hosts.forget_keys(address)
    give_up_at = time.monotonic() + 180
    while not hosts.takes_login_on(address, SSH_PORT):
        if time.monotonic() > give_up_at:
            raise LabError(f"{subject.hardened} takes no login on {SSH_PORT} after its reboot")
        time.sleep(1)
    return address


def ssh_policy(subject: Subject, address: str) -> None:
    policy = POLICIES[subject.release]
    done = run([str(ROOT / ".venv/bin/ssh-audit"), "-n", "-P", policy, f"{address}:{SSH_PORT}"], check=False)
    said = done.stdout.decode("utf-8", "replace")
    subject.policy_passes = done.returncode == 0 and "Passed" in said
    subject.policy = f"{policy}: {'passed' if subject.policy_passes else 'FAILED'}"
    subject.say(subject.policy)
    if not subject.policy_passes:
        print(said, flush=True)


def bench(subject: Subject) -> None:
    harden(subject)
    run(["docker", "cp", str(HERE / "workloads.sh"), f"{hosts.container_name(subject.hardened)}:/opt/workloads.sh"])
    shell(subject.hardened, "sh /opt/workloads.sh start")
    workloads(subject, "hardened")
    address = reboot(subject)
    shell(subject.hardened, "systemctl start slipway-integrity.service")  # as its timer does ten minutes after a boot
    workloads(subject, "after a reboot")
    content = openscap_content() if subject.release == "bookworm" else None
    subject.before = scan(subject.untouched, content)
    subject.after = scan(subject.hardened, content)
    subject.say(f"Lynis: {subject.before.lynis} -> {subject.after.lynis}")
    ssh_policy(subject, address)


def tell(subject: Subject) -> None:
    print(f"\n{subject.release}\n  {subject.policy}")
    before, after = subject.before, subject.after
    print(f"  Lynis index {before.lynis} ({before.tests} tests) -> {after.lynis} ({after.tests})")
    if subject.after.openscap:
        for word, score in (("before", subject.before), ("after", subject.after)):
            counts = ", ".join(f"{count} {result}" for result, count in sorted(score.openscap.items()))
            print(f"  OpenSCAP ANSSI BP-28 enhanced {word}: score {score.openscap_score} ({counts})")
        print("  rules that fail still: " + ", ".join(subject.after.openscap_failed))
    print("  what Lynis still says:")
    for line in [f"warning: {text}" for text in subject.after.warnings] + subject.after.suggestions:
        print(f"    {line}")
    for line in subject.workloads:
        print(f"  {line}")


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("releases", nargs="*", choices=[*POLICIES, []], default=[])
    arguments.add_argument("--keep", action="store_true", help="leave the hosts for a closer look")
    given = arguments.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    subjects = [Subject(release) for release in given.releases or POLICIES]
    print("Lynis' test KRNL-6000 reads the kernel that all hosts of the lab share with the machine.", flush=True)
    for release in POLICIES:  # Debian 13's host brings OpenSCAP's content for Debian 12
        untouched(Subject(release))
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(bench, subject) for subject in subjects]:
            done.result()
    for subject in subjects:
        tell(subject)
    (WORK / "scores.json").write_text(json.dumps([asdict(subject) for subject in subjects], indent=1), encoding="utf-8")
    if not given.keep:
        for release in POLICIES:
            hosts.remove(Subject(release).untouched)
        for subject in subjects:
            hosts.remove(subject.hardened)
    problems = [f"{subject.release}: {problem}" for subject in subjects for problem in subject.problems]
    print("\n" + ("\n".join(problems) or "all goals are met"))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
