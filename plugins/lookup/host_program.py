# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
name: host_program
short_description: Build the host program slipway
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Builds the program C(slipway) from the collection's own Python code on the controller and returns it as Base64 text.
  - Timers and people on the host then run the same code that the playbooks run.
  - The same sources always give the same bytes, so that writing the result a second time changes nothing.
options:
  _terms:
    description: Nothing. Terms are refused.
    type: list
    elements: str
    required: false
seealso:
  - module: slipway.ops.host_state
"""

EXAMPLES = r"""
- name: Install the host program
  slipway.ops.host_state:
    packages: [python3]
    files:
      - path: /usr/local/bin/slipway
        content_base64: "{{ lookup('slipway.ops.host_program') }}"
        mode: "0755"
"""

RETURN = r"""
_raw:
  description: The program (a zip file that Python runs), encoded as Base64.
  type: list
  elements: str
"""

import base64
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible_collections.slipway.ops.plugins.module_utils._cli.archive import build, collection_version


class LookupModule(LookupBase):
    """The door to ``_cli.archive``."""

    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """Return the program as the only element."""
        if terms or kwargs:
            raise AnsibleError(
                "slipway.ops.host_program takes no terms and no options; call lookup('slipway.ops.host_program')"
            )
        plugins = Path(__file__).resolve().parent.parent
        try:
            program = build(plugins / "module_utils", collection_version(plugins.parent))
        except OSError as error:
            raise AnsibleError(f"slipway.ops.host_program cannot read the collection's code: {error}") from error
        return [base64.b64encode(program).decode("ascii")]
