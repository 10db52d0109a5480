"""Stories of the strategies on a host in memory: shares, the way back, what stands and what stops first."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._proxy import upstreams
from ansible_collections.slipway.ops.plugins.module_utils._proxy.traffic import Answer
from ansible_collections.slipway.ops.plugins.module_utils._release.release import ReleaseFailed
from ansible_collections.slipway.ops.plugins.module_utils._release.standing import retire

Document = Callable[..., dict[str, Any]]
STEPS = [{"percent": 10, "for": "20s"}, {"percent": 50, "for": "20s"}]
HTTP, LOCATION = upstreams.file_names("slipway_t_web_80")


def canary(document: Document, version: str, **extension: Any) -> dict[str, Any]:
    found = document(version, deploy={"replicas": 2, "update_config": {"monitor": "10s"}})
    found["services"]["web"]["x-slipway"].update(strategy="canary", canary={"steps": STEPS}, **extension)
    return found


def blue_green(document: Document, version: str) -> dict[str, Any]:
    found = document(version)
    found["services"]["web"]["x-slipway"].update(strategy="blue-green", keep_old="10m")
    return found


def shares(host: Any) -> list[str]:
    """The share of each set of files that nginx was given, in order; "all" without one."""
    found = []
    for files in host.proxy.served:
        lines = [line.strip() for line in files.get(HTTP, "").splitlines()]
        share = next((line.split()[0] for line in lines if line.endswith("% 1;")), "all")
        if not found or found[-1] != share:
            found.append(share)
    return found


def test_a_canary_takes_its_steps_and_then_all(host: Any, document: Document) -> None:
    host.release(canary(document, "1")).present(False)
    host.proxy.served.clear()
    begun = host.clock.now
    outcome = host.release(canary(document, "2")).present(False)
    assert "canary: 10% for 20 s, 50% for 20 s, then all" in "\n".join(outcome.plan)
    assert "40 s of shares, 10 s watched with all requests" in "\n".join(outcome.plan)
    assert "web: the migration comes first, so both versions run" in "\n".join(outcome.plan)
    assert shares(host) == ["10.00%", "50.00%", "all"]
    assert host.servers() == ["t-web-3", "t-web-4"]
    assert LOCATION not in host.proxy.files
    assert host.clock.now - begun >= 50
    steps = host.records().history()[-1]["steps"]
    assert [(step["share"], step["seconds"]) for step in steps] == [(0.1, 20.0), (0.5, 20.0), (1.0, 10.0)]
    assert steps[0]["services"]["web"]["new"]["answers"] > 0 < steps[0]["services"]["web"]["old"]["answers"]


def bad(host: Any, answer: Callable[[str], Answer]) -> None:
    """The new version answers so; its containers are the third and the fourth of web, at these addresses."""

    def found(server: str) -> Answer:
        names = {
            f"{network['IPAddress']}:80": entry["Name"][1:]
            for entry in host.docker.there.values()
            for network in entry["NetworkSettings"]["Networks"].values()
        }
        return answer(server) if names.get(server) in ("t-web-3", "t-web-4") else Answer(server, 200, 0.05)

    host.proxy.answer = found


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda server: Answer(server, 500, 0.05), "requests got an error of 500 or above from the new version"),
        (lambda server: Answer(server, 200, 0.5), "take up to 0.50 s, 0.05 s with the old one at the same time"),
    ],
    ids=["errors", "latency"],
)
def test_a_canary_that_is_bad_returns_by_itself(
    host: Any, document: Document, answer: Callable[[str], Answer], reason: str
) -> None:
    host.release(canary(document, "1")).present(False)
    host.proxy.served.clear()
    bad(host, answer)
    with pytest.raises(ReleaseFailed, match=f"failed in phase watch: at 10% of the requests: .*{reason}"):
        host.release(canary(document, "2")).present(False)
    assert shares(host) == ["10.00%", "all"]
    assert host.servers() == ["t-web-1", "t-web-2"]
    assert host.docker.names("running") == ["t-db-1", "t-web-1", "t-web-2", "t-worker-1"]
    record = host.records().history()[-1]
    assert (record["outcome"], record["phase"]) == ("failed", "watch")
    assert record["steps"][0]["services"]["web"]["new"]["answers"] > 0


def test_what_a_returned_canary_was_asked_is_answered_by_it(host: Any, document: Document) -> None:
    host.release(canary(document, "1")).present(False)
    bad(host, lambda server: Answer(server, 500, 0.05))
    host.docker.calls.clear()
    host.proxy.drains_until = host.clock.now + 8
    with pytest.raises(ReleaseFailed):
        host.release(canary(document, "2")).present(False)
    assert host.clock.now >= host.proxy.drains_until
    calls = [call for call in host.docker.calls if "t-web-3" in call and call.split()[0] in ("stop", "remove")]
    assert calls == ["stop t-web-3 10", "remove t-web-3"]


def test_an_old_container_that_gets_another_address_is_followed_during_a_share(host: Any, document: Document) -> None:
    host.release(canary(document, "1")).present(False)
    work = host.release(canary(document, "2"))
    watch = work.engine.watch

    def move(*arguments: Any) -> None:
        entry = next(entry for entry in host.docker.there.values() if entry["Name"] == "/t-web-1")
        for network in entry["NetworkSettings"]["Networks"].values():
            network["IPAddress"] = network["IPAddress"].replace("10.0.", "10.9.")
        watch(*arguments)

    work.engine.watch = move
    work.present(False)
    assert any("server 10.9." in files[HTTP] for files in host.proxy.served)


def test_an_interrupted_canary_begins_with_its_first_step_again(host: Any, document: Document) -> None:
    host.release(canary(document, "1")).present(False)
    work = host.release(canary(document, "2"))

    class Killed(BaseException):
        pass

    def die(*arguments: Any) -> None:
        raise Killed

    work.engine.watch = work.engine.undo = die
    with pytest.raises(Killed):
        work.present(False)
    journal = json.loads((host.directory / "var/t/journal.json").read_text())
    assert (journal["share"], journal["switched"]) == (0.1, True)
    host.proxy.served.clear()
    host.release(canary(document, "2")).present(False)
    assert shares(host) == ["all", "10.00%", "50.00%", "all"]
    assert host.docker.names("running") == ["t-db-1", "t-web-3", "t-web-4", "t-worker-2"]


def test_testers_alone_meet_a_share_of_nothing(host: Any, document: Document) -> None:
    host.release(canary(document, "1")).present(False)
    host.proxy.served.clear()
    found = canary(document, "2")
    steps = [{"percent": 0, "for": "20s"}]
    found["services"]["web"]["x-slipway"]["canary"] = {"steps": steps, "cookie": "beta=yes"}
    host.release(found).present(False)
    assert "map $cookie_beta" in host.proxy.served[0][HTTP]
    assert "split_clients" not in "".join(files[HTTP] for files in host.proxy.served)


def test_the_old_colour_stands_and_going_back_starts_nothing(host: Any, document: Document) -> None:
    host.release(blue_green(document, "1")).present(False)
    outcome = host.release(blue_green(document, "2")).present(False)
    assert "blue-green: all at once, the old colour stands 600 s more" in "\n".join(outcome.plan)
    assert host.docker.names("running") == ["t-db-1", "t-web-1", "t-web-2", "t-web-3", "t-web-4", "t-worker-2"]
    assert host.servers() == ["t-web-3", "t-web-4"]
    assert host.release(blue_green(document, "2")).present(False).changed is False
    host.docker.calls.clear()
    work, _target = host.rollback()
    outcome = work.present(False)
    assert "web: remove (the colour before still stands, so nothing is started)" in "\n".join(outcome.plan)
    assert not [call for call in host.docker.calls if call.startswith(("create t-web", "start t-web"))]
    assert host.servers() == ["t-web-1", "t-web-2"]
    assert host.docker.names("running") == ["t-db-1", "t-web-1", "t-web-2", "t-worker-1"]
    assert host.records().standing() == {}


def test_the_next_release_ends_the_colour_before_the_old_one(host: Any, document: Document) -> None:
    for version in ("1", "2", "3"):
        host.release(blue_green(document, version)).present(False)
    running = [name for name in host.docker.names("running") if "web" in name]
    assert len(running) == 4
    assert len(host.records().standing()) == 2
    images = {entry["Config"]["Image"] for entry in host.docker.there.values() if "web" in entry["Name"]}
    assert images == {"web:2", "web:3"}


def test_a_colour_whose_time_is_over_goes(host: Any, document: Document, monkeypatch: pytest.MonkeyPatch) -> None:
    for version in ("1", "2"):
        host.release(blue_green(document, version)).present(False)
    places = host.places()
    assert retire("t", host.docker, places) == []
    standing = host.records().standing()
    host.records().write_standing({key: until - 601 for key, until in standing.items()})
    assert retire("t", host.docker, places) == ["t-web-1", "t-web-2"]
    assert host.docker.names("running") == ["t-db-1", "t-web-3", "t-web-4", "t-worker-2"]
    assert host.records().standing() == {}
    assert host.release(blue_green(document, "2")).present(False).changed is False


def test_nobody_ends_a_colour_while_a_job_holds_the_stack(host: Any, document: Document) -> None:
    for version in ("1", "2"):
        host.release(blue_green(document, version)).present(False)
    host.records().write_standing(dict.fromkeys(host.records().standing(), 1.0))
    with host.lease():
        assert retire("t", host.docker, host.places()) == []
    assert len(host.records().standing()) == 2


def recreate(document: Document, version: str) -> dict[str, Any]:
    found = document(version, stop_grace_period="3s")
    found["services"]["web"]["x-slipway"]["strategy"] = "recreate"
    found["services"]["worker"]["x-slipway"] = {"strategy": "recreate"}
    return found


def test_recreate_stops_all_of_the_old_before_the_migration(host: Any, document: Document) -> None:
    host.release(recreate(document, "1")).present(False)
    host.docker.calls.clear()
    outcome = host.release(recreate(document, "2")).present(False)
    calls = [call.split()[0] + " " + call.split()[1] for call in host.docker.calls]
    migration = next(index for index, call in enumerate(calls) if call.startswith("create t-web-migrate"))
    stopped = [call for call in calls[:migration] if call.startswith("stop")]
    assert stopped == ["stop t-worker-1", "stop t-web-1", "stop t-web-2"]
    assert "gap: up to about" in "\n".join(outcome.plan)
    assert host.servers() == ["t-web-3", "t-web-4"]


def test_a_recreate_that_fails_brings_the_old_back(host: Any, document: Document) -> None:
    host.release(recreate(document, "1")).present(False)
    with pytest.raises(ReleaseFailed, match="failed in phase migrate"):
        host.release(recreate(document, "badmigration")).present(False)
    assert host.docker.names("running") == ["t-db-1", "t-web-1", "t-web-2", "t-worker-1"]
    assert host.servers() == ["t-web-1", "t-web-2"]


def test_a_version_that_turns_bad_after_the_gate_is_taken_back(host: Any, document: Document) -> None:
    """`update_config.monitor` makes it so: 30 s of good answers, then nothing but errors."""
    watched = {"replicas": 2, "update_config": {"monitor": "60s"}}
    host.release(document("1", deploy=watched)).present(False)
    begun = host.clock.now
    bad(host, lambda server: Answer(server, 200 if host.clock.now - begun < 35 else 500, 0.05))
    with pytest.raises(ReleaseFailed, match=r"failed in phase watch: services\.web: .* requests got an error of 500"):
        host.release(document("2", deploy=watched)).present(False)
    assert host.servers() == ["t-web-1", "t-web-2"]
    assert host.records().history()[-1]["outcome"] == "failed"


def test_the_records_know_what_stands(host: Any) -> None:
    records = host.records()
    assert records.standing() == {}
    records.write_standing({"id-001": 12.5})
    assert records.standing() == {"id-001": 12.5}
    records.write_standing({})
    assert not (host.directory / "var/t/standing.json").exists()
