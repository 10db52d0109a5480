# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check what is followed of a stack's database logs and write it as the host program reads it."""

from __future__ import annotations

DOCUMENTATION = r"""
name: backup_log_settings
short_description: Write what is followed of a stack's database logs
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Checks which database logs are followed and returns the text of C(/etc/slipway/backup/<stack>/log.json).
  - Returns an empty text when none of the sources has a log that is to be followed.
  - Fails with all problems at once.
options:
  _input:
    description: What to back up, as the filter P(slipway.ops.stack_backup_sources#filter) gives it.
    type: list
    elements: dict
    required: true
  stack:
    description: Name of the stack.
    type: str
    required: true
  repositories:
    description:
      - The repositories, as they stand in what the filter P(slipway.ops.backup_settings#filter) gives. All of them get
        the logs.
    type: list
    elements: dict
    required: true
  excluded:
    description: Services whose log is not followed.
    type: list
    elements: str
    default: []
  receivers:
    description:
      - PostgreSQL services whose commits wait for a receiver on another host, by C(service), C(name) and
        C(patience_seconds), as O(slipway.ops.backup#role:main:backup_log_receivers) has them.
    type: list
    elements: dict
    default: []
  interval_seconds:
    description: How often what has come is cut and sent, in seconds.
    type: float
    default: 1
  budget_mib:
    description: How much may wait for the repository, in MiB, before small parts are no longer made.
    type: int
    default: 1024
  reserve_mib:
    description: How much of the disk stays free, in MiB.
    type: int
    default: 512
  tidy:
    description: Whether parts that another one, which was read back, holds as well are removed from the repository.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Show what is followed
  ansible.builtin.debug:
    msg: "{{ sources | slipway.ops.backup_log_settings(stack='fleet', repositories=repositories) }}"
  vars:
    repositories:
      - {name: main, url: /srv/backup}
    sources:
      - {kind: postgresql, service: database}
"""

RETURN = r"""
_value:
  description: The text of the settings file; empty when nothing is followed.
  type: str
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError, Place
from ansible_collections.slipway.ops.plugins.module_utils._log.settings import KINDS, parse_log_settings
from ansible_collections.slipway.ops.plugins.plugin_utils._plain import plain

MIB = 1 << 20
# Of a receiver, as the specification of the role has them: Ansible does not lay defaults over what is in a list.
RECEIVER = "slipway_receiver"
PATIENCE_SECONDS = 15.0


def backup_log_settings(
    sources: Any,
    stack: str,
    repositories: Sequence[Mapping[str, Any]],
    excluded: Sequence[str] = (),
    interval_seconds: float = 1,
    budget_mib: int = 1024,
    reserve_mib: int = 512,
    tidy: bool = True,
    receivers: Sequence[Mapping[str, Any]] = (),
) -> str:
    """The settings as text, when they are right; empty when nothing is followed."""
    if isinstance(sources, str) or not isinstance(sources, Sequence):
        raise AnsibleFilterError(f"backup_log_settings: needs a list of sources, not {type(sources).__name__}")
    services = [str(item["service"]) for item in sources if item.get("kind") in KINDS and "service" in item]
    unknown = sorted(set(excluded) - set(services))
    if unknown:
        raise AnsibleFilterError(
            f"backup_log_excluded_services: {', '.join(unknown)}: is no database of stack {stack} that has a log"
            f" (these are: {', '.join(sorted(set(services))) or 'none'})"
        )
    log = {
        "interval_seconds": float(interval_seconds),
        "budget_bytes": int(budget_mib) * MIB,
        "reserve_bytes": int(reserve_mib) * MIB,
        "tidy": bool(tidy),
    }
    wanted = [dict(item) for item in sources if item.get("kind") in KINDS and item.get("service") not in excluded]
    followed = {item["service"]: item for item in wanted if "service" in item}
    for receiver in receivers:
        service = receiver.get("service")
        if service not in followed:
            raise AnsibleFilterError(
                f"backup_log_receivers: {service}: is no database of stack {stack} whose log is followed"
                f" (these are: {', '.join(sorted(followed)) or 'none'})"
            )
        followed[service]["receiver"] = receiver.get("name", RECEIVER)
        followed[service]["receiver_patience_seconds"] = receiver.get("patience_seconds", PATIENCE_SECONDS)
    if not wanted:
        return ""
    document = {"stack": stack, "repositories": repositories, "sources": wanted, "log": log}
    try:
        settings = parse_log_settings(plain(document), Place(stack))
    except BackupError as error:
        raise AnsibleFilterError(str(error)) from error
    found = {
        "stack": stack,
        # What belongs to points alone, such as their retention, is no matter of the log.
        "repositories": [
            {
                "name": repository.name,
                "url": repository.url,
                "options": list(repository.options),
                "ca_file": repository.ca_file,
                "upload_limit_kib": repository.upload_limit_kib,
                "append_only": repository.append_only,
            }
            for repository in settings.repositories
        ],
        "sources": [
            {
                name: value
                for name, value in {
                    "kind": source.kind,
                    "service": source.service,
                    "user": source.user,
                    "password_variable": source.password_variable,
                    "log_directory": source.directory,
                    "receiver": source.receiver,
                    "receiver_patience_seconds": source.receiver_patience_seconds,
                    "remote": asdict(source.remote) if source.remote else None,
                }.items()
                if value
            }
            for source in settings.sources
        ],
        "log": log,
    }
    return json.dumps(found, indent=2, sort_keys=True) + "\n"


class FilterModule:
    """The filter backup_log_settings."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"backup_log_settings": backup_log_settings}
