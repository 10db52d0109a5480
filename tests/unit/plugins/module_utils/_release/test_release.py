"""Releases from their lease to their record, on a host in memory; and each way to fail."""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._lease.lease import LeaseHeld, LeaseLost, lease
from ansible_collections.slipway.ops.plugins.module_utils._proxy.traffic import Answer
from ansible_collections.slipway.ops.plugins.module_utils._release.engine import EngineError
from ansible_collections.slipway.ops.plugins.module_utils._release.plan import PlanError
from ansible_collections.slipway.ops.plugins.module_utils._release.release import ReleaseFailed

Document = Callable[..., dict[str, Any]]
FIRST = ["t-db-1", "t-web-1", "t-web-2", "t-worker-1"]
SECOND = ["t-db-1", "t-web-3", "t-web-4", "t-worker-2"]


def die(*_arguments: Any) -> None:
    """In the place of whatever a killed process would have done next."""
    raise LeaseLost("killed")


def outcomes(host: Any) -> list[str]:
    return [record["outcome"] for record in host.records().history()]


def test_first_release(host: Any, document: Document) -> None:
    outcome = host.release(document()).present(check=False)
    assert outcome.changed
    assert outcome.release == 1
    assert host.docker.names("running") == FIRST
    assert host.servers() == ["t-web-1", "t-web-2"]
    calls = host.docker.calls
    assert calls.index("start t-db-1") < calls.index("start t-web-migrate-1") < calls.index("start t-web-1")
    assert [call for call in calls if call.startswith("exec")] == ["exec t-web-1 clear", "exec t-web-2 clear"]
    assert host.docker.vols == ["t_data"]
    assert set(host.docker.nets) == {"t_inside", "t_outside"}
    (record,) = host.records().history()
    assert (record["outcome"], record["actor"], record["migrated"]) == ("succeeded", "tester", ["web"])
    assert record["images"]["web"] == "web@sha256:web:1"
    assert host.records().journal() is None
    assert host.records().environment() == "SECRET=hunter2-secret\n"


def test_second_run_changes_nothing_and_takes_no_lease(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    before = list(host.docker.calls)
    with lease("t", "backup", directory=str(host.directory / "lease")):
        outcome = host.release(document()).present(check=False)
    assert (outcome.changed, outcome.plan, outcome.release) == (False, [], 1)
    assert host.docker.calls == before


def test_check_mode_on_a_bare_host(host: Any, document: Document) -> None:
    host.connected = False
    outcome = host.release(document()).present(check=True)
    assert outcome.changed
    assert outcome.plan == [
        "pull web:1",
        "pull db:1",
        "create network t_inside",
        "create network t_outside",
        "create volume t_data",
        "db: create (none runs): new 1",
        "web: create (none runs): migrate once from the new image, new 1 2",
        "worker: create (none runs): new 1",
        "record stack.json",
        "record environment (SECRET)",
    ]
    assert not (host.directory / "etc").exists()
    assert not (host.directory / "var").exists()
    with pytest.raises(EngineError, match="install python3-docker"):
        host.release(document()).present(check=False)


def test_new_version_starts_beside_the_old_one(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    host.docker.calls.clear()
    outcome = host.release(document("2")).present(check=False)
    assert outcome.plan[:3] == [
        "pull web:2",
        "web: roll (image web:1 -> web:2): migrate once from the new image, new 3 4, remove 1 2",
        "worker: stop-first (image web:1 -> web:2; update_config.order is not set): new 2, remove 1, "
        "gap: up to 10 s to stop and the time of its start",
    ]
    assert host.docker.names() == SECOND
    assert host.servers() == ["t-web-3", "t-web-4"]
    calls = host.docker.calls
    assert calls.index("start t-web-4") < calls.index("stop t-worker-1 10") < calls.index("start t-worker-2")
    assert calls.index("start t-worker-2") < calls.index("stop t-web-1 10")
    assert "stop t-db-1 60" not in calls


def test_each_served_state_is_all_old_or_all_new(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    host.proxy.served.clear()
    host.release(document("2")).present(check=False)
    assert len(host.proxy.served) == 1


def test_old_replicas_live_until_requests_have_drained(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    host.proxy.drains_until = host.clock.now + 9
    host.release(document("2")).present(check=False)
    assert host.clock.now >= host.proxy.drains_until


def test_drain_has_a_limit(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    host.proxy.drains_until = host.clock.now + 10_000
    host.release(document("2")).present(check=False)
    assert host.clock.now < 60


def test_configuration_alone_rolls_its_users_only(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    outcome = host.release(document(environment={"PASSWORD": "other"})).present(check=False)
    assert [line for line in outcome.plan if ":" in line] == [
        "web: roll (its configuration changes): migrate once from the new image, new 3 4, remove 1 2"
    ]
    assert "t-worker-1" in host.docker.names("running")
    assert "services.web:\n" in outcome.after
    assert "environment.PASSWORD (changed)" in outcome.after
    assert "hunter2" not in outcome.before + outcome.after


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        ("unhealthy", "services.web: t-web-3 is unhealthy"),
        ("ends", "services.web: t-web-3 ended with exit code 3"),
        ("crashes", "services.web: t-web-3 ended 3 times, last with exit code 7"),
        ("badmigration", "services.web.x-slipway.migrate: exit code 9"),
    ],
)
def test_a_bad_version_leaves_the_old_one_serving(host: Any, document: Document, version: str, reason: str) -> None:
    host.release(document()).present(check=False)
    files = copy.deepcopy(host.proxy.files)
    with pytest.raises(ReleaseFailed) as caught:
        host.release(document(version)).present(check=False)
    message = str(caught.value)
    assert reason in message
    assert message.endswith("the old version serves on")
    assert "last line" in message
    assert "hunter2" not in message
    assert "********" in message
    assert "\n" not in message
    assert host.docker.names() == FIRST
    assert host.docker.names("running") == FIRST
    assert host.proxy.files == files
    assert outcomes(host) == ["succeeded", "failed"]
    assert host.records().journal() is None
    model = host.records().model()
    assert model["services"]["web"]["image"] == "web:1"


def test_a_failed_release_is_followed_by_a_good_one(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    with pytest.raises(ReleaseFailed):
        host.release(document("unhealthy")).present(check=False)
    assert host.release(document("2")).present(check=False).release == 3
    assert host.docker.names("running") == SECOND


def test_a_version_that_turns_bad_while_it_is_watched_is_taken_back(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    watched = {"deploy": {"replicas": 2, "update_config": {"order": "start-first", "monitor": "20s"}}}
    with pytest.raises(
        ReleaseFailed, match=r"failed in phase watch: services\.web: t-web-3 is unhealthy .probe: degraded"
    ):
        host.release(document("later", **watched)).present(check=False)
    assert host.servers() == ["t-web-1", "t-web-2"]
    assert host.docker.names("running") == FIRST


@pytest.mark.parametrize(
    ("call", "phase"),
    [
        ("pull web@sha256:web:2", "pull"),
        ("start t-web-migrate", "migrate"),
        ("create t-web-3", "start"),
        ("create t-web-4", "start"),
        ("start t-web-4", "start"),
        ("create t-worker-2", "replace"),
        ("start t-worker-2", "replace"),
    ],
)
def test_a_failure_anywhere_before_the_end_is_undone(host: Any, document: Document, call: str, phase: str) -> None:
    host.release(document()).present(check=False)
    host.docker.fail_on = {call: "disk full"}
    with pytest.raises(
        ReleaseFailed, match=f"release 2 of t failed in phase {phase}: disk full; the old version serves on"
    ):
        host.release(document("2")).present(check=False)
    host.docker.fail_on = {}
    assert host.docker.names("running") == FIRST
    assert host.docker.names() == FIRST
    assert set(host.servers()) == {"t-web-1", "t-web-2"}
    assert outcomes(host)[-1] == "failed"
    outcome = host.release(document()).present(check=False)
    assert not outcome.changed


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("call", ["start t-web-migrate", "start t-web-4"])
def test_the_files_of_a_release_that_failed_go_with_it(
    host: Any, document: Document, call: str, killed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may hold secrets that nothing mounts. What a killed release left goes with the next, the old version too."""

    def configured(version: str) -> dict[str, Any]:
        user = {"configs": [{"source": "one", "uid": str(os.getuid()), "gid": str(os.getgid())}]}
        return {**document(version, **user), "configs": {"one": {"content": f"of {version}"}}}

    host.release(configured("1")).present(check=False)
    files = host.records().mounted_files()
    host.docker.fail_on = {call: "disk full"}
    second = host.release(configured("2"))
    if killed:
        monkeypatch.setattr(second, "_give_up", die)
    with pytest.raises(LeaseLost if killed else ReleaseFailed):
        second.present(check=False)
    if killed:
        host.docker.fail_on = {}
        host.release(configured("1")).present(check=False)
    assert host.records().mounted_files() == files


def test_nginx_that_refuses_undoes_the_release(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    host.proxy.broken = True
    with pytest.raises(ReleaseFailed, match="failed in phase switch: nginx did not take"):
        host.release(document("2")).present(check=False)
    assert host.docker.names("running") == FIRST


def test_what_cannot_be_put_back_is_said(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    host.docker.fail_on = {"create t-worker-2": "disk full", "start t-worker-1": "broken"}
    with pytest.raises(ReleaseFailed, match="the old version could not be put back whole: broken"):
        host.release(document("2")).present(check=False)
    assert host.records().journal() is not None
    host.docker.fail_on = {}
    host.release(document("2")).present(check=False)
    assert len(host.docker.names("running")) == 4


def test_failure_at_the_end_is_finished_by_the_next_run(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    host.docker.fail_on = {"remove t-web-1": "busy"}
    with pytest.raises(ReleaseFailed, match="release 2 of t serves, but its end is missing: busy; run again"):
        host.release(document("2")).present(check=False)
    host.docker.fail_on = {}
    outcome = host.release(document("2")).present(check=False)
    assert outcome.changed
    assert host.docker.names() == SECOND
    assert outcomes(host) == ["succeeded", "interrupted", "succeeded"]


@pytest.mark.parametrize(
    "call", ["start t-web-migrate", "start t-web-3", "start t-web-4", "start t-worker-2", "stop t-web-1"]
)
def test_a_killed_release_is_cleaned_up_by_the_next(host: Any, document: Document, call: str) -> None:
    """The process dies without any undoing; the next run, for the same or another version, ends clean."""
    host.release(document()).present(check=False)
    release = host.release(document("2"))
    release.engine.undo = None

    host.docker.fail_on = {call: "killed"}
    release._give_up = die
    with pytest.raises(LeaseLost):
        release.present(check=False)
    host.docker.fail_on = {}
    assert host.records().journal() is not None
    serving = host.servers()
    assert serving in (["t-web-1", "t-web-2"], ["t-web-3", "t-web-4"])
    assert all(name in host.docker.names("running") for name in serving)
    third = host.release(document("3"))
    third.present(check=False)
    assert len(host.docker.names()) == 4
    assert {entry["Config"]["Image"] for entry in host.docker.there.values()} == {"web:3", "db:1"}
    assert host.records().journal() is None
    assert "interrupted" in outcomes(host)


@pytest.mark.parametrize("version", ["1", "2"])
def test_what_a_killed_release_left_to_drain_is_drained_by_the_next(
    host: Any, document: Document, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.release(document()).present(check=False)
    killed = host.release(document("2"))

    monkeypatch.setattr(killed.engine, "watch", die)
    with pytest.raises(LeaseLost):
        killed.present(check=False)
    host.proxy.drains_until = host.clock.now + 9
    stops = []
    stop_all = host.docker.stop_all

    def note(containers: Any) -> None:
        containers = list(containers)
        stops.extend(host.clock.now for _id, name, _grace in containers if name.startswith("t-web-"))
        stop_all(containers)

    monkeypatch.setattr(host.docker, "stop_all", note)
    # As the unit that follows addresses has it by then: what was deployed, or the new version still.
    host.proxy.files = dict(host.proxy.served[0 if version == "1" else -1])
    host.release(document(version)).present(check=False)
    assert min(stops) >= host.proxy.drains_until


def test_after_release_that_fails_is_run_again(host: Any, document: Document) -> None:
    host.docker.exit_codes["clear"] = 4
    with pytest.raises(
        ReleaseFailed, match=r"after_release: exit code 4 in t-web-1, its last lines: said; the release is live"
    ):
        host.release(document()).present(check=False)
    assert host.docker.names("running") == FIRST
    host.docker.exit_codes.clear()
    outcome = host.release(document()).present(check=False)
    assert outcome.plan == ["web: run the after_release commands"]
    assert not host.release(document()).present(check=False).changed


def test_a_release_killed_while_its_after_release_runs_is_in_the_history(
    host: Any, document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = host.release(document())

    monkeypatch.setattr(killed.engine, "run_after", die)
    with pytest.raises(LeaseLost):
        killed.present(check=False)
    host.release(document()).present(check=False)
    assert outcomes(host) == ["interrupted", "succeeded"]
    assert host.docker.names("running") == FIRST


def test_who_lost_the_lease_while_at_work_undoes_nothing(
    host: Any, document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.release(document()).present(check=False)
    late = host.release(document("2"))
    path = Path(host.places().leases) / "t.json"

    def overtaken(*_arguments: Any) -> None:
        record = json.loads(path.read_text())
        path.write_text(json.dumps({**record, "owner": "release of t by another", "fencing": record["fencing"] + 1}))
        raise EngineError("container t-web-3 is gone")

    monkeypatch.setattr(late.engine, "start", overtaken)
    monkeypatch.setattr(late.engine, "undo", lambda *_arguments: pytest.fail("it is not its own to undo"))
    with pytest.raises(LeaseLost, match="lost to release of t by another"):
        late.present(check=False)
    assert outcomes(host) == ["succeeded"]


def test_a_database_that_changes_stops_first_and_comes_back_when_the_new_one_fails(
    host: Any, document: Document
) -> None:
    host.release(document()).present(check=False)
    changed = document()
    changed["services"]["db"]["image"] = "db:unhealthy"
    with pytest.raises(ReleaseFailed, match=r"services\.db: t-db-2 is unhealthy"):
        host.release(changed).present(check=False)
    assert host.docker.names("running") == FIRST
    changed["services"]["db"]["image"] = "db:2"
    host.release(changed).present(check=False)
    assert host.docker.names("running") == ["t-db-2", "t-web-1", "t-web-2", "t-worker-1"]


def test_dependents_are_rolled_when_asked_to(host: Any, document: Document) -> None:
    base = document(depends_on={"db": {"condition": "service_healthy", "restart": True}})
    host.release(base).present(check=False)
    base["services"]["db"]["image"] = "db:2"
    outcome = host.release(base).present(check=False)
    assert any(line.startswith("web: roll (db changes)") for line in outcome.plan)


def test_a_service_that_left_the_file_is_removed(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    smaller = document()
    del smaller["services"]["worker"]
    outcome = host.release(smaller).present(check=False)
    assert "worker: remove (it is not in the Compose file any more): remove 1" in outcome.plan
    assert host.docker.names() == FIRST[:3]


@pytest.mark.parametrize(("replicas", "expected"), [(1, ["t-web-1"]), (3, ["t-web-1", "t-web-2", "t-web-3"])])
def test_scaling_touches_no_other_replica_and_migrates_nothing(
    host: Any, document: Document, replicas: int, expected: list[str]
) -> None:
    host.release(document()).present(check=False)
    host.docker.calls.clear()
    host.release(document(deploy={"replicas": replicas})).present(check=False)
    assert [name for name in host.docker.names("running") if "web" in name] == expected
    assert host.servers() == expected
    assert not any("migrate" in call for call in host.docker.calls)


def test_a_stopped_container_is_started_again(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    host.docker.stop_all([("id-001", "t-db-1", 1)])
    outcome = host.release(document()).present(check=False)
    assert outcome.plan == ["db: start (none runs): start 1"]
    assert host.docker.names("running") == FIRST


def test_a_wrong_upstream_file_is_repaired(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    host.proxy.files["slipway_t_web_80.conf"] = "wrong"
    outcome = host.release(document()).present(check=False)
    assert outcome.plan == ["write upstream slipway_t_web_80.conf"]
    assert host.servers() == ["t-web-1", "t-web-2"]


def test_a_changed_route_is_recorded_without_a_new_container(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    other = document()
    other["services"]["web"]["x-slipway"]["routes"] = [{"host": "b.example", "port": 81}]
    outcome = host.release(other).present(check=False)
    assert outcome.plan == ["write upstream slipway_t_web_81.conf", "record stack.json"]
    assert host.docker.names() == FIRST


def test_a_fixed_name_is_handed_over(host: Any, document: Document) -> None:
    fixed = {"container_name": "shop", "deploy": {"replicas": 1}}
    host.release(document(**fixed)).present(check=False)
    with pytest.raises(ReleaseFailed):
        host.release(document("unhealthy", **fixed)).present(check=False)
    assert "shop" in host.docker.names("running")
    assert host.servers() == ["shop"]
    host.release(document("2", **fixed)).present(check=False)
    assert [name for name in host.docker.names() if name.startswith("shop")] == ["shop"]
    assert host.servers() == ["shop"]


def test_an_image_that_moved_under_its_tag_rolls_with_policy_always(host: Any, document: Document) -> None:
    always = {"pull_policy": "always"}
    host.release(document(**always)).present(check=False)
    assert not host.release(document(**always)).present(check=False).changed
    host.docker.registry["web:1"] = "sha256:moved"
    outcome = host.release(document(**always)).present(check=False)
    assert any(line.startswith("web: roll (image web:1 is another one now)") for line in outcome.plan)


def test_policy_never_refuses_a_missing_image(host: Any, document: Document) -> None:
    with pytest.raises(ReleaseFailed, match=r"services.web.image: web:1 is not on this host and pull_policy is never"):
        host.release(document(pull_policy="never")).present(check=False)


def test_a_job_runs_once(host: Any, document: Document) -> None:
    base = document(depends_on={"job": {"condition": "service_completed_successfully"}})
    base["services"]["job"] = {"image": "ends-well:1", "networks": ["inside"]}
    with pytest.raises(ReleaseFailed, match=r"services\.job: t-job-1 ended with exit code 3"):
        host.release(base).present(check=False)


def test_a_held_lease_stops_the_release(host: Any, document: Document) -> None:
    with (
        lease("t", "backup of t", directory=str(host.directory / "lease")),
        pytest.raises(LeaseHeld, match="held by backup of t"),
    ):
        host.release(document()).present(check=False)
    assert host.docker.there == {}


def test_a_network_with_other_settings_is_refused(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    other = document()
    other["networks"]["inside"] = {"internal": False}
    with pytest.raises(PlanError, match=r"networks\.inside: t_inside exists with other settings"):
        host.release(other).present(check=True)


def test_what_does_not_stay_as_asked_fails(host: Any, document: Document) -> None:
    release = host.release(document())
    run_after = release.engine.run_after

    def and_somebody_stops_it(*arguments: Any) -> None:
        run_after(*arguments)
        host.docker.stop_all([("id-001", "t-db-1", 1)])

    release.engine.run_after = and_somebody_stops_it
    with pytest.raises(ReleaseFailed, match="does not run as asked: db: start"):
        release.present(check=False)
    assert outcomes(host) == ["failed"]


def test_absent_keeps_volumes(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    assert host.release(document()).absent(check=True).changed
    outcome = host.release(document()).absent(check=False)
    assert outcome.changed
    assert host.docker.there == {}
    assert host.docker.nets == {}
    assert host.docker.vols == ["t_data"]
    assert host.servers() == ["127.0.0.1"]
    assert host.records().model() is None
    assert not host.release(document()).absent(check=False).changed
    assert outcomes(host) == ["succeeded", "removed"]


def test_a_first_release_that_is_taken_back_serves_nowhere(host: Any, document: Document) -> None:
    host.docker.fail_on = {"stop ": "x"}
    watched = document("later", deploy={"replicas": 2, "update_config": {"order": "start-first"}})
    release = host.release(watched)
    watch = release.engine.watch

    def turn_bad(*arguments: Any) -> None:
        host.clock.now += 10
        release.engine._check_still_good(arguments[0], dict.fromkeys(arguments[2].created, 0))
        watch(*arguments)

    release.engine.watch = turn_bad
    with pytest.raises(ReleaseFailed, match="nothing of it is left running"):
        release.present(check=False)
    assert host.docker.there == {}
    assert host.servers() == ["127.0.0.1"]


WATCHED = {"deploy": {"replicas": 2, "update_config": {"order": "start-first", "monitor": "60s"}}}


def _bad(host: Any, kind: str) -> Callable[[str], Answer]:
    """What the new replicas, third and fourth container of web, answer from 30 seconds after the switch on."""
    begun = host.clock.now

    def answer(server: str) -> Answer:
        new = server not in old
        late = new and host.clock.now - begun > 40
        return Answer(server, 500 if late and kind == "errors" else 200, 3.0 if late and kind == "slow" else 0.01)

    old = set(re.findall(r"server (\d\S+?)[ ;]", "".join(host.proxy.files.values())))
    return answer


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("errors", r"services\.web: \d+ of \d+ requests got an error of 500 or above from the new version"),
        ("slow", r"services\.web: 95 of 100 requests to the new version take up to 3.00 s"),
    ],
)
def test_a_version_that_answers_badly_later_is_taken_back_unattended(
    host: Any, document: Document, kind: str, reason: str
) -> None:
    host.release(document(**WATCHED)).present(check=False)
    host.proxy.answer = _bad(host, kind)
    other = document("2", **WATCHED)
    other["services"]["web"]["x-slipway"]["watch"] = {"p95": "2s"}
    with pytest.raises(ReleaseFailed, match=f"failed in phase watch: {reason}.*; the old version serves on"):
        host.release(other).present(check=False)
    assert host.docker.names("running") == FIRST
    assert host.servers() == ["t-web-1", "t-web-2"]
    assert outcomes(host) == ["succeeded", "failed"]


def test_a_replica_that_comes_back_by_itself_was_gone_all_the_same(host: Any, document: Document) -> None:
    host.release(document(**WATCHED)).present(check=False)

    def crash() -> None:
        for entry in host.docker.there.values():
            if entry["Name"] == "/t-web-3" and host.clock.now - entry["started"] > 30:
                entry["RestartCount"] = 1

    host.clock.sleeping = crash
    with pytest.raises(ReleaseFailed, match="t-web-3 was started again after it had been ready"):
        host.release(document("2", **WATCHED)).present(check=False)
    assert host.docker.names("running") == FIRST


def test_what_nginx_does_not_notice_is_not_drained(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    host.proxy.drains_until = host.clock.now + 10_000
    begun = host.clock.now
    other = document()
    other["services"]["worker"]["command"] = ["other"]
    host.release(other).present(check=False)
    assert host.clock.now - begun < host.limits.drain
