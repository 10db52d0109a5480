# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The secrets of a stack's repositories as files on the host."""

from __future__ import annotations

DOCUMENTATION = r"""
name: backup_repository_files
short_description: List the files that hold the secrets of backup repositories
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Returns the directories and files that M(slipway.ops.host_state) is to write for the repositories of a stack, a
    directory each, with its password, the environment that its keys go through, and the authority of its server.
options:
  _input:
    description: The repositories, as the role P(slipway.ops.backup#role) takes them.
    type: list
    elements: dict
    required: true
  directory:
    description: The directory on the host that theirs are in.
    type: str
    required: true
  authorities:
    description: The content of each C(ca_file) that a repository names.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Show where the secrets go
  ansible.builtin.debug:
    msg: "{{ files.files | map(attribute='path') }}"
  vars:
    files: "{{ backup_repositories | slipway.ops.backup_repository_files('/etc/slipway/backup/fleet/repositories') }}"
"""

RETURN = r"""
_value:
  description: Mapping of C(directories) and C(files). Holds secrets.
  type: dict
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "s3_access_key_id",
    "AWS_SECRET_ACCESS_KEY": "s3_secret_access_key",
    "AWS_DEFAULT_REGION": "s3_region",
}
HEADING = "# Written by Ansible (slipway.ops.backup); changes here are overwritten.\n"


def backup_repository_files(
    repositories: Any, directory: str, authorities: Mapping[str, str] | None = None
) -> dict[str, list[dict[str, Any]]]:
    """What host_state is to write."""
    if isinstance(repositories, str) or not isinstance(repositories, Sequence):
        raise AnsibleFilterError(
            f"backup_repository_files: needs a list of repositories, not {type(repositories).__name__}"
        )
    directories: list[dict[str, Any]] = [{"path": directory, "mode": "0700"}]
    files: list[dict[str, Any]] = []
    for item in repositories:
        place = f"{directory}/{item['name']}"
        directories.append({"path": place, "mode": "0700"})
        lines = [f"{key}={item[name]}\n" for key, name in ENVIRONMENT.items() if item.get(name)]
        files.append(_secret(f"{place}/password", f"{item['password']}\n"))
        files.append(_secret(f"{place}/environment", HEADING + "".join(lines)))
        if item.get("ca_file"):
            files.append({"path": f"{place}/ca.pem", "content": (authorities or {})[item["ca_file"]] + "\n"})
    return {"directories": directories, "files": files}


def _secret(path: str, content: str) -> dict[str, Any]:
    return {"path": path, "mode": "0600", "secret": True, "content": content}


class FilterModule:
    """The filter backup_repository_files."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"backup_repository_files": backup_repository_files}
