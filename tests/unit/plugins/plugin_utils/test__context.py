"""A build context: what .dockerignore leaves, and the same bytes for the same files."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from pathlib import Path

import pytest
from ansible_collections.slipway.ops.plugins.plugin_utils._context import ignored, is_ignored, pack


@pytest.mark.parametrize(
    ("rules", "path", "out"),
    [
        (["node_modules"], "node_modules/a/b.js", True),
        (["node_modules"], "web/node_modules/a.js", False),
        (["**/node_modules"], "web/node_modules/a.js", True),
        (["*.md"], "README.md", True),
        (["*.md"], "docs/README.md", False),
        (["**/*.md", "!docs/KEEP.md"], "docs/KEEP.md", False),
        (["**/*.md", "!docs/KEEP.md"], "docs/OTHER.md", True),
        (["# a comment", "", "/a"], "a", True),
        (["a?c"], "abc", True),
        (["a?c"], "a/c", False),
        (["*"], "Dockerfile", False),
        (["*"], "app.py", True),
        (["secret[0-9]"], "secret7", True),
    ],
)
def test_rules(rules: list[str], path: str, out: bool) -> None:
    assert is_ignored(path, ignored(rules, ("Dockerfile",))) is out


def tree(directory: Path) -> Path:
    directory.mkdir()
    (directory / "Dockerfile").write_text("FROM scratch\n")
    (directory / "run.sh").write_text("#!/bin/sh\n")
    (directory / "run.sh").chmod(0o755)
    (directory / "sub").mkdir()
    (directory / "sub/data").write_text("x")
    (directory / "link").symlink_to("sub/data")
    (directory / ".dockerignore").write_text("*.log\n")
    (directory / "a.log").write_text("noise")
    return directory


def entries(packed: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(packed))) as archive:
        return {entry.name: entry for entry in archive.getmembers()}


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    one, two = tree(tmp_path / "one"), tree(tmp_path / "two")
    os.utime(two / "Dockerfile", (1, 1))
    (two / "sub/data").chmod(0o600)
    (two / "a.log").write_text("other noise")
    assert pack(str(one), "Dockerfile") == pack(str(two), "Dockerfile")
    (two / "sub/data").write_text("y")
    assert pack(str(one), "Dockerfile")[1] != pack(str(two), "Dockerfile")[1]


def test_what_is_inside(tmp_path: Path) -> None:
    found = entries(pack(str(tree(tmp_path / "one")), "Dockerfile")[0])
    assert sorted(found) == [".dockerignore", "Dockerfile", "link", "run.sh", "sub/data"]
    assert (found["run.sh"].mode, found["sub/data"].mode, found["link"].linkname) == (0o755, 0o644, "sub/data")


def test_a_dockerfile_in_the_compose_file(tmp_path: Path) -> None:
    found = entries(pack(str(tree(tmp_path / "one")), "Dockerfile", "FROM other\n")[0])
    assert found["Dockerfile"].size == len("FROM other\n")
