# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.filter.docker_engine import FilterModule

docker_engine = FilterModule().filters()["docker_engine"]


def test_gives_both_states() -> None:
    assert set(docker_engine({}, "trixie")) == {"source", "engine", "daemon"}


def test_tells_all_problems_by_the_names_of_the_variables() -> None:
    with pytest.raises(AnsibleFilterError, match=r"(?s)docker_repository_key: .*docker_registry_mirrors\[0\]: "):
        docker_engine({"repository_url": "https://a.test", "registry_mirrors": ["x"]}, "trixie")


def test_needs_a_mapping() -> None:
    with pytest.raises(AnsibleFilterError, match="needs a mapping"):
        docker_engine([], "trixie")
