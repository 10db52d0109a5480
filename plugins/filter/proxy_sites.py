# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: proxy_sites
short_description: Group routes into nginx sites
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Turns a list of routes into one site a host name, with every default filled in and the longest path first.
  - Fails with every problem of the list at once, each with its place.
options:
  _input:
    description:
      - Routes as the filter P(slipway.ops.stack_routes#filter) gives them.
      - >-
        Keys: V(host), V(path), V(upstream), V(upstream_file), V(websocket), V(timeout_seconds), V(requests_per_minute),
        V(burst), V(access_log), V(max_body_mib); V(service) and V(port) are for the reader.
    type: list
    elements: dict
    required: true
  certificates:
    description:
      - Certificates as mappings of V(name) and V(domains), for a certificate that covers several hosts.
      - A host that none of them names uses the certificate that is named like the host.
    type: list
    elements: dict
    default: []
"""

EXAMPLES = r"""
- name: Show the sites
  ansible.builtin.debug:
    msg: "{{ [{'host': 'shop.example', 'path': '/', 'upstream': 'shop_web'}] | slipway.ops.proxy_sites }}"
"""

RETURN = r"""
_value:
  description: Sites with V(name), V(host), V(certificate) (a directory) and V(routes).
  type: list
  elements: dict
"""

from collections.abc import Callable, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.module_utils._proxy.sites import RouteProblems, sites


def proxy_sites(routes: Any, certificates: Any = ()) -> list[dict[str, Any]]:
    for name, value in (("routes", routes), ("certificates", certificates)):
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise AnsibleFilterError(f"proxy_sites: {name} must be a list of mappings, not {type(value).__name__}")
    try:
        return sites(routes, certificates)
    except RouteProblems as error:
        raise AnsibleFilterError("\n".join(f"proxy_routes{problem}" for problem in error.problems)) from error


class FilterModule:
    """The filter under its name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"proxy_sites": proxy_sites}
