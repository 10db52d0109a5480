# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""certbot's command lines, as lists, and its output, as one line. Runs nothing."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"

# Apart from /etc/letsencrypt, so that the distribution's certbot and its timer do not meet ours.
CONFIG_DIRECTORY = "/etc/slipway/certbot"
WORK_DIRECTORY = "/var/lib/slipway/certbot"
LOGS_DIRECTORY = "/var/log/slipway/certbot"
TOOL_DIRECTORY = "/opt/slipway/certbot"
CHALLENGE_DIRECTORY = "/var/lib/slipway/acme-challenge"


@dataclass(frozen=True)
class Authority:
    """The ACME server, and how we present ourselves to it."""

    directory_url: str = LETS_ENCRYPT
    email: str = ""
    ca_file: str = ""
    profile: str = ""


@dataclass(frozen=True)
class Tool:
    """The pinned certbot: the text of its requirements file and where its environment lives."""

    requirements: str = ""
    directory: str = TOOL_DIRECTORY
    pip_environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def program(self) -> str:
        return f"{self.directory}/bin/certbot"

    def identity(self, python: str) -> str:
        """The name of the environment's own directory: another pin or another Python is another environment."""
        digest = hashlib.sha256(self.requirements.encode("utf-8")).hexdigest()[:12]
        return f"certbot-{self.version()}-{python}-{digest}"

    def version(self) -> str:
        found = re.search(r"^certbot==([^\s;\\]+)", self.requirements, re.MULTILINE)
        return found.group(1) if found else "unpinned"


def directories() -> list[str]:
    return [
        "--config-dir", CONFIG_DIRECTORY,
        "--work-dir", WORK_DIRECTORY,
        "--logs-dir", LOGS_DIRECTORY,
    ]  # fmt: skip


def order_command(program: str, authority: Authority, name: str, domains: Sequence[str]) -> list[str]:
    """Order now: whether it is time was decided by the plan, so certbot is not asked again."""
    command = [
        program, "certonly", "--non-interactive", "--agree-tos", *directories(),
        "--server", authority.directory_url,
        "--webroot", "--webroot-path", CHALLENGE_DIRECTORY,
        "--key-type", "ecdsa",
        "--cert-name", name, "--force-renewal", "--renew-with-new-domains",
        # The renewal's hook publishes by itself; here our own next step does, and says how it went.
        "--no-directory-hooks",
    ]  # fmt: skip
    command += (
        ["--email", authority.email, "--no-eff-email"] if authority.email else ["--register-unsafely-without-email"]
    )
    if authority.profile:
        command += ["--required-profile", authority.profile]
    for domain in domains:
        command += ["--domain", domain]
    return command


def renew_command(program: str, name: str, force: bool = False) -> list[str]:
    """Renew it if it is due; certbot asks the authority (RFC 9773) and else goes by the remaining lifetime."""
    command = [program, "renew", "--non-interactive", "--no-random-sleep-on-renew", *directories(), "--cert-name", name]
    if force:
        command.append("--force-renewal")
    return command


def environment(authority_ca_file: str) -> dict[str, str]:
    """A private authority's own TLS is trusted for certbot alone, never by the whole host."""
    return {"REQUESTS_CA_BUNDLE": authority_ca_file} if authority_ca_file else {}


def install_commands(python: str, directory: str, requirements_file: str) -> list[list[str]]:
    """A virtual environment from wheels whose hashes are pinned."""
    return [
        [python, "-m", "venv", directory],
        [
            f"{directory}/bin/pip", "install", "--quiet", "--disable-pip-version-check", "--no-input",
            "--only-binary", ":all:", "--no-deps", "--require-hashes", "--requirement", requirements_file,
        ],
    ]  # fmt: skip


def lineage_server(renewal_configuration: str) -> str:
    """The authority's address out of ``renewal/<name>.conf``; empty when it says none."""
    found = re.search(r"^\s*server\s*=\s*(\S+)\s*$", renewal_configuration, re.MULTILINE)
    return found.group(1) if found else ""


_PROBLEM = re.compile(
    r"^\s*(?:Domain|Identifier):\s*(?P<domain>\S+)\s*\n\s*Type:\s*(?P<type>.+?)\s*\n\s*Detail:\s*(?P<detail>.+?)\s*$",
    re.MULTILINE,
)
_NOT_RENEWED = re.compile(r"^Failed to renew certificate (?P<name>\S+) with error: (?P<error>.+?)\s*$", re.MULTILINE)
_NOISE = (
    "Saving debug log to",
    "Ask for help or search",
    "See the logfile",
    "Some challenges have failed",
    "An unexpected error occurred",
    "Please see the logfile",
    "Hint: ",
    "- - -",
    "~ ~ ~",
)


def failure_line(output: str) -> str:
    """What the authority (or certbot) said, in one line."""
    problems = [f"{found['domain']}: {found['type']}: {found['detail']}" for found in _PROBLEM.finditer(output)]
    if problems:
        return "; ".join(" ".join(problem.split()) for problem in dict.fromkeys(problems))
    failed = [f"{found['name']}: {found['error']}" for found in _NOT_RENEWED.finditer(output)]
    if failed:
        return "; ".join(failed)
    lines = [" ".join(line.split()) for line in output.splitlines()]
    said = [line for line in lines if line and not line.startswith(_NOISE)]
    return said[-1] if said else "certbot said nothing; read its log in " + LOGS_DIRECTORY


def account_is_unknown(output: str) -> bool:
    """Whether the authority says that it does not know the account (RFC 8555, section 6.7)."""
    return bool(re.search(r"accountDoesNotExist|^Account \S+ not found", output, re.MULTILINE))


def authority_was_not_reached(output: str) -> bool:
    """Whether the order ended before the authority heard of it, so that it does not count against us."""
    return bool(re.search(r"^requests\.exceptions\.(ConnectionError|SSLError|ConnectTimeout)\b", output, re.MULTILINE))


def install_failure_line(output: str) -> str:
    """pip's last error, in one line."""
    lines = [" ".join(line.split()) for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.upper().startswith("ERROR")]
    return (errors or lines or ["it said nothing"])[-1]
