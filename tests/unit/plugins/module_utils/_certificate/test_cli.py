from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._certificate import cli
from ansible_collections.slipway.ops.plugins.module_utils._certificate.converge import Outcome
from ansible_collections.slipway.ops.plugins.module_utils._certificate.gateway import CertificateError, Gateway
from ansible_collections.slipway.ops.plugins.module_utils._certificate.names import Request
from ansible_collections.slipway.ops.plugins.module_utils._certificate.plan import Observation


def test_settings_are_the_modules_words(tmp_path: Path) -> None:
    path = tmp_path / "certificate.json"
    path.write_text(
        json.dumps(
            {
                "certificates": ["a.example", {"name": "b.example", "domains": ["b.example", "www.b.example"]}],
                "directory_url": "https://acme.example/dir",
                "email": "ops@a.example",
                "ca_file": "/etc/ca.pem",
                "profile": "",
            }
        )
    )
    gateway, requests = cli.load(str(path))
    assert requests == [Request("a.example", ("a.example",)), Request("b.example", ("b.example", "www.b.example"))]
    assert gateway.authority.ca_file == "/etc/ca.pem"
    assert gateway.tool.requirements == ""


def test_missing_and_wrong_settings_name_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match="run the role certificate"):
        cli.load(str(tmp_path / "none.json"))
    path = tmp_path / "certificate.json"
    path.write_text('{"certificates": ["*.a.example"]}')
    with pytest.raises(CertificateError, match=r"certificates\[0\]"):
        cli.load(str(path))


def test_status_prints_json_and_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    gateway = Gateway(cli.certbot.Authority(), cli.certbot.Tool())
    monkeypatch.setattr(cli, "load", lambda: (gateway, [Request("a.example", ("a.example",))]))
    monkeypatch.setattr(Gateway, "observe", lambda self, request, wire: Observation())
    assert cli.certificate(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["certificates"] == [
        {"name": "a.example", "wanted_domains": ["a.example"], "present": False}
    ]
    assert cli.certificate([]) == 0
    assert capsys.readouterr().out == "a.example: missing\n"


def test_hook_for_a_name_nobody_wants_is_an_error() -> None:
    gateway = Gateway(cli.certbot.Authority(), cli.certbot.Tool())
    with pytest.raises(CertificateError, match=r"knows no certificate old\.example"):
        cli.deployed(gateway, [Request("a.example", ("a.example",))], "/etc/slipway/certbot/live/old.example")


def test_hook_publishes_only_what_was_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    gateway = Gateway(cli.certbot.Authority(), cli.certbot.Tool())
    monkeypatch.setattr(Gateway, "publish", lambda self, name: done.append(name))
    monkeypatch.setattr(Gateway, "observe", lambda self, request, wire: Observation())
    monkeypatch.setattr(cli, "serve", lambda gateway, request: done.append(f"serve {request.name}"))
    requests = [Request("a.example", ("a.example",)), Request("b.example", ("b.example",))]
    assert cli.deployed(gateway, requests, "/etc/slipway/certbot/live/b.example/").errors == []
    assert done == ["b.example", "serve b.example"]


def test_renewal_asks_for_wanted_names_only_and_tells_each_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def renew(self: Gateway, name: str, force: bool = False) -> str:
        asked.append(name)
        return "b.example: the authority said no" if name == "b.example" else ""

    monkeypatch.setattr(Gateway, "lock", lambda self: contextlib.nullcontext())
    monkeypatch.setattr(Gateway, "renew", renew)
    monkeypatch.setattr(cli, "converge", lambda gateway, requests, state: Outcome(errors=["b.example: not served"]))
    gateway = Gateway(cli.certbot.Authority(), cli.certbot.Tool())
    outcome = cli.renew(gateway, [Request("a.example", ("a.example",)), Request("b.example", ("b.example",))])
    assert asked == ["a.example", "b.example"]
    assert outcome.errors == ["certbot could not renew b.example: the authority said no", "b.example: not served"]
