# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: proxy_platform
short_description: Say what the nginx of a distribution's release can do
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Answers from a table of releases, so that a configuration can be rendered before nginx is installed.
  - Fails for a release that is not in the table, and names those that are.
options:
  _input:
    description: Code name of the release, such as V(trixie).
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show whether nginx knows the http2 directive
  ansible.builtin.debug:
    msg: "{{ (ansible_facts['distribution_release'] | slipway.ops.proxy_platform).http2_directive }}"
"""

RETURN = r"""
_value:
  description: V(http2_directive), V(reject_handshake), V(groups) and V(ciphers) (both as OpenSSL writes them).
  type: dict
"""

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.module_utils._proxy.platform import platform


def proxy_platform(release: Any) -> dict[str, Any]:
    if not isinstance(release, str):
        raise AnsibleFilterError(f"proxy_platform: the release must be text, not {type(release).__name__}")
    try:
        return platform(release).plain()
    except ValueError as error:
        raise AnsibleFilterError(f"proxy_platform: {error}") from error


class FilterModule:
    """The filter under its name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"proxy_platform": proxy_platform}
