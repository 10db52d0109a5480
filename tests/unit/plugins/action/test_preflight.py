# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, Optional

import pytest
from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.play_context import PlayContext
from ansible.playbook.task import Task
from ansible.template import Templar, trust_as_template
from ansible_collections.slipway.ops.plugins.action import preflight
from ansible_collections.slipway.ops.plugins.plugin_utils._resolver import Answer

SPECS = """
argument_specs:
  main:
    options:
      backup_repository_url: {type: str, required: true, description: x}
      backup_repository_password: {type: str, required: true, description: x}
      backup_retention_daily: {type: int, default: 30, description: x}
"""


class Stack:
    """The lookup, with the file's problems."""

    def __init__(self, problems: str = "") -> None:
        self.problems = problems
        self.asked: dict[str, Any] = {}

    def run(self, terms: list[str], variables: dict[str, Any], **options: Any) -> list[dict[str, Any]]:
        self.asked = {"terms": terms, **options}
        if self.problems:
            raise AnsibleError(self.problems)
        return [{"name": "fleet"}]


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stack:
    """One role `backup`, a Compose file without problems, and DNS that knows one address."""
    role = tmp_path / "roles" / "backup"
    (role / "meta").mkdir(parents=True)
    (role / "defaults").mkdir()
    (role / "meta" / "argument_specs.yml").write_text(SPECS, encoding="utf-8")
    (role / "defaults" / "main.yml").write_text("backup_retention_daily: 30\n", encoding="utf-8")
    monkeypatch.setattr(preflight, "_COLLECTION_ROLES", tmp_path / "roles")
    lookup = Stack()
    monkeypatch.setattr(preflight.lookup_loader, "get", lambda *_names, **_options: lookup)
    monkeypatch.setattr(preflight.derived, "host_names", lambda _model: ["fleet.example"])
    monkeypatch.setattr(
        preflight._resolver, "ask", lambda names, *_: {name: Answer(("203.0.113.10",)) for name in names}
    )
    return lookup


def trusted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: trusted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [trusted(item) for item in value]
    return trust_as_template(value) if isinstance(value, str) else value


def run(arguments: dict[str, Any], variables: Optional[dict[str, Any]] = None) -> dict[str, Any]:
    task = Task()
    task.action = "slipway.ops.preflight"
    task.args = trusted(arguments)
    loader = DataLoader()
    action = preflight.ActionModule(
        task=task,
        connection=SimpleNamespace(_shell=SimpleNamespace(tmpdir=None)),
        play_context=PlayContext(),
        loader=loader,
        templar=Templar(loader=loader),
        shared_loader_obj=None,
    )
    result: dict[str, Any] = action.run(None, trusted(variables or {}))
    return result


def problems(arguments: dict[str, Any], variables: Optional[dict[str, Any]] = None) -> list[str]:
    with pytest.raises(AnsibleActionFail) as failure:
        run(arguments, variables)
    return failure.value.message.split("\n")


GOOD = {"backup_repository_url": "s3:x", "backup_repository_password": "{{ vault_x }}", "vault_x": "s3cret"}


def test_all_in_order(stack: Stack) -> None:
    result = run({"roles": ["slipway.ops.backup"], "compose_file": "compose.yaml", "addresses": ["203.0.113.10"]}, GOOD)
    assert result["host_names"] == ["fleet.example"]
    assert not result["changed"]


def test_one_problem_is_one_line(stack: Stack) -> None:
    variables = {**GOOD}
    del variables["backup_repository_url"]
    assert problems({"roles": ["backup"]}, variables) == [
        "variable backup_repository_url: is required by role backup: set it in group_vars or host_vars"
    ]


def test_all_problems_are_said_at_once(stack: Stack) -> None:
    stack.problems = "compose.yaml:3: services.web.prots: unknown key\ncompose.yaml:9: services.x: no image"
    variables = {
        "backup_repository_password": "{{ vault_x }}",
        "backup_retention_daily": "often",
        "backup_retention_dayly": 3,
        "stack_environment": {"DOMAIN": "fleet.example", "DB_PASSWORD": "{{ vault_db }}"},
    }
    arguments = {
        "roles": ["slipway.ops.backup", "slipway.ops.bakcup"],
        "compose_file": "compose.yaml",
        "environment": "{{ stack_environment }}",
        "host_names": "{{ lookup('slipway.ops.stack') }}",
    }
    assert problems(arguments, variables) == [
        "8 problems, nothing was touched:",
        "preflight.roles: there is no role slipway.ops.bakcup",
        "variable backup_repository_url: is required by role backup: set it in group_vars or host_vars",
        "variable backup_repository_password: uses undefined variable vault_x: "
        "define it in the vault file or correct the name",
        "variable backup_retention_daily: must be a whole number, not 'often'",
        "variable backup_retention_dayly: role backup has no such variable (did you mean backup_retention_daily?)",
        "variable stack_environment.DB_PASSWORD: uses undefined variable vault_db: "
        "define it in the vault file or correct the name",
        "compose.yaml:3: services.web.prots: unknown key",
        "compose.yaml:9: services.x: no image",
    ]
    assert stack.asked["environment"] == {"DOMAIN": "fleet.example", "DB_PASSWORD": "unresolved"}


def test_the_compose_file_is_checked_for_its_engine(stack: Stack) -> None:
    run({"compose_file": "compose.yaml"})
    assert stack.asked["engine"] == "compose"
    run({"compose_file": "compose.yaml", "engine": "swarm"})
    assert stack.asked["engine"] == "swarm"
    assert "preflight.engine: must be one of compose, swarm; not 'ecs'" in problems({"engine": "ecs"})[0]


def test_a_play_that_adds_to_the_environment_still_names_its_parts(stack: Stack) -> None:
    variables = {
        "stack_environment": {"A": "{{ vault_a }}"},
        "whole": "{{ stack_environment | combine({'B': 1}) }}",
    }
    found = problems({"compose_file": "compose.yaml", "environment": "{{ whole }}"}, variables)
    assert found == [
        "variable stack_environment.A: uses undefined variable vault_a: define it in the vault file or correct the name"
    ]


def test_what_the_play_provides_is_not_looked_for(stack: Stack) -> None:
    variables = {"backup_repository_password": "x", "backup_extra": 1}
    run({"roles": ["backup"], "provided_variables": ["backup_repository_url", "backup_extra"]}, variables)


def test_secrets_are_not_shown(stack: Stack) -> None:
    variables = {"backup_repository_url": "x", "backup_repository_password": ["s3cret"]}
    found = problems({"roles": ["backup"]}, variables)
    assert found == ["variable backup_repository_password: must be text, not a value that is not shown"]


def test_names_that_lead_elsewhere(stack: Stack) -> None:
    found = problems({"host_names": ["fleet.example"], "addresses": ["203.0.113.99"]})
    assert found == [
        "fleet.example resolves to 203.0.113.10, not to this host (203.0.113.99): "
        "correct its A record, or set site_addresses"
    ]


def test_omitted_and_unknown_options(stack: Stack) -> None:
    run({"stack_name": "{{ omit }}"})
    assert problems({"role": ["backup"]})[0].startswith("preflight: has no option role: use roles, ")


def test_wrong_types_of_options(stack: Stack) -> None:
    assert problems({"addresses": "203.0.113.10"}) == ["preflight.addresses: must be a list, not '203.0.113.10'"]


def test_a_host_name_variable_that_is_missing(stack: Stack) -> None:
    assert problems({"host_names": "{{ names }}"}) == ["variable names: is required: set it in group_vars or host_vars"]
    assert problems({"host_names": "{{ names | list }}"}) == [
        "preflight.host_names: uses undefined variable names: define it in group_vars or correct the name"
    ]


def test_a_variable_that_role_and_option_lack_is_said_once(stack: Stack) -> None:
    arguments = {"roles": ["backup"], "stack_name": "{{ backup_repository_url }}"}
    assert problems(arguments, {"backup_repository_password": "x"}) == [
        "variable backup_repository_url: is required by role backup: set it in group_vars or host_vars"
    ]
