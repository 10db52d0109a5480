"""What all scenarios' tests share."""

from __future__ import annotations

import pytest
from testinfra.host import Host


@pytest.fixture
def newest_only(host: Host) -> None:
    """For what hangs on no distribution's versions: it is tried on one of them."""
    if host.system_info.codename != "trixie":
        pytest.skip("is tried on trixie")
