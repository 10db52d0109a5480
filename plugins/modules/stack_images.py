#!/usr/bin/python
# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_images
short_description: Bring images to a host by their digests, with room on its disk checked first
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Asks the registries which digest each name stands for, checks that the disk of the engine has room for the layers
    that are not here yet, checks signatures where they are asked for, pulls by digest, and gives each image its name.
  - Nothing is pulled when one of the images has no room or no good signature.
  - M(slipway.ops.stack_release) does this by itself on a Compose host. On a Swarm every node that may run a task is to
    have the images before the release, and this module is for that.
  - An error that may pass, such as a timeout, is waited out, up to four attempts.
options:
  images:
    description: Names of images.
    type: list
    elements: str
    required: true
  digests:
    description: Digests that were settled before, by name, such as RV(images) of another host. Others are looked up.
    type: dict
    default: {}
  pull:
    description: Whether to pull; V(false) only looks up what the names stand for.
    type: bool
    default: true
  disk_floor_mib:
    description: As in M(slipway.ops.stack_release).
    type: int
    default: 1024
extends_documentation_fragment:
  - slipway.ops.stack.signatures
requirements:
  - Docker Engine 20.10 or newer
  - docker (Python package, from the distribution as python3-docker)
attributes:
  check_mode:
    support: full
    description: Says what it would pull, where Docker is installed already; else everything.
  diff_mode:
    support: none
    description: What is fetched shows in the result only.
seealso:
  - module: slipway.ops.stack_release
"""

EXAMPLES = r"""
- name: Have the images on every node before any of them is touched
  slipway.ops.stack_images:
    images: [registry.example.com/shop/web:2.0]
"""

RETURN = r"""
images:
  description: The digest that each name stands for; empty for an image that no registry knows.
  returned: success
  type: dict
  sample: {"registry.example.com/shop/web:2.0": "sha256:0f3c..."}
pulled:
  description: What was fetched, or in check mode would be, with its digest and size where they are known.
  returned: success
  type: list
  elements: str
  sample: ["registry.example.com/shop/web:2.0 (sha256:0f3c..., 54.2 MiB)"]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.ops.plugins.module_utils._release.arguments import SIGNATURE_OPTIONS
from ansible_collections.slipway.ops.plugins.module_utils._release.docker_gateway import DockerGateway, EngineMissing
from ansible_collections.slipway.ops.plugins.module_utils._release.engine import EngineError
from ansible_collections.slipway.ops.plugins.module_utils._release.images import FLOOR_MIB, Room, settle
from ansible_collections.slipway.ops.plugins.module_utils._release.signatures import SignatureRuleError, parse_rules
from ansible_collections.slipway.ops.plugins.module_utils._release.wiring import Settings, images


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "images": {"type": "list", "elements": "str", "required": True},
            "digests": {"type": "dict", "default": {}},
            "pull": {"type": "bool", "default": True},
            "disk_floor_mib": {"type": "int", "default": FLOOR_MIB},
            "image_signatures": {"type": "list", "elements": "dict", "default": [], "options": SIGNATURE_OPTIONS},
        },
        supports_check_mode=True,
    )
    given = module.params
    names = list(dict.fromkeys(given["images"]))
    try:
        settings = Settings(room=Room(given["disk_floor_mib"]), signatures=parse_rules(given["image_signatures"]))
        gateway = DockerGateway.connect()
        found = settle(gateway, images(gateway, settings), names, given["digests"], given["pull"], module.check_mode)
    except EngineMissing as error:
        if not module.check_mode:
            module.fail_json(msg=str(error))
        module.exit_json(changed=True, images=given["digests"], pulled=names)
        return
    except (EngineError, SignatureRuleError) as error:
        module.fail_json(msg=str(error))
        return
    module.exit_json(changed=bool(found.pulled), images=dict(found.digests), pulled=list(found.pulled))


if __name__ == "__main__":
    main()
