#!/usr/bin/python
# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: docker_engine
short_description: Bring a host's Docker engine, its holds and its logins into a declared state in one call
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Brings the host into each of O(states), as M(slipway.ops.host_state) does.
  - >-
    Then asks the running dockerd what it runs with. Where that differs from O(daemon) (a restart that was missed, a
    hand that changed it) dockerd is reloaded or restarted, and the task fails when it differs still.
  - Holds the engine's packages, so that no other upgrade restarts it.
  - >-
    Keeps O(logins): each is proved at its registry before an old one is replaced. A credential helper that config.json
    names gets the password; without one it is kept in config.json with mode 0600, and a warning says so.
  - Passwords appear on no command line, in no log and in no difference.
options:
  states:
    description:
      - Arguments for M(slipway.ops.host_state), applied in order, as P(slipway.ops.docker_engine#filter) makes them.
    type: list
    elements: dict
    required: true
  daemon:
    description: The settings in C(daemon.json).
    type: dict
    default: {}
  version:
    description: Version that the engine is pinned to; with it, errors and warnings say which ones there are.
    type: str
    default: ""
  hold:
    description: Whether the engine's packages are held.
    type: bool
    default: true
  logins:
    description: Logins at registries. Those of earlier runs that are declared no more are removed.
    type: list
    elements: dict
    default: []
    suboptions:
      registry:
        description: C(HOST) or C(HOST:PORT); V(docker.io) is Docker's own.
        type: str
        required: true
      username:
        description: User.
        type: str
        required: true
      password:
        description: Password or token.
        type: str
        required: true
  login_users:
    description: Users of the host that have the logins.
    type: list
    elements: str
    default: [root]
  foreseen:
    description:
      - In check mode, what earlier tasks of the run would have left behind, as RV(foreseen) of the last of them.
        The action plugin gives it.
    type: dict
    default: {}
attributes:
  check_mode:
    description: Complete, also on a host without an engine. Logins are not proved then.
    support: full
  diff_mode:
    description: As in M(slipway.ops.host_state).
    support: full
requirements:
  - Debian or Ubuntu with systemd
"""

EXAMPLES = r"""
- name: Run the engine
  slipway.ops.docker_engine:
    states: ["{{ engine.source }}", "{{ engine.engine }}"]
    daemon: "{{ engine.daemon }}"
    logins:
      - {registry: registry.example.com, username: deploy, password: "{{ vault_registry_password }}"}
  vars:
    engine: "{{ {'log_max_size_mib': 50} | slipway.ops.docker_engine('trixie') }}"
"""

RETURN = r"""
plan:
  description: What was done, or in check mode would be done, one line a step.
  returned: success
  type: list
  elements: str
  sample: ["file /etc/docker/daemon.json: change content", "unit docker.service: reload"]
foreseen:
  description: What this and earlier tasks of the run would leave behind, for O(foreseen). The action plugin keeps it.
  returned: in check mode
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.ops.plugins.module_utils._docker.api import Api
from ansible_collections.slipway.ops.plugins.module_utils._docker.converge import EngineHost, Request
from ansible_collections.slipway.ops.plugins.module_utils._docker.logins import parse as parse_logins
from ansible_collections.slipway.ops.plugins.module_utils._host.gateway import Host, HostError
from ansible_collections.slipway.ops.plugins.module_utils._host.wish import parse


def main() -> None:
    text = {"type": "str", "required": True}
    module = AnsibleModule(
        argument_spec={
            "states": {"type": "list", "elements": "dict", "required": True},
            "daemon": {"type": "dict", "default": {}},
            "version": {"type": "str", "default": ""},
            "hold": {"type": "bool", "default": True},
            "logins": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {"registry": text, "username": text, "password": {**text, "no_log": True}},
            },
            "login_users": {"type": "list", "elements": "str", "default": ["root"]},
            "foreseen": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    given = module.params
    parsed = [parse(state) for state in given["states"]]
    logins, problems = parse_logins(given["logins"])
    problems = [line for _wish, found in parsed for line in found] + problems
    if problems:
        module.fail_json(msg="\n".join(problems))
    request = Request(
        states=tuple(wish for wish, _found in parsed),
        daemon=given["daemon"],
        version=given["version"],
        hold=given["hold"],
        logins=tuple(logins),
        login_users=tuple(given["login_users"]),
        foreseen=given["foreseen"],
    )
    try:
        outcome = EngineHost(Host(), Api(), module.check_mode).converge(request)
    except HostError as error:
        module.fail_json(msg=str(error))
        return
    for warning in outcome.warnings:
        module.warn(warning)
    result = {"changed": bool(outcome.lines), "plan": outcome.lines}
    if module.check_mode:
        result["foreseen"] = outcome.foreseen
    if module._diff and outcome.diff:
        result["diff"] = outcome.diff
    module.exit_json(**result)


if __name__ == "__main__":
    main()
