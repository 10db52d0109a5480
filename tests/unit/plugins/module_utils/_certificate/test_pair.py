from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._certificate.pair import (
    Pair,
    UnreadableCertificate,
    leaf_fingerprint,
    parse_pair,
    parse_time,
)

RECORDED = Path(__file__).parent / "recorded"


def recorded(name: str) -> str:
    return (RECORDED / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("version", ["3.0", "3.5"])
def test_issued_certificate(version: str) -> None:
    pem = recorded("leaf.pem")
    pair = parse_pair(
        recorded(f"x509-openssl-{version}.txt"), recorded("pkey.txt"), pem + "-----BEGIN CERTIFICATE-----"
    )
    assert pair.serial == "49d8a65ba0f99131"
    assert pair.domains == ("shop.example.test", "www.shop.example.test")
    assert pair.issuer == "CN=Pebble Intermediate CA 47801b"
    assert (pair.placeholder, pair.key_matches) == (False, True)
    assert pair.lifetime == 90 * 24 * 3600 - 1
    assert pair.fingerprint == hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


@pytest.mark.parametrize("version", ["3.0", "3.5"])
def test_placeholder_is_known_by_its_mark(version: str) -> None:
    pair = parse_pair(recorded(f"placeholder-openssl-{version}.txt"), recorded("pkey.txt"), recorded("leaf.pem"))
    assert pair.placeholder
    assert pair.domains == ("fleet.example.test",)
    assert not pair.key_matches
    assert pair.lifetime == 24 * 3600


def test_public_record_is_plain_and_whole() -> None:
    pair = Pair("01", ("a.example",), "CN=x", False, 1, 2, "ff", True)
    assert pair.public()["domains"] == ["a.example"]
    assert pair.remaining(1.5) == 0


def test_times() -> None:
    assert parse_time("Nov 21 03:07:12 2026 GMT") == 1795230432
    assert parse_time("Jan  1 00:00:00 1970 GMT") == 0


@pytest.mark.parametrize("text", ["2026-11-21", "Okt 21 03:07:12 2026 GMT", ""])
def test_other_dates_are_refused(text: str) -> None:
    with pytest.raises(UnreadableCertificate, match="cannot read the date"):
        parse_time(text)


def test_output_without_fields_is_refused() -> None:
    with pytest.raises(UnreadableCertificate, match="printed no subject"):
        parse_pair("serial=1\n", "", recorded("leaf.pem"))
    with pytest.raises(UnreadableCertificate, match="holds no certificate"):
        leaf_fingerprint("")
    with pytest.raises(UnreadableCertificate, match="damaged"):
        leaf_fingerprint("-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----")
