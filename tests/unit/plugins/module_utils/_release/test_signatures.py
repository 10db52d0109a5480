"""Rules for signatures, the exact words for cosign, and what its answers mean."""

from __future__ import annotations

import os
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._release import signatures
from ansible_collections.slipway.ops.plugins.module_utils._release.engine import EngineError
from ansible_collections.slipway.ops.plugins.module_utils._release.signatures import (
    SignatureRuleError,
    Signatures,
    command,
    parse_rules,
)

KEY = "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n"
DIGEST = "sha256:" + "a" * 64
# What cosign 2.5.0 of Debian 13 says for an image without a signature.
UNSIGNED = "Error: no signatures found\nmain.go:69: error during command execution: no signatures found\n"


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"key": KEY}, ["--key", "FILE"]),
        ({"key": KEY, "transparency_log": False}, ["--key", "FILE", "--private-infrastructure"]),
        ({"key": "awskms:///alias/x"}, ["--key", "awskms:///alias/x"]),
        (
            {"identity": "https://ci/.*", "issuer": "https://issuer"},
            ["--certificate-identity-regexp", "https://ci/.*", "--certificate-oidc-issuer", "https://issuer"],
        ),
    ],
)
def test_what_is_run(rule: dict[str, Any], words: list[str]) -> None:
    (parsed,) = parse_rules([{"images": ["r.example/*"], **rule}])
    path = "FILE" if "FILE" in words else parsed.key
    assert command(parsed, f"r.example/web@{DIGEST}", path, False) == [
        *["cosign", "verify", "--output", "json"],
        *words,
        f"r.example/web@{DIGEST}",
    ]
    assert "--allow-http-registry" in command(parsed, "x", path, True)


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ({"images": ["a"]}, r"\[0\]: give one of key, identity with issuer, and unsigned"),
        ({"images": ["a"], "key": KEY, "unsigned": True}, "give one of"),
        ({"key": KEY}, r"\[0\]\.images: is missing"),
        ({"images": ["a"], "identity": "x"}, "identity and issuer belong together"),
        ({"images": ["a"], "kee": "x"}, r"\.kee: is no part of a rule"),
    ],
)
def test_rules_that_cannot_be_meant(rule: dict[str, Any], problem: str) -> None:
    with pytest.raises(SignatureRuleError, match=problem):
        parse_rules([rule])


def asked(rules: list[dict[str, Any]], reference: str, code: int = 0, said: str = "") -> list[list[str]]:
    calls: list[list[str]] = []

    def run(words: list[str]) -> tuple[int, str]:
        if "--key" in words:
            with open(words[words.index("--key") + 1], encoding="ascii") as stream:
                assert stream.read() == KEY
        calls.append(words)
        return code, said

    check = Signatures(parse_rules(rules), lambda registry: registry == "plain.example", run)
    check(reference, DIGEST)
    check(reference, DIGEST)
    for words in calls:
        assert not os.path.exists(words[words.index("--key") + 1])
    return calls


def test_the_first_rule_that_covers_an_image_counts() -> None:
    rules = [{"images": ["r.example/open/*"], "unsigned": True}, {"images": ["r.example/*"], "key": KEY}]
    assert asked(rules, "r.example/open/web:1") == []
    assert asked(rules, "other.example/web:1") == []
    (words,) = asked(rules, "r.example/shop/web:1")
    assert words[-1] == f"r.example/shop/web@{DIGEST}"


def test_a_name_of_the_hub_is_covered_in_full_or_short() -> None:
    assert asked([{"images": ["redis"], "key": KEY}], "redis:7")
    assert asked([{"images": ["docker.io/library/*"], "key": KEY}], "redis:7")


def test_a_registry_without_tls_is_said_so() -> None:
    (words,) = asked([{"images": ["plain.example/*"], "key": KEY}], "plain.example/web")
    assert "--allow-http-registry" in words


def test_a_missing_signature_refuses() -> None:
    with pytest.raises(EngineError) as raised:
        asked([{"images": ["*"], "key": KEY}], "web:1", 10, UNSIGNED)
    assert str(raised.value) == (
        "image web:1: its signature is not what stack_image_signatures asks for (cosign: Error: no signatures found); "
        "it was not used"
    )


def test_an_image_that_no_registry_knows_cannot_be_signed() -> None:
    with pytest.raises(EngineError, match="no registry gives it a digest"):
        Signatures(parse_rules([{"images": ["*"], "key": KEY}]), lambda registry: False)("web:1", "")


def test_without_the_program_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signatures, "PROGRAM", "/nonexistent/cosign")
    with pytest.raises(EngineError, match="is not on this host and stack_image_signatures asks for it"):
        Signatures(parse_rules([{"images": ["*"], "key": KEY}]), lambda registry: False)("web:1", DIGEST)
