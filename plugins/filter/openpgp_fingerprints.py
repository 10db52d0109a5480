# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: openpgp_fingerprints
short_description: Read the fingerprints of OpenPGP public keys
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Returns the fingerprint of every primary key in an ASCII-armoured text, computed from the key itself. Needs no gpg.
options:
  _input:
    description: Text that holds one or more public key blocks.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Refuse a repository key that is not the one we know
  ansible.builtin.assert:
    that: (lookup('ansible.builtin.file', 'repository.asc') | slipway.ops.openpgp_fingerprints) == [known_fingerprint]
"""

RETURN = r"""
_value:
  description: Fingerprints in upper case without spaces, in the order of the text.
  type: list
  elements: str
"""

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.module_utils._docker.openpgp import fingerprints


def openpgp_fingerprints(text: Any) -> list[str]:
    """Check the input's type and read the fingerprints."""
    if not isinstance(text, str):
        raise AnsibleFilterError("openpgp_fingerprints: needs the text of a public key")
    try:
        return fingerprints(str(text))
    except ValueError as error:
        raise AnsibleFilterError(f"openpgp_fingerprints: {error}") from error


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"openpgp_fingerprints": openpgp_fingerprints}
