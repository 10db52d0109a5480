# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A certificate and its key as one value, read from what OpenSSL prints."""

from __future__ import annotations

import base64
import binascii
import calendar
import hashlib
import re
from dataclasses import asdict, dataclass
from typing import Any

# Marks the self-signed pair that lets nginx start before the first certificate is issued.
PLACEHOLDER_ORGANIZATION = "Slipway placeholder"
PLACEHOLDER_DAYS = 1

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DATE = re.compile(r"^(?P<month>[A-Z][a-z]{2})\s+(?P<day>\d{1,2}) (?P<time>\d\d:\d\d:\d\d) (?P<year>\d{4}) GMT$")
_PUBLIC_KEY = re.compile(r"-----BEGIN PUBLIC KEY-----\s+(.+?)\s+-----END PUBLIC KEY-----", re.DOTALL)
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\s+(.+?)\s+-----END CERTIFICATE-----", re.DOTALL)


class UnreadableCertificate(ValueError):
    """What was printed is not what OpenSSL prints for a certificate."""


@dataclass(frozen=True)
class Pair:
    """What one certificate says of itself, and whether the key beside it is its own. Times are seconds since 1970."""

    serial: str
    domains: tuple[str, ...]
    issuer: str
    placeholder: bool
    not_before: int
    not_after: int
    fingerprint: str
    key_matches: bool

    @property
    def lifetime(self) -> int:
        return self.not_after - self.not_before

    def remaining(self, now: float) -> int:
        return int(self.not_after - now)

    def public(self) -> dict[str, Any]:
        """For results, facts and monitoring: nothing in it is secret."""
        value = asdict(self)
        value["domains"] = list(self.domains)
        return value


def parse_time(text: str) -> int:
    """OpenSSL's date, such as ``Nov 21 03:07:12 2026 GMT``; month names stay English in every locale."""
    found = _DATE.match(text.strip())
    if not found or found["month"] not in _MONTHS:
        raise UnreadableCertificate(f"cannot read the date {text.strip()!r}")
    hour, minute, second = (int(part) for part in found["time"].split(":"))
    month = _MONTHS.index(found["month"]) + 1
    return calendar.timegm((int(found["year"]), month, int(found["day"]), hour, minute, second, 0, 0, 0))


def _field(output: str, name: str) -> str:
    for line in output.splitlines():
        if line.startswith(f"{name}="):
            return line[len(name) + 1 :].strip()
    raise UnreadableCertificate(f"openssl printed no {name}")


def _public_key(output: str) -> str:
    found = _PUBLIC_KEY.search(output)
    return "".join(found.group(1).split()) if found else ""


def leaf_fingerprint(pem: str) -> str:
    """SHA-256 of the first certificate of a PEM text, as lower case hexadecimal digits."""
    found = _CERTIFICATE.search(pem)
    if not found:
        raise UnreadableCertificate("the file holds no certificate")
    try:
        return hashlib.sha256(base64.b64decode("".join(found.group(1).split()), validate=True)).hexdigest()
    except binascii.Error as error:
        raise UnreadableCertificate("the certificate's text is damaged") from error


def parse_pair(x509_output: str, key_output: str, pem: str) -> Pair:
    """From the output of ``openssl x509``, of ``openssl pkey -pubout`` and the certificate file."""
    subject = _field(x509_output, "subject")
    domains = re.findall(r"DNS:([^,\s]+)", x509_output)
    own_key = _public_key(x509_output)
    return Pair(
        serial=_field(x509_output, "serial").lower(),
        domains=tuple(sorted(domain.lower() for domain in domains)),
        issuer=_field(x509_output, "issuer"),
        placeholder=f"O={PLACEHOLDER_ORGANIZATION}" in subject.split(","),
        not_before=parse_time(_field(x509_output, "notBefore")),
        not_after=parse_time(_field(x509_output, "notAfter")),
        fingerprint=leaf_fingerprint(pem),
        key_matches=bool(own_key) and own_key == _public_key(key_output),
    )
