# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep the packed modules of this collection from one run to the next.

Ansible packs a module with everything it imports anew in each run: a third of a second for each module, more than all
else that the controller does in a run without changes. The files are Ansible's own, taken out of the directory of a
run and put into that of the next as they are. Only the same Ansible, the same Python and the same sources, byte for
byte, find them again; otherwise Ansible packs as ever.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator

from ansible import constants, module_utils
from ansible.executor import module_common
from ansible.release import __version__

COLLECTION = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SHELVES = 4  # several checkouts may take turns


@contextlib.contextmanager
def kept(module_name: str) -> Iterator[None]:
    """Around the call of a module of ours."""
    run = os.path.join(constants.DEFAULT_LOCAL_TMP, "ansiballz_cache")
    files = f"ansible_collections.slipway.ops.plugins.modules.{module_name.rpartition('.')[2]}-*"
    shelf = ""
    with contextlib.suppress(OSError):
        root = os.path.join(os.path.expanduser(constants.config.get_config_value("ANSIBLE_HOME")), "slipway-packed")
        shelf = os.path.join(root, fingerprint(constants.DEFAULT_LOCAL_TMP))
        copy_missing(shelf, run, files)
    yield
    if shelf:
        with contextlib.suppress(OSError):
            copy_missing(run, shelf, files)
            clear(os.path.dirname(shelf))


def fingerprint(run: str) -> str:
    """Of all that goes into a packed module; worked out once in a run."""
    note = os.path.join(run, "slipway-fingerprint")
    if os.path.exists(note):
        with open(note, encoding="ascii") as handle:
            return handle.read()
    digest = hashlib.sha256(f"{__version__} {sys.version}".encode())
    for path in sources():
        digest.update(path.encode() + b"\0")
        with open(path, "rb") as handle:
            digest.update(handle.read())
    place(digest.hexdigest().encode(), note)
    return digest.hexdigest()


def sources() -> Iterable[str]:
    yield module_common.__file__
    folders = [os.path.dirname(module_utils.__file__)]
    folders += [os.path.join(COLLECTION, "plugins", name) for name in ("module_utils", "modules")]
    for folder in folders:
        yield from sorted(glob.glob(os.path.join(folder, "**", "*.py"), recursive=True))
    yield from glob.glob(os.path.join(COLLECTION, "meta", "runtime.yml"))


def copy_missing(source: str, target: str, pattern: str) -> None:
    for path in glob.glob(os.path.join(source, pattern)):
        there = os.path.join(target, os.path.basename(path))
        if not path.endswith(".lock") and not os.path.exists(there):
            for directory in (os.path.dirname(target), target):
                os.makedirs(directory, mode=0o700, exist_ok=True)
            with open(path, "rb") as handle:
                place(handle.read(), there)


def place(content: bytes, path: str) -> None:
    """Whole or not at all: other processes look for it."""
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path))
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
    os.rename(temporary, path)


def clear(root: str) -> None:
    shelves = sorted((entry.path for entry in os.scandir(root)), key=os.path.getmtime)
    for path in shelves[:-SHELVES]:
        shutil.rmtree(path, ignore_errors=True)
