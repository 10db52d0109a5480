"""Issued in one run, served, renewed over the wire; and the authority's patience is kept."""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

CERTIFICATES = "/etc/slipway/certificates"
LEDGER = "/var/lib/slipway/certificates/ledger.json"
NAME = "fleet.example.test"
NAMES = (NAME, "shop.example.test", "www.shop.example.test")


@pytest.fixture(scope="module")
def address(host: Any) -> str:
    return str(host.ansible.get_variables()["ansible_host"])


@pytest.fixture
def settings(host: Any) -> Iterator[dict[str, Any]]:
    """The settings of the timer, put back after the test."""
    path = "/etc/slipway/certificate.json"
    host.check_output(f"cp -p {path} {path}.kept; test ! -e {LEDGER} || cp -p {LEDGER} {LEDGER}.kept")
    yield json.loads(host.file(path).content_string)
    host.check_output(f"mv {path}.kept {path}; test ! -e {LEDGER}.kept || mv {LEDGER}.kept {LEDGER}")


def write(host: Any, path: str, value: Any) -> None:
    host.check_output("printf '%%s' %s > %s", json.dumps(value), path)


def served(address: str, name: str) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    plain = socket.create_connection((address, 443), timeout=10)
    with context.wrap_socket(plain, server_hostname=name) as wrapped:
        return wrapped.getpeercert(binary_form=True) or b""


def published(host: Any, name: str) -> bytes:
    chain = host.file(f"{CERTIFICATES}/{name}/current/fullchain.pem").content_string
    return ssl.PEM_cert_to_DER_cert(chain[: chain.index("-----END CERTIFICATE-----") + 25])


def status(host: Any) -> dict[str, Any]:
    listed = json.loads(host.check_output("slipway certificate status --json"))["certificates"]
    return {record["name"]: record for record in listed}


def attempts(host: Any) -> list[dict[str, Any]]:
    return list(json.loads(host.file(LEDGER).content_string)["attempts"])


def test_one_run_made_one_order_a_certificate(host: Any) -> None:
    assert sorted((entry["outcome"], entry["domains"][0]) for entry in attempts(host)) == [
        ("issued", "fleet.example.test"),
        ("issued", "shop.example.test"),
    ]


def test_client_trusts_the_chain_for_every_name(host: Any, address: str) -> None:
    root = host.check_output(
        "python3 -c %s",
        "import ssl, urllib.request as u; context = ssl._create_unverified_context(); "
        "print(u.urlopen('https://127.0.0.1:15000/roots/0', context=context).read().decode())",
    )
    context = ssl.create_default_context(cadata=root)
    for name in NAMES:
        plain = socket.create_connection((address, 443), timeout=10)
        with context.wrap_socket(plain, server_hostname=name) as wrapped:
            assert wrapped.version() == "TLSv1.3"


def test_served_is_what_is_published_and_no_placeholder(host: Any, address: str) -> None:
    for name, directory in zip(NAMES, (NAME, "shop.example.test", "shop.example.test")):
        assert served(address, name) == published(host, directory)
    for record in status(host).values():
        assert record["served"] is True
        assert record["placeholder"] is False
        assert record["key_matches"] is True


def test_certbot_is_ours_and_pinned(host: Any) -> None:
    assert host.check_output("/opt/slipway/certbot/bin/certbot --version") == "certbot 5.8.0"
    assert not host.package("certbot").is_installed
    assert not host.file("/etc/letsencrypt").exists


def test_timer_waits_and_its_service_works(host: Any) -> None:
    assert host.service("slipway-certificate.timer").is_running
    assert host.service("slipway-certificate.timer").is_enabled
    before = status(host)
    host.check_output("systemctl start slipway-certificate.service")
    assert status(host) == before


def test_private_files_are_private(host: Any) -> None:
    assert host.file(f"{CERTIFICATES}/{NAME}/current/privkey.pem").mode == 0o600
    assert host.file("/etc/slipway/certbot").mode == 0o700
    assert host.check_output("find /var/lib/slipway/acme-challenge -type f") == ""


def test_forced_renewal_changes_the_served_serial(host: Any, address: str) -> None:
    before = {name: served(address, name) for name in NAMES}
    result = host.run("slipway certificate renew --force --json")
    assert result.rc == 0, result.stderr
    for name in NAMES:
        assert served(address, name) != before[name]
    assert all(record["served"] for record in status(host).values())


def test_renewal_by_hand_is_published_by_the_hook(host: Any, address: str) -> None:
    before = served(address, NAME)
    result = host.run(
        "REQUESTS_CA_BUNDLE=/etc/slipway/certificate-ca.pem /opt/slipway/certbot/bin/certbot renew --force-renewal "
        f"--cert-name {NAME} --no-random-sleep-on-renew --config-dir /etc/slipway/certbot "
        "--work-dir /var/lib/slipway/certbot --logs-dir /var/log/slipway/certbot"
    )
    assert result.rc == 0, result.stderr
    assert served(address, NAME) == published(host, NAME) != before
    generations = host.check_output(f"ls {CERTIFICATES}/{NAME}").split()
    assert "current" in generations
    assert 2 <= len(generations) <= 4


def test_published_but_not_served_is_seen_and_mended(host: Any, address: str) -> None:
    """A pair that was swapped without a reload: the old one is on the wire."""
    generations = host.check_output(f"ls -t {CERTIFICATES}/{NAME} | grep -v current").split()
    current = host.check_output(f"readlink {CERTIFICATES}/{NAME}/current")
    other = next(generation for generation in generations if generation != current)
    host.check_output(f"ln -sfn {other} {CERTIFICATES}/{NAME}/current")
    assert status(host)[NAME]["served"] is False
    assert host.run("slipway certificate renew --json").rc == 0
    assert status(host)[NAME]["served"] is True
    assert served(address, NAME) == published(host, NAME)


def test_lost_acme_state_orders_nothing(host: Any, address: str) -> None:
    before, orders = served(address, NAME), len(attempts(host))
    host.check_output("mv /etc/slipway/certbot /etc/slipway/certbot.lost")
    try:
        assert host.run("slipway certificate renew --json").rc == 0
        assert len(attempts(host)) == orders
        assert served(address, NAME) == before
    finally:
        host.check_output("rm -rf /etc/slipway/certbot; mv /etc/slipway/certbot.lost /etc/slipway/certbot")


def test_authority_that_is_down_does_not_count_as_a_failure(host: Any, settings: dict[str, Any]) -> None:
    settings["certificates"] = [[NAME, "shop.example.test"]]
    write(host, "/etc/slipway/certificate.json", settings)
    host.check_output("systemctl stop pebble.service")
    try:
        for _attempt in range(3):
            result = host.run("slipway certificate renew")
            assert result.rc == 1
            assert "Connection refused" in result.stderr
    finally:
        host.check_output("systemctl start pebble.service; sleep 2")
    assert attempts(host)[-1]["outcome"] == "unreached"


def test_authority_that_lost_the_account_gets_a_new_one(host: Any, address: str) -> None:
    """The server has no memory of the account since its start above; the names' files are lost too."""
    before = served(address, NAME)
    host.check_output(
        f"rm -rf {CERTIFICATES}/{NAME} /etc/slipway/certbot/*/{NAME} /etc/slipway/certbot/renewal/{NAME}.conf"
    )
    result = host.run("slipway certificate renew")
    assert result.rc == 0, result.stderr
    assert served(address, NAME) == published(host, NAME) != before
    host.check_output("rm -r /etc/slipway/certbot/accounts.unknown-*")


def test_refused_name_fails_in_one_line_and_then_is_not_asked_for_again(host: Any, settings: dict[str, Any]) -> None:
    settings["certificates"] = [NAME, "blocked.example.test"]
    write(host, "/etc/slipway/certificate.json", settings)
    # The site's own preflight would stop it: nginx must serve the name first.
    result = host.run("slipway certificate renew")
    assert result.rc == 1
    assert "blocked.example.test: nothing was ordered" in result.stderr
    before = len(attempts(host))
    host.check_output(
        f"sed '/server_name/s/{NAME}/blocked.example.test/' /etc/nginx/slipway/sites/{NAME}.conf "
        "> /etc/nginx/slipway/upstreams/zz_blocked.conf; systemctl reload nginx; sleep 1"
    )
    try:
        for _attempt in range(2):
            result = host.run("slipway certificate renew")
            assert result.rc == 1
            assert "blocked.example.test: https://localhost:14000/dir issued nothing" in result.stderr
            assert len([line for line in result.stderr.splitlines() if "blocked" in line]) == 1
        result = host.run("slipway certificate renew")
        assert result.rc == 1
        assert "refused to order: 2 orders failed within the last hour" in result.stderr
        assert len(attempts(host)) == before + 2
    finally:
        host.check_output("rm /etc/nginx/slipway/upstreams/zz_blocked.conf; systemctl reload nginx")


def test_nginx_that_refuses_its_configuration_is_told_and_serves_on(host: Any, address: str) -> None:
    before = served(address, NAME)
    host.check_output("echo 'upstream {' > /etc/nginx/slipway/upstreams/zz_broken.conf")
    try:
        result = host.run("slipway certificate renew --force")
        assert result.rc == 1
        assert "nginx refuses its configuration" in result.stderr
        assert served(address, NAME) == before
    finally:
        host.check_output("rm /etc/nginx/slipway/upstreams/zz_broken.conf")
    assert host.run("slipway certificate renew").rc == 0
    assert served(address, NAME) == published(host, NAME) != before


def test_fingerprint_of_status_is_that_of_the_wire(host: Any, address: str) -> None:
    assert status(host)[NAME]["fingerprint"] == hashlib.sha256(served(address, NAME)).hexdigest()
    shown = subprocess.run(
        ["openssl", "x509", "-noout", "-serial", "-inform", "DER"],
        input=served(address, NAME),
        capture_output=True,
        check=True,
    ).stdout.decode()
    assert shown.strip().lower() == f"serial={status(host)[NAME]['serial']}"
