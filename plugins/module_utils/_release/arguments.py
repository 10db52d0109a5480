# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules of a release take alike, and what they make of it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._release import hooks
from ansible_collections.slipway.ops.plugins.module_utils._release.compose import Limits
from ansible_collections.slipway.ops.plugins.module_utils._release.images import FLOOR_MIB, Room
from ansible_collections.slipway.ops.plugins.module_utils._release.release import Policy
from ansible_collections.slipway.ops.plugins.module_utils._release.signatures import parse_rules
from ansible_collections.slipway.ops.plugins.module_utils._release.wiring import Places, Settings
from ansible_collections.slipway.ops.plugins.module_utils._stack.derived import without_elsewhere
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Stack

SIGNATURE_OPTIONS: Mapping[str, Any] = {
    "images": {"type": "list", "elements": "str", "required": True},
    "key": {"type": "str", "no_log": False},
    "identity": {"type": "str"},
    "issuer": {"type": "str"},
    "transparency_log": {"type": "bool", "default": True},
    "unsigned": {"type": "bool", "default": False},
}
# Of a plan and of the release that it is for.
PLANNING: Mapping[str, Any] = {
    "model": {"type": "str", "required": True, "no_log": True},
    "environment": {"type": "str", "default": "{}", "no_log": True},
    "elsewhere": {"type": "dict", "default": {}},
    "digests": {"type": "dict", "default": {}},
    "hooks": {"type": "dict", "default": {}},
    "hook_timeout_seconds": {"type": "float", "default": hooks.TIMEOUT_SECONDS},
    "settle_seconds": {"type": "int", "default": 5},
    "migrate": {"type": "bool", "default": True},
    "recovery_point": {"type": "bool", "default": True},
    "confirmed_volumes": {"type": "list", "elements": "str", "default": []},
    "confirmed_point_max_age_hours": {"type": "float", "default": 24},
    "disk_floor_mib": {"type": "int", "default": FLOOR_MIB},
    "upstream_directory": {"type": "path", "default": "/etc/nginx/slipway/upstreams"},
}


def stack_of(given: Mapping[str, Any]) -> Stack:
    """The host's own part of the stack. Raises ValueError for hooks that cannot be meant."""
    model = hooks.into(json.loads(given["model"]), given["hooks"], given["hook_timeout_seconds"])
    return Stack(without_elsewhere(model, {str(name): str(host) for name, host in given["elsewhere"].items()}))


def settings_of(given: Mapping[str, Any]) -> Settings:
    """Raises ValueError for rules that cannot be meant."""
    unlimited = Limits()
    return Settings(
        actor=given.get("actor") or os.environ.get("SUDO_USER") or "root",
        lease_wait_seconds=given.get("lease_wait_seconds", 300),
        limits=Limits(
            given.get("health_timeout_seconds", unlimited.health),
            given["settle_seconds"],
            given.get("drain_seconds", unlimited.drain),
            given.get("migration_timeout_seconds", unlimited.migration),
        ),
        policy=Policy(
            given["recovery_point"],
            tuple(given["confirmed_volumes"]),
            given["confirmed_point_max_age_hours"] * 3600,
        ),
        places=Places(upstreams=given["upstream_directory"]),
        room=Room(given["disk_floor_mib"]),
        signatures=parse_rules(given.get("image_signatures", [])),
        digests={str(name): str(digest) for name, digest in given["digests"].items()},
    )
