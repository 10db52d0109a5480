# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
from typing import Any

import pytest
from ansible.errors import AnsibleError
from ansible_collections.slipway.ops.plugins.lookup.host_program import LookupModule


def test_returns_the_program_as_base64() -> None:
    (text,) = LookupModule().run([])
    assert base64.b64decode(text).startswith(b"#!/usr/bin/python3 -I\nPK")


@pytest.mark.parametrize(("terms", "options"), [(["x"], {}), ([], {"path": "x"})])
def test_refuses_terms_and_options(terms: list[str], options: dict[str, Any]) -> None:
    with pytest.raises(AnsibleError, match="takes no terms"):
        LookupModule().run(terms, **options)
