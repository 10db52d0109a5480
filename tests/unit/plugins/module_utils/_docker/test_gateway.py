# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The requests that free disk, as the SDK gets them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import docker.errors
import pytest
from ansible_collections.slipway.ops.plugins.module_utils._docker.gateway import EngineDisk
from ansible_collections.slipway.ops.plugins.module_utils._docker.prune import Image
from ansible_collections.slipway.ops.plugins.module_utils._release.engine import EngineError

TWO_NAMES = Image("sha256:a", ("a:1", "a:2"), (), 1, 1, 0)


@pytest.fixture
def client() -> MagicMock:
    mock = MagicMock()
    mock.api_version = "1.41"
    mock._url.side_effect = lambda path: path
    mock._result.return_value = {"LayersSize": 3, "Images": [], "BuildCache": None}
    return mock


@pytest.mark.parametrize(("version", "asked"), [("1.41", None), ("1.45", {"type": ["image", "build-cache"]})])
def test_newer_engines_are_spared_the_walk_through_volumes(client: MagicMock, version: str, asked: Any) -> None:
    client.api_version = version
    assert EngineDisk(client).usage().layers == 3
    client._get.assert_called_once_with("/system/df", params=asked)


def test_an_image_loses_each_of_its_names_and_never_by_force(client: MagicMock) -> None:
    assert EngineDisk(client).remove_image(TWO_NAMES) == ""
    assert [call.args for call in client.remove_image.call_args_list] == [("a:1",), ("a:2",)]
    assert not any(call.kwargs for call in client.remove_image.call_args_list)


def test_what_the_engine_says_against_it_is_no_failure_of_the_run(client: MagicMock) -> None:
    client.remove_image.side_effect = docker.errors.APIError(
        "c", response=SimpleNamespace(status_code=409), explanation="image has\nchildren"
    )
    assert EngineDisk(client).remove_image(TWO_NAMES) == "image has children"
    client.remove_image.side_effect = docker.errors.APIError(
        "e", response=SimpleNamespace(status_code=500), explanation="x"
    )
    with pytest.raises(EngineError, match=r"^image a:1: x$"):
        EngineDisk(client).remove_image(TWO_NAMES)


def test_build_cache_by_age_or_down_to_a_size(client: MagicMock) -> None:
    client._result.return_value = {"SpaceReclaimed": 7}
    assert EngineDisk(client).prune_cache(unused_days=2) == 7
    assert client._post.call_args.kwargs == {"params": {"filters": '{"until": ["48h"]}'}}
    EngineDisk(client).prune_cache(keep_bytes=5)
    assert client._post.call_args.kwargs == {"params": {"all": "true", "keep-storage": "5"}}
