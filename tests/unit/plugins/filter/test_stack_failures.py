"""Which hosts cannot go on, and why."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.filter.stack_failures import FilterModule

stack_failures = FilterModule().filters()["stack_failures"]
GOOD = {"changed": False, "reason": "", "images": {"web": "r/web@sha256:1", "own": "sha256:a"}}


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ({"a": GOOD, "b": {**GOOD, "images": {"web": "r/web@sha256:1", "own": "sha256:b"}}}, []),
        ({"a": GOOD, "b": {"unreachable": True, "msg": "no route"}}, ["b: cannot be reached; it gives up by itself"]),
        ({"a": {"failed": True, "msg": "broken"}, "b": GOOD}, ["a: broken"]),
        ({"a": GOOD, "b": {"reason": "disk full"}}, ["b: disk full"]),
        (
            {"a": GOOD, "b": {**GOOD, "images": {"web": "r/web@sha256:2"}}},
            ["b: services.web: the image is r/web@sha256:2, but r/web@sha256:1 on a; pull again"],
        ),
    ],
)
def test_failures(results: dict[str, Any], expected: list[str]) -> None:
    assert stack_failures(results) == expected


@pytest.mark.parametrize("given", ["text", [GOOD], {"a": "b"}])
def test_says_what_is_wrong(given: Any) -> None:
    with pytest.raises(AnsibleFilterError, match=r"the results of slipway\.ops\.stack_release by host"):
        stack_failures(given)
