"""What the answers of a load mean: which are failures, which version they may be of, how websockets ended."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from slipway_arena.load import KINDS, SOCKET, Answer

__all__ = ["Answer", "Window", "judge", "percentile"]

EARLY_TOLERANCE_SECONDS = 0.1  # a websocket's end is seen by one process, the switch by another


@dataclass(frozen=True)
class Window:
    """A release: from when to when, and from which version to which. One that is undone ends at the old one."""

    begun: float
    ended: float
    old: str
    new: str
    undone: bool = False


def percentile(values: Iterable[float], part: float) -> float:
    """Nearest rank; 0 without values."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(len(ranked) * part))] if ranked else 0.0


def allowed(windows: Sequence[Window], answer: Answer) -> set[str]:
    """The versions that served at some moment of this request."""
    if not windows:
        return {answer.version}
    serving: set[str] = set()
    current, since = windows[0].old, float("-inf")
    for window in windows:
        until = window.ended if not window.undone else float("inf")
        if answer.begun <= until and answer.ended >= since:
            serving.add(current)
        if answer.begun <= window.ended and answer.ended >= window.begun:
            serving |= {window.old, window.new}
        if not window.undone:
            current, since = window.new, window.begun
    if answer.ended >= since:
        serving.add(current)
    return serving


def switched_at(window: Window, answers: Iterable[Answer]) -> float | None:
    """When the first request was sent that the new version answered: at the switch, but for the time of that answer."""
    found = [
        (each.ended, each.begun)
        for each in answers
        if each.kind != SOCKET and each.version == window.new and window.begun <= each.ended <= window.ended
    ]
    return min(found)[1] if found else None


@dataclass
class Verdict:
    asked: dict[str, int] = field(default_factory=dict)
    repeated: int = 0
    failures: list[Answer] = field(default_factory=list)
    wrong_version: list[Answer] = field(default_factory=list)
    sockets: dict[str, int] = field(default_factory=dict)
    early: list[Answer] = field(default_factory=list)  # websockets that ended without a release or before its limit

    @property
    def lost(self) -> int:
        return len(self.failures) + len(self.wrong_version) + len(self.early)

    def why(self) -> list[str]:
        """One line for each sort of failure."""
        sorts = collections.Counter(f"{each.kind}: {each.failure}" for each in self.failures)
        sorts.update(f"{each.kind}: an answer of version {each.version}" for each in self.wrong_version)
        sorts.update(f"websocket ended too early ({each.end})" for each in self.early)
        return [f"{count} x {what}" for what, count in sorts.most_common()]


def judge(answers: Sequence[Answer], windows: Sequence[Window] = (), drain_seconds: float = 0.0) -> Verdict:
    """`windows` in the order of time. A release may end a websocket once the limit has passed since its switch."""
    verdict = Verdict(asked={kind: sum(each.kind == kind for each in answers) for kind in KINDS})
    verdict.repeated = sum(each.repeated for each in answers)
    verdict.failures = [each for each in answers if each.failure]
    for each in answers:
        if not each.failure and each.kind != SOCKET and each.version not in allowed(windows, each):
            verdict.wrong_version.append(each)
    switches = [(window, switched_at(window, answers)) for window in windows]
    ends: collections.Counter[str] = collections.Counter()
    for each in answers:
        if each.kind != SOCKET or each.failure:
            continue
        ends[each.end] += 1
        if each.end == "ours":
            continue
        times = [at for window, at in switches if at is not None and window.begun <= each.ended <= window.ended + 1]
        if not times or each.ended - max(times) < drain_seconds - EARLY_TOLERANCE_SECONDS:
            verdict.early.append(each)
    verdict.sockets = dict(ends)
    return verdict


def within(answers: Iterable[Answer], spans: Sequence[tuple[float, float]]) -> list[Answer]:
    """Those that began in one of the spans, which are in the order of time."""
    found, index = [], 0
    for each in sorted(answers, key=lambda one: one.begun):
        while index < len(spans) and spans[index][1] < each.begun:
            index += 1
        if index < len(spans) and spans[index][0] <= each.begun:
            found.append(each)
    return found


def times_table(inside: Sequence[Answer], outside: Sequence[Answer]) -> dict[str, Mapping[str, float]]:
    """Kind → median and 99th percentile, in milliseconds, of requests during releases and without."""
    table: dict[str, Mapping[str, float]] = {}
    for kind in KINDS:
        if kind == SOCKET:
            continue
        row = {}
        for name, answers in (("release", inside), ("control", outside)):
            seconds = [each.seconds for each in answers if each.kind == kind and not each.failure]
            row[f"{name}_count"] = float(len(seconds))
            row[f"{name}_p50"] = 1000 * percentile(seconds, 0.5)
            row[f"{name}_p99"] = 1000 * percentile(seconds, 0.99)
        row["ratio"] = row["release_p99"] / row["control_p99"] if row["control_p99"] else 0.0
        table[kind] = row
    return table
