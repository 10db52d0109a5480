# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only code that runs ufw and iptables and touches their files."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Callable, Optional

from ansible_collections.slipway.ops.plugins.module_utils._armed.snapshot import Snapshot
from ansible_collections.slipway.ops.plugins.module_utils._host.gateway import Host
from ansible_collections.slipway.ops.plugins.module_utils._state import files as durable
from ansible_collections.slipway.ops.plugins.module_utils._ufw import docker, live, undo
from ansible_collections.slipway.ops.plugins.module_utils._ufw import plan as planning
from ansible_collections.slipway.ops.plugins.module_utils._ufw.model import V4, V6
from ansible_collections.slipway.ops.plugins.module_utils._ufw.plan import Observed, Plan
from ansible_collections.slipway.ops.plugins.module_utils._ufw.protect import Connection, read_connection

# (command, standard input) -> (code, output, error)
Run = Callable[[list[str], Optional[str]], tuple[int, str, str]]

_SAVE = {V4: "iptables-save", V6: "ip6tables-save"}
_PROGRAM = "/usr/sbin/ufw"
_LOCK = undo.LOCK
_ENABLED = f"/etc/systemd/system/*.wants/{planning.UNIT}"
_MODES = dict.fromkeys(planning.RULES.values(), 0o640)
_SIOCGIFADDR = 0x8915
_LOOPBACK_TYPE = "772"


class FirewallError(Exception):
    """What was attempted and what came of it, in one line."""


class Firewall:
    def __init__(self, run: Run) -> None:
        self._run = run

    def observe(self) -> Observed:
        installed = os.path.exists(_PROGRAM)
        tables: dict[str, Optional[live.Table]] = {V4: None, V6: None}
        saved: dict[str, str] = {}
        for family, tool in _SAVE.items():
            if any(os.path.exists(f"{directory}/{tool}") for directory in ("/usr/sbin", "/sbin")):
                code, output, _error = self._run([tool, "-t", "filter"], None)
                if code == 0:
                    tables[family], saved[family] = live.parse(output), output
        return Observed(
            installed=installed,
            files={path: durable.read_text(path) for path in planning.FILES},
            tables=tables,
            saved=saved,
            starts_at_boot=bool(glob.glob(_ENABLED)),
        )

    def remember(self, plan: Plan, seen: Observed, name: str, limit_seconds: int) -> Snapshot:
        """What puts back all that the plan changes."""
        host = Host()
        paths = tuple((path, host.path_state(path, {}, {})) for path in undo.touched(plan))
        return undo.snapshot(plan, seen, paths, name, limit_seconds)

    def apply(self, plan: Plan, verify: Callable[[Observed], Sequence[str]]) -> Observed:
        """Check, write, load once, look. When anything goes wrong, the files are put back and loaded again."""
        kept = {path: durable.read_text(path) for path in planning.FILES}
        self._try(plan.files)
        try:
            with _lock():
                self._write(plan.files)
                if plan.load == planning.RESTORE:
                    self._restore()
            self._load(plan.load)
            for family in plan.forward_dropped:
                # ufw opens what Docker had closed: containers would be reached without a published port.
                self._do([undo.TABLES[family], "-w", "10", "-P", "FORWARD", "DROP"])
            if plan.enable_unit:
                self._do(["systemctl", "enable", "--quiet", planning.UNIT])
            if plan.guard_gone:
                self._unguard()
            elif plan.guard:
                self._guard()
            seen = self.observe()
            wrong = verify(seen)
            if wrong:
                raise FirewallError("the firewall is not as declared after loading: " + "; ".join(wrong))
            return seen
        except (FirewallError, OSError) as error:
            reason = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
            self._put_back(kept, plan)
            raise FirewallError(f"{reason}. The old rules were put back and are in force") from error

    def _put_back(self, kept: Mapping[str, Optional[str]], plan: Plan) -> None:
        was_enabled = Observed(True, kept).enabled
        for path, text in kept.items():
            if text is None:
                durable.remove(path)
            elif durable.read_text(path) != text:
                self._write({path: text})
        try:
            if plan.load != planning.NOTHING:
                self._load(planning.RELOAD if was_enabled else planning.DISABLE)
            if plan.guard and kept.get(docker.FILES[V4]) is not None:
                self._guard()
        except FirewallError as error:
            raise FirewallError(f"{error}, and so did putting the old rules back: look at the host now") from error

    def _try(self, files: Mapping[str, Optional[str]]) -> None:
        """Let the tools read the new rules before a file is replaced."""
        tried = [(undo.LOAD[family], path, path) for family, path in planning.RULES.items()]
        tried += [(undo.LOAD[family], path, path) for family, path in docker.FILES.items()]
        for tool, path, name in tried:
            if files.get(path) is not None:
                code, _output, error = self._run([tool, "--noflush", "--test"], files[path])
                # A kernel without this family has no table; ufw skips it as well.
                if code != 0 and "Table does not exist" not in error and "can't initialize" not in error:
                    raise FirewallError(f"{name}: {tool} refuses the new rules: {_last_line(error)}")

    def _write(self, files: Mapping[str, Optional[str]]) -> None:
        for path, text in files.items():
            if text is None:
                durable.remove(path)
                continue
            if os.path.dirname(path) == docker.DIRECTORY:
                durable.ensure_directory(docker.DIRECTORY, 0o755)
            mode = _MODES.get(path, 0o644)
            with contextlib.suppress(FileNotFoundError):
                mode = os.stat(path).st_mode & 0o7777
            durable.write_whole(path, text, mode)

    def _restore(self) -> None:
        """Load the user rules as ufw itself does, without taking the rest of the firewall down in between."""
        for family, tool in undo.LOAD.items():
            text = durable.read_text(planning.RULES[family])
            if text is None or (family == V6 and not self._has_ipv6()):
                continue
            code, _output, error = self._run([tool, "--noflush", "--wait", "10"], text)
            if code != 0:
                raise FirewallError(f"{planning.RULES[family]}: {tool} failed: {_last_line(error)}")

    def _has_ipv6(self) -> bool:
        observed = Observed(True, {planning.DEFAULTS: durable.read_text(planning.DEFAULTS)})
        return observed.ipv6 and os.path.exists("/proc/net/if_inet6")

    def _load(self, load: str) -> None:
        command = {
            # What runs at boot. `ufw enable` does the same behind a Python of its own.
            planning.ENABLE: [undo.INIT, "start"],
            planning.RELOAD: [_PROGRAM, "reload"],
            planning.DISABLE: [_PROGRAM, "disable"],
        }.get(load)
        if command is None:
            return
        code, output, error = self._run(command, None)
        if code != 0:
            raise FirewallError(f"{' '.join(command)} failed: {_last_line(error or output)}")

    def _guard(self) -> None:
        self._do([docker.PROGRAM])

    def _unguard(self) -> None:
        """Take our chain and the jump to it away; Docker's own rules stay."""
        for family, table in self.observe().tables.items():
            text = docker.removal(table)
            if text:
                self._do([undo.LOAD[family], "--noflush", "--wait", "10"], text)
        question, *commands = docker.early_removal()
        if self._run(question, None)[0] == 0:
            for command in commands:
                self._do(command)

    def _do(self, command: list[str], text: Optional[str] = None) -> None:
        code, output, error = self._run(command, text)
        if code != 0:
            raise FirewallError(f"{command[0]} failed: {_last_line(error or output)}")


def package_files() -> dict[str, tuple[str, str]]:
    """The rules files of ufw itself that are there: their texts, and what its package brings."""
    found: dict[str, tuple[str, str]] = {}
    for name in ("before.rules", "before6.rules", "after.rules", "after6.rules"):
        text, original = (durable.read_text(f"{place}/{name}") for place in ("/etc/ufw", "/usr/share/ufw/iptables"))
        if text is not None and original is not None:
            found[f"/etc/ufw/{name}"] = (text, original)
    return found


def has_guard_program() -> bool:
    return os.access(docker.PROGRAM, os.X_OK)


def interfaces() -> list[str]:
    return sorted(os.listdir("/sys/class/net")) if os.path.isdir("/sys/class/net") else []


def public_interfaces(v4_routes: Optional[str] = None, v6_routes: Optional[str] = None) -> list[str]:
    """Interfaces that a default route leaves by."""
    found: list[str] = []
    text = durable.read_text("/proc/net/route") if v4_routes is None else v4_routes
    for line in (text or "").splitlines()[1:]:
        words = line.split()
        if len(words) > 7 and words[1] == words[7] == "00000000":
            found.append(words[0])
    text = durable.read_text("/proc/net/ipv6_route") if v6_routes is None else v6_routes
    for line in (text or "").splitlines():
        words = line.split()
        # Destination ::/0; the kernel's own "unreachable" entry is on lo.
        if len(words) > 9 and set(words[0]) == {"0"} and words[1] == "00" and words[9] != "lo":
            found.append(words[9])
    return sorted(set(found))


def other_interfaces(public: Sequence[str], root: str = "/sys/class/net") -> list[str]:
    """Interfaces by which others may come in beside the public ones: no loopback, bridge or part of one."""
    return [
        name
        for name in (sorted(os.listdir(root)) if os.path.isdir(root) else [])
        if name not in public
        and not name.startswith("veth")
        and (durable.read_text(f"{root}/{name}/type") or "").strip() != _LOOPBACK_TYPE
        and os.path.isdir(f"{root}/{name}")
        and not any(os.path.exists(f"{root}/{name}/{part}") for part in ("bridge", "master"))
    ]


def connection() -> Optional[Connection]:
    """The SSH connection that we are on. sudo drops SSH_CONNECTION, so ask the processes above us too."""
    text = os.environ.get("SSH_CONNECTION", "")
    process = os.getpid()
    while not text and process > 1:
        with contextlib.suppress(OSError, ValueError), open(f"/proc/{process}/environ", "rb") as stream:
            for variable in stream.read().split(b"\0"):
                if variable.startswith(b"SSH_CONNECTION="):
                    text = variable.partition(b"=")[2].decode("ascii", "replace")
        process = _parent(process)
    found = read_connection(text)
    return None if found is None else Connection(found.client, found.server, found.port, _interface_of(found.server))


def _parent(process: int) -> int:
    text = durable.read_text(f"/proc/{process}/stat") or ""
    # The name in parentheses may hold anything; state and parent follow the last one.
    words = text.rpartition(")")[2].split()
    return int(words[1]) if len(words) > 1 else 0


def _interface_of(address: str) -> str:
    if ":" in address:
        plain = socket.inet_pton(socket.AF_INET6, address).hex()
        for line in (durable.read_text("/proc/net/if_inet6") or "").splitlines():
            words = line.split()
            if words and words[0] == plain:
                return words[-1]
        return ""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for name in interfaces():
            with contextlib.suppress(OSError):
                request = struct.pack("256s", name.encode()[:15])
                reply = fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, request)
                if socket.inet_ntoa(reply[20:24]) == address:
                    return name
    return ""


@contextlib.contextmanager
def _lock() -> Iterator[None]:
    """ufw's own lock, so that a ufw command and we do not write at once."""
    with open(_LOCK, "w", encoding="ascii") as stream:
        fcntl.lockf(stream, fcntl.LOCK_EX)
        yield


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"
