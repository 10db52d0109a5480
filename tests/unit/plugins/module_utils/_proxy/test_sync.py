from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._lease.lease import lease
from ansible_collections.slipway.ops.plugins.module_utils._proxy import cli, sync
from ansible_collections.slipway.ops.plugins.module_utils._proxy.gateway import ProxyError
from ansible_collections.slipway.ops.plugins.module_utils._release.records import Records
from ansible_collections.slipway.ops.plugins.module_utils._release.wiring import Places
from ansible_collections.slipway.ops.plugins.module_utils._stack.load import load
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Stack

MODEL = load(
    {"services": {"web": {"image": "web:1", "x-slipway": {"routes": [{"host": "a.example", "port": 80}]}}}},
    "t",
    {},
    lambda path: b"",
)


class Engine:
    def __init__(self, address: str) -> None:
        self.address = address

    def containers(self, stack: str) -> list[dict[str, Any]]:
        labels = {"ops.slipway.service": "web", "ops.slipway.config-hash": Stack(MODEL).config_hash("web")}
        return [
            {
                "Id": "1",
                "Name": "/t-web-1",
                "Image": "x",
                "Config": {"Image": "web:1", "Labels": labels},
                "State": {"Status": "running"},
                "NetworkSettings": {"Networks": {"t_default": {"IPAddress": self.address}}},
            }
        ]


class Proxy:
    def __init__(self) -> None:
        self.files: dict[str, str] = {}

    def read(self, names: list[str]) -> dict[str, str]:
        return {name: self.files[name] for name in names if name in self.files}

    def apply(self, upstreams: Mapping[str, str]) -> bool:
        changed = any(self.files.get(name) != content for name, content in upstreams.items())
        self.files.update(upstreams)
        return changed

    def draining(self) -> bool:
        return False


@pytest.fixture
def places(tmp_path: Path) -> Places:
    found = Places(str(tmp_path / "etc"), str(tmp_path / "var"), str(tmp_path / "lease"), str(tmp_path / "nginx"))
    Records("t", found.stacks, found.state).write_deployed(MODEL, {})
    return found


def test_a_new_address_is_followed(places: Places) -> None:
    proxy = Proxy()
    assert sync.sync(Engine("10.0.0.2"), places, proxy) == {"t": "changed"}
    assert sync.sync(Engine("10.0.0.2"), places, proxy) == {"t": "unchanged"}
    assert sync.sync(Engine("10.0.0.3"), places, proxy) == {"t": "changed"}
    assert "server 10.0.0.3:80;" in proxy.files["slipway_t_web_80.conf"]


def test_a_release_at_work_is_left_alone(places: Places) -> None:
    proxy = Proxy()
    with lease("t", "release of t", directory=places.leases):
        assert sync.sync(Engine("10.0.0.2"), places, proxy)["t"].startswith("held by release of t")
    assert proxy.files == {}


def test_nothing_deployed(tmp_path: Path) -> None:
    assert sync.sync(Engine("10.0.0.2"), Places(stacks=str(tmp_path / "none")), Proxy()) == {}


def test_cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(cli.DockerGateway, "connect", classmethod(lambda cls: None))
    monkeypatch.setattr(cli.sync, "sync", lambda *_arguments: {"t": "changed"})
    assert cli.upstreams(["sync"]) == 0
    assert capsys.readouterr().out == "t: changed\n"

    def fail(*_arguments: Any) -> None:
        raise ProxyError("nginx said no")

    monkeypatch.setattr(cli.sync, "sync", fail)
    assert cli.upstreams(["sync"]) == 1
    assert "nginx said no" in capsys.readouterr().err


def test_watch_ends_with_the_engines_events(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    class Gateway(Engine):
        def events(self) -> Any:
            yield {"Action": "exec_create: x"}
            yield {"Action": "health_status: healthy"}

    proxy = Proxy()
    said: list[str] = []
    monkeypatch.setattr(sync, "Nginx", lambda directory: proxy)
    monkeypatch.setattr(sync, "DEBOUNCE_SECONDS", 0.01)
    sync.watch(places, lambda: Gateway("10.0.0.2"), said.append)  # type: ignore[arg-type,return-value]
    assert said == ["t: upstreams changed, nginx reloaded"]
