# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hand the model of a stack to the host as one secret text; documented in plugins/modules/stack_release.py."""

from __future__ import annotations

from ansible_collections.slipway.ops.plugins.plugin_utils._model_action import ModelAction


class ActionModule(ModelAction):
    """Release in one call to the host."""

    MODULE = "stack_release"
