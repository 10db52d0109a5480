# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: watch_files
short_description: Check the configuration of the watch and lay it out as its files
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Checks everything that C(slipway watch) will read, on the controller, and returns the contents of its two files.
  - All problems are reported at once, each with its path.
options:
  _input:
    description: Checks, as the variable C(monitoring_checks) of the role monitoring takes them.
    type: list
    elements: dict
    required: true
  settings:
    description: The keys C(host), C(interval_minutes), C(repeat_hours) and C(textfile).
    type: dict
    required: true
  email:
    description: The keys C(to), C(from), C(host), C(port) and C(security). Nobody gets mail when C(to) is empty.
    type: dict
    default: {}
  secrets:
    description: The keys C(webhook_url), C(heartbeat_url), C(smtp_user) and C(smtp_password); each may be empty.
    type: dict
    default: {}
  defaults:
    description: For each kind of check, values for the keys that a check does not give.
    type: dict
    default: {}
"""

EXAMPLES = r"""
files: >-
  {{ [{'name': 'disk-root', 'kind': 'disk'}]
     | slipway.ops.watch_files(settings={'host': 'web1', 'interval_minutes': 5, 'repeat_hours': 24}) }}
"""

RETURN = r"""
_value:
  description: The keys C(config) and C(secrets), each the content of one file.
  type: dict
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.module_utils._watch.configure import files
from ansible_collections.slipway.ops.plugins.module_utils._watch.model import InvalidWatch


def watch_files(
    checks: Any,
    settings: Any,
    email: Any = None,
    secrets: Any = None,
    defaults: Any = None,
) -> dict[str, dict[str, Any]]:
    """The door to ``_watch.configure.files``."""
    options = {"settings": settings, "email": email or {}, "secrets": secrets or {}, "defaults": defaults or {}}
    for name, value in options.items():
        if not isinstance(value, Mapping):
            raise AnsibleFilterError(f"slipway.ops.watch_files: {name} must be a mapping")
    try:
        return files(checks, **options)
    except InvalidWatch as error:
        raise AnsibleFilterError(f"the watch cannot be configured:\n{error}") from error


class FilterModule:
    """Filters of the watch."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"watch_files": watch_files}
