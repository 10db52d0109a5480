# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images before a release: which exactly, whether the disk has room, whose signature they carry; then the pull.

A layer takes its compressed size while it is fetched, and unpacked about three times as much: `FACTOR` is both.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ansible_collections.slipway.ops.plugins.module_utils._docker.prune import size_text
from ansible_collections.slipway.ops.plugins.module_utils._release.engine import EngineError
from ansible_collections.slipway.ops.plugins.module_utils._release.reference import Reference
from ansible_collections.slipway.ops.plugins.module_utils._release.registry import Manifest

FACTOR = 4.0
FLOOR_MIB = 1024
ATTEMPTS = 4
FIRST_PAUSE_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 15.0
SAY_EVERY_SECONDS = 1.0

_PASSING = (
    "timeout",
    "timed out",
    "deadline exceeded",
    "connection reset",
    "connection refused",
    "temporary failure",
    "unexpected eof",
    ": eof",
    "broken pipe",
    "toomanyrequests",
    "too many requests",
    "bad gateway",
    "service unavailable",
    "gateway time-out",
    "internal server error",
    "server misbehaving",
    "network is unreachable",
    "no route to host",
)


class Gateway(Protocol):
    """What is asked of the engine."""

    def image(self, reference: str) -> dict[str, Any] | None: ...
    def distribution(self, reference: str) -> str: ...
    def pull(self, reference: str, say: Callable[[Mapping[str, Any]], None] | None = None) -> None: ...
    def tag(self, image: str, reference: str) -> None: ...
    def layer_chains(self) -> list[tuple[str, ...]]: ...
    def free_bytes(self) -> int: ...


class Clock(Protocol):
    def monotonic(self) -> float: ...
    def sleep(self, seconds: float, /) -> None: ...


@dataclass(frozen=True)
class Room:
    """How much of the disk must stay free beside what is pulled."""

    floor_mib: int = FLOOR_MIB
    factor: float = FACTOR


@dataclass(frozen=True)
class Wanted:
    """An image to bring here. `digest` is empty where no registry could say it, `size` None where it is not known."""

    reference: str
    digest: str = ""
    size: int | None = None

    @property
    def source(self) -> str:
        """What is pulled: never a tag that may mean another image a moment later, where its digest is known."""
        return Reference.parse(self.reference).at(self.digest) if self.digest else self.reference

    @property
    def line(self) -> str:
        told = [self.digest] if self.digest and self.digest not in self.reference else []
        told += [size_text(self.size)] if self.size is not None else []
        return f"{self.reference}{' (' + ', '.join(told) + ')' if told else ''}"


@dataclass
class Download:
    """One pull, from the engine's own events."""

    reference: str
    done: dict[str, int]
    total: dict[str, int]

    def add(self, event: Mapping[str, Any]) -> bool:
        """Take an event; True when it says how far a download is."""
        detail = event.get("progressDetail") or {}
        layer, status = str(event.get("id", "")), str(event.get("status", ""))
        if status == "Downloading" and detail.get("total"):
            self.done[layer], self.total[layer] = int(detail.get("current") or 0), int(detail["total"])
            return True
        if status == "Download complete" and layer in self.total:
            self.done[layer] = self.total[layer]
            return True
        return False

    @property
    def line(self) -> str:
        return f"{self.reference}: {size_text(sum(self.done.values()))} of {size_text(sum(self.total.values()))}"


def silent(_line: str) -> None:
    """Nobody listens."""


def unchecked(_reference: str, _digest: str) -> None:
    """No image needs a signature."""


@dataclass(frozen=True)
class Settled:
    """What names stand for, and what was fetched for that."""

    digests: Mapping[str, str]
    pulled: tuple[str, ...] = ()


def settle(
    gateway: Gateway, images: Images, names: Iterable[str], digests: Mapping[str, str], pull: bool, check: bool
) -> Settled:
    """Have the images here by the digests that are settled before or looked up now; one that only is here stays."""
    wanted = images.look_up(names, digests, sizes=check)
    # A name without a digest that is here was built or loaded on this host.
    missing = [each for each in wanted if not (gateway.image(each.source) and _names(gateway, each))]
    if pull and not check:
        images.check(each.reference for each in wanted if each not in missing)
        images.bring([each.reference for each in missing], {each.reference: each.digest for each in missing})
    return Settled(
        {each.reference: each.digest for each in wanted}, tuple(each.line for each in missing) if pull else ()
    )


def _names(gateway: Gateway, wanted: Wanted) -> bool:
    """Whether the name itself stands for the wanted image here."""
    named, source = gateway.image(wanted.reference), gateway.image(wanted.source)
    return named is not None and source is not None and named["Id"] == source["Id"]


def missing_bytes(manifest: Manifest, chains: Iterable[Sequence[str]]) -> int:
    """How much of it must be fetched: the engine has layers that another image begins with in the same order."""
    contents = [layer.content for layer in manifest.layers]
    shared = 0
    for chain in chains:
        same = 0
        while same < min(len(chain), len(contents)) and chain[same] == contents[same]:
            same += 1
        shared = max(shared, same)
    return sum(layer.bytes for layer in manifest.layers[shared:])


def needed_bytes(wanted: Iterable[Wanted], room: Room) -> int:
    return int(sum(each.size or 0 for each in wanted) * room.factor) + room.floor_mib * 1024**2


def refusal(wanted: Sequence[Wanted], room: Room, free: int, prunable: int) -> str:
    """Why the disk has no room, in one line."""
    need = needed_bytes(wanted, room)
    known = sum(each.size or 0 for each in wanted)
    unknown = [each.reference for each in wanted if each.size is None]
    parts = [f"{size_text(known)} to fetch, times {room.factor:g} for it unpacked"] if known else []
    parts.append(f"{size_text(room.floor_mib * 1024**2)} to stay free")
    parts += [f"and the size of {', '.join(unknown)} is not known"] if unknown else []
    names = ", ".join(each.reference for each in wanted)
    return (
        f"no room for {names}: {size_text(need)} are needed ({'; '.join(parts)}) and {size_text(free)} are free where "
        f"the engine keeps images; {size_text(prunable)} of images and build cache are needed by no release and "
        "would go by slipway prune with a smaller docker_disk_budget_*; else the disk must grow"
    )


def is_passing(message: str) -> bool:
    """Whether the same request may well succeed a moment later."""
    text = message.lower()
    return any(sign in text for sign in _PASSING) and "no space left" not in text


class Images:
    """Brings images to this host by their digests."""

    def __init__(
        self,
        gateway: Gateway,
        manifest: Callable[[str], Manifest | None],
        clock: Clock,
        room: Room,
        prunable: Callable[[], int] = int,
        verify: Callable[[str, str], None] = unchecked,
        say: Callable[[str], None] = silent,
    ) -> None:
        self._gateway = gateway
        self._manifest = manifest
        self._clock = clock
        self._room = room
        self._prunable = prunable
        self._verify = verify
        self._say = say

    def look_up(self, references: Iterable[str], digests: Mapping[str, str], sizes: bool = True) -> list[Wanted]:
        """What would have to be fetched, as the registries see it now. `digests` are known already."""
        chains = self._gateway.layer_chains() if sizes else []
        return [self._look_up(each, digests.get(each, ""), chains, sizes) for each in dict.fromkeys(references)]

    def _look_up(self, reference: str, digest: str, chains: list[tuple[str, ...]], sizes: bool) -> Wanted:
        digest = digest or Reference.parse(reference).digest
        if not digest:
            # The engine asks with its own mirrors, certificates and proxy; where it may not look, the pull will tell.
            with contextlib.suppress(EngineError):
                digest = self._gateway.distribution(reference)
        wanted = Wanted(reference, digest)
        here = self._gateway.image(wanted.source) if digest else None
        if here is not None:
            return Wanted(reference, digest, 0)
        manifest = self._manifest(wanted.source) if sizes else None
        return Wanted(reference, digest, None if manifest is None else missing_bytes(manifest, chains))

    def bring(self, references: Iterable[str], digests: Mapping[str, str]) -> dict[str, str]:
        """Pull each by its digest and give it its name; returns the digests. Refuses before the first pull."""
        wanted = self.look_up(references, digests)
        missing = [each for each in wanted if each.size != 0]
        free = self._gateway.free_bytes() if missing else 0
        if missing and free < needed_bytes(missing, self._room):
            raise EngineError(refusal(missing, self._room, free, self._prunable()))
        for each in wanted:
            self._verify(each.reference, each.digest)
        try:
            for each in wanted:
                self._pull(each)
        finally:
            self._say("")
        return {each.reference: each.digest for each in wanted}

    def check(self, references: Iterable[str]) -> None:
        """The signatures of images that are here already."""
        for reference in dict.fromkeys(references):
            self._verify(reference, self._digest_here(reference))

    def _digest_here(self, reference: str) -> str:
        familiar = Reference.parse(reference).familiar
        known = (Reference.parse(each) for each in (self._gateway.image(reference) or {}).get("RepoDigests") or [])
        return next((each.digest for each in known if each.familiar == familiar), "")

    def _pull(self, wanted: Wanted) -> None:
        # A digest that is here already needs no registry, which may be away.
        if not wanted.digest or self._gateway.image(wanted.source) is None:
            self._patiently(lambda: self._fetch(wanted.source))
        image = self._gateway.image(wanted.source)
        if image is None:
            raise EngineError(f"pull {wanted.reference}: the engine has no such image after the pull; check the name")
        if wanted.digest and "@" not in wanted.reference:
            self._gateway.tag(image["Id"], wanted.reference)

    def _fetch(self, source: str) -> None:
        download = Download(source, {}, {})
        said = self._clock.monotonic()

        def hear(event: Mapping[str, Any]) -> None:
            nonlocal said
            if download.add(event) and self._clock.monotonic() - said >= SAY_EVERY_SECONDS:
                said = self._clock.monotonic()
                self._say(download.line)

        self._say(f"{source}: begins")
        self._gateway.pull(source, hear)

    def _patiently(self, ask: Callable[[], None]) -> None:
        pause, attempt = FIRST_PAUSE_SECONDS, 1
        while True:
            try:
                return ask()
            except EngineError as error:
                if attempt == ATTEMPTS or not is_passing(str(error)):
                    tries = f" ({attempt} attempts)" if attempt > 1 else ""
                    raise EngineError(f"{error}{tries}") from error
            self._clock.sleep(pause)
            pause, attempt = min(pause * 2, LONGEST_PAUSE_SECONDS), attempt + 1
