# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: audit_verdicts
short_description: Answer the lines of the deployment checklist
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Judges what was observed on a host and from outside, and returns one verdict for each line of the checklist.
  - A line passes on evidence alone. What was not observed fails, or does not apply and says why.
options:
  _input:
    description: Observations by M(slipway.ops.audit_facts).
    type: dict
    required: true
  expected:
    description:
      - What the operator wants. The keys are the variables of the role C(audit) without their prefix, C(stack_name),
        C(host_names), C(addresses), C(routes), C(ssh_port), C(users), C(minimum_cpus),
        C(minimum_memory_mib), C(minimum_disk_gib), C(maximum_disk_used_percent), C(maximum_restarts), C(backup_unit),
        C(backup_max_age_hours), C(monitoring_units), C(ignored_units), C(certificate_minimum_days),
        C(response_p95_milliseconds) and C(required_headers).
    type: dict
    default: {}
  outside:
    description: Observations by M(slipway.ops.audit_probe). Without them, lines that need a look from outside fail.
    type: dict
  alert:
    description:
      - Registered result of the task that ran C(slipway watch --test --json).
      - Without it, or when that task was skipped, no alert was asked for.
    type: dict
"""

EXAMPLES = r"""
- name: Answer the checklist
  ansible.builtin.set_fact:
    verdicts: "{{ observed.audit | slipway.ops.audit_verdicts({'ssh_port': 2222}, outside=seen.outside) }}"
"""

RETURN = r"""
_value:
  description: One mapping for each line, in the checklist's order.
  type: list
  elements: dict
  contains:
    id:
      description: Name of the line that does not change.
      type: str
    section:
      description: Section of the checklist.
      type: str
    text:
      description: The line itself.
      type: str
    status:
      description: C(pass), C(fail) or C(not applicable).
      type: str
    reason:
      description: Why.
      type: str
    how:
      description: How the line is checked.
      type: str
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Optional

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.module_utils._audit.evaluate import (
    Evidence,
    Expectations,
    as_records,
    evaluate,
    read_alert,
)


def audit_verdicts(
    observations: Any,
    expected: Optional[Mapping[str, Any]] = None,
    outside: Optional[Mapping[str, Any]] = None,
    alert: Optional[Mapping[str, Any]] = None,
) -> list[dict[str, str]]:
    """Check the input's type and call the evaluation."""
    if not isinstance(observations, Mapping) or "system" not in observations:
        raise AnsibleFilterError("audit_verdicts: needs what audit_facts returns as audit")
    wanted = expected or {}
    known = {item.name for item in fields(Expectations)}
    unknown = sorted(set(wanted) - known)
    if unknown:
        raise AnsibleFilterError(
            f"audit_verdicts: does not know {', '.join(unknown)}; known are {', '.join(sorted(known))}"
        )
    evidence = Evidence(Expectations(**wanted), observations, outside, read_alert(alert or {"skipped": True}))
    return as_records(evaluate(evidence))


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filter by its name."""
        return {"audit_verdicts": audit_verdicts}
