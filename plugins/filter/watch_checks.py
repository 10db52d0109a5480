# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: watch_checks
short_description: Derive what is worth watching from the routes of a stack
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Returns checks for the role monitoring. Each host name is asked over HTTPS for its health routes, whose path ends
    with C(health), C(healthz), C(ready), C(readyz) or C(up), or for its first page when it has none.
  - The logs of every service with a route are read for errors; the age of the stack's last good backup, its drills
    and promises, the certificates and the root file system are checked.
positional: _input, stack
options:
  _input:
    description: Routes, as the filter P(slipway.ops.stack_routes#filter) returns them.
    type: list
    elements: dict
    required: true
  stack:
    description: Name of the stack.
    type: str
    required: true
  backup:
    description: Whether the stack is backed up on this host, so that a missing backup is a fault.
    type: bool
    default: true
"""

EXAMPLES = r"""
monitoring_checks: "{{ stack_model | slipway.ops.stack_routes | slipway.ops.watch_checks(stack_name) }}"
# => [{'name': 'http-fleet.example.org', 'kind': 'http', 'url': 'https://fleet.example.org/health'},
#     {'name': 'logs-fleet-application', 'kind': 'logs', 'stack': 'fleet', 'service': 'application'},
#     {'name': 'backup-fleet', 'kind': 'backup', 'stack': 'fleet'},
#     {'name': 'drill-fleet', 'kind': 'drill', 'stack': 'fleet'},
#     {'name': 'rpo-fleet', 'kind': 'promise', 'stack': 'fleet', 'promise': 'rpo'},
#     {'name': 'rto-fleet', 'kind': 'promise', 'stack': 'fleet', 'promise': 'rto'},
#     {'name': 'certificates', 'kind': 'certificate'},
#     {'name': 'disk-root', 'kind': 'disk'}]
"""

RETURN = r"""
_value:
  description: Checks, as the variable C(monitoring_checks) of the role monitoring takes them.
  type: list
  elements: dict
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.module_utils._watch.configure import stack_checks


def watch_checks(routes: Any, stack: Any, backup: Any = True) -> list[dict[str, Any]]:
    """The door to ``_watch.configure.stack_checks``."""
    if not isinstance(routes, (list, tuple)) or not all(isinstance(route, Mapping) for route in routes):
        raise AnsibleFilterError("slipway.ops.watch_checks needs a list of routes; give it the result of stack_routes")
    if not isinstance(stack, str) or not stack:
        raise AnsibleFilterError("slipway.ops.watch_checks needs the name of the stack")
    try:
        return stack_checks(routes, stack, bool(backup))
    except KeyError as error:
        raise AnsibleFilterError(f"slipway.ops.watch_checks: a route has no {error}; use stack_routes") from error


class FilterModule:
    """Filters of the watch."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"watch_checks": watch_checks}
