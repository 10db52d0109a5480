"""The documents of a plan file, or one line that says what is wrong with it."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.filter.stack_plan_pack import stack_plan_pack
from ansible_collections.slipway.ops.plugins.filter.stack_plan_unpack import FilterModule

stack_plan_unpack = FilterModule().filters()["stack_plan_unpack"]
TEXT = stack_plan_pack({"web1": {"stack": "t", "release": 3}})


def test_there_and_back() -> None:
    assert stack_plan_unpack(TEXT, "t", ["web1"]) == {"web1": {"stack": "t", "release": 3}}


def test_a_plan_for_others_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="is for the hosts web1 and this play has web2"):
        stack_plan_unpack(TEXT, "t", ["web2"])


def test_something_else_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="the text of a plan file"):
        stack_plan_unpack({}, "t", ["web1"])
