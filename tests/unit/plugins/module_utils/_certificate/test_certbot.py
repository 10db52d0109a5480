from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._certificate import certbot

RECORDED = Path(__file__).parent / "recorded"
REQUIREMENTS = Path(__file__).parents[5] / "roles/certificate/files/certbot-requirements.txt"


def recorded(name: str) -> str:
    return (RECORDED / f"certbot-{name}.txt").read_text(encoding="utf-8")


def test_order() -> None:
    authority = certbot.Authority("https://acme.example/dir", "ops@shop.example", "/etc/ca.pem", "shortlived")
    command = certbot.order_command("/opt/certbot", authority, "shop.example", ["shop.example", "www.shop.example"])
    assert command == [
        "/opt/certbot", "certonly", "--non-interactive", "--agree-tos",
        "--config-dir", "/etc/slipway/certbot",
        "--work-dir", "/var/lib/slipway/certbot",
        "--logs-dir", "/var/log/slipway/certbot",
        "--server", "https://acme.example/dir",
        "--webroot", "--webroot-path", "/var/lib/slipway/acme-challenge",
        "--key-type", "ecdsa",
        "--cert-name", "shop.example", "--force-renewal", "--renew-with-new-domains",
        "--no-directory-hooks",
        "--email", "ops@shop.example", "--no-eff-email",
        "--required-profile", "shortlived",
        "--domain", "shop.example", "--domain", "www.shop.example",
    ]  # fmt: skip


def test_order_without_address_or_profile() -> None:
    command = certbot.order_command("certbot", certbot.Authority(), "a.example", ["a.example"])
    assert "--register-unsafely-without-email" in command
    assert "--email" not in command
    assert "--required-profile" not in command
    assert command[command.index("--server") + 1] == "https://acme-v02.api.letsencrypt.org/directory"


def test_renew() -> None:
    assert certbot.renew_command("certbot", "a.example")[:4] == [
        "certbot",
        "renew",
        "--non-interactive",
        "--no-random-sleep-on-renew",
    ]
    assert certbot.renew_command("certbot", "a.example", force=True)[-3:] == [
        "--cert-name",
        "a.example",
        "--force-renewal",
    ]


def test_private_authority_is_trusted_by_certbot_alone() -> None:
    assert certbot.environment("/etc/ca.pem") == {"REQUESTS_CA_BUNDLE": "/etc/ca.pem"}
    assert certbot.environment("") == {}


def test_install_takes_wheels_by_hash() -> None:
    make, fill = certbot.install_commands("/usr/bin/python3", "/opt/x", "/opt/x/requirements.txt")
    assert make == ["/usr/bin/python3", "-m", "venv", "/opt/x"]
    assert {"--require-hashes", "--only-binary", "--no-deps"} <= set(fill)


def test_every_pin_has_a_hash() -> None:
    entries = REQUIREMENTS.read_text(encoding="utf-8").replace("\\\n", "").splitlines()
    pins = [entry for entry in entries if entry and not entry.startswith("#")]
    assert pins
    for pin in pins:
        assert "==" in pin
        assert "--hash=sha256:" in pin
        assert "://" not in pin


def test_identity_changes_with_pin_and_python() -> None:
    tool = certbot.Tool("certbot==5.8.0 \\\n  --hash=sha256:00\n")
    assert tool.version() == "5.8.0"
    assert tool.identity("python3.13").startswith("certbot-5.8.0-python3.13-")
    assert tool.identity("python3.13") != tool.identity("python3.11")
    assert tool.identity("python3.13") != certbot.Tool("certbot==5.8.0\n").identity("python3.13")
    assert certbot.Tool("").version() == "unpinned"


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (
            "challenge-failed",
            'x.example.test: connection: Get "http://x.example.test:80/.well-known/acme-challenge/'
            'hLykHcuIH6f8VvV_EstlgAmKywPhZUZdl-dloOXoKW8": EOF',
        ),
        ("policy", 'Order included an identifier for which issuance is forbidden by policy: "blocked.example.test"'),
        ("unknown-account", "Account https://localhost:14000/my-account/682acccebb01ca45 not found."),
        (
            "renew-failed",
            "fleet.example.test: Account at /etc/slipway/certbot/accounts/localhost:14000/dir/"
            "b0fd5329cb5eae41672314a1379d7f45 does not exist",
        ),
    ],
)
def test_failure_is_one_line(name: str, line: str) -> None:
    assert certbot.failure_line(recorded(name)) == line


def test_failure_without_words() -> None:
    assert "read its log" in certbot.failure_line("\n\n")


def test_kinds_of_failure() -> None:
    assert certbot.account_is_unknown(recorded("unknown-account"))
    assert not certbot.account_is_unknown(recorded("policy"))
    assert certbot.authority_was_not_reached(recorded("unreachable"))
    assert not certbot.authority_was_not_reached(recorded("challenge-failed"))


def test_pip_failure_is_its_last_error() -> None:
    said = (
        "WARNING: Retrying\nERROR: Could not find a version\nERROR: No matching distribution found for certbot==5.8.0\n"
    )
    assert certbot.install_failure_line(said) == "ERROR: No matching distribution found for certbot==5.8.0"
    assert certbot.install_failure_line("") == "it said nothing"


def test_server_of_a_lineage() -> None:
    assert certbot.lineage_server("[renewalparams]\nserver = https://acme.example/dir\n") == "https://acme.example/dir"
    assert certbot.lineage_server("") == ""
