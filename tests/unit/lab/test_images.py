"""An image's tag changes with its sources and with nothing else."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from slipway_lab import images, settings, standins

FILES = {"Dockerfile": b"FROM x\n", "a/b": b"1"}
ARGUMENTS = (("RELEASE", "trixie"),)


@pytest.mark.parametrize(
    ("files", "parent", "arguments"),
    [
        pytest.param({**FILES, "a/b": b"2"}, "base", ARGUMENTS, id="content"),
        pytest.param({"Dockerfile": b"FROM x\n", "a/c": b"1"}, "base", ARGUMENTS, id="name"),
        pytest.param(FILES, "other", ARGUMENTS, id="parent"),
        pytest.param(FILES, "base", (("RELEASE", "bookworm"),), id="argument"),
    ],
)
def test_the_hash_sees(files: dict[str, bytes], parent: str, arguments: tuple[tuple[str, str], ...]) -> None:
    assert images.content_hash(files, parent, arguments) != images.content_hash(FILES, "base", ARGUMENTS)


def test_the_hash_does_not_see_the_order_of_files() -> None:
    again = dict(reversed(FILES.items()))
    assert images.content_hash(again, "base", ARGUMENTS) == images.content_hash(FILES, "base", ARGUMENTS)


def test_context_leaves_caches_out(tmp_path: Path) -> None:
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "x.pyc").write_bytes(b"x")
    (tmp_path / "units").mkdir()
    (tmp_path / "units" / "a.service").write_bytes(b"y")
    assert images.context_files(tmp_path) == {"units/a.service": b"y"}


def test_machine_authorities(tmp_path: Path) -> None:
    (tmp_path / "office.crt").write_bytes(b"pem")
    (tmp_path / "notes.txt").write_bytes(b"no")
    assert images.machine_authorities(tmp_path) == {"machine-ca/office.crt": b"pem"}
    assert images.machine_authorities(tmp_path / "none") == {}


def test_scripts_are_packed_executable() -> None:
    packed = images.pack({"run": b"#!/bin/sh\n", "data": b"x"})
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        assert {entry.name: entry.mode for entry in archive} == {"run": 0o755, "data": 0o644}


def test_every_image_has_its_sources() -> None:
    everything = [one.image for one in standins.servers(True) + standins.applications(True)]
    everything += [images.services(), images.probe(), *(images.host(release, True) for release in settings.RELEASES)]
    for image in everything:
        assert (settings.IMAGES / image.context / "Dockerfile").is_file()
        assert images.reference(image).startswith(f"{image.latest}-")


def test_stand_ins_have_one_name_each() -> None:
    names = [one.name for one in standins.servers(True) + standins.applications(True)]
    assert len(names) == len(set(names))
    assert {"library/mysql:8.4", "library/redis:7.4-alpine", "marinemaroc/application:1.2.0-broken"} <= set(names)
