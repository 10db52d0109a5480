#!/usr/bin/python
# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: backup_retention
short_description: Let old recovery points go where the host itself may not
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Removes from a repository the points that its retention lets go, with credentials that the stack's host does not
    have. Delegate it to the controller.
  - The rules are those of the host. The newest point that was read back always stays, what a release names stays, a
    point whose time has not come takes nobody's place, and nothing goes where not every snapshot can be read.
attributes:
  check_mode:
    description: Can run in check mode, and then only says what would go.
    support: full
  diff_mode:
    description: Shows the points before and after.
    support: full
options:
  stack:
    description: Name of the stack.
    type: str
    required: true
  repository:
    description: The repository, as an element of O(ignore:backup_repositories) of the role P(slipway.ops.backup#role).
    type: dict
    required: true
    suboptions:
      name:
        description: Its name.
        type: str
        required: true
      url:
        description: Its address.
        type: str
        required: true
      password:
        description: Its password.
        type: str
        required: true
      options:
        description: Further options of restic's backends.
        type: list
        elements: str
        default: []
      ca_file:
        description: PEM file with the authority that signs the server's TLS.
        type: str
        default: ""
      s3_region:
        description: Region of the bucket.
        type: str
        default: ""
      retention:
        description: What it keeps, where that is not O(retention).
        type: dict
        default: {}
  credentials:
    description: What may remove; see O(ignore:backup_prune_credentials) of the role P(slipway.ops.backup#role).
    type: dict
    required: true
    suboptions:
      url:
        description: Address of the same repository for another user, where that is not the host's.
        type: str
        default: ""
      s3_access_key_id:
        description: Access key.
        type: str
        default: ""
      s3_secret_access_key:
        description: Its secret.
        type: str
        default: ""
  retention:
    description: How many days, weeks, months and years that have a point keep one.
    type: dict
    default: {}
  needed:
    description: Points that stay whatever the rules, as M(slipway.ops.backup_info) returns them.
    type: list
    elements: str
    default: []
requirements:
  - restic 0.14 or newer on the controller
seealso:
  - module: slipway.ops.backup_info
"""

EXAMPLES = r"""
- name: Let old points go
  slipway.ops.backup_retention:
    stack: fleet
    repository: {name: far, url: "s3:https://s3.example.com/fleet", password: "{{ vault_repository_password }}"}
    credentials: "{{ backup_prune_credentials.far }}"
    retention: {daily: 30}
  delegate_to: localhost
  become: false
"""

RETURN = r"""
keep:
  description: The points that stay, and what for.
  type: dict
  returned: success
  sample: {20260102T020000Z: [newest that was read back, daily 2026-01-02]}
remove:
  description: The points that went, or would go.
  type: list
  elements: str
  returned: success
  sample: [20251202T020000Z]
"""

import os
from datetime import datetime, timezone
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    BackupError,
    Place,
    RefusedError,
    RepositorySettings,
    parse_repositories,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.repository import Repository
from ansible_collections.slipway.ops.plugins.module_utils._backup.retention import plan_for

TEXT = {"type": "str", "default": ""}
REQUIRED = {"type": "str", "required": True}
ARGUMENT_SPEC: dict[str, Any] = {
    "stack": REQUIRED,
    "repository": {
        "type": "dict",
        "required": True,
        "options": {
            "name": REQUIRED,
            "url": REQUIRED,
            "password": {**REQUIRED, "no_log": True},
            "options": {"type": "list", "elements": "str", "default": []},
            "ca_file": TEXT,
            "s3_region": TEXT,
            "retention": {"type": "dict", "default": {}},
        },
    },
    "credentials": {
        "type": "dict",
        "required": True,
        "no_log": False,
        "options": {"url": TEXT, "s3_access_key_id": TEXT, "s3_secret_access_key": {**TEXT, "no_log": True}},
    },
    "retention": {"type": "dict", "default": {}},
    "needed": {"type": "list", "elements": "str", "default": []},
}


def settings_of(params: dict[str, Any]) -> RepositorySettings:
    """The repository as the host would read it, with the address and rules that hold here."""
    given = params["repository"]
    wanted = {name: given[name] for name in ("name", "options", "ca_file")}
    wanted["url"] = params["credentials"]["url"] or given["url"]
    wanted["retention"] = given["retention"] or params["retention"]
    problems: list[str] = []
    found = parse_repositories([wanted], problems)
    if problems:
        raise RefusedError("; ".join(problems).replace("repositories[0]", "repository"))
    return found[0]


def door(params: dict[str, Any]) -> Repository:
    """The repository, by the credentials that may remove."""
    home = os.environ.get("HOME", "/root")
    secrets = {
        "AWS_ACCESS_KEY_ID": params["credentials"]["s3_access_key_id"],
        "AWS_SECRET_ACCESS_KEY": params["credentials"]["s3_secret_access_key"],
        "AWS_DEFAULT_REGION": params["repository"]["s3_region"],
        "HOME": home,
        "PATH": os.environ.get("PATH", os.defpath),
    }
    place = Place(params["stack"], configuration_root="/nonexistent", cache=f"{home}/.cache/slipway/restic")
    used = {name: value for name, value in secrets.items() if value}
    return Repository(params["stack"], settings_of(params), place, params["repository"]["password"], used)


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    try:
        repository = door(module.params)
        catalogue = repository.catalogue()
        now = datetime.now(timezone.utc)
        plan = plan_for(catalogue, repository.settings.retention, now, module.params["needed"])
        if plan.remove and not module.check_mode:
            repository.remove(plan.remove)
    except BackupError as error:
        module.fail_json(msg=str(error))
    remove = sorted(point.name for point in plan.remove)
    names = sorted(point.name for point in catalogue.points)
    diff = {
        "before": "".join(f"{name}\n" for name in names),
        "after": "".join(f"{name}\n" for name in names if name not in remove),
    }
    module.exit_json(changed=bool(remove), keep=plan.keep, remove=remove, diff=diff)


if __name__ == "__main__":
    main()
