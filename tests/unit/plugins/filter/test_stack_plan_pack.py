"""The text of a plan file."""

from __future__ import annotations

import json

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.filter.stack_plan_pack import FilterModule

stack_plan_pack = FilterModule().filters()["stack_plan_pack"]


def test_the_documents_of_all_hosts() -> None:
    plan = json.loads(stack_plan_pack({"web1": {"stack": "t"}, "web2": {"stack": "t"}}))
    assert (plan["format"], plan["stack"], sorted(plan["hosts"])) == ("slipway-plan/1", "t", ["web1", "web2"])


@pytest.mark.parametrize("given", [None, [], {"web1": "x"}])
def test_something_else_is_refused(given: object) -> None:
    with pytest.raises(AnsibleFilterError, match=r"the documents of slipway\.ops\.stack_plan by host are needed"):
        stack_plan_pack(given)
