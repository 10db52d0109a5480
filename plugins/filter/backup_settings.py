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
  repository:
    description: Mapping of C(url), C(options), C(ca_file) and C(upload_limit_kib), a limit in KiB a second.
    type: dict
    required: true
  retention:
    description: Mapping of C(daily), C(weekly), C(monthly) and C(yearly), numbers of points to keep.
    type: dict
    default: {daily: 30}
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
    msg: "{{ sources | slipway.ops.backup_settings(stack='fleet', repository={'url': '/srv/backup'}) }}"
  vars:
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


def backup_settings(
    sources: Any,
    stack: str,
    repository: Mapping[str, Any],
    retention: Mapping[str, Any] | None = None,
    interval_seconds: int = 86400,
    drill: Mapping[str, Any] | None = None,
    promises: Mapping[str, Any] | None = None,
) -> str:
    """The settings as text, when they are right."""
    if isinstance(sources, str) or not isinstance(sources, Sequence):
        raise AnsibleFilterError(f"backup_settings: needs a list of sources, not {type(sources).__name__}")
    wanted = {
        "stack": stack,
        "repository": repository,
        "sources": sources,
        "retention": retention or {},
        "interval_seconds": interval_seconds,
        "drill": drill or {},
        "promises": promises or {},
    }
    try:
        # Through JSON and back: what comes from a template is a lazy, tagged kin of the plain types.
        settings = parse_settings(json.loads(json.dumps(wanted, default=_plain)), "backup")
    except BackupError as error:
        raise AnsibleFilterError(str(error)) from error
    document = {
        "stack": settings.stack,
        "repository": {
            "url": settings.url,
            "options": list(settings.options),
            "ca_file": settings.ca_file,
            "upload_limit_kib": settings.upload_limit_kib,
        },
        "sources": [source.as_dict() for source in settings.sources],
        "retention": vars(settings.retention),
        "interval_seconds": settings.interval_seconds,
        "drill": settings.drill.as_dict(),
        "promises": vars(settings.promises),
    }
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return list(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


class FilterModule:
    """The filter backup_settings."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"backup_settings": backup_settings}
