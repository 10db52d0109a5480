# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures for node_exporter: one file has those of all stacks of the host, from what each stack's jobs wrote down."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup.model import Place
from ansible_collections.slipway.ops.plugins.module_utils._state import files


def publish(
    place: Place, document: str, metrics: str, render: Callable[[Mapping[str, Mapping[str, Any]]], str]
) -> None:
    """Write the file `metrics` from every stack's `document`. Does nothing where there is no node_exporter."""
    if not os.path.isdir(place.metrics):
        return
    found = {}
    for stack in sorted(os.listdir(place.state_root)):
        status = files.read_json(f"{place.state_root}/{stack}/{document}")
        if isinstance(status, dict):
            found[stack] = status
    files.write_whole(f"{place.metrics}/{metrics}", render(found), 0o644)
