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


def die(*_arguments: Any) -> None:
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
