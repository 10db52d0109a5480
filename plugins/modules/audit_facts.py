#!/usr/bin/python
# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: audit_facts
short_description: Observe on a host what an audit of it needs to know
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Collects in one call the state of units, containers, firewall, sshd, certificates, backups, releases, users
    of ports, users and sizes of a host. Changes nothing.
  - What cannot be observed is said inside the observation (C(error)); a bare host is observed like any other.
  - Values of the stack's environment are never returned, only the names of variables that are empty or left at an
    example value.
options:
  stack_name:
    description:
      - Name of the stack. Without it, nothing of a stack or its backups is observed.
    type: str
    default: ""
  host_names:
    description:
      - Host names whose certificates are looked at, in the files and as served on port 443 of the loopback address.
    type: list
    elements: str
    default: []
  units:
    description:
      - Names of systemd units to observe. Units of the host that have failed are always returned.
    type: list
    elements: str
    default: []
  users:
    description:
      - Names of users to observe.
    type: list
    elements: str
    default: []
  certificate_directory:
    description:
      - Directory that holds C(NAME/current/fullchain.pem) for each certificate.
    type: path
    default: /etc/slipway/certificates
notes:
  - Needs root to see everything.
attributes:
  check_mode:
    description: Can run in check mode and does the same there.
    support: full
"""

EXAMPLES = r"""
- name: Observe the host
  slipway.ops.audit_facts:
    stack_name: fleet
    host_names: [fleet.marinemaroc.com]
    units: [docker.service, slipway-backup-fleet.timer]
    users: [deploy]
  register: observed
"""

RETURN = r"""
audit:
  description:
    - The observations, by subject, for P(slipway.ops.audit_verdicts#filter).
  returned: always
  type: dict
  contains:
    time:
      description: When the host was observed, in seconds since 1970.
      type: int
    addresses:
      description: The host's own addresses, without those of the loopback interface.
      type: list
      elements: str
    system:
      description: Distribution, processors, memory (MiB), disk (GiB).
      type: dict
    systemd:
      description: The units asked for, and the names of all that have failed.
      type: dict
    users:
      description: Groups of each user asked for; null for one that does not exist.
      type: dict
    docker:
      description: Whether the engine answers, its version and the stack's containers.
      type: dict
    stack:
      description: Names and numbers of the deployed definition, releases, state of the environment file.
      type: dict
    backup:
      description: The backup's own status and history.
      type: dict
    firewall:
      description: What UFW's files say and what the kernel does.
      type: dict
    sshd:
      description: Effective settings of sshd.
      type: dict
    owners:
      description:
        - Who uses the host's TCP and UDP ports, each with C(address), C(port), C(protocol), and the C(process) that
          listens or the C(container) that publishes its C(container_port) there.
        - A process in a container has the container's name as well.
      type: list
      elements: dict
    certificates:
      description: For each host name the certificate in the files and the one that is served.
      type: dict
    host_program:
      description: Whether the host program C(slipway) is installed.
      type: bool
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.ops.plugins.module_utils._audit import gateway

ARGUMENT_SPEC: dict[str, Any] = {
    "stack_name": {"type": "str", "default": ""},
    "host_names": {"type": "list", "elements": "str", "default": []},
    "units": {"type": "list", "elements": "str", "default": []},
    "users": {"type": "list", "elements": "str", "default": []},
    "certificate_directory": {"type": "path", "default": "/etc/slipway/certificates"},
}


def main() -> None:
    """Observe and report."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    options = module.params
    observed = gateway.observe(
        options["stack_name"],
        options["host_names"],
        options["units"],
        options["users"],
        options["certificate_directory"],
    )
    module.exit_json(changed=False, audit=observed)


if __name__ == "__main__":
    main()
