# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the host program begins: with modules that are compiled already.

Python compiles anew, at each start, what it imports from an archive of sources (zipimport writes no bytecode), and that
takes longer than most commands do. So root's first start of an archive writes another one beside, with the same modules
compiled, and every start takes them from there. Where there is none, and none can be written, the sources serve.
"""

from __future__ import annotations

import os
import stat
import sys

# A process that began with an older program may have to import something of it yet.
KEPT_SECONDS = 7 * 86400


def compiled(archive: str) -> str:
    """The archive with the compiled modules of this one, for this Python; the archive itself where there is none. That
    of /usr/local/bin/slipway is in /usr/local/lib/slipway."""
    found = os.stat(archive)
    directory = os.path.join(os.path.dirname(os.path.dirname(archive)), "lib/slipway")
    key = f"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}"
    place = f"{directory}/{sys.implementation.cache_tag}-{key}.zip"
    if _is_trusted(place):
        return place
    if os.geteuid() != found.st_uid:
        return archive
    try:
        _write(archive, directory, place)
    except OSError:
        return archive
    return place if _is_trusted(place) else archive


def _is_trusted(path: str) -> bool:
    """Whether nobody but root, or who runs this, could have written it."""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_uid in (0, os.geteuid()) and not found.st_mode & 0o022


def _write(archive: str, directory: str, place: str) -> None:
    # Imported here: who finds the archive has no need of them.
    import tempfile
    import time
    import zipfile

    os.makedirs(directory, 0o755, exist_ok=True)
    for name in os.listdir(directory):
        older = f"{directory}/{name}"
        if time.time() - os.lstat(older).st_mtime > KEPT_SECONDS:
            os.unlink(older)
        else:
            # Its days are counted from when it was replaced.
            os.utime(older)
    descriptor, temporary = tempfile.mkstemp(prefix=".new-", dir=directory)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            with zipfile.ZipFile(archive) as sources, zipfile.ZipFile(stream, "w") as target:
                for name in sources.namelist():
                    content = sources.read(name)
                    if name.endswith(".py"):
                        name, content = f"{name}c", _bytecode(content, f"{archive}/{name}")
                    target.writestr(name, content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        os.rename(temporary, place)
    except BaseException:
        os.unlink(temporary)
        raise


def _bytecode(source: bytes, name: str) -> bytes:
    """What a .pyc file holds that is compared with no source (PEP 552)."""
    import importlib.util
    import marshal

    code = compile(source, name, "exec", dont_inherit=True)
    unchecked = (1).to_bytes(4, "little")
    return importlib.util.MAGIC_NUMBER + unchecked + importlib.util.source_hash(source) + marshal.dumps(code)


if __name__ == "__main__":
    sys.path.insert(0, compiled(os.path.realpath(sys.argv[0])))
    from ansible_collections.slipway.ops.plugins.module_utils._cli.main import main

    raise SystemExit(main())
