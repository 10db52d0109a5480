"""The door: what is looked up, pulled, and only foreseen."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.slipway.ops.plugins.module_utils._release.docker_gateway import DockerGateway, EngineMissing
from ansible_collections.slipway.ops.plugins.modules import stack_images

Run = Callable[..., dict[str, Any]]


class Engine:
    def __init__(self) -> None:
        self.here: dict[str, str] = {}
        self.pulled: list[str] = []

    def information(self) -> dict[str, Any]:
        return {"DockerRootDir": "/", "OSType": "linux", "Architecture": "x86_64"}

    def image(self, reference: str) -> dict[str, Any] | None:
        return {"Id": self.here[reference], "RepoDigests": []} if reference in self.here else None

    def distribution(self, reference: str) -> str:
        return "sha256:one"

    def pull(self, reference: str, say: Any = None) -> None:
        self.pulled.append(reference)
        self.here[reference] = "sha256:id"

    def tag(self, image: str, reference: str) -> None:
        self.here[reference] = image

    def layer_chains(self) -> list[tuple[str, ...]]:
        return []

    def free_bytes(self) -> int:
        return 2**40


@pytest.fixture
def run_module(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(arguments: dict[str, Any], check: bool = False) -> dict[str, Any]:
        with patch_module_args({**arguments, "_ansible_check_mode": check}), pytest.raises(SystemExit):
            stack_images.main()
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    return run


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    found = Engine()
    monkeypatch.setattr(DockerGateway, "connect", lambda: found)
    monkeypatch.setattr("urllib.request.OpenerDirector.open", Mock(side_effect=OSError))
    return found


def test_it_pulls_once(run_module: Run, engine: Engine) -> None:
    wanted = {"images": ["r.example/web:1", "r.example/web:1"]}
    result = run_module(wanted)
    assert result["changed"] is True
    assert result["images"] == {"r.example/web:1": "sha256:one"}
    assert result["pulled"] == ["r.example/web:1 (sha256:one)"]
    assert engine.pulled == ["r.example/web@sha256:one"]
    assert run_module(wanted)["changed"] is False


def test_check_mode_and_looking_up_pull_nothing(run_module: Run, engine: Engine) -> None:
    result = run_module({"images": ["r.example/web:1"]}, check=True)
    assert (result["changed"], engine.pulled) == (True, [])
    result = run_module({"images": ["r.example/web:1"], "pull": False})
    assert (result["changed"], result["images"], engine.pulled) == (False, {"r.example/web:1": "sha256:one"}, [])


def test_digests_of_another_host_count(run_module: Run, engine: Engine) -> None:
    run_module({"images": ["r.example/web:1"], "digests": {"r.example/web:1": "sha256:two"}})
    assert engine.pulled == ["r.example/web@sha256:two"]


def test_without_an_engine(run_module: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise EngineMissing("the Docker engine does not answer")

    monkeypatch.setattr(DockerGateway, "connect", missing)
    assert run_module({"images": ["web:1"]}, check=True)["pulled"] == ["web:1"]
    assert run_module({"images": ["web:1"]})["msg"] == "the Docker engine does not answer"


def test_a_wrong_rule_is_refused(run_module: Run, engine: Engine) -> None:
    result = run_module({"images": ["web:1"], "image_signatures": [{"images": ["*"]}]})
    assert result["msg"].startswith("stack_image_signatures[0]: give one of")
