# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only code here that runs openssl, certbot, pip and nginx, and that opens connections."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import os
import secrets
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256

from ansible_collections.slipway.ops.plugins.module_utils._certificate import certbot, ledger
from ansible_collections.slipway.ops.plugins.module_utils._certificate.names import Request
from ansible_collections.slipway.ops.plugins.module_utils._certificate.pair import (
    PLACEHOLDER_DAYS,
    PLACEHOLDER_ORGANIZATION,
    Pair,
    UnreadableCertificate,
    parse_pair,
)
from ansible_collections.slipway.ops.plugins.module_utils._certificate.plan import Observation
from ansible_collections.slipway.ops.plugins.module_utils._state import files as state_files

CERTIFICATES = "/etc/slipway/certificates"
LEDGER = "/var/lib/slipway/certificates/ledger.json"
LOCK = "/run/slipway-certificate.lock"
FULLCHAIN = "fullchain.pem"
PRIVATE_KEY = "privkey.pem"
CURRENT = "current"
KEPT_GENERATIONS = 3

ORDER_TIMEOUT_SECONDS = 300
TOOL_TIMEOUT_SECONDS = 30
INSTALL_TIMEOUT_SECONDS = 600


class CertificateError(Exception):
    """Something was tried and failed; the text is one line with the remedy."""


class CertificateRefused(CertificateError):
    """Refused before anything was touched."""

    exit_status = 3


def _run(
    command: Sequence[str], timeout: int = TOOL_TIMEOUT_SECONDS, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    # Ansible's own Python settings must not leak into a virtual environment's Python.
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    try:
        return subprocess.run(
            list(command),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            env={**inherited, "LC_ALL": "C.UTF-8", **(environment or {})},
            check=False,
        )
    except FileNotFoundError as error:
        raise CertificateError(f"{command[0]} is not installed; run the role certificate") from error
    except subprocess.TimeoutExpired as error:
        raise CertificateError(f"{os.path.basename(command[0])} did not end within {timeout} seconds") from error


def _said(result: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in (result.stderr or result.stdout).splitlines() if line.strip()]
    return lines[-1] if lines else f"exit status {result.returncode}"


class Gateway:
    """The host, as far as certificates are concerned."""

    def __init__(
        self,
        authority: certbot.Authority,
        tool: certbot.Tool,
        address: str = "127.0.0.1",
        http_port: int = 80,
        https_port: int = 443,
    ) -> None:
        self.authority = authority
        self.tool = tool
        self.address = address
        self.http_port = http_port
        self.https_port = https_port

    # -- observe ------------------------------------------------------------------------------------------------------

    def observe(self, request: Request, wire: bool) -> Observation:
        current, problem = self.read_pair(self.current_directory(request.name))
        lineage, _problem = self.read_pair(self.lineage_directory(request.name))
        return Observation(
            current=current,
            current_problem=problem,
            lineage=lineage,
            lineage_server=self.lineage_server(request.name),
            served_fingerprint=self.served(request.domains[0]) if wire else None,
        )

    @staticmethod
    def current_directory(name: str) -> str:
        return f"{CERTIFICATES}/{name}/{CURRENT}"

    @staticmethod
    def lineage_directory(name: str) -> str:
        return f"{certbot.CONFIG_DIRECTORY}/live/{name}"

    @staticmethod
    def lineage_server(name: str) -> str:
        return certbot.lineage_server(state_files.read_text(f"{certbot.CONFIG_DIRECTORY}/renewal/{name}.conf") or "")

    def read_pair(self, directory: str) -> tuple[Pair | None, str]:
        """The pair in a directory; or None, with a reason when files are there that are no pair."""
        chain, key = f"{directory}/{FULLCHAIN}", f"{directory}/{PRIVATE_KEY}"
        pem = state_files.read_text(chain)
        if pem is None:
            return None, ""
        # The key goes to openssl by its path, and only its public half comes back.
        shown = _run(
            ["openssl", "x509", "-in", chain, "-noout", "-serial", "-subject", "-issuer", "-dates",
             "-nameopt", "RFC2253", "-ext", "subjectAltName", "-pubkey"]
        )  # fmt: skip
        public = _run(["openssl", "pkey", "-in", key, "-pubout"])
        if shown.returncode != 0:
            return None, f"{chain} cannot be read as a certificate"
        if public.returncode != 0:
            return None, f"{key} cannot be read as a key"
        try:
            return parse_pair(shown.stdout, public.stdout, pem), ""
        except UnreadableCertificate as error:
            return None, f"{chain}: {error}"

    def served(self, domain: str) -> str | None:
        """SHA-256 of the certificate that a new connection is shown for this name; None when there is none."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # the question is which certificate, not whether a client trusts it
        try:
            with contextlib.ExitStack() as stack:
                plain = stack.enter_context(socket.create_connection((self.address, self.https_port), timeout=5))
                wrapped = stack.enter_context(context.wrap_socket(plain, server_hostname=domain))
                certificate = wrapped.getpeercert(binary_form=True)
        except (OSError, ssl.SSLError, ValueError):
            return None
        return sha256(certificate).hexdigest() if certificate else None

    def attempts(self) -> list[ledger.Attempt]:
        try:
            return ledger.read(state_files.read_json(LEDGER))
        except ValueError as error:
            raise CertificateError(str(error)) from error

    def python(self) -> str:
        """The host's Python with its version: an environment built on another one is broken."""
        return "python" + ".".join(str(part) for part in sys.version_info[:2])

    def tool_problem(self) -> str:
        """Why the pinned certbot has to be installed; empty when it is there."""
        wanted = self.tool.identity(self.python())
        try:
            found = os.path.basename(os.readlink(self.tool.directory))
        except OSError:
            return f"version {self.tool.version()} is not installed yet"
        if found != wanted:
            return f"{found} becomes {wanted}"
        return "" if os.access(self.tool.program, os.X_OK) else f"{self.tool.program} is missing"

    # -- apply --------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """One job at a time: the timer, a hook and a play may meet."""
        with open(LOCK, "a", encoding="utf-8") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    def install_tool(self) -> None:
        """Build the environment beside the old one, then point the link at it."""
        parent = os.path.dirname(self.tool.directory)
        state_files.ensure_directory(parent, 0o755)
        target = f"{parent}/{self.tool.identity(self.python())}"
        shutil.rmtree(target, ignore_errors=True)
        state_files.ensure_directory(target, 0o755)
        requirements = f"{target}/requirements.txt"
        state_files.write_whole(requirements, self.tool.requirements, 0o644)
        for command in certbot.install_commands(sys.executable, target, requirements):
            result = _run(command, INSTALL_TIMEOUT_SECONDS, self.tool.pip_environment)
            if result.returncode != 0:
                shutil.rmtree(target, ignore_errors=True)
                raise CertificateError(
                    f"certbot {self.tool.version()} could not be installed: "
                    f"{certbot.install_failure_line(result.stdout + result.stderr)}. Give the host a way to its "
                    "Python package index (pip's own configuration, or certificate_pip_environment)"
                )
        old = os.path.realpath(self.tool.directory)
        self._swap_link(self.tool.directory, os.path.basename(target))
        if os.path.dirname(old) == parent and os.path.basename(old).startswith("certbot-") and old != target:
            shutil.rmtree(old, ignore_errors=True)

    def make_placeholder(self, request: Request) -> None:
        with tempfile.TemporaryDirectory(prefix="slipway-placeholder-") as directory:
            chain, key = f"{directory}/{FULLCHAIN}", f"{directory}/{PRIVATE_KEY}"
            result = _run(
                ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                 "-days", str(PLACEHOLDER_DAYS), "-subj", f"/O={PLACEHOLDER_ORGANIZATION}",
                 "-addext", "subjectAltName=" + ",".join(f"DNS:{domain}" for domain in request.domains),
                 "-keyout", key, "-out", chain]
            )  # fmt: skip
            if result.returncode != 0:
                raise CertificateError(f"{request.name}: openssl could not make a placeholder: {_said(result)}")
            self._store(request.name, directory)

    def challenge_problem(self, domain: str) -> str:
        """Ask our own port 80 for a challenge file before the authority does; empty when it comes back."""
        token = "slipway-" + secrets.token_urlsafe(16)
        # nginx's workers must get through, whatever umask we run with.
        directory = f"{certbot.CHALLENGE_DIRECTORY}/.well-known/acme-challenge"
        state_files.ensure_directory(directory, 0o755)
        path = f"{directory}/{token}"
        state_files.write_whole(path, token, 0o644)
        try:
            connection = http.client.HTTPConnection(self.address, self.http_port, timeout=5)
            try:
                connection.request("GET", f"/.well-known/acme-challenge/{token}", headers={"Host": domain})
                response = connection.getresponse()
                body = response.read(len(token) + 1).decode("utf-8", "replace")
                if response.status != 200:
                    return f"answers {response.status}"
                return "" if body == token else "answers with another file"
            finally:
                connection.close()
        except (OSError, http.client.HTTPException) as error:
            return f"does not answer ({str(error) or type(error).__name__})"
        finally:
            state_files.remove(path)

    def order(self, request: Request) -> None:
        """Ask the authority, and write down what came of it."""
        for domain in request.domains:
            problem = self.challenge_problem(domain)
            if problem:
                raise CertificateError(
                    f"{request.name}: nothing was ordered, because port {self.http_port} of this host {problem} when "
                    f"asked for the challenge of {domain}; it has to serve {certbot.CHALLENGE_DIRECTORY} for that name "
                    "(role proxy)"
                )
        for directory in (certbot.CONFIG_DIRECTORY, certbot.WORK_DIRECTORY, certbot.LOGS_DIRECTORY):
            os.makedirs(directory, mode=0o700, exist_ok=True)
        outcome, detail = ledger.FAILED, "it did not end"
        try:
            result = self._ask(request)
            said = result.stdout + "\n" + result.stderr
            if result.returncode == 0:
                outcome, detail = ledger.ISSUED, ""
            else:
                outcome = ledger.UNREACHED if certbot.authority_was_not_reached(said) else ledger.FAILED
                detail = certbot.failure_line(said)
        except CertificateError as error:
            detail = str(error)
        finally:
            self._note(request, outcome, detail)
        if outcome != ledger.ISSUED:
            raise CertificateError(f"{request.name}: {self.authority.directory_url} issued nothing: {detail}")

    def _ask(self, request: Request) -> subprocess.CompletedProcess[str]:
        command = certbot.order_command(self.tool.program, self.authority, request.name, request.domains)
        environment = certbot.environment(self.authority.ca_file)
        result = _run(command, ORDER_TIMEOUT_SECONDS, environment)
        accounts = f"{certbot.CONFIG_DIRECTORY}/accounts"
        if (
            result.returncode != 0
            and certbot.account_is_unknown(result.stdout + result.stderr)
            and os.path.isdir(accounts)
        ):
            # A test server that restarted, or a deactivated account: put ours aside and register anew, once.
            os.rename(accounts, f"{accounts}.unknown-{int(time.time())}")
            result = _run(command, ORDER_TIMEOUT_SECONDS, environment)
        return result

    def renew(self, name: str, force: bool = False) -> str:
        """Let certbot renew it if it is due; the problem in one line, or nothing."""
        if not os.path.isfile(f"{certbot.CONFIG_DIRECTORY}/renewal/{name}.conf"):
            return ""
        result = _run(
            certbot.renew_command(self.tool.program, name, force),
            ORDER_TIMEOUT_SECONDS,
            certbot.environment(self.authority.ca_file),
        )
        return certbot.failure_line(result.stdout + "\n" + result.stderr) if result.returncode != 0 else ""

    def publish(self, name: str) -> None:
        """Copy certbot's newest pair to where nginx reads it, and swap."""
        self._store(name, self.lineage_directory(name))

    def reload(self) -> None:
        """nginx takes the files only when it can read them all; the old ones serve on otherwise."""
        if not shutil.which("nginx"):
            raise CertificateError(
                "nginx is not installed, so nothing serves the certificate; run the role proxy first"
            )
        tested = _run(["nginx", "-t", "-q"])
        if tested.returncode != 0:
            found = [line for line in tested.stderr.splitlines() if "[emerg]" in line]
            raise CertificateError(f"nginx refuses its configuration: {(found or [_said(tested)])[0]}")
        result = _run(["systemctl", "reload", "nginx.service"])
        if result.returncode != 0:
            raise CertificateError(f"nginx could not be reloaded: {_said(result)}; see: journalctl -u nginx")

    def prove(self, request: Request, expected: Pair, seconds: int = 30) -> None:
        """Open new connections until each domain shows the published certificate."""
        deadline = time.monotonic() + seconds
        waiting = list(request.domains)
        while True:
            waiting = [domain for domain in waiting if self.served(domain) != expected.fingerprint]
            if not waiting:
                return
            if time.monotonic() > deadline:
                raise CertificateError(
                    f"{request.name}: the file's certificate has serial {expected.serial}, but port {self.https_port} "
                    f"shows another one (or none) for {', '.join(waiting)} after {seconds} seconds; "
                    "see: journalctl -u nginx"
                )
            time.sleep(0.25)

    # -- files --------------------------------------------------------------------------------------------------------

    def _note(self, request: Request, outcome: str, detail: str) -> None:
        now = time.time()
        attempt = ledger.Attempt(int(now), self.authority.directory_url, request.domains, outcome, detail)
        state_files.ensure_directory(os.path.dirname(os.path.dirname(LEDGER)), 0o755)
        state_files.ensure_directory(os.path.dirname(LEDGER), 0o700)
        state_files.write_json(LEDGER, ledger.write([*self.attempts(), attempt], now))

    def _store(self, name: str, source: str) -> None:
        """Write a new generation, then rename the link: a reader sees the old pair or the new one, never half."""
        pair, problem = self.read_pair(source)
        if pair is None or not pair.key_matches:
            raise CertificateError(
                f"{name}: {source} holds no whole pair: {problem or 'the key belongs to another certificate'}"
            )
        base = f"{CERTIFICATES}/{name}"
        generation = f"{base}/{pair.serial}"
        state_files.ensure_directory("/etc/slipway", 0o755)
        state_files.ensure_directory(CERTIFICATES, 0o755)
        state_files.ensure_directory(base, 0o755)
        state_files.ensure_directory(generation, 0o750)
        for file_name, mode in ((FULLCHAIN, 0o644), (PRIVATE_KEY, 0o600)):
            content = state_files.read_text(f"{source}/{file_name}")
            if content is None:
                raise CertificateError(f"{name}: {source}/{file_name} has gone while it was read")
            state_files.write_whole(f"{generation}/{file_name}", content, mode)
        self._swap_link(f"{base}/{CURRENT}", pair.serial)
        self._prune(base, pair.serial)

    @staticmethod
    def _swap_link(link: str, target: str) -> None:
        temporary = f"{link}.new"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        os.symlink(target, temporary)
        os.replace(temporary, link)
        state_files.sync_directory(os.path.dirname(link))

    @staticmethod
    def _prune(base: str, current: str) -> None:
        generations = [
            entry for entry in os.scandir(base) if entry.is_dir(follow_symlinks=False) and entry.name != current
        ]
        generations.sort(key=lambda entry: entry.stat().st_mtime, reverse=True)
        for entry in generations[KEPT_GENERATIONS - 1 :]:
            shutil.rmtree(entry.path, ignore_errors=True)
