# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: proxy_files
short_description: List the files that nginx needs for its sites
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Turns sites into entries for the option O(slipway.ops.host_state#module:files).
  - They are one rendered file a site, and one seed for each upstream.
options:
  _input:
    description: Sites as the filter P(slipway.ops.proxy_sites#filter) gives them.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the files
  ansible.builtin.debug:
    msg: "{{ proxy_routes | slipway.ops.proxy_sites | slipway.ops.proxy_files }}"
"""

RETURN = r"""
_value:
  description: Entries with V(path) and either V(template) and V(variables), or V(content) and V(seed).
  type: list
  elements: dict
"""

from collections.abc import Callable, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.module_utils._proxy.sites import files


def proxy_files(sites: Any) -> list[dict[str, Any]]:
    if isinstance(sites, str) or not isinstance(sites, Sequence):
        raise AnsibleFilterError(f"proxy_files: sites must be a list of mappings, not {type(sites).__name__}")
    return files(sites)


class FilterModule:
    """The filter under its name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"proxy_files": proxy_files}
