# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stack's backup put together from its parts, for modules, the host program and other jobs on the stack."""

from __future__ import annotations

from collections.abc import Callable

from ansible_collections.slipway.ops.plugins.module_utils._backup import backup as backups
from ansible_collections.slipway.ops.plugins.module_utils._backup.gateway import Docker, Host
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import STACK_NAME, Place, UsageError
from ansible_collections.slipway.ops.plugins.module_utils._backup.repository import Repository
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import Tools
from ansible_collections.slipway.ops.plugins.module_utils._log.log_files import logs_for


def tools_for(stack: str, progress: Callable[[str], None]) -> Tools:
    """The tools of a stack whose backup is set up on this host."""
    if not STACK_NAME.match(stack):
        raise UsageError(f"stack {stack!r}: is not a name of a stack")
    place = Place(stack)
    settings = backups.load_settings(place)
    return Tools(settings, place, Docker(), Host(), Repository(settings, place), progress, logs_for(place))
