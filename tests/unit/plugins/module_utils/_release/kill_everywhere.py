"""A release is killed at each of its steps that anybody else could see, and another one follows: what must never be."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from ansible_collections.slipway.ops.plugins.module_utils._release.engine import EngineError
from ansible_collections.slipway.ops.plugins.module_utils._release.release import ReleaseFailed

# What a release writes; between two of these, or between one and a call of the engine, it may die.
WRITES = ("write_journal", "clear_journal", "add_history", "write_deployed", "keep_release", "write_standing")
STEPS = [{"percent": 10, "for": "20s"}, {"percent": 50, "for": "20s"}]
SAME, BACK, THIRD, FAILING, FAILING_BACK = "same", "back", "third", "failing", "failing back"
DONE, KILLED, FAILED = "done", "killed", "failed"

Document = dict[str, Any]
Make = Callable[[Document, str], None]


class Killed(BaseException):
    """The process of a release is gone, and so is all that it would have done."""


class Bench(Protocol):
    """One world that lives through a first release, one that is killed, and one that follows."""

    limit: int | None
    problems: list[str]

    def release(self, document: Document) -> bool:
        """Whether it changed anything."""

    def count_from_here(self, limit: int | None) -> None:
        """Dies at this step, counted from here; without one, at none."""

    def between(self) -> None:
        """What happens on the host before anybody runs again."""

    def look(self, ended: str, version: str) -> None:
        """Add what is wrong after the last release, which ended so, to the problems."""


def act(bench: Bench, document: Document, limit: int | None = None) -> tuple[str, str]:
    bench.count_from_here(limit)
    try:
        return DONE, str(bench.release(document))
    except Killed:
        return KILLED, ""
    except ReleaseFailed as error:
        return FAILED, str(error)
    except EngineError as error:
        return "ended by an error of the engine", str(error)
    finally:
        bench.count_from_here(None)


def problems(new_bench: Callable[[int], Bench], document: Callable[[str, bool], Document], follow: str) -> list[str]:
    """Kill the second release at its first step, at its second one..., until it comes to its end."""
    return list(_problems(new_bench, document, follow))


def _problems(
    new_bench: Callable[[int], Bench], document: Callable[[str, bool], Document], follow: str
) -> Iterator[str]:
    next_one = {
        SAME: ("2", False),
        BACK: ("1", False),
        THIRD: ("3", False),
        FAILING: ("3", True),
        FAILING_BACK: ("1", True),
    }[follow]
    for step in itertools.count(1):
        bench = new_bench(step)
        act(bench, document("1", False))
        bench.problems.clear()
        how, _why = act(bench, document("2", False), step)
        if how == DONE:
            return
        bench.between()
        ended, why = act(bench, document(*next_one))
        if ended != (FAILED if next_one[1] else DONE):
            bench.problems.append(f"the next one {ended}: {why}")
        if ended == DONE and act(bench, document(*next_one)) != (DONE, "False"):
            bench.problems.append("the same again changes something")
        bench.look(ended, next_one[0])
        yield from (f"killed at step {step}: {each}" for each in dict.fromkeys(bench.problems))


def versions(images: set[str]) -> set[str]:
    return {image.split("@")[0].rpartition(":")[2] for image in images}


# Stacks: each a change of the plain one, for a version.


def plain(document: Document, version: str) -> None:
    document["services"]["db"].update(image=f"db:{version}", environment={"V": version})


def canary(document: Document, version: str) -> None:
    plain(document, version)
    document["services"]["web"]["x-slipway"].update(strategy="canary", canary={"steps": STEPS})


def blue_green(document: Document, version: str) -> None:
    plain(document, version)
    document["services"]["web"]["x-slipway"].update(strategy="blue-green", keep_old="10m")


def recreate(document: Document, version: str) -> None:
    plain(document, version)
    document["services"]["web"]["x-slipway"].update(strategy="recreate")


def renamed(document: Document, version: str) -> None:
    """From the second version on the store has another name, and takes over the data."""
    plain(document, version)
    if version != "1":
        services = document["services"]
        services["postgres"] = services.pop("db")
        services["web"]["depends_on"] = {"postgres": {"condition": "service_healthy"}}
        if "depends_on" in services["worker"]:
            services["worker"]["depends_on"] = ["postgres"]


def fixed(document: Document, version: str) -> None:
    plain(document, version)
    document["services"]["db"]["container_name"] = "fixed"


def failing(document: Document) -> None:
    document["services"]["worker"].update(image="web:9unhealthy", healthcheck={"test": ["CMD", "true"]})
