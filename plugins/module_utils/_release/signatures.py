# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose signature an image must carry, checked by the program `cosign` at the registry, before the image is used."""

from __future__ import annotations

import contextlib
import fnmatch
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._release.engine import EngineError
from ansible_collections.slipway.ops.plugins.module_utils._release.reference import HUB, Reference

PROGRAM = "cosign"
TIMEOUT_SECONDS = 120
KEYS = ("images", "key", "identity", "issuer", "transparency_log", "unsigned")

Run = Callable[[list[str]], "tuple[int, str]"]


class SignatureRuleError(ValueError):
    """A rule cannot be meant so; one line with its path."""


@dataclass(frozen=True)
class Rule:
    """Images by name patterns, and who must have signed them: a key, or an identity that an issuer vouches for."""

    images: tuple[str, ...]
    key: str = ""
    identity: str = ""
    issuer: str = ""
    transparency_log: bool = True
    unsigned: bool = False

    def covers(self, name: Reference) -> bool:
        names = {name.familiar, f"{name.registry}/{name.path}"}
        return any(fnmatch.fnmatchcase(each, pattern) for each in names for pattern in self.images)


def parse_rules(given: Iterable[Mapping[str, Any]]) -> tuple[Rule, ...]:
    return tuple(_rule(f"stack_image_signatures[{index}]", item) for index, item in enumerate(given))


def _rule(path: str, item: Mapping[str, Any]) -> Rule:
    unknown = sorted(set(item) - set(KEYS))
    if unknown:
        raise SignatureRuleError(f"{path}.{unknown[0]}: is no part of a rule; it has {', '.join(KEYS)}")
    images = item.get("images") or []
    rule = Rule(
        images=(images,) if isinstance(images, str) else tuple(map(str, images)),
        key=str(item.get("key") or ""),
        identity=str(item.get("identity") or ""),
        issuer=str(item.get("issuer") or ""),
        transparency_log=bool(item.get("transparency_log", True)),
        unsigned=bool(item.get("unsigned", False)),
    )
    if not rule.images:
        raise SignatureRuleError(f"{path}.images: is missing; write patterns such as registry.example.com/shop/*")
    ways = [bool(rule.key), bool(rule.identity or rule.issuer), rule.unsigned]
    if sum(ways) != 1:
        raise SignatureRuleError(f"{path}: give one of key, identity with issuer, and unsigned: true")
    if bool(rule.identity) != bool(rule.issuer):
        raise SignatureRuleError(f"{path}: identity and issuer belong together; name both")
    return rule


def command(rule: Rule, image: str, key_file: str, plain_http: bool) -> list[str]:
    """What is run. `image` carries its digest, so what is checked is what will run."""
    words = [PROGRAM, "verify", "--output", "json"]
    if rule.key:
        words += ["--key", key_file]
    else:
        words += ["--certificate-identity-regexp", rule.identity, "--certificate-oidc-issuer", rule.issuer]
    if not rule.transparency_log:
        words.append("--private-infrastructure")
    if plain_http:
        words.append("--allow-http-registry")
    return [*words, image]


def run(words: list[str]) -> tuple[int, str]:
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS)
    except FileNotFoundError as error:
        raise EngineError(
            f"the program {PROGRAM} is not on this host and stack_image_signatures asks for it; install Debian 13's "
            f"package {PROGRAM}, or put the program into /usr/local/bin"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise EngineError(
            f"{PROGRAM} did not end within {TIMEOUT_SECONDS} s; see whether it reaches the registry"
        ) from error
    return done.returncode, done.stderr


class Signatures:
    """Refuses an image that a rule covers and whose signature is missing or another one."""

    def __init__(self, rules: Iterable[Rule], is_plain: Callable[[str], bool], run: Run = run) -> None:
        self._rules = tuple(rules)
        self._is_plain = is_plain
        self._run = run
        self._good: set[tuple[Rule, str]] = set()

    def __call__(self, reference: str, digest: str) -> None:
        name = Reference.parse(reference)
        rule = next((each for each in self._rules if each.covers(name)), None)
        if rule is None or rule.unsigned:
            return
        if not digest:
            raise EngineError(
                f"image {reference}: must be signed, and no registry gives it a digest that a signature could be for; "
                "push it to a registry and sign it, or let a rule with unsigned: true cover it"
            )
        image = name.at(digest)
        if (rule, image) in self._good:
            return
        plain = name.registry != HUB and self._is_plain(name.registry)
        with _key_file(rule.key) as path:
            code, said = self._run(command(rule, image, path, plain))
        if code != 0:
            raise EngineError(f"image {reference}: {self._reason(said)}; it was not used")
        self._good.add((rule, image))

    def _reason(self, said: str) -> str:
        lines = [" ".join(line.split()) for line in said.splitlines() if line.strip()]
        told = [line for line in lines if line.lower().startswith("error")] or lines
        last = told[-1][:300] if told else "it said nothing"
        return f"its signature is not what stack_image_signatures asks for ({PROGRAM}: {last})"


@contextlib.contextmanager
def _key_file(key: str) -> Iterator[str]:
    """A key may be given as its text, as a path on the host, or as the address of a key service."""
    if not key.lstrip().startswith("-----BEGIN"):
        yield key
        return
    descriptor, path = tempfile.mkstemp(prefix="slipway-", suffix=".pub")
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.write(key)
        yield path
    finally:
        os.unlink(path)
