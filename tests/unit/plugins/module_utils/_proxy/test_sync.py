from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._lease.lease import lease
from ansible_collections.slipway.ops.plugins.module_utils._proxy import cli, sync
from ansible_collections.slipway.ops.plugins.module_utils._proxy.gateway import ProxyError
from ansible_collections.slipway.ops.plugins.module_utils._raft.lease import cluster_lease
from ansible_collections.slipway.ops.plugins.module_utils._raft.serving import PROXY_LABEL, Serving, report_label
from ansible_collections.slipway.ops.plugins.module_utils._raft.state import ClusterState
from ansible_collections.slipway.ops.plugins.module_utils._release.records import Records
from ansible_collections.slipway.ops.plugins.module_utils._release.wiring import Places
from ansible_collections.slipway.ops.plugins.module_utils._stack.load import load
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Stack

from .._raft.fake import Raft

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
        self.loaded = 0

    def load(self) -> None:
        self.loaded += 1

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
    assert "server 10.0.0.3:80 fail_timeout=1s;" in proxy.files["slipway_t_web_80.conf"]


def test_a_release_at_work_is_left_alone(places: Places) -> None:
    proxy = Proxy()
    with lease("t", "release of t", directory=places.leases):
        assert sync.sync(Engine("10.0.0.2"), places, proxy)["t"].startswith("held by release of t")
    assert proxy.files == {}


def test_before_nginx_starts_requests_go_nowhere(
    places: Places, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "Places", lambda: places)
    upstream = Path(places.upstreams) / "slipway_t_web_80.conf"
    upstream.parent.mkdir()
    upstream.write_text("upstream slipway_t_web_80 { server 10.0.0.2:80; }\n")
    monkeypatch.setattr(cli.Nginx, "runs", lambda self: True)
    assert cli.upstreams(["close"]) == 1
    assert "10.0.0.2" in upstream.read_text()
    monkeypatch.setattr(cli.Nginx, "runs", lambda self: False)
    assert cli.upstreams(["close"]) == 0
    assert "server 127.0.0.1:9 down;" in upstream.read_text()
    output = capsys.readouterr()
    assert (output.out, output.err) == (
        "t: closed\n",
        "upstreams close: nginx runs already, so its upstreams are left to slipway-upstreams.service\n",
    )


def test_nothing_deployed(tmp_path: Path) -> None:
    assert sync.sync(Engine("10.0.0.2"), Places(stacks=str(tmp_path / "none")), Proxy()) == {}


def test_cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(cli.DockerGateway, "connect", classmethod(lambda cls: None))
    monkeypatch.setattr(cli.sync, "sync", lambda *_arguments: {"t": "changed"})
    monkeypatch.setattr(cli.RaftGateway, "connect", classmethod(lambda cls: Cluster()))
    assert cli.upstreams(["sync"]) == 0
    assert capsys.readouterr().out == "t: changed\n"

    def fail(*_arguments: Any) -> None:
        raise ProxyError("nginx said no")

    monkeypatch.setattr(cli.sync, "sync", fail)
    assert cli.upstreams(["sync"]) == 1
    assert "nginx said no" in capsys.readouterr().err


class Cluster:
    """A host that is no manager."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure

    def node_id(self) -> str:
        if self.failure is not None:
            raise self.failure
        return ""

    def events(self) -> Iterator[dict[str, Any]]:
        yield {"Type": "node", "Action": "update"}
        threading.Event().wait(5)


def watch(monkeypatch: pytest.MonkeyPatch, places: Places, gateway: Any, cluster: Cluster) -> list[str]:
    said: list[str] = []
    proxy = Proxy()
    monkeypatch.setattr(sync, "Nginx", lambda directory: proxy)
    monkeypatch.setattr(sync, "DEBOUNCE_SECONDS", 0.01)
    sync.watch(places, lambda: gateway, said.append, lambda: cluster)  # type: ignore[arg-type,return-value]
    assert proxy.loaded == 1
    return said


def test_watch_ends_with_the_engines_events(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    class Gateway(Engine):
        def events(self) -> Any:
            yield {"Action": "exec_create: x"}
            yield {"Action": "health_status: healthy"}

    assert watch(monkeypatch, places, Gateway("10.0.0.2"), Cluster()) == ["t: upstreams changed, nginx reloaded"]


def test_watch_ends_when_following_the_swarm_fails(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    class Gateway(Engine):
        def events(self) -> Any:
            threading.Event().wait(5)
            yield {}

    monkeypatch.setattr(threading, "excepthook", lambda _failure: None)
    begun = time.monotonic()
    watch(monkeypatch, places, Gateway("10.0.0.2"), Cluster(RuntimeError("a fault of ours")))
    assert time.monotonic() - begun < 4


@pytest.mark.parametrize(
    ("event", "matters"),
    [
        ({"Type": "node", "Actor": {"Attributes": {"name": "m1"}}}, True),
        ({"Type": "config", "Actor": {"Attributes": {"name": "slipway-t"}}}, True),
        ({"Type": "config", "Actor": {"Attributes": {"name": "t_app-1234"}}}, False),
        ({}, False),
    ],
)
def test_which_events_of_the_swarm_matter(event: dict[str, Any], matters: bool) -> None:
    assert sync._of_cluster(event) is matters


def test_cli_status(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    raft = Raft()
    monkeypatch.setattr(cli.RaftGateway, "connect", classmethod(lambda cls: raft.gateway("")))
    assert cli.upstreams(["status"]) == 0
    assert capsys.readouterr().out == "no stack of a Swarm is served from here\n"
    monkeypatch.setattr(cli.RaftGateway, "connect", classmethod(lambda cls: raft.gateway()))
    state = ClusterState(raft.gateway(), "t")
    with cluster_lease(state, "release"):
        Serving(state, raft.gateway()).set({"web": {"id": 1}})
    for node, status, said in (
        ("n1", "ready", '{"generation":1,"draining":true}'),
        ("n2", "down", '{"generation":0,"problem":"nginx refused"}'),
        ("n3", "ready", '{"generation":1}'),
    ):
        raft.add_node(node, {PROXY_LABEL: "true", report_label("t"): said}, State=status)
    assert cli.upstreams(["status"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "t: generation 1 is to serve",
        "  host-n1: serves; old requests still run",
        "  host-n2: serves 0; its node is down; nginx refused",
        "  host-n3: serves",
    ]
    assert cli.upstreams(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["t"]["serving"] == {"web": {"id": 1}}
