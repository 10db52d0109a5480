"""The way back: to which release, with which images, and what it says about data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._release.engine import EngineError
from ansible_collections.slipway.ops.plugins.module_utils._release.release import ReleaseFailed
from ansible_collections.slipway.ops.plugins.module_utils._release.rollback import RollbackRefused

Document = Callable[..., dict[str, Any]]


def images(host: Any) -> dict[str, str]:
    return {entry["Name"][1:]: entry["Image"] for entry in host.docker.there.values()}


@pytest.fixture
def two(host: Any, document: Document) -> Any:
    """A host with release 1 of version 1 and release 2 of version 2."""
    host.release(document("1", environment={"MODE": "old"})).present(check=False)
    host.release(document("2", environment={"MODE": "new"})).present(check=False)
    host.docker.calls.clear()
    return host


def test_back_to_the_last_good_release(two: Any) -> None:
    work, target = two.rollback()
    outcome = work.present(check=False)
    assert (target.current, target.kept.release, outcome.release) == (2, 1, 3)
    assert outcome.changed
    assert set(images(two).values()) == {"sha256:web:1", "sha256:db:1"}
    assert two.records().model()["services"]["web"]["environment"] == {"MODE": "old"}
    assert two.records().model()["services"]["web"]["slipway"]["migrate"] == ["migrate"]
    assert not any("migrate" in call or call.startswith("pull") for call in two.docker.calls)
    record = two.records().history()[-1]
    assert (record["outcome"], record["back_to"], record["migrated"]) == ("succeeded", 1, [])


def test_the_images_are_those_of_then_whatever_the_tags_mean_now(two: Any) -> None:
    two.docker.forget("sha256:web:1")
    two.docker.images["web:1"] = "sha256:moved"
    work, _target = two.rollback()
    outcome = work.present(check=True)
    assert "pull web@sha256:web:1" in outcome.plan
    assert two.docker.images["web:1"] == "sha256:moved"
    work.present(check=False)
    assert [call for call in two.docker.calls if call.startswith(("pull", "tag"))] == [
        "pull web@sha256:web:1",
        "tag sha256:web:1 web:1",
    ]
    assert "sha256:moved" not in images(two).values()


def test_an_image_that_is_nowhere_fails_before_anything_changes(two: Any) -> None:
    two.docker.forget("sha256:web:1")
    two.docker.fail_on = {"pull web@": "not found"}
    before = images(two)
    work, _target = two.rollback()
    with pytest.raises(EngineError, match="not found"):
        work.engine.pin(work.back_to.images)
    with pytest.raises(ReleaseFailed, match="failed in phase pull: not found; the old version serves on"):
        work.present(check=False)
    assert images(two) == before


def test_back_and_back_again_does_not_return_to_what_was_fled(host: Any, document: Document) -> None:
    for version in ("1", "2", "3"):
        host.release(document(version)).present(check=False)
    host.rollback()[0].present(check=False)
    assert host.rollback()[1].kept.release == 1


def test_a_repair_is_no_release_to_go_back_to(two: Any, document: Document) -> None:
    key = next(key for key, entry in two.docker.there.items() if entry["Name"] == "/t-db-1")
    two.docker.stop_all([(key, "t-db-1", 1)])
    two.release(document("2", environment={"MODE": "new"})).present(check=False)
    assert two.records().last_release() == 3
    assert two.rollback()[1].kept.release == 1


def test_it_says_which_migration_stays_and_what_undoes_it(host: Any, document: Document) -> None:
    host.release(document("1")).present(check=False)
    host.points.set_up = True
    host.release(document("2")).present(check=False)
    (note,) = host.rollback()[1].notes
    assert note.startswith("release 2 migrated the data of web, and that stays; to undo it as well: slipway restore")
    assert "--point 20260101T000000Z --confirm t" in note


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (9, "there is no release 9"),
        (2, r"release 2 failed \(services\.web: t-web-3 is unhealthy"),
    ],
)
def test_refusals(host: Any, document: Document, wanted: int, reason: str) -> None:
    host.release(document("1")).present(check=False)
    with pytest.raises(ReleaseFailed):
        host.release(document("unhealthy")).present(check=False)
    with pytest.raises(RollbackRefused, match=reason):
        host.rollback(wanted)


def test_nothing_to_go_back_to(host: Any, document: Document) -> None:
    with pytest.raises(RollbackRefused, match="no release of it succeeded"):
        host.rollback()
    host.release(document("1")).present(check=False)
    with pytest.raises(RollbackRefused, match="no good release before 1 is kept"):
        host.rollback()


def test_a_removed_stack_does_not_come_back_by_accident(two: Any, document: Document) -> None:
    two.release(document("2")).absent(check=False)
    with pytest.raises(RollbackRefused, match="it was removed from this host"):
        two.rollback()


def test_other_routes_are_refused(host: Any, document: Document) -> None:
    host.release(document("1")).present(check=False)
    other = document("2")
    other["services"]["web"]["x-slipway"]["routes"] = [{"host": "b.example", "port": 80}]
    host.release(other).present(check=False)
    with pytest.raises(RollbackRefused, match="release 1 has other routes than release 2"):
        host.rollback()


def test_only_the_newest_releases_are_kept(host: Any, document: Document) -> None:
    for version in range(1, 13):
        host.release(document(str(version))).present(check=False)
    assert host.records().kept_releases() == list(range(12, 2, -1))
    with pytest.raises(RollbackRefused, match="release 1 is not kept any more"):
        host.rollback(1)
