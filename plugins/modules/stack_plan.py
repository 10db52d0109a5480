#!/usr/bin/python
# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_plan
short_description: Say what a release of a stack would do, completely
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Makes the plan of M(slipway.ops.stack_release) and changes nothing. Registries are asked what names stand for now.
  - The document names each service with its action, reason, strategy, numbers and image by digest; what is pulled with
    its size; networks, volumes, upstreams; configs and secrets by their names; migrations, the recovery point, and the
    predicted duration and gap, from what earlier releases took.
  - It holds no value of a variable, a config or a secret.
  - C(basis) of the document is what the plan stands on. M(slipway.ops.stack_release) given it refuses a host that
    moved.
  - An action plugin of the same name keeps the arguments out of the host's log, and prints the plan for people.
options:
  model:
    description:
      - The model of the stack. The action plugin takes a dictionary and hands it on as JSON.
    type: str
    required: true
  environment:
    description: The variables that the Compose file was read with, as a dictionary.
    type: str
    default: "{}"
  expected:
    description: A C(basis) of an earlier plan. The task fails when something of it moved since, naming what.
    type: json
  show:
    description: Whether the action plugin prints the plan for people.
    type: bool
    default: true
  elsewhere:
    description:
      - Services that run exactly once (C(x-slipway.single)) and not on this host, with the host that runs them. They
        are stopped here before they start there. Filter P(slipway.ops.stack_singles#filter) tells.
    type: dict
    default: {}
  digests:
    description: What names of images stand for, such as RV(slipway.ops.stack_build#module:digests).
    type: dict
    default: {}
  hooks:
    description:
      - Commands of your own, run on the host around the phases of a release while its lease is held, such as
        C(before_migrate) with the value C([[/usr/local/bin/tell, migration]]).
      - >-
        Moments are C(before_) or C(after_) and one of C(pull), C(recovery_point), C(prepare), C(stop), C(migrate),
        C(start), C(switch), C(watch), C(replace), C(finish), and C(release) for the whole. Those of C(pull),
        C(recovery_point), C(stop) and C(migrate) are passed over when there is nothing to do.
      - >-
        A command sees C(SLIPWAY_STACK), C(SLIPWAY_RELEASE), C(SLIPWAY_PHASE), C(SLIPWAY_WHEN) (C(before) or C(after))
        and C(SLIPWAY_OUTCOME) (C(running); C(succeeded) or C(failed) at C(after_release)), and nothing of the stack's
        variables.
      - A failure up to C(before_finish) takes the release back. A later one fails the task and says that the release
        serves.
      - They are kept with the release, so that one that comes back has its own. Over several hosts each runs them.
    type: dict
    default: {}
  hook_timeout_seconds:
    description: How long one command of O(hooks) may take. Then it is killed, which is a failure.
    type: float
    default: 300
  settle_seconds:
    description: As in M(slipway.ops.stack_release).
    type: int
    default: 5
  migrate:
    description: As in M(slipway.ops.stack_release).
    type: bool
    default: true
  recovery_point:
    description: As in M(slipway.ops.stack_release).
    type: bool
    default: true
  confirmed_volumes:
    description: As in M(slipway.ops.stack_release).
    type: list
    elements: str
    default: []
  confirmed_point_max_age_hours:
    description: As in M(slipway.ops.stack_release).
    type: float
    default: 24
  disk_floor_mib:
    description: As in M(slipway.ops.stack_release).
    type: int
    default: 1024
  upstream_directory:
    description: Where nginx reads its upstreams on the host.
    type: path
    default: /etc/nginx/slipway/upstreams
requirements:
  - docker (Python package, from the distribution as python3-docker), where Docker runs already
attributes:
  check_mode:
    support: full
    description: It only reads.
  diff_mode:
    support: none
    description: The plan is the result itself.
seealso:
  - module: slipway.ops.stack_release
  - plugin: slipway.ops.stack_plan_pack
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Show what a release would do
  slipway.ops.stack_plan:
    model: "{{ lookup('slipway.ops.stack', 'compose.yaml', name='fleet', environment=stack_environment) }}"
    environment: "{{ stack_environment }}"
"""

RETURN = r"""
document:
  description:
    - The plan, with C(stack), C(engine), C(release), C(changed), C(services), C(pulls), C(networks), C(volumes),
      C(upstreams), C(strays), C(records), C(configs), C(secrets), C(migrations), C(recovery_point),
      C(pending_commands), C(predicted), C(lines), C(made) and C(basis).
  returned: success
  type: dict
text:
  description: The same for people, a line each.
  returned: success
  type: list
  elements: str
  sample: ["shop: release 7, 1 of 3 services, about 12.4 s, no gap (by the last 5 releases)"]
styles:
  description: How each line of RV(text) is meant, V(head), V(add), V(change), V(drop), V(same) or V(note).
  returned: success
  type: list
  elements: str
"""

import json

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.ops.plugins.module_utils._release import plan_document
from ansible_collections.slipway.ops.plugins.module_utils._release.arguments import PLANNING, settings_of, stack_of
from ansible_collections.slipway.ops.plugins.module_utils._release.wiring import FAILURES, release


def main() -> None:
    module = AnsibleModule(
        argument_spec={**PLANNING, "expected": {"type": "json"}, "show": {"type": "bool", "default": True}},
        supports_check_mode=True,
    )
    given = module.params
    expected = json.loads(given["expected"]) if given["expected"] else None
    try:
        work = release(
            stack_of(given),
            json.loads(given["environment"]),
            settings_of(given),
            migrate=given["migrate"],
            expected=expected,
        )
        if expected:
            work.require_unmoved()
        document = work.document()
    except (*FAILURES, ValueError) as error:
        module.fail_json(msg=str(error))
        return
    lines = plan_document.lines(document)
    module.exit_json(
        changed=False,
        document=document,
        text=[text for _style, text in lines],
        styles=[style for style, _text in lines],
    )


if __name__ == "__main__":
    main()
