# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""List what a backup of a stack holds."""

from __future__ import annotations

DOCUMENTATION = r"""
name: stack_backup_sources
author: Slipway contributors (@slipway)
version_added: 0.1.0
short_description: List what a backup of a stack holds
description:
  - Returns the database servers, the volumes under C(x-slipway.backup.volumes), and the files on the host that describe
    the deployment.
  - A service is a database server when it has C(x-slipway.database), which may be empty (C({})) where the image's name
    tells the kind (MySQL, Percona, MariaDB, PostgreSQL, PostGIS, TimescaleDB, Redis, Valkey). User and password
    variable are then the image's own for the user that may back everything up.
options:
  _input:
    description: The model of a stack, as given by P(slipway.ops.stack#lookup).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the backup sources
  ansible.builtin.debug:
    msg: "{{ stack_model | slipway.ops.stack_backup_sources }}"
"""

RETURN = r"""
_value:
  description:
    - C(kind) (mysql, mariadb, postgresql, redis, volume or file), C(name), C(stack), and by kind C(service),
      C(user), C(password_variable), C(dump), C(volumes), C(volume), C(services), C(path). A server is one source with
      all its databases.
  type: list
  elements: dict
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._stack import derived
from ansible_collections.slipway.ops.plugins.plugin_utils._model_filter import derive


def stack_backup_sources(model: Any) -> list[dict[str, Any]]:
    """List what a backup of a stack holds."""
    return derive("stack_backup_sources", derived.backup_sources, model)


class FilterModule:
    """The filter stack_backup_sources."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"stack_backup_sources": stack_backup_sources}
