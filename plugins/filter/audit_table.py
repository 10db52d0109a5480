# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: audit_table
short_description: Lay verdicts of an audit out as a table
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Returns text with a row for each verdict (status, line, reason), headings for the sections, and the counts.
positional: host
options:
  _input:
    description: Verdicts as P(slipway.ops.audit_verdicts#filter) returns them.
    type: list
    elements: dict
    required: true
  host:
    description: Name of the host to put before the counts.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Print the report
  ansible.builtin.debug:
    msg: "{{ verdicts | slipway.ops.audit_table(inventory_hostname) }}"
"""

RETURN = r"""
_value:
  description: The table, one row a line.
  type: str
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.module_utils._audit.evaluate import table


def audit_table(verdicts: Any, host: str = "") -> str:
    """Check the input's type and lay it out."""
    if not isinstance(verdicts, (list, tuple)) or not all(isinstance(verdict, Mapping) for verdict in verdicts):
        raise AnsibleFilterError("audit_table: needs a list of verdicts, as audit_verdicts returns it")
    return table(verdicts, host)


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filter by its name."""
        return {"audit_table": audit_table}
