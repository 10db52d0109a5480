#!/usr/bin/python
# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_build
short_description: Build and push the images of a stack that have a build section
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Builds each service that has C(build) in the Compose file on the machine that the task runs on, by C(docker buildx)
    or, without it, C(docker build), and pushes it under its C(image).
  - The image is also pushed under a tag that names its content (context, Dockerfile, arguments). Where the registry has
    that tag, nothing is built.
  - An action plugin of the same name packs the contexts, which lie on the controller, as C(.dockerignore) says.
  - RV(digests) is for O(slipway.ops.stack_release#module:digests), so that just these images are released.
options:
  model:
    description: The model of the stack. The action plugin takes a dictionary.
    type: str
    required: true
  directory:
    description: Where contexts count from, on the controller. The directory of the Compose file.
    type: path
    required: true
  archives:
    description: Set by the action plugin, the packed contexts by service.
    type: dict
    default: {}
requirements:
  - Docker's client and engine, logged in at the registry
attributes:
  check_mode:
    support: full
    description: Says what would be built and pushed.
  diff_mode:
    support: none
    description: What is built shows in the result only.
seealso:
  - module: slipway.ops.stack_release
"""

EXAMPLES = r"""
- name: Build the images on the controller
  slipway.ops.stack_build:
    model: "{{ stack_model }}"
    directory: "{{ stack_compose_file | dirname }}"
  delegate_to: localhost
  run_once: true
  register: built
"""

RETURN = r"""
digests:
  description: The digest behind each image name; empty in check mode for one that is not built yet.
  returned: success
  type: dict
  sample: {"registry.example.com/shop/web:2.0": "sha256:0f3c..."}
plan:
  description: What was built and pushed, or in check mode would be.
  returned: success
  type: list
  elements: str
  sample: ["web: build and push registry.example.com/shop/web:slipway-1f0c2a"]
"""

import json

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.ops.plugins.module_utils._docker.api import Api, ApiError
from ansible_collections.slipway.ops.plugins.module_utils._release.builder import Builder, BuildError, Wanted
from ansible_collections.slipway.ops.plugins.module_utils._release.registry import Registries, parse_setup


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "model": {"type": "str", "required": True, "no_log": True},
            "directory": {"type": "path", "required": True},
            "archives": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    services = json.loads(module.params["model"])["services"]
    wanted = [
        Wanted(name, services[name]["image"], services[name]["build"], packed["content"], packed["path"])
        for name, packed in module.params["archives"].items()
    ]
    if not wanted:
        module.exit_json(changed=False, digests={}, plan=[])
    secrets = [value for each in wanted for value in each.build["args"].values() if len(value) > 3]
    try:
        builder = Builder(Registries(parse_setup(Api().information())).digest, secrets)
        plan = builder.plan(wanted)
        if module.check_mode:
            module.exit_json(changed=bool(plan), digests={}, plan=plan)
        digests = builder.build(wanted)
    except (ApiError, BuildError) as error:
        module.fail_json(msg=str(error))
        return
    module.exit_json(changed=bool(plan), digests=digests, plan=plan)


if __name__ == "__main__":
    main()
