# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A build context as an archive: what .dockerignore leaves of it, the same bytes for the same files."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import tarfile
from collections.abc import Iterable, Iterator

IGNORE_FILE = ".dockerignore"


class ContextError(Exception):
    """The context cannot be read; one line."""


def _expression(pattern: str) -> re.Pattern[str]:
    """As Docker's client reads it: ** is any number of directories, * and ? stay within one."""
    found = ""
    position = 0
    while position < len(pattern):
        if pattern.startswith("**", position):
            position += 2
            if pattern.startswith("/", position):
                position += 1
                found += "(.*/)?"
            else:
                found += ".*"
            continue
        character = pattern[position]
        position += 1
        if character == "[" and "]" in pattern[position:]:
            end = pattern.index("]", position)
            found += f"[{pattern[position:end]}]"
            position = end + 1
        else:
            found += {"*": "[^/]*", "?": "[^/]"}.get(character, re.escape(character))
    return re.compile(f"{found}(/.*)?")


def ignored(lines: Iterable[str], keep: Iterable[str]) -> tuple[tuple[bool, re.Pattern[str]], ...]:
    """The rules of a .dockerignore, in order; `keep` are files that the build itself needs."""
    rules = []
    for line in lines:
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        out = not text.startswith("!")
        pattern = os.path.normpath(text.lstrip("!").strip().lstrip("/"))
        rules.append((out, _expression(pattern)))
    return (*rules, *((False, re.compile(re.escape(name))) for name in keep))


def is_ignored(path: str, rules: Iterable[tuple[bool, re.Pattern[str]]]) -> bool:
    verdict = False
    for out, expression in rules:
        if expression.fullmatch(path):
            verdict = out
    return verdict


def files(directory: str, dockerfile: str) -> Iterator[str]:
    """Paths inside the context, sorted; links are kept as links."""
    try:
        with open(os.path.join(directory, IGNORE_FILE), encoding="utf-8") as stream:
            rules = ignored(stream, (dockerfile,))
    except FileNotFoundError:
        rules = ()
    for folder, names, entries in os.walk(directory):
        names.sort()
        inside = os.path.relpath(folder, directory)
        prefix = "" if inside == "." else f"{inside}/"
        links = [name for name in names if os.path.islink(os.path.join(folder, name))]
        for name in sorted([*entries, *links]):
            if not is_ignored(prefix + name, rules):
                yield prefix + name


def pack(directory: str, dockerfile: str, inline: str = "") -> tuple[bytes, str]:
    """The archive and a digest of its content. `inline` is the text of the Dockerfile where there is no file of it."""
    if not os.path.isdir(directory):
        raise ContextError(f"{directory}: is no directory; build.context counts from the Compose file")
    if not inline and not os.path.isfile(os.path.join(directory, dockerfile)):
        raise ContextError(f"{directory}: has no {dockerfile}; name the file in build.dockerfile")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(set(files(directory, dockerfile)) - ({dockerfile} if inline else set())):
            entry = archive.gettarinfo(os.path.join(directory, path), path)
            entry.uid = entry.gid = entry.mtime = 0
            entry.uname = entry.gname = ""
            # Whoever checked it out may have another umask.
            entry.mode = 0o755 if entry.mode & 0o100 else 0o644
            if entry.isfile():
                with open(os.path.join(directory, path), "rb") as stream:
                    archive.addfile(entry, stream)
            else:
                archive.addfile(entry)
        if inline:
            entry = tarfile.TarInfo(dockerfile)
            entry.size = len(inline.encode())
            archive.addfile(entry, io.BytesIO(inline.encode()))
    plain = buffer.getvalue()
    return gzip.compress(plain, 6, mtime=0), hashlib.sha256(plain).hexdigest()
