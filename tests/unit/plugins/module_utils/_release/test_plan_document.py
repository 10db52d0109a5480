"""The plan as a document: complete, without a secret, and of no use once something moved."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._release import basis, plan_document
from ansible_collections.slipway.ops.plugins.module_utils._release.plan import PlanError
from ansible_collections.slipway.ops.plugins.module_utils._release.plan_document import PlanFileError, pack, unpack
from ansible_collections.slipway.ops.plugins.module_utils._release.release import Beside

Document = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(basis, "ROUNDS", 10)


def planned(host: Any, document: Any) -> dict[str, Any]:
    found: dict[str, Any] = host.release(document).document()
    return json.loads(json.dumps(found))


def apply(host: Any, document: Any, plan: dict[str, Any]) -> Any:
    work = host.release(document)
    work.beside = Beside(expected=plan["basis"])
    return work.present(check=False)


def test_it_is_complete(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    host.points.set_up = True
    before = list(host.docker.calls)
    plan = planned(host, document("2", environment={"PASSWORD": "${SECRET}", "MODE": "new"}))
    assert host.docker.calls == before
    web = next(each for each in plan["services"] if each["service"] == "web")
    assert {key: web[key] for key in ("action", "strategy", "image", "digest", "images_now", "new", "remove")} == {
        "action": "roll",
        "strategy": "rolling",
        "image": "web:2",
        "digest": "sha256:web:2",
        "images_now": ["web:1"],
        "new": [3, 4],
        "remove": [1, 2],
    }
    assert web["networks"] == ["t_inside", "t_outside"]
    worker = next(each for each in plan["services"] if each["service"] == "worker")
    assert (worker["action"], worker["strategy"]) == ("stop-first", "rolling")
    assert 0 < worker["gap_seconds"] <= 15
    assert next(each for each in plan["services"] if each["service"] == "db")["volumes"] == ["t_data"]
    assert plan["pulls"] == [{"image": "web:2", "digest": "sha256:web:2", "bytes": None}]
    assert (plan["migrations"], plan["recovery_point"], plan["release"]) == (["web"], True, 2)
    assert plan["predicted"]["from"] == "the last 1 releases"
    assert "hunter2" not in json.dumps(plan)


def test_the_names_of_configs_and_secrets_that_change(host: Any, document: Document) -> None:
    first = {**document(), "secrets": {"a": {"environment": "SECRET"}, "b": {"environment": "SECRET"}}}
    host.release(first).present(check=False)
    host.variables = {"SECRET": "other-hunter2"}
    plan = planned(host, {**document(), "secrets": {"a": {"environment": "SECRET"}, "c": {"environment": "SECRET"}}})
    assert plan["secrets"] == {"new": ["c"], "changed": ["a"], "gone": ["b"]}
    assert "hunter2" not in json.dumps(plan)


def test_on_a_bare_host(host: Any, document: Document) -> None:
    host.connected = False
    plan = planned(host, document())
    assert plan["pulls"][0] == {"image": "web:1", "digest": "", "bytes": None}
    assert plan["predicted"]["from"] == "healthchecks and limits of the file"
    # db and web wait for their first probe, the worker settles.
    assert plan["predicted"]["seconds"] == 30 + 30 + 5 + 1


def test_for_people(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    told = plan_document.lines({**planned(host, document("2")), "host": "web1"})
    text = [line for _style, line in told]
    assert text[0].startswith("t on web1: release 2, 2 of 3 services, about ")
    assert "a gap of up to " in text[0]
    assert ("same", "  db      keep") in told
    assert ("change", "  web     roll  (image web:1 -> web:2)  2 new, 2 removed  migrate") in told
    assert ("add", "  pull web:2 (sha256:web:2)") in told
    host.release(document("2")).present(check=False)
    told = plan_document.lines(planned(host, document("2")))
    assert told == [("head", "t: nothing to do, release 2 runs as asked")]


def test_the_steps_of_a_canary_are_told(host: Any, document: Document) -> None:
    def canary(version: str) -> dict[str, Any]:
        found = document(version)
        found["services"]["web"]["x-slipway"]["strategy"] = "canary"
        return found

    host.release(canary("1")).present(check=False)
    plan = planned(host, canary("2"))
    assert plan["shares"] == [
        {"share": 0.1, "seconds": 60.0},
        {"share": 0.5, "seconds": 60.0},
        {"share": 1.0, "seconds": 0},
    ]
    assert plan["predicted"]["seconds"] >= 120
    told = "\n".join(text for _style, text in plan_document.lines(plan))
    assert "canary: 10% for 60 s, 50% for 60 s, then all" in told
    assert "web: the migration comes first, so both versions run on the migrated data" in told


def test_it_is_applied_as_it_was(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    plan = planned(host, document("2"))
    assert apply(host, document("2"), plan).plan == plan["lines"]
    with pytest.raises(PlanError, match="a release was made since: the last one was 1 and is 2"):
        apply(host, document("2"), plan)


def restart(host: Any) -> None:
    key = next(key for key, entry in host.docker.there.items() if entry["Name"] == "/t-web-1")
    host.docker.stop_all([(key, "t-web-1", 1)])


def remove(host: Any) -> None:
    key = next(key for key, entry in host.docker.there.items() if entry["Name"] == "/t-worker-1")
    host.docker.remove(key, "t-worker-1")


def move_tag(host: Any) -> None:
    host.docker.registry["web:2"] = "sha256:moved"


def interrupt(host: Any) -> None:
    host.records().write_journal({"release": 2, "phase": "start", "created": []})


def edit_records(host: Any) -> None:
    host.records().write_deployed({**host.records().model(), "extra": 1}, {"SECRET": "hunter2-secret"})


def new_secret(host: Any) -> None:
    host.variables = {"SECRET": "hunter3-secret"}


def new_volume(host: Any) -> None:
    host.docker.vols.append("t_more")


def edit_upstream(host: Any) -> None:
    host.proxy.files["slipway_t_web_80.conf"] = "by hand"


@pytest.mark.parametrize(
    ("move", "named"),
    [
        (restart, "the container t-web-1 is another one (serves -> exited)"),
        (remove, "the container t-worker-1 is gone"),
        (move_tag, "the image web:2 is another one (web@sha256:web:2 -> web@sha256:moved)"),
        (interrupt, "an interrupted release: none then, start now"),
        (edit_records, "the records of what is deployed"),
        (new_secret, "the Compose file or its variables (values that are not shown)"),
        (new_volume, "the volume t_more is new"),
        (edit_upstream, "the upstream slipway_t_web_80.conf is another one"),
    ],
)
def test_what_moved_since_is_named_and_nothing_is_touched(
    host: Any, document: Document, move: Callable[[Any], None], named: str
) -> None:
    host.release(document()).present(check=False)
    plan = planned(host, document("2"))
    move(host)
    before, records = list(host.docker.calls), host.records().history()
    with pytest.raises(PlanError) as raised:
        apply(host, document("2"), plan)
    assert named in str(raised.value)
    assert "nothing was touched" in str(raised.value)
    assert host.docker.calls == before
    assert host.records().history() == records


def test_another_file_is_named_by_its_lines(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    plan = planned(host, document("2"))
    with pytest.raises(PlanError, match=r"the Compose file or its variables \(image: web:3"):
        apply(host, document("3"), plan)


def test_the_planned_digest_is_pulled(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    plan = planned(host, document("2"))
    apply(host, document("2"), plan)
    assert "pull web@sha256:web:2" in host.docker.calls


# The file


def test_the_file_is_for_its_hosts() -> None:
    text = pack({"web1": {"stack": "t", "lines": []}, "web2": {"stack": "t", "lines": ["x"]}})
    assert unpack(text, "t", ["web2", "web1"])["web2"]["lines"] == ["x"]


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (lambda text: "x", "is no JSON"),
        (lambda text: "[]", "is no plan of Slipway"),
        (lambda text: '{"format": "terraform"}', "is no plan of Slipway"),
        (lambda text: text.replace("plan/1", "plan/0"), "has the format slipway-plan/0 and this is slipway-plan/1"),
        (lambda text: text.replace('"lines": []', '"lines": ["rm"]'), "was changed after it was written"),
        (lambda text: pack({"web1": {"stack": "other"}}), "is for the stack other and not for t"),
        (lambda text: pack({"web1": {"stack": "t"}}), "is for the hosts web1 and this play has web1, web2"),
    ],
)
def test_other_files_get_one_clear_line(edit: Callable[[str], str], problem: str) -> None:
    text = pack({"web1": {"stack": "t", "lines": []}, "web2": {"stack": "t", "lines": []}})
    with pytest.raises(PlanFileError) as raised:
        unpack(edit(text), "t", ["web1", "web2"])
    assert problem in str(raised.value)
    assert "\n" not in str(raised.value)
    assert "playbooks/plan.yml" in str(raised.value)
