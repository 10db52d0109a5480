# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A repository of a role's variables as the host program reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Only the role needs these: what they say lies in files of their own on the host, or nowhere.
SECRETS = ("password", "s3_access_key_id", "s3_secret_access_key", "s3_region")
LIMITS = ("upload_limit_kib", "download_limit_kib")


def for_host(item: Any, retention: Any, limits: Mapping[str, int], authority_directory: str) -> Any:
    """Without its secrets, with the role's limits and retention where it has none, and its authority's path there."""
    if not isinstance(item, Mapping):
        return item
    found = {name: value for name, value in item.items() if name not in SECRETS}
    for name, limit in limits.items():
        found[name] = found.pop(f"{name}_per_second", limit)
    found["retention"] = found.get("retention") or retention
    if found.get("ca_file") and authority_directory:
        found["ca_file"] = f"{authority_directory}/{found.get('name')}/ca.pem"
    return found
