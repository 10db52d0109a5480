# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: docker_engine
short_description: Make the state of a host with a Docker engine
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Returns arguments for M(slipway.ops.host_state) under C(engine), and under C(source) those to apply before,
    for a repository or a pinned version. C(daemon) holds the settings of C(daemon.json).
  - All problems are reported at once.
  - The role P(slipway.ops.docker#role) holds the templates that go with it.
positional: release
options:
  _input:
    description: The variables of the role P(slipway.ops.docker#role), without the prefix C(docker_).
    type: dict
    required: true
  release:
    description: Release of the host's distribution, such as V(trixie).
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show what daemon.json would hold
  ansible.builtin.debug:
    msg: "{{ ({'log_max_size_mib': 50} | slipway.ops.docker_engine('trixie')).engine.files[0].content }}"
"""

RETURN = r"""
_value:
  description: Mappings C(source), C(engine) and C(daemon), for M(slipway.ops.docker_engine).
  type: dict
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.module_utils._docker.daemon import daemon_settings
from ansible_collections.slipway.ops.plugins.module_utils._docker.engine import engine_state, source_state


def docker_engine(options: Any, release: str) -> dict[str, Any]:
    """Check the input's type and make both states."""
    if not isinstance(options, Mapping):
        raise AnsibleFilterError("docker_engine: needs a mapping of the role's variables")
    # What templates hand over is lazy and tagged; what is printed as JSON must be plain.
    plain = json.loads(json.dumps(options, default=str))
    source, problems = source_state(plain)
    engine, found = engine_state(plain, str(release))
    if problems or found:
        raise AnsibleFilterError("\n".join(f"docker_{line}" for line in problems + found))
    return {"source": source, "engine": engine, "daemon": daemon_settings(plain)[0]}


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"docker_engine": docker_engine}
