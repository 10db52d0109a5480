"""Builds: the exact words, what is built again, and what a failing tool said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._release.builder import (
    Builder,
    BuildError,
    Wanted,
    build_command,
)

BUILD: dict[str, Any] = {
    "context": "app",
    "dockerfile": "Dockerfile",
    "args": {"B": "two", "A": "hunter2"},
    "labels": {},
}


def wanted(service: str = "web", content: str = "c1", **build: Any) -> Wanted:
    return Wanted(service, "r.example:5000/shop/web:1", {**BUILD, **build}, content, "/tmp/c.tar.gz")


def test_words() -> None:
    each = wanted(target="prod", platform="linux/amd64", no_cache=True, labels={"a": "b"}, extra_hosts=["m:10.0.0.9"])
    assert build_command(each, True) == [
        *["docker", "buildx", "build", "--load", "--provenance=false", "--file", "Dockerfile", "--tag", each.tag],
        *["--build-arg", "A", "--build-arg", "B", "--label", "a=b", "--target", "prod", "--platform", "linux/amd64"],
        *["--add-host", "m:10.0.0.9", "--no-cache", "-"],
    ]
    assert build_command(each, False)[:2] == ["docker", "build"]


def test_the_tag_says_the_content() -> None:
    assert wanted().tag.startswith("r.example:5000/shop/web:slipway-")
    assert wanted().tag == wanted(context="elsewhere", no_cache=True).tag
    assert len({wanted().tag, wanted(content="c2").tag, wanted(target="x").tag, wanted(args={"A": "1"}).tag}) == 4


class Machine:
    """A Docker client and a registry; an image is its content."""

    def __init__(self, buildx: bool = True) -> None:
        self.buildx = buildx
        self.registry: dict[str, str] = {}
        self.local: dict[str, str] = {}
        self.ran: list[str] = []
        self.fails = ""

    def known(self, name: str) -> str:
        return self.registry.get(name, "")

    def run(self, words: list[str], environment: Mapping[str, str], archive: str) -> tuple[int, str]:
        if words[:3] == ["docker", "buildx", "version"]:
            return (0 if self.buildx else 1), ""
        self.ran.append(" ".join(words[:3] if "build" in words[:3] else words))
        if self.fails and self.fails in " ".join(words):
            return 1, "step 3\nthe token is hunter2\nno such file\n"
        if "build" in words[:3]:
            assert (archive, environment["A"]) == ("/tmp/c.tar.gz", "hunter2")
            self.local[words[words.index("--tag") + 1]] = "sha256:new"
        elif words[1] == "push":
            self.registry[words[2]] = self.local[words[2]]
        elif words[1] == "tag":
            self.local[words[3]] = words[2].partition("@")[2]
        elif words[1:3] == ["image", "inspect"]:
            return (0 if words[3].partition("@")[2] in self.local.values() else 1), ""
        return 0, ""


@pytest.mark.parametrize("buildx", [True, False])
def test_it_is_built_once_and_pushed_under_both_names(buildx: bool) -> None:
    machine = Machine(buildx)
    builder = Builder(machine.known, run=machine.run)
    each = wanted()
    assert builder.plan([each]) == [f"web: build and push {each.tag}", "web: push r.example:5000/shop/web:1"]
    assert builder.build([each, wanted("worker")]) == {"r.example:5000/shop/web:1": "sha256:new"}
    assert machine.registry == {each.tag: "sha256:new", "r.example:5000/shop/web:1": "sha256:new"}
    machine.ran.clear()
    assert builder.plan([each]) == []
    assert builder.build([each]) == {"r.example:5000/shop/web:1": "sha256:new"}
    assert machine.ran == []


def test_what_is_there_by_its_content_gets_its_name_back() -> None:
    machine = Machine()
    each = wanted()
    machine.registry = {each.tag: "sha256:old", "r.example:5000/shop/web:1": "sha256:other"}
    builder = Builder(machine.known, run=machine.run)
    assert builder.plan([each]) == ["web: push r.example:5000/shop/web:1"]
    builder.build([each])
    assert machine.ran[1:] == [
        "docker pull r.example:5000/shop/web@sha256:old",
        "docker tag r.example:5000/shop/web@sha256:old r.example:5000/shop/web:1",
        "docker push r.example:5000/shop/web:1",
    ]


def test_a_failure_says_the_last_words_without_secrets() -> None:
    machine = Machine()
    machine.fails = "buildx build"
    with pytest.raises(BuildError) as raised:
        Builder(machine.known, ["hunter2"], machine.run).build([wanted()])
    assert str(raised.value) == (
        "services.web.build: docker buildx ended with 1: step 3 | the token is ******** | no such file"
    )


def test_one_name_for_two_contents_is_refused() -> None:
    machine = Machine()
    with pytest.raises(BuildError, match=r"services\.worker\.build: r\.example:5000/shop/web:1 is built otherwise"):
        Builder(machine.known, run=machine.run).build([wanted(), wanted("worker", content="c2")])
