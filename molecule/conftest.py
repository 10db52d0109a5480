"""What all scenarios' tests share."""

from __future__ import annotations

import pytest
from testinfra.host import Host


@pytest.fixture
def newest_only(host: Host, request: pytest.FixtureRequest) -> None:
    """Tried on the newest release alone, unless long stories are told as well (`make prove-stories`)."""
    if host.system_info.codename != "trixie" and request.config.option.markexpr == "not long":
        pytest.skip("is tried on trixie")
