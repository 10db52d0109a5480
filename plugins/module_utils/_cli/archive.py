# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the host program: ``module_utils`` as one file that Python runs.

The same sources give the same bytes (sorted names, one fixed date, one compression level), so that a second run of the
role finds nothing to change.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path

# -I: a program that root starts must not read modules from the caller's directory, environment or home.
INTERPRETER = b"#!/usr/bin/python3 -I\n"
PACKAGE = ("ansible_collections", "slipway", "ops", "plugins", "module_utils")
START = Path(__file__).with_name("start.py")
# The oldest date that a zip entry can hold.
DATE = (1980, 1, 1, 0, 0, 0)


def entries(module_utils: Path, version: str) -> dict[str, bytes]:
    """Each name inside the archive and its bytes."""
    found: dict[str, bytes] = {"__main__.py": START.read_bytes()}
    for depth in range(1, len(PACKAGE) + 1):
        found["/".join([*PACKAGE[:depth], "__init__.py"])] = b""
    prefix = "/".join(PACKAGE)
    for package in sorted(module_utils.glob("_*")):
        if not package.is_dir() or package.name.startswith("__"):
            continue
        for source in sorted(package.rglob("*.py")):
            relative = source.relative_to(module_utils)
            found[f"{prefix}/{relative.as_posix()}"] = source.read_bytes()
            for parent in list(relative.parents)[:-1]:
                found.setdefault(f"{prefix}/{parent.as_posix()}/__init__.py", b"")
    found[f"{prefix}/_cli/VERSION"] = f"{version}\n".encode()
    return found


def build(module_utils: Path, version: str) -> bytes:
    """The whole program as bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in sorted(entries(module_utils, version).items()):
            information = zipfile.ZipInfo(name, date_time=DATE)
            information.create_system = 3
            information.external_attr = 0o644 << 16
            information.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(information, content, compresslevel=9)
    return INTERPRETER + buffer.getvalue()


def collection_version(collection: Path) -> str:
    """The version in MANIFEST.json (an installed collection) or in galaxy.yml (a checkout)."""
    manifest = collection / "MANIFEST.json"
    if manifest.is_file():
        return str(json.loads(manifest.read_text(encoding="utf-8"))["collection_info"]["version"])
    galaxy = collection / "galaxy.yml"
    if galaxy.is_file():
        match = re.search(r"^version:\s*[\"']?([^\s\"'#]+)", galaxy.read_text(encoding="utf-8"), re.MULTILINE)
        if match:
            return match.group(1)
    return "unreleased"
