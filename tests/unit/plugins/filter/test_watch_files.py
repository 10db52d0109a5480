from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.filter.watch_files import FilterModule

watch_files = FilterModule().filters()["watch_files"]


def test_returns_both_files() -> None:
    made = watch_files([{"name": "disk", "kind": "disk"}], settings={"host": "web1"}, defaults={"disk": {"path": "/x"}})
    assert made == {
        "config": {"host": "web1", "checks": [{"name": "disk", "kind": "disk", "path": "/x"}]},
        "secrets": {},
    }


def test_says_all_that_is_wrong() -> None:
    with pytest.raises(AnsibleFilterError) as caught:
        watch_files([{"name": "x", "kind": "y"}], settings={})
    assert "checks[0].kind" in str(caught.value)
    assert "host: " in str(caught.value)


def test_refuses_settings_of_another_type() -> None:
    with pytest.raises(AnsibleFilterError, match="settings must be a mapping"):
        watch_files([], settings="x")
