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
  expected:
    description: A C(basis) of an earlier plan. The task fails when something of it moved since, naming what.
    type: json
  show:
    description: Whether the action plugin prints the plan for people.
    type: bool
    default: true
extends_documentation_fragment:
  - slipway.ops.stack
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
