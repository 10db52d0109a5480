from __future__ import annotations

from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._release import report
from ansible_collections.slipway.ops.plugins.module_utils._stack.load import load
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Stack

VARIABLES = {"VERSION": "1.2.3", "DOMAIN": "a.example", "PW": "hunter2-secret"}


def model(**environment: str) -> dict[str, Any]:
    document = {
        "services": {
            "web": {
                "image": "web:${VERSION}",
                "environment": {"API_TOKEN": "tok-12345", "MODE": "production", **environment},
                "secrets": ["s"],
                "x-slipway": {"routes": [{"host": "${DOMAIN}", "port": 80}]},
            }
        },
        "secrets": {"s": {"environment": "PW"}},
    }
    return load(document, "t", VARIABLES, lambda path: b"")


def test_mask_hides_secrets_and_leaves_what_is_public() -> None:
    secrets = report.secrets_of(Stack(model()), VARIABLES)
    text = report.mask("pw hunter2-secret token tok-12345 at a.example, web:1.2.3 in production", secrets)
    assert text == "pw ******** token ******** at a.example, web:1.2.3 in production"


def test_view_shows_names_only() -> None:
    before, after = model(), model(API_TOKEN="other-token", NEW="x")
    text = report.view(after, before)
    assert "  environment.API_TOKEN (changed)\n" in text
    assert "  environment.NEW\n" in text
    assert "  environment.MODE\n" in text
    assert "  image: web:1.2.3\n" in text
    for value in ("other-token", "hunter2", "production"):
        assert value not in text
    assert report.view(None) == ""


def test_changed_keys_and_last_lines() -> None:
    assert report.changed_keys({"A": "1", "B": "1"}, {"B": "2", "C": "3"}) == ["A", "B", "C"]
    assert report.last_lines("a\n\n b \nc\n", 2) == "b | c"
