# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check what is received from databases on other hosts and write it as the host program reads it."""

from __future__ import annotations

DOCUMENTATION = r"""
name: receiver_settings
short_description: Write what is received from databases on other hosts
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Checks which databases' logs are received and returns the files that tell the host program so.
  - Fails with all problems at once.
options:
  _input:
    description: The databases, as O(slipway.ops.receiver#role:main:receiver_databases) has them.
    type: list
    elements: dict
    required: true
  stack:
    description: Name of the stack that they belong to.
    type: str
    required: true
  repositories:
    description: The stack's repositories, as O(slipway.ops.backup#role:main:backup_repositories) has them.
    type: list
    elements: dict
    required: true
  directory:
    description: Directory of the host for the settings, the passwords and the authorities.
    type: path
    required: true
  authorities:
    description: What the PEM files on the controller hold that are named by C(ca_file), by their names.
    type: dict
    default: {}
  interval_seconds:
    description: How often what has come is cut and sent, in seconds.
    type: float
    default: 1
  reserve_mib:
    description: How much of the disk stays free, in MiB.
    type: int
    default: 512
"""

EXAMPLES = r"""
- name: Show what is written
  ansible.builtin.debug:
    msg: >-
      {{ databases | slipway.ops.receiver_settings(
           stack='fleet', repositories=repositories, directory='/etc/slipway/backup/fleet') }}
  vars:
    repositories:
      - {name: main, url: "s3:https://s3.example/fleet", password: "{{ vault_repository_password }}"}
    databases:
      - service: database
        address: 10.0.0.1
        port: 5432
        name: slipway_receiver
        image: postgres:17
        user: receiver
        password: "{{ vault_receiver_password }}"
"""

RETURN = r"""
_value:
  description: The files, as P(slipway.ops.host_state#module) takes them.
  type: list
  elements: dict
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.filter.backup_log_settings import backup_log_settings
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import SOURCE_POSTGRESQL
from ansible_collections.slipway.ops.plugins.plugin_utils._repositories import LIMITS, for_host

PORT = 5432
NO_LIMITS = dict.fromkeys(LIMITS, 0)


def receiver_settings(
    databases: Any,
    stack: str,
    repositories: Sequence[Mapping[str, Any]],
    directory: str,
    authorities: Mapping[str, str] | None = None,
    interval_seconds: float = 1,
    reserve_mib: int = 512,
) -> list[dict[str, Any]]:
    """What host_state is to write."""
    if isinstance(databases, str) or not isinstance(databases, Sequence) or not databases:
        raise AnsibleFilterError("receiver_databases: must name at least one database")
    sources: list[dict[str, Any]] = []
    files: list[dict[str, Any]] = []
    for database in databases:
        place = f"{directory}/receiver/{database['service']}"
        remote = {**{key: database[key] for key in ("address", "image", "name")}, "port": database.get("port", PORT)}
        remote["password_file"] = f"{place}.password"
        files.append(
            {"path": f"{place}.password", "mode": "0600", "secret": True, "content": f"{database['password']}\n"}
        )
        if database.get("ca_file"):
            remote["ca_file"] = f"{place}.pem"
            files.append({"path": f"{place}.pem", "content": (authorities or {})[database["ca_file"]] + "\n"})
        sources.append(
            {"kind": SOURCE_POSTGRESQL, "service": database["service"], "user": database["user"], "remote": remote}
        )
    try:
        settings = backup_log_settings(
            sources,
            stack=stack,
            repositories=[for_host(item, {}, NO_LIMITS, f"{directory}/repositories") for item in repositories],
            interval_seconds=interval_seconds,
            reserve_mib=reserve_mib,
            # The server's own host does.
            tidy=False,
        )
    except AnsibleFilterError as error:
        raise AnsibleFilterError(f"receiver_databases: {error}") from error
    return [{"path": f"{directory}/log.json", "mode": "0600", "content": settings}, *files]


class FilterModule:
    """The filter receiver_settings."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"receiver_settings": receiver_settings}
