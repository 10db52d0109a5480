"""The table of all trials, on both releases."""

from __future__ import annotations

import argparse
import concurrent.futures
import sys
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from slipway_lab import hosts, settings
from slipway_lockout import runner
from slipway_lockout.runner import Verdict
from slipway_lockout.stage import Stage
from slipway_lockout.themes import firewall, interruptions, keys, ssh
from slipway_lockout.trial import REFUSED, Theme, Trial

THEMES = (ssh.THEME, firewall.THEME, keys.THEME, interruptions.THEME)
RELEASES = {"trixie": "Debian 13", "bookworm": "Debian 12"}
AT_ONCE = 4


@dataclass(frozen=True)
class Round:
    """The trials of a theme on a release, on a host of their own."""

    release: str
    theme: Theme

    @property
    def title(self) -> str:
        return f"{self.theme.name} on {RELEASES[self.release]}"


def rounds(themes: Iterable[Theme], releases: Iterable[str], quick: bool, only: Sequence[str]) -> list[Round]:
    chosen = [replace(theme, trials=tuple(one for one in theme.trials if _named(one, only))) for theme in themes]
    if quick:
        slice_ = tuple(one for theme in chosen for one in theme.trials if one.quick)
        roles = tuple(dict.fromkeys(role for theme in chosen for role in theme.roles))
        chosen = [Theme("quick", roles, slice_)]
    found = [Round(release, theme) for release in releases for theme in chosen if theme.trials]
    return sorted(found, key=weight, reverse=True)  # the longest first


def _named(trial: Trial, only: Sequence[str]) -> bool:
    return not only or any(words in trial.title for words in only)


def weight(one: Round) -> int:
    """What is refused takes a third of the time that a change and its way back take."""
    return sum(1 if trial.ends == REFUSED else 3 for trial in one.theme.trials)


def held(one: Round, key: str, keep: bool) -> tuple[list[Verdict], str]:
    """Everything of a round; an error that no trial could be blamed for is told with it."""
    stage = Stage(f"lockout-{one.theme.name}-{one.release}", one.release)
    done: list[Verdict] = []
    wrong = ""
    try:
        stage.open()
        for verdict in runner.hold(stage, one.theme, key):
            done.append(verdict)
            tell(verdict)
    except Exception as error:
        wrong = f"{one.title}: {type(error).__name__}: {error}"
    if not keep:
        stage.close()
    return done, wrong


def tell(verdict: Verdict) -> None:
    mark = "FAILED" if verdict.problems else "ok    "
    out = "for good" if verdict.out_seconds is None else f"{verdict.out_seconds:.0f} s"
    print(
        f"  {mark} {RELEASES[verdict.release]}  {verdict.trial.title}: {verdict.ended}, out {out} "
        f"({verdict.took_seconds:.0f} s)",
        flush=True,
    )
    for problem in verdict.problems:
        print(textwrap.indent(problem, "         "), flush=True)


def table(verdicts: Iterable[Verdict]) -> str:
    """As it stands in docs/proofs.md."""
    lines = ["| trial | Debian | ended | out, s | files as before | said |", "|---|---|---|---|---|---|"]
    by_title: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        by_title.setdefault(verdict.trial.title, []).append(verdict)
    for title, found in by_title.items():
        found = sorted(found, key=lambda one: RELEASES[one.release], reverse=True)
        ended = sorted({one.ended for one in found})
        out = ", ".join("for good" if one.out_seconds is None else f"{one.out_seconds:.0f}" for one in found)
        debian = ", ".join(RELEASES[one.release].rpartition(" ")[2] for one in found)
        same = "yes" if all(one.identical for one in found) else "NO"
        lines.append(f"| {title} | {debian} | {', '.join(ended)} | {out} | {same} | {found[0].trial.says} |")
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="prove.py", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one trial of each kind, on Debian 13")
    parser.add_argument("--only", default=[], action="append", help="trials whose title holds this text")
    parser.add_argument("--theme", choices=[theme.name for theme in THEMES], action="append")
    parser.add_argument("--release", choices=list(RELEASES), action="append")
    parser.add_argument("--keep", action="store_true", help="leave the hosts for a look")
    options = parser.parse_args(argv)
    releases = options.release or (["trixie"] if options.quick else list(RELEASES))
    themes = [theme for theme in THEMES if not options.theme or theme.name in options.theme]
    hosts.ensure_key()
    key = settings.KEY.with_suffix(".pub").read_text(encoding="ascii").strip()
    verdicts: list[Verdict] = []
    wrong: list[str] = []
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        waiting = [
            pool.submit(held, one, key, options.keep) for one in rounds(themes, releases, options.quick, options.only)
        ]
        for done in concurrent.futures.as_completed(waiting):
            found, error = done.result()
            verdicts += found
            wrong += [error] if error else []
    order = {trial.title: index for index, trial in enumerate(one for theme in THEMES for one in theme.trials)}
    print(table(sorted(verdicts, key=lambda one: order[one.trial.title])))
    for error in wrong:
        print(f"  FAILED {error}")
    failed = sum(bool(verdict.problems) for verdict in verdicts)
    print(f"{len({one.trial.title for one in verdicts})} trials, {len(verdicts)} held, {failed} failed")
    return 1 if failed or wrong or not verdicts else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
