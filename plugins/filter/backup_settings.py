# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check what a stack's backup is to be and write it as the host program reads it."""

from __future__ import annotations

DOCUMENTATION = r"""
name: backup_settings
short_description: Write the settings of a stack's backup
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Checks what a stack's backup is to be and returns the text of C(/etc/slipway/backup/<stack>/backup.json).
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
      - The repositories, the primary first. Mappings of C(name), C(url), C(options), C(ca_file), C(append_only),
        C(retention), C(upload_limit_kib_per_second) and C(download_limit_kib_per_second).
      - Passwords and keys may stand beside these; they are left out.
    type: list
    elements: dict
    required: true
  retention:
    description:
      - Mapping of C(daily), C(weekly), C(monthly) and C(yearly), numbers of points to keep, for the repositories that
        have none of their own.
    type: dict
    default: {daily: 30}
  upload_limit_kib_per_second:
    description: Limit of the upload in KiB a second, for the repositories that have none of their own; 0 is none.
    type: int
    default: 0
  download_limit_kib_per_second:
    description: The same for the download. A restore is not limited.
    type: int
    default: 0
  authority_directory:
    description: Where the host has the CA files of the repositories that name one, as C(<name>/ca.pem).
    type: str
    default: ""
  interval_seconds:
    description: How often a backup is made, in seconds.
    type: int
    default: 86400
  drill:
    description:
      - How restores are tried. Mapping of C(interval_seconds) (0 expects none), C(tries), C(cpus) and C(smoke), a
        mapping of C(service), C(command) (a list of words) and C(timeout_seconds).
    type: dict
    default: {}
  promises:
    description: What was promised. Mapping of C(rto_seconds) and C(rpo_seconds), 0 for nothing.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Show the settings
  ansible.builtin.debug:
    msg: "{{ sources | slipway.ops.backup_settings(stack='fleet', repositories=repositories) }}"
  vars:
    repositories:
      - {name: main, url: /srv/backup}
    sources:
      - {kind: volume, volume: fleet_uploads}
"""

RETURN = r"""
_value:
  description: The text of the settings file.
  type: str
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError, parse_settings
from ansible_collections.slipway.ops.plugins.plugin_utils._plain import plain
from ansible_collections.slipway.ops.plugins.plugin_utils._repositories import LIMITS, for_host


def backup_settings(
    sources: Any,
    stack: str,
    repositories: Any,
    retention: Mapping[str, Any] | None = None,
    interval_seconds: int = 86400,
    drill: Mapping[str, Any] | None = None,
    promises: Mapping[str, Any] | None = None,
    upload_limit_kib_per_second: int = 0,
    download_limit_kib_per_second: int = 0,
    authority_directory: str = "",
) -> str:
    """The settings as text, when they are right."""
    for name, value in (("sources", sources), ("repositories", repositories)):
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise AnsibleFilterError(f"backup_settings: needs a list of {name}, not {type(value).__name__}")
    limits = dict(zip(LIMITS, (upload_limit_kib_per_second, download_limit_kib_per_second)))
    rules = plain(retention or {})
    wanted = {
        "stack": stack,
        "repositories": [for_host(item, rules, limits, authority_directory) for item in plain(repositories)],
        "sources": plain(sources),
        "interval_seconds": interval_seconds,
        "drill": plain(drill or {}),
        "promises": plain(promises or {}),
    }
    try:
        settings = parse_settings(wanted, "backup")
    except BackupError as error:
        raise AnsibleFilterError(str(error)) from error
    document = {
        "stack": settings.stack,
        "repositories": [repository.as_dict() for repository in settings.repositories],
        "sources": [source.as_dict() for source in settings.sources],
        "interval_seconds": settings.interval_seconds,
        "drill": settings.drill.as_dict(),
        "promises": vars(settings.promises),
    }
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


class FilterModule:
    """The filter backup_settings."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"backup_settings": backup_settings}
