"""The role's templates without a host: which lines they give on which release."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from ansible_collections.slipway.ops.plugins.module_utils._proxy.platform import platform
from ansible_collections.slipway.ops.plugins.module_utils._proxy.sites import sites

ROLE = Path(__file__).parents[4] / "roles/proxy"
ROUTES = [
    {"host": "fleet.example", "path": "/", "service": "console", "upstream": "fleet_console"},
    {
        "host": "fleet.example",
        "path": "/api",
        "upstream": "fleet_application",
        "requests_per_minute": 60,
        "max_body_mib": 32,
    },
    {"host": "fleet.example", "path": "/health", "upstream": "fleet_application", "access_log": False},
    {"host": "fleet.example", "path": "/socket", "upstream": "fleet_socket", "websocket": True},
]


def render(
    template: str, release: str = "trixie", routes: list[dict[str, Any]] | None = None, **changed: Any
) -> list[str]:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ROLE / "templates/etc/nginx"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    variables = yaml.safe_load((ROLE / "defaults/main.yml").read_text(encoding="utf-8"))
    found = sites(ROUTES if routes is None else routes)
    variables.update(__proxy_platform=platform(release).plain(), __proxy_sites=found, **changed)
    if found:
        variables["__proxy_site"] = found[0]
    return [line.strip() for line in environment.get_template(template).render(variables).splitlines()]


def location(lines: list[str], path: str) -> list[str]:
    begin = len(lines) - 1 - lines[::-1].index(f"location {path} {{")
    return lines[begin : lines.index("}", begin)]


def test_main_configuration() -> None:
    lines = render("nginx.conf.j2")
    assert "server_tokens off;" in lines
    assert "ssl_protocols TLSv1.2 TLSv1.3;" in lines
    assert "ssl_ecdh_curve X25519MLKEM768:X25519:prime256v1:secp384r1;" in lines
    assert "ssl_reject_handshake on;" in lines
    assert "return 444;" in lines
    assert "include /etc/nginx/slipway/upstreams/*.conf;" in lines
    assert "include /etc/nginx/slipway/sites/fleet.example.conf;" in lines
    assert not [line for line in lines if line.startswith(("ssl_stapling", "ssl_prefer_server_ciphers"))]


def test_old_openssl_has_no_hybrid_group() -> None:
    assert "ssl_ecdh_curve X25519:prime256v1:secp384r1;" in render("nginx.conf.j2", "bookworm")


def test_old_nginx_drops_after_the_handshake() -> None:
    lines = render("nginx.conf.j2", "jammy")
    assert "ssl_reject_handshake on;" not in lines
    assert lines.count("return 444;") == 2
    assert "listen 443 ssl default_server;" not in render("nginx.conf.j2", "jammy", [])


@pytest.mark.parametrize(
    ("release", "present", "absent"),
    [
        ("trixie", ["listen 443 ssl;", "listen [::]:443 ssl;", "http2 on;"], ["listen 443 ssl http2;"]),
        ("bookworm", ["listen 443 ssl http2;", "listen [::]:443 ssl http2;"], ["http2 on;", "listen 443 ssl;"]),
    ],
)
def test_http2_as_the_release_writes_it(release: str, present: list[str], absent: list[str]) -> None:
    lines = render("slipway/sites/site.conf.j2", release)
    assert not [line for line in present if line not in lines]
    assert not [line for line in absent if line in lines]


def test_challenge_comes_before_the_redirect() -> None:
    lines = render("slipway/sites/site.conf.j2")
    challenge = lines.index("location ^~ /.well-known/acme-challenge/ {")
    assert "root /var/lib/slipway/acme-challenge;" in lines
    assert challenge < lines.index("return 301 https://$host$request_uri;")


def test_headers() -> None:
    lines = render("slipway/sites/site.conf.j2")
    assert 'add_header Strict-Transport-Security "max-age=63072000; includeSubDomains" always;' in lines
    assert 'add_header X-Frame-Options "SAMEORIGIN" always;' in lines
    assert not [line for line in lines if "X-XSS-Protection" in line]
    off = render("slipway/sites/site.conf.j2", proxy_hsts_seconds=0)
    assert not [line for line in off if line.startswith("add_header Strict")]
    short = render("slipway/sites/site.conf.j2", proxy_hsts_seconds=60, proxy_hsts_include_subdomains=False)
    assert 'add_header Strict-Transport-Security "max-age=60" always;' in short


def test_routes_have_what_is_theirs() -> None:
    lines = render("slipway/sites/site.conf.j2")
    zone = "slipway_fleet_2e_example_2f_api"
    assert f"limit_req_zone $binary_remote_addr zone={zone}:10m rate=60r/m;" in lines
    api, health, socket, console = (location(lines, path) for path in ("/api", "/health", "/socket", "/"))
    assert f"limit_req zone={zone} burst=59 nodelay;" in api
    assert "client_max_body_size 32m;" in api
    assert "access_log off;" in health
    assert "proxy_set_header Upgrade $http_upgrade;" in socket
    assert "proxy_read_timeout 3600s;" in socket
    assert "proxy_pass http://fleet_socket;" in socket
    assert "include /etc/nginx/slipway/upstreams/fleet_socket.share*;" in socket
    assert not [line for line in [*api, *health, *console] if "Upgrade" in line or "$slipway_connection" in line]


def test_websocket_route_repeats_every_header_of_the_server() -> None:
    """nginx inherits none of them into a location that sets one."""
    lines = render("slipway/sites/site.conf.j2")
    names = {line.split()[1] for line in lines if line.startswith("proxy_set_header")}
    assert names == {line.split()[1] for line in location(lines, "/socket") if line.startswith("proxy_set_header")}


def test_ipv6_can_be_left_out() -> None:
    for template in ("nginx.conf.j2", "slipway/sites/site.conf.j2"):
        assert [line for line in render(template) if "[::]" in line]
        assert not [line for line in render(template, proxy_ipv6_enabled=False) if "[::]" in line]


def test_challenges_of_other_edges_are_asked_of_them() -> None:
    peers = ["192.0.2.2", "2001:db8::2"]
    upstreams = render("nginx.conf.j2", proxy_challenge_peers=peers)
    assert [line for line in upstreams if line.startswith("server 192") or "2001:db8" in line] == [
        "server 192.0.2.2:80;",
        "server [2001:db8::2]:80;",
    ]
    lines = render("slipway/sites/site.conf.j2", proxy_challenge_peers=peers)
    assert "try_files $uri @slipway_challenge_peers;" in lines
    asked = location(lines, "@slipway_challenge_peers")
    assert asked[1] == "if ($http_x_slipway_challenge) {"
    assert "try_files $uri =404;" in render("slipway/sites/site.conf.j2")
