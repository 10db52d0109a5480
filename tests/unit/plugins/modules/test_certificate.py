from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from ansible_collections.slipway.ops.plugins.module_utils._certificate.converge import Outcome
from ansible_collections.slipway.ops.plugins.module_utils._certificate.gateway import CertificateError, Gateway
from ansible_collections.slipway.ops.plugins.module_utils._certificate.plan import Step
from ansible_collections.slipway.ops.plugins.modules import certificate

Run = Callable[..., tuple[int, dict[str, Any]]]
ORDER = Step("issue", "a.example", "there is none", ("a.example",))


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def _run(**arguments: Any) -> tuple[int, dict[str, Any]]:
        with patch_module_args(arguments), pytest.raises(SystemExit) as ended:
            certificate.main()
        return int(ended.value.code or 0), json.loads(capsys.readouterr().out)

    return _run


def test_options_and_documentation_agree() -> None:
    options = yaml.safe_load(certificate.DOCUMENTATION)["options"]
    for name, spec in certificate.argument_spec().items():
        for key in ("type", "elements", "choices", "default", "required"):
            assert options[name].get(key) == spec.get(key), f"{name}.{key}"
    assert set(options) == set(certificate.argument_spec())


def test_plan_is_the_diff(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def converge(gateway: Gateway, requests: Any, state: str, check: bool) -> Outcome:
        seen.extend([gateway.authority.email, [request.name for request in requests], state, check])
        return Outcome(steps=[ORDER])

    monkeypatch.setattr(certificate, "converge", converge)
    code, result = run(certificates=["a.example"], email="ops@a.example", _ansible_check_mode=True)
    assert (code, result["changed"]) == (0, True)
    assert result["plan"] == ["order a certificate for a.example: there is none"]
    assert result["diff"]["after"] == "order a certificate for a.example: there is none\n"
    assert seen == ["ops@a.example", ["a.example"], "issued", True]


def test_nothing_to_do_is_no_change(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificate, "converge", lambda *arguments: Outcome())
    code, result = run(certificates=["a.example"])
    assert (code, result["changed"], result["plan"]) == (0, False, [])


def test_errors_fail_all_at_once_and_keep_the_plan(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificate, "converge", lambda *arguments: Outcome(steps=[ORDER], errors=["a: no", "b: no"]))
    code, result = run(certificates=["a.example"])
    assert code == 1
    assert result["msg"] == "a: no\nb: no"
    assert result["plan"]


def test_bad_names_stop_before_anything_is_observed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificate, "converge", lambda *arguments: pytest.fail("observed"))
    code, result = run(certificates=["*.a.example", "b"])
    assert code == 1
    assert [line.split(":")[0] for line in result["msg"].splitlines()] == ["certificates[0]", "certificates[1]"]


def test_gateway_error_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def converge(*arguments: Any) -> Outcome:
        raise CertificateError("the ledger is not JSON")

    monkeypatch.setattr(certificate, "converge", converge)
    assert run(certificates=["a.example"])[1]["msg"] == "the ledger is not JSON"
