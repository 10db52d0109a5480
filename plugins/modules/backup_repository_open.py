#!/usr/bin/python
# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: backup_repository_open
short_description: Open a stack's backup repositories by an escrow copy that was read already
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - The part of M(slipway.ops.backup_repository) on the host, which calls it with what the escrow copy on the
    controller says. Use that module.
attributes:
  check_mode:
    description:
      - Says whether a repository would be initialised. Without restic on the host this is assumed.
    support: full
  diff_mode:
    description: Shows the repositories' addresses before and after.
    support: full
options:
  stack:
    description: Name of the stack.
    type: str
    required: true
  escrow:
    description: What the escrow copy holds.
    type: list
    elements: dict
    required: true
    suboptions:
      url:
        description: Address of the repository, without a password.
        type: str
        required: true
      password:
        description: Password that the repository is encrypted with.
        type: str
        required: true
      proof:
        description: What the test object in the repository holds, encrypted.
        type: str
        required: true
requirements:
  - restic 0.14 or newer on the host
seealso:
  - module: slipway.ops.backup_repository
"""

EXAMPLES = r"""
- name: Open a repository by what is known of it
  slipway.ops.backup_repository_open:
    stack: fleet
    escrow:
      - url: s3:https://s3.example.com/fleet-backup
        password: "{{ vault_backup_repository_password }}"
        proof: "{{ vault_backup_repository_proof }}"
"""

RETURN = r"""
repositories:
  description: The repositories by their names, with their addresses (without passwords), and whether they are new.
  type: dict
  returned: success
  sample: {main: {url: "s3:https://s3.example.com/fleet-backup", initialised: false}}
"""

import os
import shutil
from collections.abc import Sequence
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.ops.plugins.module_utils._backup.backup import ensure_repository
from ansible_collections.slipway.ops.plugins.module_utils._backup.escrow import Entry, parse_entries, prove_escrow
from ansible_collections.slipway.ops.plugins.module_utils._backup.gateway import Host
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError, Place, RefusedError
from ansible_collections.slipway.ops.plugins.module_utils._backup.repository import Repository
from ansible_collections.slipway.ops.plugins.module_utils._backup.wiring import repositories_for


def sweep(place: Place, repositories: Sequence[Repository], dry_run: bool) -> list[str]:
    """Remove the secrets of repositories that are not there any more; returns their directories."""
    host, root = Host(), place.repositories
    named = {repository.name for repository in repositories}
    found = [f"{root}/{name}" for name in sorted(host.names(root)) if name not in named]
    for path in [] if dry_run else found:
        host.remove_tree(path)
    return found


def settle(
    module: AnsibleModule, place: Place, repositories: Sequence[Repository], entries: list[Entry]
) -> dict[str, Any]:
    """Bring everything about; returns the module's result."""
    found: dict[str, Any] = {}
    dry_run = module.check_mode
    here = not dry_run or shutil.which("restic") is not None
    for repository in repositories:
        made = ensure_repository(repository, dry_run) if here else True
        stored = True
        if here and not (made and dry_run):
            stored = prove_escrow(repository, place, entries, dry_run)
        found[repository.name] = {"url": repository.address, "initialised": made, "stored": stored}
    gone = sweep(place, repositories, dry_run)
    after = "".join(f"{record['url']}\n" for record in found.values())
    before = "".join(f"{record['url']}\n" for record in found.values() if not record["initialised"])
    return {
        "changed": bool(gone) or any(record["stored"] or record["initialised"] for record in found.values()),
        "repositories": {
            name: {"url": record["url"], "initialised": record["initialised"]} for name, record in found.items()
        },
        "diff": {
            "before": before + "".join(f"{os.path.basename(path)}: secrets\n" for path in gone),
            "after": after,
        },
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "stack": {"type": "str", "required": True},
            # From the action plugin of the same name, which has read the copy on the controller.
            "escrow": {
                "type": "list",
                "elements": "dict",
                "required": True,
                # The addresses in it are no secret.
                "no_log": False,
                "options": {
                    "url": {"type": "str", "required": True},
                    "password": {"type": "str", "required": True, "no_log": True},
                    "proof": {"type": "str", "required": True, "no_log": True},
                },
            },
        },
        supports_check_mode=True,
    )
    try:
        entries = parse_entries(module.params["escrow"], "escrow")
        try:
            place, repositories = repositories_for(module.params["stack"])
        except RefusedError:
            if not module.check_mode:
                raise
            module.exit_json(changed=True, repositories={}, diff={"before": "", "after": "new repositories\n"})
        result = settle(module, place, repositories, entries)
    except BackupError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
