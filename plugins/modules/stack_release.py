#!/usr/bin/python
# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_release
short_description: Release a stack of containers without losing a request
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Brings the containers of one host to the model of a stack, as read by P(slipway.ops.stack#lookup).
  - >-
    A release has phases: lease, plan, pull, recovery point (when a migration is pending), prepare (networks, volumes,
    files), migrate (once, from the new image), start (new replicas beside the old ones, through the health gate),
    switch (all upstreams of nginx in one graceful reload), watch (old requests end, C(update_config.monitor) is
    observed), replace (services that cannot run twice), finish (the old containers are stopped). A failure before the
    end of C(replace) puts everything back; the old version serves on.
  - >-
    Per service the plan says keep, create, start, roll (new beside old), stop-first (with the reason and the gap) or
    remove.
  - Each phase is recorded on the host before it begins, so that the next run cleans up after an interrupted one.
  - At the end what runs is compared with what was asked; a difference fails the task.
  - Values of the environment, of configs and secrets are never returned. Differences show their names only.
  - An action plugin of the same name keeps the arguments out of the host's log.
options:
  state:
    description:
      - V(present) releases the stack.
      - V(absent) removes its containers and networks and sends its upstreams nowhere. Volumes stay.
    type: str
    choices: [present, absent]
    default: present
  actor:
    description: Who releases, for the history. Without it the user who became root, or root.
    type: str
  health_timeout_seconds:
    description: How long new replicas may take to become healthy.
    type: int
    default: 300
  drain_seconds:
    description:
      - How long requests and websockets of the old replicas may last after the switch. The release goes on as soon as
        none is left.
    type: int
    default: 30
  migration_timeout_seconds:
    description: How long a migration may take.
    type: int
    default: 3600
  lease_wait_seconds:
    description: How long to wait for another job on the stack, such as a backup.
    type: int
    default: 300
  step:
    description:
      - V(whole) is the whole release of a host on its own.
      - >-
        Several hosts that shall change together or not at all go step by step. V(begin) plans and pulls, in a process
        of its own on each host, which holds the lease and waits; nothing but images has come by then, and the play
        compares their digests. V(prepare) makes the recovery point and migrates, V(start) starts the new replicas,
        V(switch) sends requests to them and watches, V(finish) removes the old ones. V(give_up) puts everything back.
      - A step does not fail but returns RV(reason), so that the play can tell every host to give up. A host that gets
        no word within O(barrier_wait_seconds) gives up by itself.
      - In check mode each step but V(whole) and V(begin) does nothing, and V(begin) is as V(whole).
    type: str
    choices: [whole, begin, prepare, start, switch, finish, give_up]
    default: whole
  token:
    description: What V(begin) returned as RV(token); for the steps after it.
    type: str
  give_up_reason:
    description: Why, for O(step=give_up).
    type: str
    default: another host failed
  barrier_wait_seconds:
    description: How long this host waits for word at each step of a release over several hosts.
    type: int
    default: 600
  expected:
    description:
      - What a plan stood on, C(basis) of RV(slipway.ops.stack_plan#module:document). The release is refused before
        anything is touched when something of it moved since, naming what.
    type: json
extends_documentation_fragment:
  - slipway.ops.stack
  - slipway.ops.stack.signatures
requirements:
  - Docker Engine 20.10 or newer
  - docker (Python package, from the distribution as python3-docker)
attributes:
  check_mode:
    support: full
    description: Works where Docker is not installed yet. Everything is created then.
  diff_mode:
    support: full
    description: Shows services, images and key names, without values.
notes:
  - Without C(update_config.order) in the Compose file a service with routes starts first and any other stops first.
seealso:
  - plugin: slipway.ops.stack
    plugin_type: lookup
  - module: slipway.ops.stack_info
"""

EXAMPLES = r"""
- name: Release the fleet
  slipway.ops.stack_release:
    model: "{{ lookup('slipway.ops.stack', 'compose.yaml', name='fleet', environment=stack_environment) }}"
    environment: "{{ stack_environment }}"

- name: Remove the fleet but keep its volumes
  slipway.ops.stack_release:
    model: "{{ lookup('slipway.ops.stack', 'compose.yaml', name='fleet', environment=stack_environment) }}"
    state: absent
"""

RETURN = r"""
plan:
  description: What was done, or in check mode would be done, one line a step.
  returned: always
  type: list
  elements: str
  sample: ["pull shop/web:2.0", "web: roll (image shop/web:1.0 -> shop/web:2.0): new 3 4, remove 1 2"]
release:
  description: The number of the release that runs, or of the next one in check mode.
  returned: always
  type: int
  sample: 7
token:
  description: Names this release on this host for the next steps.
  returned: for the steps of a release over several hosts
  type: str
ended:
  description: Whether the release on this host has ended; also when it had nothing to change.
  returned: for the steps of a release over several hosts
  type: bool
reason:
  description: Why the release on this host failed, and what serves now; empty while all is well.
  returned: for the steps of a release over several hosts
  type: str
images:
  description: The digest, or the id without one, of each service's image.
  returned: when a release was made, and at the steps of one over several hosts
  type: dict
  sample: {web: "shop/web@sha256:0f3c..."}
"""

import json
from collections.abc import Mapping
from typing import Any, Union

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.ops.plugins.module_utils._release.arguments import (
    PLANNING,
    SIGNATURE_OPTIONS,
    settings_of,
    stack_of,
)
from ansible_collections.slipway.ops.plugins.module_utils._release.release import BARRIERS, Outcome
from ansible_collections.slipway.ops.plugins.module_utils._release.together import (
    Board,
    State,
    begin,
    give_up,
    go_on,
)
from ansible_collections.slipway.ops.plugins.module_utils._release.wiring import FAILURES, Settings, release, request
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Stack

WHOLE = "whole"
BEGIN = "begin"
GIVE_UP = "give_up"


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **PLANNING,
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "actor": {"type": "str"},
            "health_timeout_seconds": {"type": "int", "default": 300},
            "drain_seconds": {"type": "int", "default": 30},
            "migration_timeout_seconds": {"type": "int", "default": 3600},
            "lease_wait_seconds": {"type": "int", "default": 300},
            "step": {"type": "str", "choices": [WHOLE, BEGIN, *BARRIERS, GIVE_UP], "default": WHOLE},
            "token": {"type": "str", "no_log": False},
            "give_up_reason": {"type": "str", "default": "another host failed"},
            "barrier_wait_seconds": {"type": "int", "default": 600},
            "image_signatures": {"type": "list", "elements": "dict", "default": [], "options": SIGNATURE_OPTIONS},
            "expected": {"type": "json"},
        },
        required_if=[("step", step, ["token"]) for step in (*BARRIERS, GIVE_UP)],
        supports_check_mode=True,
    )
    given = module.params
    variables = json.loads(given["environment"])
    expected = json.loads(given["expected"]) if given["expected"] else None
    try:
        stack, settings = stack_of(given), settings_of(given)
        if given["step"] != WHOLE and not (module.check_mode and given["step"] == BEGIN):
            module.exit_json(**together(module, stack, variables, settings, expected))
        work = release(stack, variables, settings, migrate=given["migrate"], expected=expected)
        act = work.present if given["state"] == "present" else work.absent
        outcome = act(module.check_mode)
    except (*FAILURES, ValueError) as error:
        module.fail_json(msg=str(error))
        return
    result = {"changed": outcome.changed, "plan": outcome.plan, "release": outcome.release}
    if outcome.images:
        result["images"] = dict(outcome.images)
    if module._diff:
        result["diff"] = _diff(outcome)
    module.exit_json(**result)


def together(
    module: AnsibleModule,
    stack: Stack,
    variables: Mapping[str, str],
    settings: Settings,
    expected: Union[Mapping[str, Any], None],
) -> dict[str, Any]:
    """One step of a release over several hosts: tell the process on this host, and wait for what it says."""
    given, board = module.params, Board(stack.name)
    step, token = given["step"], given["token"] or ""
    if module.check_mode:
        return {"changed": False, "plan": [], "release": 0, "token": token, "ended": True, "reason": ""}
    try:
        if step == BEGIN:
            asked = request(stack, variables, settings, given["barrier_wait_seconds"], given["migrate"], expected)
            state = begin(board, asked)
        elif step == GIVE_UP:
            state = give_up(board, token, given["give_up_reason"])
        else:
            state = go_on(board, token, step)
    except FAILURES as error:
        state = State(token, ended=True, reason=str(error))
    done = state.ended and state.changed and not state.reason
    result: dict[str, Any] = {
        "changed": done and step == BARRIERS[-1],
        "plan": state.plan,
        "release": state.release,
        "images": state.images,
        "token": state.token,
        "ended": state.ended,
        "reason": state.reason,
    }
    if module._diff and result["changed"]:
        result["diff"] = _diff(state)
    return result


def _diff(outcome: Union[Outcome, State]) -> dict[str, str]:
    plan = "".join(f"# {line}\n" for line in outcome.plan)
    return {"before": outcome.before, "after": plan + outcome.after}


if __name__ == "__main__":
    main()
