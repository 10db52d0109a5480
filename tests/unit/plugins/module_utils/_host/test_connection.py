# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import subprocess

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._host import connection as connections
from ansible_collections.slipway.ops.plugins.module_utils._host.connection import Connection, used_key

CAME = Connection("192.0.2.7", 50123, 22)
LINE = b"Accepted publickey for operator from 192.0.2.7 port 50123 ssh2: ED25519 SHA256:abc\n"


@pytest.mark.parametrize(("said", "key"), [(LINE, "SHA256:abc"), (b"", ""), (b"something else\n", "")])
def test_the_journal_tells_the_key(monkeypatch: pytest.MonkeyPatch, said: bytes, key: str) -> None:
    asked: list[list[str]] = []

    def run(argv: list[str], **_options: object) -> subprocess.CompletedProcess[bytes]:
        asked.append(argv)
        return subprocess.CompletedProcess(argv, 0, said, b"")

    monkeypatch.setattr(subprocess, "run", run)
    assert used_key("operator", CAME) == key
    assert asked[0][-1] == r"^Accepted publickey for operator from 192\.0\.2\.7 port 50123 "


def test_the_connection_is_found_above_us() -> None:
    found = connections.connection()
    assert bool(found.address) == bool(found.port)
