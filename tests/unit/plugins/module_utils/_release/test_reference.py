"""Names of images, taken apart."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._release.reference import Reference

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "familiar", "registry", "path", "wanted"),
    [
        ("redis", "redis", "docker.io", "library/redis", "latest"),
        ("redis:7", "redis", "docker.io", "library/redis", "7"),
        ("shop/web:2", "shop/web", "docker.io", "shop/web", "2"),
        ("docker.io/shop/web", "docker.io/shop/web", "docker.io", "shop/web", "latest"),
        ("localhost/web", "localhost/web", "localhost", "web", "latest"),
        ("r.example:5000/shop/web", "r.example:5000/shop/web", "r.example:5000", "shop/web", "latest"),
        ("r.example:5000/web:1", "r.example:5000/web", "r.example:5000", "web", "1"),
        (f"r.example/web@{DIGEST}", "r.example/web", "r.example", "web", DIGEST),
        (f"r.example/web:1@{DIGEST}", "r.example/web", "r.example", "web", DIGEST),
    ],
)
def test_parts(text: str, familiar: str, registry: str, path: str, wanted: str) -> None:
    found = Reference.parse(text)
    assert (found.familiar, found.registry, found.path, found.wanted) == (familiar, registry, path, wanted)
    assert found.at(DIGEST) == f"{familiar}@{DIGEST}"
