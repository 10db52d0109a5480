# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read a Compose file into the model of a stack."""

from __future__ import annotations

DOCUMENTATION = r"""
name: stack
author: Slipway contributors (@slipway)
version_added: 0.1.0
short_description: Read a Compose file into the model of a stack
description:
  - Reads a file of the Compose Specification on the controller, fills in its variables, checks every key against what
    the engine can honour, and returns one plain dictionary in which all short forms are long ones.
  - Durations are seconds, sizes are bytes, commands are lists, C(x-slipway) is C(slipway). The contents of env files,
    configs and secrets are part of the model, so it holds secrets. Do not print it.
  - All problems of the file are reported at once, each with its line, its path and what to do.
  - YAML is read as YAML 1.2, so that C(22:22) and C(yes) are texts. Anchors and merge keys work. Keys beginning with
    C(x-) are passed over, apart from C(x-slipway).
options:
  _terms:
    description: The path of the Compose file on the controller, absolute or from the play's directory.
    type: list
    elements: str
    required: true
  name:
    description: The name of the stack. Without it C(name) of the file.
    type: str
  environment:
    description:
      - The variables that the file refers to, as in C(${DB_PASSWORD}).
      - A variable without a value and without a default in the file is an error. Nothing is taken from the
        controller's own environment.
    type: dict
    default: {}
  engine:
    description:
      - What the stack runs on. The file is checked for it, and the model says it.
      - V(compose) is one Docker host, or several alike. V(swarm) is a Docker Swarm.
    type: str
    choices: [compose, swarm]
    default: compose
"""

EXAMPLES = r"""
- name: Show the host names of a stack
  ansible.builtin.debug:
    msg: "{{ model | slipway.ops.stack_host_names }}"
  vars:
    model: "{{ lookup('slipway.ops.stack', 'compose.yaml', name='fleet', environment=variables) }}"
    variables: {FLEET_DOMAIN: fleet.example.org, FLEET_VERSION: "1.4.0", DB_PASSWORD: "{{ vault_db_password }}"}
"""

RETURN = r"""
_raw:
  description:
    - One model for each file, with C(name), C(services), C(engine), C(networks), C(volumes), C(configs), C(secrets),
      C(slipway).
  type: list
  elements: dict
"""

import os
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible_collections.slipway.ops.plugins.module_utils._stack.load import load
from ansible_collections.slipway.ops.plugins.module_utils._stack.problems import StackError
from ansible_collections.slipway.ops.plugins.plugin_utils._compose_yaml import ComposeYamlError, line_of, parse
from ansible_collections.slipway.ops.plugins.plugin_utils._plain import plain


class LookupModule(LookupBase):
    """One model for each file named."""

    def run(self, terms: list[str], variables: Any = None, **kwargs: Any) -> list[dict[str, Any]]:
        self.set_options(var_options=variables, direct=kwargs)
        name = self.get_option("name")
        environment = plain(self.get_option("environment") or {})
        return [
            self._model(str(plain(term)), plain(name) if name else None, environment, self.get_option("engine"))
            for term in terms
        ]

    def _model(self, file: str, name: str | None, environment: dict[str, Any], engine: str) -> dict[str, Any]:
        path = self._loader.path_dwim(file)
        try:
            with open(path, encoding="utf-8") as stream:
                text = stream.read()
        except OSError as error:
            raise AnsibleError(
                f"{file}: cannot be read ({error.strerror}); set stack_compose_file to its path"
            ) from None
        except UnicodeDecodeError:
            raise AnsibleError(f"{file}: is not UTF-8; save it as UTF-8") from None
        try:
            document, lines = parse(text)
        except ComposeYamlError as error:
            raise AnsibleError(f"{file}: does not parse: {error}; correct the YAML there") from None
        directory = os.path.dirname(path)

        def read_file(beside: str) -> bytes:
            with open(os.path.join(directory, os.path.expanduser(beside)), "rb") as stream:
                return stream.read()

        try:
            return load(document, name, _variables(file, environment), read_file, engine)
        except StackError as error:
            found = []
            for problem in error.problems:
                line = line_of(problem.path, lines)
                found.append(f"{file}:{line}: {problem}" if line else f"{file}: {problem}")
            raise AnsibleError("\n".join(found)) from None


def _variables(file: str, environment: dict[str, Any]) -> dict[str, str]:
    wrong = [key for key, value in environment.items() if isinstance(value, (dict, list)) or value is None]
    if wrong:
        raise AnsibleError(
            "\n".join(f"{file}: stack_environment.{key}: is not a text; give one plain value" for key in wrong)
        )
    return {
        key: ("true" if value else "false") if isinstance(value, bool) else str(value)
        for key, value in environment.items()
    }
