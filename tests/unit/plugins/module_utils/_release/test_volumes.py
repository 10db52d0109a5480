"""Volumes with data that a new version would leave behind, and the point before a migration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._release.plan import PlanError
from ansible_collections.slipway.ops.plugins.module_utils._release.release import Policy, ReleaseFailed

Document = Callable[..., dict[str, Any]]


def renamed(found: dict[str, Any]) -> None:
    found["services"]["db"]["volumes"] = ["other:/data"]
    found["volumes"] = {"other": {}}


def dropped(found: dict[str, Any]) -> None:
    found["services"]["db"]["volumes"] = []


def bound(found: dict[str, Any]) -> None:
    found["services"]["db"]["volumes"] = ["/srv/data:/data"]


def covered(found: dict[str, Any]) -> None:
    found["services"]["db"]["tmpfs"] = ["/data/base"]


def removed(found: dict[str, Any]) -> None:
    del found["services"]["db"]
    del found["services"]["web"]["depends_on"]
    del found["services"]["worker"]["depends_on"]


LOSSES = [
    (renamed, "services.db.volumes: /data gets the volume t_other instead, and the volume t_data holds data"),
    (dropped, "services.db.volumes: nothing is mounted at /data any more, and the volume t_data holds data"),
    (bound, "services.db.volumes: /data gets the bind /srv/data instead"),
    (covered, "services.db.volumes: a new mount at /data/base covers a part of /data"),
    (removed, "services.db: the service is not in the Compose file any more, and the volume t_data holds data"),
]


@pytest.mark.parametrize(("change", "reason"), LOSSES)
def test_data_is_not_left_behind_unasked(
    host: Any, document: Document, change: Callable[[dict[str, Any]], None], reason: str
) -> None:
    host.release(document()).present(check=False)
    host.docker.full = {"t_data"}
    host.docker.calls.clear()
    found = document()
    change(found)
    for check in (True, False):
        with pytest.raises(PlanError) as caught:
            host.release(found).present(check=check)
        assert str(caught.value).startswith(reason)
        assert "stack_confirmed_volumes" in str(caught.value)
    assert host.docker.calls == []


@pytest.mark.parametrize(("change", "_reason"), LOSSES)
def test_an_empty_volume_may_go(
    host: Any, document: Document, change: Callable[[dict[str, Any]], None], _reason: str
) -> None:
    host.release(document()).present(check=False)
    found = document()
    change(found)
    assert host.release(found).present(check=True).changed


def test_a_renamed_service_keeps_its_volume(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    host.docker.full = {"t_data"}
    found = document()
    found["services"]["database"] = found["services"].pop("db")
    found["services"]["web"]["depends_on"] = ["database"]
    found["services"]["worker"]["depends_on"] = ["database"]
    assert host.release(found).present(check=True).changed


@pytest.mark.parametrize(("age", "says"), [(None, "there is none"), (90_000.0, "the newest is 25.0 h old")])
def test_a_confirmed_loss_needs_a_fresh_point(host: Any, document: Document, age: float | None, says: str) -> None:
    host.release(document()).present(check=False)
    host.docker.full = {"t_data"}
    host.policy = Policy(confirmed_volumes=("t_data",))
    host.points.age = age
    found = document()
    dropped(found)
    with pytest.raises(PlanError, match=f"younger than 24 h, {says}; run: slipway backup run --stack t"):
        host.release(found).present(check=False)
    host.points.age = 3600.0
    assert host.release(found).present(check=False).changed
    assert host.docker.vols == ["t_data"]


def test_a_point_is_made_before_a_migration(host: Any, document: Document) -> None:
    host.points.set_up = True
    host.release(document()).present(check=False)
    assert "recovery point" not in host.docker.calls
    outcome = host.release(document("2")).present(check=False)
    assert "make a recovery point, because a migration is pending" in outcome.plan
    assert host.docker.calls.index("recovery point") < host.docker.calls.index("start t-web-migrate-2")
    assert host.records().history()[-1]["recovery_point"] == "20260101T000000Z"


def test_without_its_point_nothing_is_migrated(host: Any, document: Document) -> None:
    host.points.set_up = True
    host.release(document()).present(check=False)
    host.points.broken = "the repository is full"
    with pytest.raises(ReleaseFailed, match="failed in phase recovery point: the repository is full; the old version"):
        host.release(document("2")).present(check=False)
    assert not any("migrate-2" in call for call in host.docker.calls)


@pytest.mark.parametrize("policy", [Policy(recovery_point=False), Policy()])
def test_no_point_where_none_is_wanted_or_possible(host: Any, document: Document, policy: Policy) -> None:
    host.points.set_up = not policy.recovery_point
    host.policy = policy
    host.release(document()).present(check=False)
    host.release(document("2")).present(check=False)
    assert "recovery point" not in host.docker.calls
