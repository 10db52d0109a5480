# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build images by the Docker client of this machine, under a tag that says their content, and push them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._release import report
from ansible_collections.slipway.ops.plugins.module_utils._release.reference import Reference
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import digest

TAG_PREFIX = "slipway-"


class BuildError(Exception):
    """An image could not be built or pushed; one line with the last words of the tool."""


@dataclass(frozen=True)
class Wanted:
    """One image to build. `content` is the digest of the packed context, `archive` where it lies."""

    service: str
    image: str
    build: Mapping[str, Any]
    content: str
    archive: str

    @property
    def tag(self) -> str:
        """The same content and the same words give the same tag, so that it is built once."""
        words = {key: value for key, value in self.build.items() if key not in ("context", "no_cache", "pull")}
        return f"{Reference.parse(self.image).familiar}:{TAG_PREFIX}{digest([self.content, words])[:20]}"


def build_command(wanted: Wanted, buildx: bool) -> list[str]:
    """The archive goes by standard input; values of arguments by the environment, where no process list shows them."""
    build = wanted.build
    words = ["docker", *(["buildx", "build", "--load", "--provenance=false"] if buildx else ["build"])]
    words += ["--file", build["dockerfile"], "--tag", wanted.tag]
    for key in sorted(build["args"]):
        words += ["--build-arg", key]
    for key, value in sorted(build["labels"].items()):
        words += ["--label", f"{key}={value}"]
    for option, key in (
        ("--target", "target"),
        ("--platform", "platform"),
        ("--network", "network"),
        ("--shm-size", "shm_size"),
    ):
        if build.get(key):
            words += [option, str(build[key])]
    for host in build.get("extra_hosts", []):
        words += ["--add-host", host]
    for source in build.get("cache_from", []):
        words += ["--cache-from", source]
    words += [option for option, key in (("--no-cache", "no_cache"), ("--pull", "pull")) if build.get(key)]
    return [*words, "-"]


Run = Callable[[list[str], Mapping[str, str], str], "tuple[int, str]"]


def run(words: list[str], environment: Mapping[str, str], archive: str) -> tuple[int, str]:
    """The exit status and everything it said."""
    with open(archive or os.devnull, "rb") as given:
        try:
            done = subprocess.run(
                words,
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**os.environ, "DOCKER_BUILDKIT": "1", "BUILDKIT_PROGRESS": "plain", **environment},
                check=False,
            )
        except FileNotFoundError as error:
            raise BuildError(
                "docker is not on the machine that builds; install Docker's client and engine there"
            ) from error
    return done.returncode, done.stdout.decode("utf-8", "replace")


class Builder:
    """`known` tells the digest that a name has at its registry, empty where it has none."""

    def __init__(self, known: Callable[[str], str], secrets: Iterable[str] = (), run: Run = run) -> None:
        self._known = known
        self._secrets = list(secrets)
        self._run = run

    def plan(self, wanted: Iterable[Wanted]) -> list[str]:
        """What would be done, a line each."""
        lines: list[str] = []
        for each in wanted:
            found = self._known(each.tag)
            if not found:
                lines.append(f"{each.service}: build and push {each.tag}")
            if not found or self._known(each.image) != found:
                lines.append(f"{each.service}: push {each.image}")
        return list(dict.fromkeys(lines))

    def build(self, wanted: Iterable[Wanted]) -> dict[str, str]:
        """Image name to the digest that stands behind it now."""
        digests: dict[str, str] = {}
        tags: dict[str, str] = {}
        for each in wanted:
            if tags.setdefault(each.image, each.tag) != each.tag:
                raise BuildError(f"services.{each.service}.build: {each.image} is built otherwise by another service")
            if each.image in digests:
                continue
            found = self._known(each.tag)
            if not found:
                words = build_command(each, self._run(["docker", "buildx", "version"], {}, "")[0] == 0)
                self._do(each, words, each.build["args"], each.archive)
                self._do(each, ["docker", "push", each.tag])
                found = self._known(each.tag)
            if not found:
                raise BuildError(f"services.{each.service}.build: the registry does not show {each.tag} after the push")
            if self._known(each.image) != found:
                source = Reference.parse(each.image).at(found)
                if self._run(["docker", "image", "inspect", source], {}, "")[0] != 0:
                    self._do(each, ["docker", "pull", source])
                self._do(each, ["docker", "tag", source, each.image])
                self._do(each, ["docker", "push", each.image])
            digests[each.image] = found
        return digests

    def _do(
        self, wanted: Wanted, words: list[str], environment: Mapping[str, str] | None = None, archive: str = ""
    ) -> None:
        code, said = self._run(words, environment or {}, archive)
        if code != 0:
            last = report.last_lines(report.mask(said, self._secrets), 8)
            raise BuildError(f"services.{wanted.service}.build: {' '.join(words[:2])} ended with {code}: {last}")
