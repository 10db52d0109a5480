"""What a client outside sees: redirects, headers, routes, upgrades, limits, and nothing for unknown names."""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

HOST = "fleet.example.test"
SHOP = "www.shop.example.test"


@pytest.fixture(scope="module")
def address(host: Any) -> str:
    return str(host.ansible.get_variables()["ansible_host"])


def context(version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """The placeholder is self-signed: who issued it is not the question here."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    if version:
        made.set_ciphers("ALL:@SECLEVEL=0")
        made.minimum_version = made.maximum_version = version
    return made


def secured(address: str, name: str, made: ssl.SSLContext | None = None) -> ssl.SSLSocket:
    plain = socket.create_connection((address, 443), timeout=10)
    return (made or context()).wrap_socket(plain, server_hostname=name)


def ask(
    address: str,
    path: str,
    name: str = HOST,
    method: str = "GET",
    tls: bool = True,
    headers: dict[str, str] | None = None,
    body: bytes | None = None,
) -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection(address, 80, timeout=10)
    if tls:
        connection.sock = secured(address, name)
    connection.request(method, path, body=body, headers={"Host": name, "Connection": "close", **(headers or {})})
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, {key.lower(): value for key, value in response.getheaders()}, text


def test_configuration_has_no_warning(host: Any) -> None:
    result = host.run("nginx -t")
    assert result.rc == 0
    assert "warn" not in result.stderr


def test_nginx_runs_and_starts_at_boot(host: Any) -> None:
    assert host.service("nginx").is_running
    assert host.service("nginx").is_enabled
    assert not host.file("/etc/nginx/sites-enabled/default").exists


def test_http_redirects_with_path_and_query(address: str) -> None:
    status, headers, _text = ask(address, "/orders?page=2", tls=False)
    assert (status, headers["location"]) == (301, f"https://{HOST}/orders?page=2")
    assert headers["server"] == "nginx"


def test_challenge_is_answered_before_the_redirect(host: Any, address: str) -> None:
    folder = "/var/lib/slipway/acme-challenge/.well-known/acme-challenge"
    host.check_output(f"mkdir -p {folder} && printf token.key > {folder}/token")
    assert ask(address, "/.well-known/acme-challenge/token", tls=False)[::2] == (200, "token.key")
    assert ask(address, "/.well-known/acme-challenge/other", tls=False)[0] == 404
    host.check_output(f"rm {folder}/token")


def test_a_challenge_that_another_edge_ordered_is_answered_too(host: Any) -> None:
    """The platforms are each other's peers: each finds what the other has, and neither asks in circles."""
    folder = "/var/lib/slipway/acme-challenge/.well-known/acme-challenge"
    peer = re.findall(r"server (\S+):80;", host.file("/etc/nginx/nginx.conf").content_string)
    assert len(peer) == 1
    host.check_output(f"mkdir -p {folder} && printf only-here.key > {folder}/only-here")
    assert ask(peer[0], "/.well-known/acme-challenge/only-here", tls=False)[::2] == (200, "only-here.key")
    host.check_output(f"rm {folder}/only-here")
    assert ask(peer[0], "/.well-known/acme-challenge/only-here", tls=False)[0] == 404


def test_unknown_names_are_dropped(address: str) -> None:
    with pytest.raises(http.client.RemoteDisconnected):
        ask(address, "/", name="other.example.test", tls=False)
    with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
        secured(address, "other.example.test")


@pytest.mark.parametrize(
    ("path", "service"),
    [
        ("/", "console"),
        ("/anything/else", "console"),
        ("/api", "application"),
        ("/api/orders?status=open", "application"),
        ("/health", "application"),
        ("/socket/polling", "socket"),
    ],
)
def test_routes_reach_their_service(address: str, path: str, service: str) -> None:
    status, _headers, text = ask(address, path)
    assert (status, json.loads(text)["service"]) == (200, service)


def test_service_learns_who_asks_and_cannot_be_lied_to(address: str) -> None:
    forged = {"X-Forwarded-For": "203.0.113.9", "X-Real-IP": "203.0.113.9", "X-Forwarded-Proto": "http"}
    seen = json.loads(ask(address, "/", headers=forged)[2])["headers"]
    assert seen["host"] == HOST
    assert seen["x-forwarded-proto"] == "https"
    assert seen["x-real-ip"] == seen["x-forwarded-for"]
    assert "203.0.113.9" not in json.dumps(seen)


def test_security_headers_are_sent_once_and_on_errors_too(address: str) -> None:
    for name, path in ((HOST, "/"), (SHOP, "/")):
        _status, headers, _text = ask(address, path, name=name)
        assert headers["strict-transport-security"] == "max-age=63072000; includeSubDomains"
        assert headers["x-frame-options"] == "SAMEORIGIN"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "strict-origin-when-cross-origin"
        assert "x-xss-protection" not in headers
        assert "x-powered-by" not in headers
        assert headers["server"] == "nginx"


def test_websocket_is_upgraded_and_carries_data(address: str) -> None:
    with secured(address, HOST) as wrapped:
        wrapped.sendall(
            f"GET /socket HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += wrapped.recv(1024)
        assert b"101 Switching Protocols" in answer
        assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in answer  # RFC 6455, section 1.3
        wrapped.sendall(b"ping through nginx")
        assert wrapped.recv(64) == b"ping through nginx"


def test_upgrade_is_not_passed_where_no_websocket_is(address: str) -> None:
    status, _headers, text = ask(address, "/", headers={"Connection": "Upgrade", "Upgrade": "websocket"})
    assert status == 200
    assert "upgrade" not in json.loads(text)["headers"]


def test_service_that_is_down_gives_a_plain_page(address: str) -> None:
    status, _headers, text = ask(address, "/", name=SHOP)
    assert status == 502
    assert "not available" in text


def test_maintenance_needs_no_reload_and_leaves_other_names_alone(host: Any, address: str) -> None:
    flag = f"/etc/nginx/slipway/maintenance/{HOST}"
    host.check_output(f"touch {flag}")
    try:
        status, headers, text = ask(address, "/")
        assert (status, headers["retry-after"]) == (503, "300")
        assert "not available at the moment" in text
        assert "strict-transport-security" in headers
        assert "retry-after" not in ask(address, "/", name=SHOP)[1]
    finally:
        host.check_output(f"rm {flag}")
    status, headers, _text = ask(address, "/")
    assert status == 200
    assert "retry-after" not in headers


def test_who_is_allowed_sees_the_service_in_maintenance(host: Any, address: str) -> None:
    flag = f"/etc/nginx/slipway/maintenance/{HOST}"
    request = f"GET / HTTP/1.1\\r\\nHost: {HOST}\\r\\nConnection: close\\r\\n\\r\\n"
    own = f"printf '{request}' | openssl s_client -quiet -connect 127.0.0.1:443 -servername {HOST} 2>/dev/null"
    host.check_output(f"touch {flag}")
    try:
        assert host.check_output(own).startswith("HTTP/1.1 200")
        assert ask(address, "/")[0] == 503
    finally:
        host.check_output(f"rm {flag}")


def test_slow_service_is_cut_at_its_own_limit(address: str) -> None:
    assert ask(address, "/slow")[0] == 504


def test_what_the_service_says_passes_unchanged(address: str) -> None:
    status, _headers, text = ask(address, "/health/degraded")
    assert status == 503
    assert json.loads(text)["service"] == "application"


def test_body_limits_are_each_routes_own(address: str) -> None:
    body = b"x" * (1536 * 1024)
    assert ask(address, "/api/upload", method="POST", body=body)[0] == 200
    assert ask(address, "/", method="POST", body=body[: 1024 * 1024])[0] == 200
    # nginx judges by the announced length, before the body is sent.
    for path, mebibytes, wanted in (("/", 1, 413), ("/api/upload", 2, 413)):
        announced = {"Content-Length": str(mebibytes * 1024 * 1024 + 1)}
        assert ask(address, path, method="POST", headers=announced)[0] == wanted


def test_request_limit_holds_for_its_route_only(address: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: ask(address, "/api/limited")[0], range(90)))
    assert statuses.count(200) >= 50
    assert statuses.count(429) >= 15
    assert set(statuses) == {200, 429}
    assert ask(address, "/")[0] == 200


def test_old_protocols_and_weak_ciphers_are_refused(address: str) -> None:
    with secured(address, HOST, context(ssl.TLSVersion.TLSv1_2)) as wrapped:
        assert wrapped.cipher()[0].startswith("ECDHE-")
    with secured(address, HOST, context(ssl.TLSVersion.TLSv1_3)) as wrapped:
        assert wrapped.version() == "TLSv1.3"
    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        with pytest.raises(ssl.SSLError):
            secured(address, HOST, context(version))
    weak = context()
    weak.maximum_version = ssl.TLSVersion.TLSv1_2
    weak.set_ciphers("AES256-SHA:ECDHE-RSA-AES256-SHA384:ECDHE-ECDSA-AES256-SHA:DHE-RSA-AES256-GCM-SHA384:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError):
        secured(address, HOST, weak)


def test_hybrid_group_is_agreed_where_openssl_knows_it(host: Any) -> None:
    shown = host.run(f"openssl s_client -connect 127.0.0.1:443 -servername {HOST} -brief </dev/null")
    if host.check_output("openssl version").startswith("OpenSSL 3.0"):
        assert "X25519MLKEM768" not in host.file("/etc/nginx/nginx.conf").content_string
    else:
        assert "X25519MLKEM768" in shown.stderr + shown.stdout


def test_http2_is_spoken(address: str) -> None:
    made = context()
    made.set_alpn_protocols(["h2", "http/1.1"])
    with secured(address, HOST, made) as wrapped:
        assert wrapped.selected_alpn_protocol() == "h2"


def test_ipv6_answers(host: Any) -> None:
    shown = host.check_output(
        "python3 -c \"import http.client as c; h = c.HTTPConnection('::1', 80, timeout=5); "
        f"h.request('GET', '/', headers={{'Host': '{HOST}'}}); print(h.getresponse().status)\""
    )
    assert shown == "301"


def test_log_is_json_without_queries(host: Any, address: str) -> None:
    assert ask(address, "/logged?token=s3cret")[0] == 200
    assert ask(address, "/health?quiet=1")[0] == 200
    lines = [json.loads(line) for line in host.check_output("tail -n 50 /var/log/nginx/access.log").splitlines()]
    (line,) = [line for line in lines if line["path"] == "/logged"]
    assert (line["host"], line["status"], line["method"]) == (HOST, 200, "GET")
    assert line["seconds"] >= 0
    assert "s3cret" not in json.dumps(lines)
    assert not [line for line in lines if line["path"] == "/health"]


def test_keys_are_for_root_only(host: Any) -> None:
    key = host.file(f"/etc/slipway/certificates/{HOST}/current/privkey.pem")
    assert (key.user, key.mode) == ("root", 0o600)
    assert host.file(f"/etc/slipway/certificates/{HOST}/current").is_symlink


def test_names_of_one_certificate_share_it(address: str) -> None:
    shown = subprocess.run(
        ["openssl", "x509", "-noout", "-subject", "-ext", "subjectAltName"],
        input=ssl.DER_cert_to_PEM_cert(secured(address, SHOP).getpeercert(binary_form=True) or b""),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "Slipway placeholder" in shown
    assert "DNS:shop.example.test, DNS:www.shop.example.test" in shown
