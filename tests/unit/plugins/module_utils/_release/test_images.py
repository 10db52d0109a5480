"""Room on the disk, the pull by digest, patience, and what a signature is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._release.engine import EngineError
from ansible_collections.slipway.ops.plugins.module_utils._release.images import (
    Download,
    Images,
    Room,
    is_passing,
    missing_bytes,
)
from ansible_collections.slipway.ops.plugins.module_utils._release.registry import Layer, Manifest
from ansible_collections.slipway.ops.plugins.module_utils._release.release import Beside, ReleaseFailed

MIB = 1024**2
BIG = Manifest("sha256:web:1", (Layer("a", 100 * MIB), Layer("b", 50 * MIB)))
Document = Callable[..., dict[str, Any]]


def bring(host: Any, *references: str, room: Room | None = None, **digests: str) -> Images:
    said: list[str] = []
    images = Images(host.docker, host.manifest, host.clock, room or Room(), lambda: 300 * MIB, host.verify, said.append)
    host.said = said
    images.bring(references, digests)
    return images


@pytest.mark.parametrize(
    ("chains", "missing"),
    [([], 150), ([("a",)], 50), ([("a", "x")], 50), ([("b",)], 150), ([("x", "b"), ("a", "b", "c")], 0)],
)
def test_layers_that_an_image_begins_with_are_not_fetched_again(chains: list[tuple[str, ...]], missing: int) -> None:
    assert missing_bytes(BIG, chains) == missing * MIB


def test_a_pull_is_by_digest_and_gives_the_name(host: Any) -> None:
    host.docker.registry["web:1"] = "sha256:web:1"
    bring(host, "web:1")
    assert host.docker.calls == ["pull web@sha256:web:1", "tag sha256:web:1 web:1"]
    assert host.said == ["web@sha256:web:1: begins", ""]


def test_a_settled_digest_is_pulled_whatever_the_name_means_by_now(host: Any) -> None:
    host.docker.registry["web:1"] = "sha256:moved"
    bring(host, "web:1", **{"web:1": "sha256:settled"})
    assert host.docker.images["web:1"] == "sha256:settled"


def test_what_is_here_by_its_digest_is_only_named(host: Any) -> None:
    host.docker.registry["web:1"] = "sha256:web:1"
    host.docker.images["web@sha256:web:1"] = "sha256:web:1"
    host.docker.free = 0
    bring(host, "web:1")
    assert host.docker.calls == ["tag sha256:web:1 web:1"]


def test_where_a_registry_says_nothing_the_name_is_pulled(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    host.docker.registry["web:1"] = "sha256:web:1"

    def refuse(reference: str) -> str:
        raise EngineError("denied")

    monkeypatch.setattr(host.docker, "distribution", refuse)
    bring(host, "web:1")
    assert host.docker.calls == ["pull web:1"]


def test_without_room_nothing_is_pulled_and_the_numbers_are_told(host: Any) -> None:
    host.docker.registry.update({"web:1": "sha256:web:1", "db:1": "sha256:db:1"})
    host.manifest = lambda reference: BIG if reference.startswith("web") else None
    host.docker.free = 1500 * MIB
    with pytest.raises(EngineError) as raised:
        bring(host, "web:1", "db:1")
    said = str(raised.value)
    assert said.startswith("no room for web:1, db:1: 1.6 GiB are needed (150.0 MiB to fetch, times 4 for it unpacked; ")
    assert "1.0 GiB to stay free; and the size of db:1 is not known) and 1.5 GiB are free" in said
    assert "300.0 MiB of images and build cache are needed by no release" in said
    assert host.docker.calls == []
    bring(host, "web:1", "db:1", room=Room(floor_mib=800))
    assert len(host.docker.calls) == 4


def test_a_release_without_room_leaves_the_old_version_serving(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    host.docker.free = 10 * MIB
    before = host.docker.names("running")
    with pytest.raises(ReleaseFailed, match=r"failed in phase pull: no room for web:2: 1\.0 GiB are needed"):
        host.release(document("2")).present(check=False)
    assert host.docker.names("running") == before
    assert host.records().history()[-1]["phase"] == "pull"


@pytest.mark.parametrize(
    ("message", "passing"),
    [
        ("pull x: Get https://r/v2/: net/http: TLS handshake timeout", True),
        ("pull x: received unexpected HTTP status: 503 Service Unavailable", True),
        ("pull x: toomanyrequests: You have reached your pull rate limit", True),
        ("pull x: unexpected EOF", True),
        ("pull x: dial tcp: connect: connection refused", True),
        ("pull x: manifest unknown", False),
        ("pull x: unauthorized: authentication required", False),
        ("pull x: write /var/lib/docker/tmp: no space left on device: unexpected EOF", False),
    ],
)
def test_which_errors_pass(message: str, passing: bool) -> None:
    assert is_passing(message) is passing


def failing(host: Any, monkeypatch: pytest.MonkeyPatch, message: str, times: int) -> list[float]:
    tried: list[float] = []
    pull = host.docker.pull

    def attempt(reference: str, say: Any = None) -> None:
        tried.append(host.clock.now)
        if len(tried) <= times:
            raise EngineError(message)
        pull(reference, say)

    monkeypatch.setattr(host.docker, "pull", attempt)
    host.docker.registry["web:1"] = "sha256:web:1"
    return tried


def test_a_passing_error_is_waited_out(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = failing(host, monkeypatch, "pull web:1: i/o timeout", 3)
    bring(host, "web:1")
    assert tried == [0, 2, 6, 14]
    assert host.docker.images["web:1"] == "sha256:web:1"


@pytest.mark.parametrize(("message", "attempts"), [("i/o timeout", 4), ("manifest unknown", 1)])
def test_patience_ends(host: Any, monkeypatch: pytest.MonkeyPatch, message: str, attempts: int) -> None:
    tried = failing(host, monkeypatch, f"pull web:1: {message}", 9)
    with pytest.raises(EngineError, match=message):
        bring(host, "web:1")
    assert len(tried) == attempts


def test_a_signature_is_asked_for_the_digest_before_anything_is_pulled(host: Any) -> None:
    host.docker.registry.update({"web:1": "sha256:web:1", "db:1": "sha256:db:1"})
    asked: list[tuple[str, str]] = []

    def verify(reference: str, digest: str) -> None:
        asked.append((reference, digest))
        if reference == "db:1":
            raise EngineError("image db:1: its signature is missing")

    host.verify = verify
    with pytest.raises(EngineError, match="its signature is missing"):
        bring(host, "web:1", "db:1")
    assert asked == [("web:1", "sha256:web:1"), ("db:1", "sha256:db:1")]
    assert host.docker.calls == []


def test_images_that_are_here_are_checked_too(host: Any, document: Document) -> None:
    asked: list[str] = []
    host.release(document()).present(check=False)
    host.verify = lambda reference, digest: asked.append(f"{reference} {digest}")
    host.release(document("2")).present(check=False)
    assert asked == ["db:1 sha256:db:1", "web:2 sha256:web:2"]


def test_how_far_a_pull_is() -> None:
    download = Download("web:1", {}, {})
    assert not download.add({"status": "Pulling fs layer", "id": "a"})
    assert download.add({"status": "Downloading", "id": "a", "progressDetail": {"current": MIB, "total": 4 * MIB}})
    assert download.add({"status": "Downloading", "id": "b", "progressDetail": {"current": MIB, "total": 2 * MIB}})
    assert download.add({"status": "Download complete", "id": "b"})
    assert download.line == "web:1: 3.0 MiB of 6.0 MiB"


def test_a_digest_of_who_built_it_is_released_under_the_same_name(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    work = host.release(document())
    work.beside = Beside(digests={"web:1": "sha256:built"})
    outcome = work.present(check=False)
    assert outcome.images["web"] == "web@sha256:built"
    assert any("image web:1 is another one now" in line for line in outcome.plan)
    again = host.release(document())
    again.beside = Beside(digests={"web:1": "sha256:built"})
    assert again.present(check=False).changed is False
