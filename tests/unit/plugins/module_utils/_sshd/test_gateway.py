# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pwd
import socket
import struct
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._host.gateway import Completed, HostError
from ansible_collections.slipway.ops.plugins.module_utils._sshd import gateway
from ansible_collections.slipway.ops.plugins.module_utils._sshd.gateway import Sshd
from ansible_collections.slipway.ops.plugins.module_utils._sshd.wire import Offer

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHA5c2dczsWP1BiO664mVlI0UArUM2QHorIeK+ZkX0Br x"


class FakeHost:
    """Answers by the beginning of the command."""

    def __init__(self, answers: dict[str, Completed] | None = None, texts: dict[str, str] | None = None) -> None:
        self.answers = answers or {}
        self.texts = texts or {}
        self.asked: list[str] = []

    def run(self, argv: Sequence[str]) -> Completed:
        line = " ".join(argv)
        self.asked.append(line)
        found = [answer for start, answer in self.answers.items() if line.startswith(start)]
        return found[0] if found else Completed(0, "", "")

    def text(self, path: str) -> str:
        if path in self.texts:
            return self.texts[path]
        return Path(path).read_text(encoding="utf-8") if os.path.exists(path) else ""


def made(host: FakeHost) -> Sshd:
    any_host: Any = host
    return Sshd(any_host)


def test_release() -> None:
    text = 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nVERSION_ID="13"\nID=debian\n'
    assert made(FakeHost(texts={"/etc/os-release": text})).release() == ("debian", "13")
    assert made(FakeHost(texts={"/etc/os-release": ""})).release() == ("", "")


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("OpenSSH_10.0p2 Debian-7+deb13u4, OpenSSL 3.5.7 9 Jun 2026", (10, 0)),
        ("OpenSSH_8.9p1 Ubuntu-3ubuntu0.13, OpenSSL 3.0.2", (8, 9)),
        ("something else", (0, 0)),
    ],
)
def test_openssh(said: str, version: tuple[int, int]) -> None:
    assert made(FakeHost({"ssh -V": Completed(0, "", said)})).openssh() == version


def test_algorithms_of_every_kind() -> None:
    host = FakeHost({"ssh -Q kex": Completed(0, "a\nb\n", ""), "ssh -Q mac": Completed(0, "c\n", "")})
    assert made(host).algorithms() == {"a", "b", "c"}


def test_what_sshd_refuses_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "RUN", str(tmp_path))
    with pytest.raises(HostError, match="Bad configuration option"):
        made(FakeHost({"/usr/sbin/sshd -T": Completed(255, "", "Bad configuration option: x")})).effective()


def test_the_directory_that_sshd_needs_is_lent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lent = tmp_path / "sshd"
    monkeypatch.setattr(gateway, "RUN", str(lent))
    idle = Completed(3, "", "")
    with made(FakeHost({"systemctl is-active": idle})).runnable():
        assert lent.is_dir()
    assert not lent.exists()
    with made(FakeHost()).runnable():
        pass
    assert lent.is_dir(), "the service that runs by now needs it"


def test_a_public_key_comes_from_either_half(tmp_path: Path) -> None:
    private = tmp_path / "key"
    host = FakeHost({"ssh-keygen -y": Completed(0, f"{KEY}\n", "")})
    assert made(host).public_key(str(private)) == ""
    private.write_text("private")
    assert made(host).public_key(str(private)) == KEY
    (tmp_path / "key.pub").write_text("public\n")
    assert made(host).public_key(str(private)) == "public"
    (tmp_path / "key.pub").unlink()
    with pytest.raises(HostError, match="move it away"):
        made(FakeHost({"ssh-keygen -y": Completed(1, "", "bad")})).public_key(str(private))


@pytest.mark.parametrize(("mode", "says"), [(0o400, ""), (0o644, "alone (mode 0400)"), (None, "has no ")])
def test_a_secret_for_codes(tmp_path: Path, mode: int | None, says: str) -> None:
    if mode is not None:
        (tmp_path / ".google_authenticator").write_text("x")
        (tmp_path / ".google_authenticator").chmod(mode)
    found = made(FakeHost()).no_code(str(tmp_path), os.getuid())
    assert found == "" if not says else says in found


def serve(reply: bytes) -> int:
    listener = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        with listener, listener.accept()[0] as link:
            link.sendall(reply)
            link.recv(64)

    threading.Thread(target=answer, daemon=True).start()
    port: int = listener.getsockname()[1]
    return port


def test_the_word_of_the_running_server() -> None:
    body = bytes([20]) + bytes(16)
    for names in (b"k,ext-info-s", b"h", b"c", b"c", b"m", b"m", b"none", b"none", b"", b""):
        body += struct.pack(">I", len(names)) + names
    body += bytes(5)
    packet = struct.pack(">IB", len(body) + 5, 4) + body + bytes(4)
    port = serve(b"SSH-2.0-Trial\r\n" + packet)
    assert made(FakeHost()).offer(port) == Offer(("k",), ("h",), ("c",), ("m",))


@pytest.mark.parametrize("reply", [b"HTTP/1.1 400\r\n\r\n", b"", b"SSH-2.0-Trial\r\n"])
def test_anything_else_says_nothing(reply: bytes) -> None:
    assert made(FakeHost()).offer(serve(reply)) is None


def test_keys_of_a_user(tmp_path: Path) -> None:
    user = pwd.getpwuid(os.getuid()).pw_name
    keys = tmp_path / "keys"
    keys.write_text(f"{KEY}\nrubbish\n")
    effective = {"authorizedkeysfile": [str(keys)], "strictmodes": ["no"]}
    login = made(FakeHost()).login(user, effective, "192.0.2.7")
    assert (login.user, login.keys, login.key_files, login.other_proof) == (user, 1, (str(keys),), False)
    trusted = made(FakeHost()).login(user, {**effective, "trustedusercakeys": ["/ca"]}, "192.0.2.7")
    assert trusted.other_proof
    with pytest.raises(HostError, match="give ssh_login_user"):
        made(FakeHost()).login("no-such-user", effective)
