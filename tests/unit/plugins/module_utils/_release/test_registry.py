"""A registry over HTTP: sizes by platform, logins of both kinds, and silence."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._release.registry import (
    Layer,
    Manifest,
    Registries,
    Setup,
    kept_login,
    parse_setup,
)

IMAGE = {"config": {"digest": "sha256:c"}, "layers": [{"size": 10}, {"size": 5}]}
CONFIG = {"rootfs": {"diff_ids": ["sha256:l1", "sha256:l2"]}}
INDEX = {
    "manifests": [
        {"digest": "sha256:arm", "platform": {"os": "linux", "architecture": "arm64"}},
        {"digest": "sha256:m", "platform": {"os": "linux", "architecture": "amd64"}},
    ]
}
PAGES = {"manifests/1": IMAGE, "manifests/many": INDEX, "manifests/sha256:m": IMAGE, "blobs/sha256:c": CONFIG}
BASIC = "Basic " + base64.b64encode(b"me:secret").decode()


class Handler(BaseHTTPRequestHandler):
    challenge = ""
    accepted = ""

    def do_GET(self) -> None:
        authorization = self.headers.get("Authorization", "")
        if self.path.startswith("/token"):
            assert "scope=repository%3Ashop%2Fweb%3Apull" in self.path
            self._answer(200 if authorization == BASIC else 403, {"token": "t0ken"})
        elif self.challenge and authorization != self.accepted:
            self.send_response(401)
            self.send_header("WWW-Authenticate", self.challenge.replace("HOST", self.headers["Host"]))
            self.end_headers()
        else:
            page = PAGES.get(self.path.removeprefix("/v2/shop/web/"))
            self._answer(200 if page else 404, page or {})

    def _answer(self, status: int, value: object) -> None:
        self.send_response(status)
        self.send_header("Docker-Content-Digest", "sha256:top")
        self.end_headers()
        self.wfile.write(json.dumps(value).encode())

    def log_message(self, *_arguments: object) -> None:
        """Quiet."""


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(Handler, "challenge", "")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()


@pytest.mark.parametrize("tag", ["1", "many"])
def test_layers_and_their_sizes(address: str, tag: str) -> None:
    found = Registries(Setup(), lambda registry: None).manifest(f"{address}/shop/web:{tag}")
    assert found == Manifest("sha256:top", (Layer("sha256:l1", 10), Layer("sha256:l2", 5)))


@pytest.mark.parametrize(
    ("challenge", "accepted"),
    [
        ('Basic realm="r"', BASIC),
        ('Bearer realm="http://HOST/token",service="s",scope="repository:shop/web:pull"', "Bearer t0ken"),
    ],
)
def test_logins(address: str, monkeypatch: pytest.MonkeyPatch, challenge: str, accepted: str) -> None:
    monkeypatch.setattr(Handler, "challenge", challenge)
    monkeypatch.setattr(Handler, "accepted", accepted)
    assert Registries(Setup(), lambda registry: ("me", "secret")).manifest(f"{address}/shop/web:1") is not None
    assert Registries(Setup(), lambda registry: None).manifest(f"{address}/shop/web:1") is None


def test_silence_and_other_platforms_are_no_answer(address: str) -> None:
    assert Registries(Setup(machine="riscv64")).manifest(f"{address}/shop/web:many") is None
    assert Registries(Setup()).manifest(f"{address}/shop/web:gone") is None
    assert Registries(Setup()).manifest("127.0.0.1:1/shop/web") is None


def test_where_the_engine_asks() -> None:
    setup = parse_setup(
        {
            "OSType": "linux",
            "Architecture": "aarch64",
            "RegistryConfig": {
                "IndexConfigs": {
                    "docker.io": {"Mirrors": ["http://mirror.example/"], "Secure": True},
                    "plain.example:5000": {"Secure": False},
                }
            },
        }
    )
    assert setup.machine == "arm64"
    assert setup.bases("docker.io") == ["http://mirror.example", "https://registry-1.docker.io"]
    assert setup.bases("plain.example:5000") == ["http://plain.example:5000"]
    assert setup.bases("r.example") == ["https://r.example"]
    assert setup.bases("localhost:5000") == ["http://localhost:5000"]


def test_the_kept_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert kept_login("r.example") is None
    helper = tmp_path / "docker-credential-try"
    helper.write_text('#!/bin/sh\nread -r address\necho "{\\"Username\\": \\"$address\\", \\"Secret\\": \\"s\\"}"\n')
    helper.chmod(0o755)
    auth = base64.b64encode(b"me:se:cret").decode()
    config = {"auths": {"r.example": {"auth": auth}}, "credHelpers": {"https://index.docker.io/v1/": "try"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert kept_login("r.example") == ("me", "se:cret")
    assert kept_login("docker.io") == ("https://index.docker.io/v1/", "s")
    assert kept_login("other.example") is None
