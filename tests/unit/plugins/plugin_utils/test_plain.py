from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.template import Templar, trust_as_template
from ansible_collections.slipway.ops.plugins.plugin_utils._plain import plain


class Text(str):
    pass


@pytest.mark.parametrize(
    ("value", "expected"),
    [(Text("a"), "a"), ({Text("k"): (1, True, None)}, {"k": [1, True, None]}), (1.5, 1.5), ([{}], [{}])],
)
def test_plain(value: Any, expected: Any) -> None:
    found = plain(value)
    assert found == expected
    assert type(found) is type(expected)


def test_what_ansible_templates_becomes_plain() -> None:
    value = Templar(variables={"a": "x"}).template(trust_as_template("{{ {'k': [a, 1]} }}"))
    found = plain(value)
    assert (type(found), type(found["k"]), type(found["k"][0])) == (dict, list, str)
    assert json.dumps(found) == '{"k": ["x", 1]}'
