# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's nginx: its upstream files, test, graceful reload and drain."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from typing import Protocol

from ansible_collections.slipway.ops.plugins.module_utils._proxy.traffic import Answer, Follower
from ansible_collections.slipway.ops.plugins.module_utils._state import files

ACCESS_LOG = "/var/log/nginx/access.log"


class ProxyError(Exception):
    """nginx refused the new upstreams; the old ones are back in place."""


class Answers(Protocol):
    def read(self) -> list[Answer]: ...


class Proxy(Protocol):
    def read(self, names: list[str]) -> dict[str, str]: ...

    def apply(self, upstreams: Mapping[str, str]) -> bool: ...

    def load(self) -> None: ...

    def draining(self) -> bool: ...

    def follow(self) -> Answers: ...


class Nginx:
    def __init__(self, directory: str, pid_file: str = "/run/nginx.pid", access_log: str = ACCESS_LOG) -> None:
        self.directory = directory
        self.pid_file = pid_file
        self.access_log = access_log

    def names(self) -> list[str]:
        """The files that are there."""
        try:
            return sorted(os.listdir(self.directory))
        except FileNotFoundError:
            return []

    def read(self, names: list[str]) -> dict[str, str]:
        found = {name: files.read_text(os.path.join(self.directory, name)) for name in names}
        return {name: content for name, content in found.items() if content is not None}

    def apply(self, upstreams: Mapping[str, str]) -> bool:
        """Write all files that differ, test, reload once. A file without content goes. True when something changed."""
        before = self.read(list(upstreams))
        changed = [name for name, content in upstreams.items() if before.get(name, "") != content]
        if not changed:
            return False
        files.ensure_directory(self.directory, 0o755)
        try:
            for name in changed:
                self._put(name, upstreams[name])
            self.load()
        except (ProxyError, OSError, subprocess.SubprocessError) as error:
            for name in changed:
                self._put(name, before.get(name, ""))
            raise ProxyError(f"nginx did not take the new upstreams, the old ones are back: {error}") from error
        return True

    def load(self) -> None:
        """Have nginx read the files as they are: who wrote them may have died before nginx was told."""
        if self.runs():
            self._test()
            self._reload()

    def _put(self, name: str, content: str) -> None:
        path = os.path.join(self.directory, name)
        if content:
            files.write_whole(path, content, 0o644)
        else:
            files.remove(path)

    def runs(self) -> bool:
        return self._master() is not None

    def draining(self) -> bool:
        """Whether workers of an earlier configuration still finish their requests."""
        return any(title.endswith("is shutting down") for title in self._workers().values())

    def follow(self) -> Follower:
        """What is answered from now on."""
        return Follower(self.access_log)

    def _master(self) -> int | None:
        text = (files.read_text(self.pid_file) or "").strip()
        return int(text) if text.isdigit() and os.path.exists(f"/proc/{text}") else None

    def _workers(self) -> dict[int, str]:
        """Process number → title of each worker of our master."""
        master = self._master()
        workers: dict[int, str] = {}
        if master is None:
            return workers
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            title = (files.read_text(f"/proc/{entry}/cmdline") or "").replace("\0", " ").strip()
            if title.startswith("nginx: worker process"):
                parent = (files.read_text(f"/proc/{entry}/stat") or "").rpartition(")")[2].split()[1:2]
                if parent == [str(master)]:
                    workers[int(entry)] = title
        return workers

    def _run(self, *arguments: str) -> None:
        program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin:/bin") or "nginx"
        result = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False)
        if result.returncode != 0:
            lines = [line for line in result.stderr.splitlines() if "emerg" in line] or result.stderr.splitlines()[-1:]
            raise ProxyError(f"nginx {' '.join(arguments)}: {' '.join(lines)}")

    def _test(self) -> None:
        self._run("-t", "-q")

    def _reload(self) -> None:
        """Reload and see new workers alone take requests.

        A reload that nginx gives up on keeps the old ones, and only its log tells. One that it makes starts the new
        ones first and tells the old ones a moment later; what looks for their end must not look before.
        """
        before = set(self._workers())
        self._run("-s", "reload")
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            taking = {number for number, title in self._workers().items() if not title.endswith("is shutting down")}
            if taking and not taking & before:
                return
            time.sleep(0.05)
        raise ProxyError("nginx kept its old workers after the reload; see /var/log/nginx/error.log")
