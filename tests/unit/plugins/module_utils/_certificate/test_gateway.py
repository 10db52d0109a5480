"""The gateway against real files and the machine's own openssl; nothing here needs root or a network."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._certificate import certbot
from ansible_collections.slipway.ops.plugins.module_utils._certificate import gateway as module
from ansible_collections.slipway.ops.plugins.module_utils._certificate.gateway import CertificateError, Gateway
from ansible_collections.slipway.ops.plugins.module_utils._certificate.ledger import FAILED, ISSUED, UNREACHED
from ansible_collections.slipway.ops.plugins.module_utils._certificate.names import Request

REQUEST = Request("a.example", ("a.example", "www.a.example"))

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gateway:
    monkeypatch.setattr(module, "CERTIFICATES", str(tmp_path / "certificates"))
    monkeypatch.setattr(module, "LEDGER", str(tmp_path / "state/certificates/ledger.json"))
    monkeypatch.setattr(certbot, "CONFIG_DIRECTORY", str(tmp_path / "config"))
    monkeypatch.setattr(certbot, "WORK_DIRECTORY", str(tmp_path / "work"))
    monkeypatch.setattr(certbot, "LOGS_DIRECTORY", str(tmp_path / "logs"))
    real = module.state_files.ensure_directory
    inside = str(tmp_path)
    monkeypatch.setattr(
        module.state_files, "ensure_directory", lambda path, mode: real(path, mode) if path.startswith(inside) else None
    )
    return Gateway(
        certbot.Authority("https://acme.example/dir"), certbot.Tool("", str(tmp_path / "opt/certbot")), https_port=1
    )


def answering(tmp_path: Path, host: Gateway, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A program in certbot's place."""
    program = tmp_path / "opt/certbot/bin/certbot"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(host, "challenge_problem", lambda domain: "")


def test_placeholder_is_stored_whole_and_observed(host: Gateway, tmp_path: Path) -> None:
    host.make_placeholder(REQUEST)
    link = tmp_path / "certificates/a.example/current"
    assert link.is_symlink()
    assert (link / "privkey.pem").stat().st_mode & 0o777 == 0o600
    seen = host.observe(REQUEST, wire=True)
    assert seen.current is not None
    assert seen.current.placeholder
    assert seen.current.key_matches
    assert seen.current.domains == REQUEST.domains
    assert seen.served_fingerprint is None


def test_current_is_swapped_and_few_generations_are_kept(host: Gateway, tmp_path: Path) -> None:
    serials = []
    for _attempt in range(5):
        host.make_placeholder(REQUEST)
        serials.append((tmp_path / "certificates/a.example/current").readlink().name)
    assert len(set(serials)) == 5
    kept = {path.name for path in (tmp_path / "certificates/a.example").iterdir()}
    assert len(kept) == 4
    assert {"current", serials[-1]} <= kept


def test_damaged_and_mixed_pairs_are_seen(host: Gateway, tmp_path: Path) -> None:
    host.make_placeholder(REQUEST)
    current = tmp_path / "certificates/a.example/current"
    first_key = (current / "privkey.pem").read_text()
    host.make_placeholder(REQUEST)
    (current / "privkey.pem").write_text(first_key)
    seen = host.observe(REQUEST, wire=False)
    assert seen.current is not None
    assert not seen.current.key_matches
    (current / "privkey.pem").write_text("no key")
    assert host.observe(REQUEST, wire=False).current_problem.endswith("privkey.pem cannot be read as a key")
    (current / "fullchain.pem").write_text("no certificate")
    assert host.observe(REQUEST, wire=False).current_problem.endswith("fullchain.pem cannot be read as a certificate")


def test_half_a_lineage_is_never_published(host: Gateway, tmp_path: Path) -> None:
    live = tmp_path / "config/live/a.example"
    live.mkdir(parents=True)
    (live / "fullchain.pem").write_text("half")
    with pytest.raises(CertificateError, match="holds no whole pair"):
        host.publish("a.example")
    assert not (tmp_path / "certificates/a.example").exists()


@pytest.mark.parametrize(
    ("script", "outcome", "error"),
    [
        ("exit 0", ISSUED, ""),
        ("echo 'Order included a forbidden name' >&2; exit 1", FAILED, "Order included a forbidden name"),
        ("echo 'requests.exceptions.ConnectionError: refused' >&2; exit 1", UNREACHED, "refused"),
    ],
)
def test_every_order_is_noted(
    host: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, outcome: str, error: str
) -> None:
    answering(tmp_path, host, monkeypatch, script)
    if error:
        with pytest.raises(CertificateError, match=error):
            host.order(REQUEST)
    else:
        host.order(REQUEST)
    (attempt,) = host.attempts()
    assert (attempt.outcome, attempt.domains) == (outcome, REQUEST.domains)


def test_unknown_account_is_put_aside_once(host: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config/accounts").mkdir(parents=True)
    answering(
        tmp_path,
        host,
        monkeypatch,
        f"[ -d {tmp_path}/config/accounts ] || exit 0; echo 'Account https://x not found.'; exit 1",
    )
    host.order(REQUEST)
    assert [path.name.split("-")[0] for path in (tmp_path / "config").iterdir()] == ["accounts.unknown"]


def test_nothing_is_ordered_when_the_challenge_is_not_served(host: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "challenge_problem", lambda domain: "answers 404")
    with pytest.raises(CertificateError, match="nothing was ordered, because port 80 of this host answers 404"):
        host.order(REQUEST)
    assert host.attempts() == []


def test_damaged_ledger_is_an_error_and_not_an_empty_one(host: Gateway) -> None:
    Path(module.LEDGER).parent.mkdir(parents=True)
    Path(module.LEDGER).write_text("{")
    with pytest.raises(CertificateError, match="is not JSON"):
        host.attempts()


def test_tool_is_wanted_by_pin_and_python(host: Gateway, tmp_path: Path) -> None:
    host.tool = certbot.Tool("certbot==5.8.0\n", str(tmp_path / "opt/certbot"))
    assert host.tool_problem() == "version 5.8.0 is not installed yet"
    target = tmp_path / "opt" / host.tool.identity(host.python())
    (target / "bin").mkdir(parents=True)
    (target / "bin/certbot").write_text("")
    (target / "bin/certbot").chmod(0o755)
    (tmp_path / "opt/certbot").symlink_to(target.name)
    assert host.tool_problem() == ""
    host.tool = certbot.Tool("certbot==5.9.0\n", str(tmp_path / "opt/certbot"))
    assert "becomes certbot-5.9.0" in host.tool_problem()


def test_missing_program_names_the_role(host: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "challenge_problem", lambda domain: "")
    with pytest.raises(CertificateError, match="is not installed; run the role certificate"):
        host.order(REQUEST)


def test_the_challenge_can_be_read_by_the_web_server_under_any_umask(
    host: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "http_port", 1)
    monkeypatch.setattr(certbot, "CHALLENGE_DIRECTORY", str(tmp_path / "challenge"))
    before = os.umask(0o077)
    try:
        assert host.challenge_problem("shop.example")
    finally:
        os.umask(before)
    for folder in ("challenge", "challenge/.well-known", "challenge/.well-known/acme-challenge"):
        assert (tmp_path / folder).stat().st_mode & 0o777 == 0o755
