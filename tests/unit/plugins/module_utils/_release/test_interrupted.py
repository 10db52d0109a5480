"""What a release that died leaves, and what the next one, which may fail as well, makes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._lease.lease import LeaseLost
from ansible_collections.slipway.ops.plugins.module_utils._proxy.sync import sync
from ansible_collections.slipway.ops.plugins.module_utils._release.docker_gateway import EngineMissing
from ansible_collections.slipway.ops.plugins.module_utils._release.engine import EngineError
from ansible_collections.slipway.ops.plugins.module_utils._release.release import ReleaseFailed
from ansible_collections.slipway.ops.plugins.module_utils._release.rollback import RollbackRefused
from ansible_collections.slipway.ops.plugins.module_utils._stack.derived import without_elsewhere
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Stack

Document = Callable[..., dict[str, Any]]
FIRST = ["t-db-1", "t-web-1", "t-web-2", "t-worker-1"]


def die(*_arguments: Any, **_named: Any) -> None:
    raise LeaseLost("killed")


def killed(host: Any, document: dict[str, Any], call: str) -> None:
    """A release whose process dies at this call of the engine."""
    release = host.release(document)
    host.docker.fail_on = {call: "killed"}
    release._give_up = die
    with pytest.raises(LeaseLost):
        release.present(check=False)
    host.docker.fail_on = {}
    host.docker.calls.clear()


def killed_at(host: Any, document: Any, method: str) -> None:
    """A release whose process dies when this method of the engine is called."""
    release = host.release(document)
    release._give_up = die
    setattr(release.engine, method, die)
    with pytest.raises(LeaseLost):
        release.present(check=False)
    host.docker.calls.clear()


def with_database(document: dict[str, Any], image: str) -> dict[str, Any]:
    document["services"]["db"].update(image=image, environment={"IMAGE": image})
    return document


def running(host: Any, service: str) -> list[str]:
    return [name for name in host.docker.names("running") if name.startswith(f"t-{service}-")]


def test_of_two_databases_the_one_before_comes_back_alone(host: Any, document: Document) -> None:
    """The first run died with the new database up; the second keeps that, fails, and takes both back."""
    host.release(document()).present(check=False)
    broken = with_database(document("2unhealthy"), "db:2")
    killed(host, broken, "start t-web-4")
    assert running(host, "db") == ["t-db-2"]
    with pytest.raises(ReleaseFailed, match="the old version serves on"):
        host.release(broken).present(check=False)
    assert host.docker.names() == FIRST
    assert host.docker.names("running") == FIRST
    assert host.servers() == ["t-web-1", "t-web-2"]
    assert host.records().journal() is None


def test_a_release_killed_after_its_switch_goes_back_whole_when_the_next_fails(
    host: Any, document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.release(document()).present(check=False)
    first = host.release(with_database(document("2"), "db:2"))
    monkeypatch.setattr(first, "_give_up", die)
    monkeypatch.setattr(first.engine, "watch", die)
    with pytest.raises(LeaseLost):
        first.present(check=False)
    assert host.servers() == ["t-web-3", "t-web-4"]
    second = with_database(document("2"), "db:2")
    second["services"]["worker"].update(image="web:3unhealthy", healthcheck={"test": ["CMD", "true"]})
    with pytest.raises(ReleaseFailed, match="the old version serves on"):
        host.release(second).present(check=False)
    assert host.docker.names("running") == FIRST
    assert host.servers() == ["t-web-1", "t-web-2"]


def test_what_had_made_room_stays_up_when_the_next_run_fails(host: Any, document: Document) -> None:
    """The first run died between the old database's end and the new one's start; the next wants the old one."""
    host.release(document()).present(check=False)
    killed(host, with_database(document("2"), "db:2"), "create t-db-2")
    assert running(host, "db") == []
    other = document()
    other["services"]["web"]["image"] = "web:9unhealthy"
    with pytest.raises(ReleaseFailed, match="the old version serves on"):
        host.release(other).present(check=False)
    assert host.docker.names("running") == FIRST


def test_what_made_room_is_back_before_a_pull_that_may_fail(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    killed(host, with_database(document("2"), "db:2"), "start t-web-4")
    third = with_database(document("3"), "db:3")
    host.docker.fail_on = {"pull web:3": "registry away", "pull web@": "registry away"}
    with pytest.raises(ReleaseFailed, match="the old version serves on"):
        host.release(third).present(check=False)
    assert host.docker.names("running") == FIRST
    assert host.docker.calls.index("stop t-db-2 60") < host.docker.calls.index("remove t-db-2")


def test_a_store_that_took_writes_ends_with_its_grace(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    host.docker.calls.clear()
    with pytest.raises(ReleaseFailed):
        host.release(with_database(document("2unhealthy"), "db:2")).present(check=False)
    mine = [call for call in host.docker.calls if "t-db-" in call]
    assert mine[-3:] == ["stop t-db-2 60", "remove t-db-2", "start t-db-1"]


def test_a_renamed_store_never_writes_beside_its_successor(host: Any, document: Document) -> None:
    def renamed(version: str) -> dict[str, Any]:
        other = document(version)
        services = other["services"]
        services["postgres"] = services.pop("db")
        services["web"]["depends_on"] = {"postgres": {"condition": "service_healthy"}}
        services["worker"]["depends_on"] = ["postgres"]
        return other

    host.release(document()).present(check=False)
    host.docker.full.add("t_data")
    host.docker.calls.clear()
    with pytest.raises(ReleaseFailed, match="the old version serves on"):
        host.release(renamed("2unhealthy")).present(check=False)
    assert host.docker.names("running") == FIRST
    host.docker.calls.clear()
    outcome = host.release(renamed("1")).present(check=False)
    assert any("stops before postgres starts, which takes t_data" in line for line in outcome.plan)
    assert host.docker.calls.index("stop t-db-1 60") < host.docker.calls.index("create t-postgres-1")
    assert running(host, "db") == []


def test_nobody_is_sent_to_what_a_dead_release_was_ending(
    host: Any, document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.release(document()).present(check=False)
    release = host.release(document("2"))
    monkeypatch.setattr(release, "_give_up", die)
    monkeypatch.setattr(release.engine, "dismiss", die)
    with pytest.raises(LeaseLost):
        release.present(check=False)
    sync(host.docker, host.places(), host.proxy)
    assert host.servers() == ["t-web-3", "t-web-4"]


def test_nobody_is_sent_to_what_a_dead_release_had_not_switched_to(host: Any, document: Document) -> None:
    moving = document(pull_policy="always")
    host.release(moving).present(check=False)
    host.docker.registry["web:1"] = "sha256:other"
    killed(host, moving, "start t-web-4")
    host.clock.now += 5
    sync(host.docker, host.places(), host.proxy)
    assert host.servers() == ["t-web-1", "t-web-2"]


def test_addresses_are_followed_while_a_backup_holds_the_lease(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    network = next(each for each in host.docker.there.values() if each["Name"] == "/t-web-1")["NetworkSettings"]
    network["Networks"] = {name: {"IPAddress": "10.9.9.9"} for name in network["Networks"]}
    with host.lease():
        assert sync(host.docker, host.places(), host.proxy)["t"].startswith("held by tester")
    with host.lease(steers=False):
        assert sync(host.docker, host.places(), host.proxy) == {"t": "changed"}


def test_a_stack_is_not_forgotten_while_the_engine_is_down(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    host.connected = False
    with pytest.raises(EngineMissing):
        host.release(document()).absent(check=False)
    assert host.records().model() is not None


def test_after_a_release_that_was_never_good_the_last_good_one_comes_back(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    host.release(document("2")).present(check=False)
    host.docker.exit_codes["clear"] = 4
    with pytest.raises(ReleaseFailed, match="the release is live"):
        host.release(document("3")).present(check=False)
    _release, target = host.rollback()
    assert (target.kept.release, target.current) == (2, 3)


def test_a_release_whose_end_could_not_be_seen_is_recorded_by_the_next_run(
    host: Any, document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.release(document()).present(check=False)
    host.release(document("2")).present(check=False)
    third = host.release(document("3"))

    def refuse(*_arguments: Any) -> None:
        raise EngineError("the engine does not answer")

    monkeypatch.setattr(third.engine, "settle", refuse)
    with pytest.raises(ReleaseFailed, match="does not run as asked"):
        third.present(check=False)
    outcome = host.release(document("3")).present(check=False)
    assert (outcome.changed, outcome.release) == (True, 3)
    assert not host.release(document("3")).present(check=False).changed
    _release, target = host.rollback()
    assert (target.kept.release, target.current) == (2, 3)


def test_commands_that_are_still_to_run_run_with_whatever_moves_next(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    host.docker.exit_codes["clear"] = 4
    with pytest.raises(ReleaseFailed):
        host.release(document("2")).present(check=False)
    host.docker.exit_codes.clear()
    host.docker.calls.clear()
    next_one = document("2")
    next_one["services"]["worker"]["environment"] = {"A": "b"}
    host.release(next_one).present(check=False)
    assert [call for call in host.docker.calls if call.startswith("exec")] != []


def test_the_way_back_does_not_run_twice_what_runs_exactly_once(host: Any, document: Document) -> None:
    def placed(version: str, elsewhere: dict[str, str]) -> Stack:
        one = document(version)
        one["services"]["worker"]["x-slipway"] = {"single": True}
        return Stack(without_elsewhere(host.stack(one).plain, elsewhere))

    host.release(placed("1", {})).present(check=False)
    host.release(placed("2", {"worker": "other-host"})).present(check=False)
    with pytest.raises(RollbackRefused, match="has what runs exactly once on other hosts than release 2"):
        host.rollback()


def with_broken_worker(document: dict[str, Any]) -> dict[str, Any]:
    document["services"]["worker"].update(image="web:3unhealthy", healthcheck={"test": ["CMD", "true"]})
    return document


def with_steps(document: dict[str, Any]) -> dict[str, Any]:
    steps = [{"percent": 10, "for": "20s"}, {"percent": 50, "for": "20s"}]
    document["services"]["web"]["x-slipway"].update(strategy="canary", canary={"steps": steps})
    return document


def commands_run(host: Any) -> list[str]:
    return [call for call in host.docker.calls if call.startswith("exec")]


def test_one_port_is_never_wanted_by_two_databases(host: Any, document: Document) -> None:
    """The new version died in its end, the old one was asked for again and failed: the new one serves on, whole."""
    host.release(document()).present(check=False)
    killed_at(host, with_database(document("2"), "db:2"), "dismiss")
    start = host.docker.start

    def starting(container: str, name: str) -> None:
        if "-db-" in name and running(host, "db"):
            raise EngineError(f"container {name}: port is already allocated")
        start(container, name)

    host.docker.start = starting
    with pytest.raises(ReleaseFailed, match="the old version serves on"):
        host.release(with_broken_worker(document())).present(check=False)
    assert running(host, "db") == ["t-db-2"]
    assert host.servers() == ["t-web-3", "t-web-4"]


def test_what_serves_after_a_death_in_the_end_is_what_nginx_follows(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    killed_at(host, with_database(document("2"), "db:2"), "dismiss")
    with pytest.raises(ReleaseFailed):
        host.release(with_database(document("3unhealthy"), "db:2")).present(check=False)
    sync(host.docker, host.places(), host.proxy)
    assert host.servers() == ["t-web-3", "t-web-4"]
    assert host.records().model()["services"]["web"]["image"] == "web:2"


def test_what_never_became_healthy_is_not_sent_to_by_the_next_run(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    first = host.release(document("2unhealthy"))
    first._give_up = die
    host.clock.sleeping = die
    with pytest.raises(LeaseLost):
        first.present(check=False)
    host.clock.sleeping = lambda: None
    with pytest.raises(ReleaseFailed, match="the old version serves on"):
        host.release(document("2unhealthy")).present(check=False)
    assert host.servers() == ["t-web-1", "t-web-2"]


def test_what_the_engine_has_just_started_again_passes_the_gate_first(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    for each in host.docker.there.values():
        if each["Name"] == "/t-web-1":
            each["State"]["Health"] = {"Status": "starting"}
    host.release(with_database(document(), "db:2")).present(check=False)
    assert host.servers() == ["t-web-1", "t-web-2"]


def test_the_way_back_starts_nothing_that_another_host_runs_by_now(host: Any, document: Document) -> None:
    def placed(version: str, elsewhere: dict[str, str]) -> Stack:
        one = document(version)
        one["services"]["worker"]["x-slipway"] = {"single": True}
        return Stack(without_elsewhere(host.stack(one).plain, elsewhere))

    def gate(barrier: str, _plan: Any) -> None:
        if barrier == "finish":
            raise EngineError("another host failed")

    host.release(placed("1", {})).present(check=False)
    killed(host, placed("2", {}), "create t-worker-2")
    third = host.release(placed("2", {"worker": "other"}))
    third.gate = gate
    with pytest.raises(ReleaseFailed):
        third.present(check=False)
    assert running(host, "worker") == []


@pytest.mark.parametrize("where", ["watch", "dismiss"])
def test_commands_of_a_release_that_died_are_run_by_the_next_run(host: Any, document: Document, where: str) -> None:
    host.release(document()).present(check=False)
    killed_at(host, document("2"), where)
    host.release(document("2")).present(check=False)
    assert commands_run(host)
    assert host.records().history()[-1]["outcome"] == "succeeded"


def test_commands_that_are_owed_outlive_a_release_that_fails(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    host.docker.exit_codes["clear"] = 4
    with pytest.raises(ReleaseFailed):
        host.release(document("2")).present(check=False)
    host.docker.exit_codes.clear()
    with pytest.raises(ReleaseFailed, match="the old version serves on"):
        host.release(document("3unhealthy")).present(check=False)
    killed_at(host, document("3"), "watch")
    host.release(document("2")).present(check=False)
    assert commands_run(host)


@pytest.mark.parametrize("where", ["switch", "_divide"])
def test_a_canary_that_died_begins_with_its_first_step_again(host: Any, document: Document, where: str) -> None:
    def whole(version: str) -> dict[str, Any]:
        found = with_steps(document(version))
        found["services"]["api"] = {
            "image": f"api:{version}",
            "networks": ["outside"],
            "healthcheck": {"test": ["CMD", "true"]},
            "x-slipway": {"strategy": "recreate", "routes": [{"host": "b.example", "port": 80}]},
        }
        return found

    host.release(whole("1")).present(check=False)
    killed_at(host, whole("2"), where)
    host.proxy.served.clear()
    host.release(whole("2")).present(check=False)
    lines = [line for files in host.proxy.served for line in files.get("slipway_t_web_80.conf", "").splitlines()]
    assert any(line.strip().startswith("10") and line.strip().endswith("% 1;") for line in lines)


def test_the_way_back_from_a_release_that_died_in_its_end(host: Any, document: Document) -> None:
    for version in ("1", "2"):
        host.release(document(version)).present(check=False)
    killed_at(host, document("3"), "dismiss")
    _release, target = host.rollback()
    assert (target.kept.release, target.current) == (2, 2)


def test_a_migration_of_a_release_that_died_is_told_on_the_way_back(host: Any, document: Document) -> None:
    host.points.set_up = True
    host.release(document()).present(check=False)
    host.points.age = 1
    killed_at(host, document("2"), "watch")
    host.release(document("2")).present(check=False)
    assert host.rollback()[1].notes


def test_a_store_whose_successor_never_started_is_back_before_the_next_pull(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    killed(host, with_database(document("2"), "db:2"), "start t-db-2")
    host.docker.fail_on = {"pull web:3": "registry away", "pull web@": "registry away"}
    with pytest.raises(ReleaseFailed, match="the old version serves on"):
        host.release(with_database(document("3"), "db:2")).present(check=False)
    assert running(host, "db") == ["t-db-1"]


def test_what_was_made_and_not_written_down_any_more_goes(
    host: Any, document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.release(document()).present(check=False)
    create = host.docker.create

    def creating(name: str, body: dict[str, Any]) -> str:
        made: str = create(name, body)
        if name == "t-db-2":
            raise LeaseLost("killed")
        return made

    first = host.release(with_database(document("2"), "db:2"))
    first._give_up = die
    with monkeypatch.context() as patched:
        patched.setattr(host.docker, "create", creating)
        with pytest.raises(LeaseLost):
            first.present(check=False)
    host.release(with_database(document("2"), "db:2")).present(check=False)
    assert running(host, "db") == ["t-db-2"]


def test_an_old_container_that_cannot_start_any_more_does_not_block_the_next_release(
    host: Any, document: Document
) -> None:
    host.release(document()).present(check=False)
    killed(host, with_database(document("2"), "db:2"), "create t-db-2")
    host.docker.fail_on = {"start t-db-1": "bind source path does not exist"}
    host.release(with_database(document("2"), "db:2")).present(check=False)
    assert running(host, "db") == ["t-db-2"]


def test_nginx_is_told_what_a_dead_release_only_wrote(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    first = host.release(document("2"))
    first._give_up = die

    def dying(wish: dict[str, str]) -> bool:
        host.proxy.files.update({name: text for name, text in wish.items() if text})
        raise LeaseLost("killed between the files and the reload")

    apply, host.proxy.apply = host.proxy.apply, dying
    with pytest.raises(LeaseLost):
        first.present(check=False)
    host.proxy.apply = apply
    host.release(document("2")).present(check=False)
    assert host.proxy.served[-1] == host.proxy.files
