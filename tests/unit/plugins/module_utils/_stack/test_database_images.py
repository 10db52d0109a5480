# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._stack.database_images import kind_of, login_of


@pytest.mark.parametrize(
    ("image", "kind"),
    [
        ("mysql:8.4", "mysql"),
        ("percona/percona-server:8.0", "mysql"),
        ("mariadb", "mariadb"),
        ("registry.test:5000/library/mariadb:11.8@sha256:0a", "mariadb"),
        ("postgres:17-alpine", "postgresql"),
        ("timescale/timescaledb-ha:pg17", "postgresql"),
        ("redis:7.4-alpine", "redis"),
        ("valkey/valkey:8", "redis"),
        ("mysql.test/shop:1", ""),
        ("shop/mysql-client:1", ""),
        ("", ""),
    ],
)
def test_what_an_image_is(image: str, kind: str) -> None:
    assert kind_of(image) == kind


@pytest.mark.parametrize(
    ("kind", "environment", "user", "variable", "login"),
    [
        ("mysql", {"MYSQL_ROOT_PASSWORD": "x"}, "", "", ("root", "MYSQL_ROOT_PASSWORD")),
        ("mysql", {}, "", "", ("root", "MYSQL_ROOT_PASSWORD")),
        ("mysql", {"OTHER": "x"}, "keeper", "OTHER", ("keeper", "OTHER")),
        ("mysql", {"MYSQL_ROOT_PASSWORD": "x"}, "keeper", "", ("keeper", "")),
        ("mariadb", {"MYSQL_ROOT_PASSWORD": "x"}, "", "", ("root", "MYSQL_ROOT_PASSWORD")),
        ("mariadb", {"MARIADB_ROOT_PASSWORD_FILE": "/run/x"}, "", "", ("root", "MARIADB_ROOT_PASSWORD")),
        ("mariadb", {}, "root", "", ("root", "MARIADB_ROOT_PASSWORD")),
        ("postgresql", {"POSTGRES_PASSWORD": "x"}, "", "", ("", "")),
        ("redis", {"REDIS_PASSWORD": "x"}, "", "", ("", "")),
    ],
)
def test_how_a_server_is_logged_in_to(
    kind: str, environment: dict[str, str], user: str, variable: str, login: tuple[str, str]
) -> None:
    assert login_of(kind, environment, user, variable) == login
