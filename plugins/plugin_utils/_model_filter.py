# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The door of the filters over a stack's model: check the input, call one pure function, translate its error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.plugin_utils._plain import plain

T = TypeVar("T")


def derive(name: str, function: Callable[[Mapping[str, Any]], T], model: Any) -> T:
    if not isinstance(model, Mapping) or "services" not in model:
        raise AnsibleFilterError(
            f"{name}: the input is no model of a stack; give it what lookup('slipway.ops.stack', file) returns"
        )
    try:
        return function(plain(model))
    except (KeyError, TypeError) as error:
        raise AnsibleFilterError(f"{name}: the model lacks {error}; read the Compose file again") from error
