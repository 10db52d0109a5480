# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""dockerd's Swarm calls, one a method, and what only this host knows of its part."""

from __future__ import annotations

import glob
import json
import os
import shutil
import socket
import subprocess
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from ansible_collections.slipway.ops.plugins.module_utils._docker.api import Api, ApiError
from ansible_collections.slipway.ops.plugins.module_utils._state import files
from ansible_collections.slipway.ops.plugins.module_utils._swarm import raft

# Joining and a new cluster wait for others; a node that leaves stops its tasks first.
SLOW_SECONDS = 300
# A key as long as AES-GCM takes it here; it is used in a network namespace that ends at once.
_TRIAL = (
    *("ip", "xfrm", "state", "add", "src", "127.0.0.1", "dst", "127.0.0.2", "proto", "esp", "spi", "0x1"),
    *("mode", "transport", "aead", "rfc4106(gcm(aes))", "0x" + "00" * 20, "64"),
)


class SwarmError(Exception):
    """A step cannot be done; one line with the resource, the reason and the remedy."""


class SwarmGateway:
    def __init__(self, api: Optional[Api] = None) -> None:
        self._api = api or Api()

    def information(self) -> dict[str, Any]:
        return self._api.information()

    def swarm(self) -> dict[str, Any]:
        return dict(self._api.ask("GET", "/swarm"))

    def nodes(self) -> list[dict[str, Any]]:
        return list(self._api.ask("GET", "/nodes"))

    def node(self, node: str) -> dict[str, Any]:
        return dict(self._api.ask("GET", f"/nodes/{node}"))

    def services(self) -> list[dict[str, Any]]:
        return list(self._api.ask("GET", "/services"))

    def tasks(self, **filters: Sequence[str]) -> list[dict[str, Any]]:
        query = urllib.parse.quote(json.dumps({key.replace("_", "-"): list(value) for key, value in filters.items()}))
        return list(self._api.ask("GET", f"/tasks?filters={query}"))

    def objects(self, kind: str) -> list[dict[str, Any]]:
        """The configs or secrets of the Swarm, without secrets' data."""
        return list(self._api.ask("GET", f"/{kind}"))

    def unlock_key(self) -> str:
        return str(self._api.ask("GET", "/swarm/unlockkey").get("UnlockKey", ""))

    def init(self, body: Mapping[str, Any]) -> str:
        return str(self._api.ask("POST", "/swarm/init", body, SLOW_SECONDS))

    def join(self, body: Mapping[str, Any]) -> None:
        self._api.ask("POST", "/swarm/join", body, SLOW_SECONDS)

    def leave(self, force: bool) -> None:
        self._api.ask("POST", f"/swarm/leave?force={str(force).lower()}", timeout=SLOW_SECONDS)

    def unlock(self, key: str) -> None:
        self._api.ask("POST", "/swarm/unlock", {"UnlockKey": key}, SLOW_SECONDS)

    def update(self, version: int, spec: Mapping[str, Any]) -> None:
        self._api.ask("POST", f"/swarm/update?version={version}", spec)

    def update_node(self, node: str, version: int, spec: Mapping[str, Any]) -> None:
        self._api.ask("POST", f"/nodes/{node}/update?version={version}", spec)

    def remove_node(self, node: str) -> None:
        self._api.ask("DELETE", f"/nodes/{node}?force=true")

    @staticmethod
    def told(root: str) -> dict[str, Any]:
        """What dockerd was told when it came to the Swarm; empty where it never did."""
        found = files.read_json(f"{root}/swarm/docker-state.json")
        return found if isinstance(found, dict) else {}

    @staticmethod
    def has_locked_key(root: str) -> bool:
        """Whether the key of this node needs another one to be read."""
        return "ENCRYPTED" in (files.read_text(f"{root}/swarm/certificates/swarm-node.key") or "")

    @staticmethod
    def raft_position(root: str) -> raft.Position:
        """How far this manager's raft has come; zero where it has none."""

        def logs() -> Any:
            for path in sorted(glob.glob(f"{glob.escape(root)}/swarm/raft/wal-*/*.wal")):
                with open(path, "rb") as stream:
                    yield stream.read()

        return raft.position(logs())

    @staticmethod
    def default_address() -> str:
        """The address of this host on its default route; nothing is sent."""
        for family, far in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                try:
                    probe.connect((far, 9))
                    return str(probe.getsockname()[0])
                except OSError:
                    continue
        return ""

    @staticmethod
    def encrypts() -> Optional[bool]:
        """Whether the kernel takes the kind of key that Docker gives it for an encrypted overlay network."""
        if not (shutil.which("unshare") and shutil.which("ip")):
            return None
        done = subprocess.run(
            ["unshare", "--net", *_TRIAL], stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=30
        )
        return done.returncode == 0

    @staticmethod
    def hostname() -> str:
        return os.uname().nodename


def translate(what: str, error: ApiError) -> SwarmError:
    """The error in words of the Swarm, with its remedy where there is a known one."""
    said = str(error)
    if "does not have a leader" in said:
        said = (
            "there is no quorum of managers; start those that are down, or, if they are lost, run"
            " playbooks/swarm_recover.yml"
        )
    return SwarmError(f"{what}: {said}")
