# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

"""Drills of MySQL and MariaDB for real, with an application's own check and a flipped byte. Where this machine has
Docker, restic and the lab's stand-ins:
pytest -m long tests/unit/plugins/module_utils/_backup/test_drill_servers_real.py"""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.drill import Wish, drill
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import DrillSettings, Smoke
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.real_servers import (
    IMAGES,
    PASSWORD,
    RealServer,
    docker,
    unavailable,
)

pytestmark = pytest.mark.long
CHECK = """
set -e
rows=$(MYSQL_PWD="$DB_PASSWORD" "$CLIENT" -h database -u root -N -B -e 'SELECT COUNT(*) FROM shop.numbers')
test "$(ls /sys/class/net)" = lo
echo "$rows numbers"
"""


@pytest.mark.parametrize("kind", ["mariadb", "mysql"])
def test_it_is_started_asked_and_measured(kind: str, tmp_path: Path) -> None:
    if unavailable(kind):
        pytest.skip(unavailable(kind))
    with RealServer(kind, tmp_path, stack="slipwaydrill") as server:
        application = f"{server.stack}-application-1"
        client = "mariadb" if kind == "mariadb" else "mysql"
        labels = {"project": server.stack, "service": "application", "oneoff": "False"}
        words = [word for key, value in labels.items() for word in ("--label", f"com.docker.compose.{key}={value}")]
        docker(
            *("run", "-d", "--name", application, "--network", "none", *words, "-e", f"DB_PASSWORD={PASSWORD}"),
            *("-e", f"CLIENT={client}", "--entrypoint", "sleep", IMAGES[kind], "infinity"),
        )
        server.write(1, 50)
        server.save()
        server.write(51, 20)
        smoke = Smoke("application", ("sh", "-c", CHECK), 60)
        settings = replace(server.settings, drill=DrillSettings(smoke=smoke))
        report = drill(server.tools(settings=settings), Wish())
        assert (report["ok"], report["error"]) == (True, "")
        database = report["databases"][f"{kind}-database"]
        assert database["rows"] == 70
        assert database["facts"]["checked_tables"] >= 1
        assert database["by_log"] is True
        assert report["smoke"]["said"] == "70 numbers"
        assert report["rto_seconds"] < report["duration_seconds"]
        left = subprocess.run(
            ["docker", "ps", "-aq", "--filter", f"label=slipway.stack={server.stack}"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert left.stdout == ""
        assert [path.name for path in Path(server.live).parent.iterdir()] == ["_data"]
        assert server.sql("SELECT COUNT(*) FROM numbers") == "70"
