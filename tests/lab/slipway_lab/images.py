"""Images of the lab. A tag is the hash of what the image is built from, so a change rebuilds and nothing else does."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from . import settings
from .engine import docker, exists
from .shell import LabError, lock, run, say, step, tail


@dataclass(frozen=True)
class Image:
    """A build context (directory under images/) on a parent; `variant` is the first part of the tag."""

    name: str
    variant: str
    context: str
    parent: Image | None = None
    arguments: tuple[tuple[str, str], ...] = field(default=())

    @property
    def latest(self) -> str:
        return f"{settings.PREFIX}/{self.name}:{self.variant}"


def base(release: str) -> Image:
    return Image("base", release, "")


def host(release: str, docker: bool = False) -> Image:
    bare = Image("host", release, "host", base(release), (("RELEASE", release),))
    return Image("host", f"{release}-docker", "host-docker", bare) if docker else bare


def services() -> Image:
    lab = (
        ("S3_ACCESS_KEY", settings.S3_ACCESS_KEY),
        ("S3_SECRET_KEY", settings.S3_SECRET_KEY),
        ("S3_BUCKET", settings.S3_BUCKET),
    )
    return Image("services", "trixie", "services", host("trixie"), lab)


def probe() -> Image:
    return Image("probe", "trixie", "probe", host("trixie"))


def context_files(directory: Path) -> dict[str, bytes]:
    """Every file of a build context by its relative path; caches of Python are no part of it."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def machine_authorities(directory: Path = settings.MACHINE_AUTHORITIES) -> dict[str, bytes]:
    """Certificate authorities added to this machine, for networks that inspect TLS: hosts must trust what it trusts."""
    if not directory.is_dir():
        return {}
    return {f"machine-ca/{path.name}": path.read_bytes() for path in sorted(directory.glob("*.crt"))}


def content_hash(files: dict[str, bytes], parent: str, arguments: tuple[tuple[str, str], ...]) -> str:
    digest = hashlib.sha256()
    for part in (parent, *(f"{key}={value}" for key, value in arguments)):
        digest.update(part.encode() + b"\0")
    for name in sorted(files):
        digest.update(name.encode() + b"\0" + hashlib.sha256(files[name]).digest())
    return digest.hexdigest()[:12]


def build_context(image: Image) -> dict[str, bytes]:
    return {"machine-ca/README": b"", **context_files(settings.IMAGES / image.context), **machine_authorities()}


def reference(image: Image) -> str:
    """The exact tag that the present sources call for."""
    if not image.context:
        return image.latest
    parent = reference(image.parent) if image.parent else ""
    return f"{image.latest}-{content_hash(build_context(image), parent, image.arguments)}"


def is_built(image: Image) -> bool:
    return exists("image", reference(image))


def pack(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            entry.mode = 0o755 if data.startswith(b"#!") else 0o644
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def ensure(image: Image, quiet: bool = False) -> str:
    """Build what is missing, parents first; returns the exact tag."""
    wanted = reference(image)
    if exists("image", wanted):
        return wanted
    with lock(settings.STATE / f"image-{image.name}-{image.variant}.lock"):
        if exists("image", wanted):
            return wanted
        if not image.context:
            make_base(image.variant)
            return wanted
        parent = ensure(image.parent) if image.parent else ""
        with contextlib.nullcontext() if quiet else step(f"build {wanted}"):
            build(image, wanted, parent)
        drop_older(image, wanted)
    return wanted


def build(image: Image, wanted: str, parent: str) -> None:
    arguments = [*image.arguments, *([("BASE", parent)] if parent else [])]
    command = ["docker", "build", "-q", "-t", wanted, "-t", image.latest, "--label", settings.LABEL]
    for key, value in arguments:
        command += ["--build-arg", f"{key}={value}"]
    # The classic builder needs no plugin and no network of its own.
    environment = {**os.environ, "DOCKER_BUILDKIT": "0"}
    result = run([*command, "-"], stdin=pack(build_context(image)), check=False, env=environment)
    if result.returncode != 0:
        log = settings.STATE / f"build-{image.name}-{image.variant}.log"
        log.write_bytes(result.stdout + result.stderr)
        raise LabError(f"image {wanted} does not build: {tail(result)} (all of it: {log})")


def drop_older(image: Image, wanted: str) -> None:
    """Tags that earlier sources called for; one still in use stays."""
    for tag in docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", f"{settings.PREFIX}/{image.name}").split():
        hashed = tag.startswith(f"{image.latest}-") and len(tag) == len(image.latest) + 13
        if hashed and tag != wanted:
            run(["docker", "image", "rm", tag], check=False)


def make_base(release: str) -> None:
    if pull_base(release):
        return
    if shutil.which("debootstrap") is None:
        with step("install debootstrap"):
            run(["apt-get", "update", "-qq"])
            run(["apt-get", "install", "-y", "-qq", "debootstrap", "debian-archive-keyring"])
    tag = base(release).latest
    with step(f"make {tag} with debootstrap (one to three minutes, once)"), tempfile.TemporaryDirectory() as work:
        tree = Path(work) / "root"
        run(["debootstrap", "--variant=minbase", release, str(tree)])
        shutil.rmtree(tree / "var/cache/apt/archives", ignore_errors=True)
        archive = subprocess.Popen(["tar", "-C", str(tree), "-c", "."], stdout=subprocess.PIPE)
        subprocess.run(["docker", "import", "-", tag], stdin=archive.stdout, check=True, stdout=subprocess.DEVNULL)
        if archive.wait() != 0:
            raise LabError(f"could not pack the debootstrap tree of {release}")


def pull_base(release: str) -> bool:
    """Quicker where an image registry answers; many machines have none, so it is asked with little patience."""
    source = settings.HUB_TAGS[release]
    try:
        if run(["docker", "pull", "-q", source], check=False, timeout=45).returncode != 0:
            return False
    except LabError:
        return False
    docker("tag", source, base(release).latest)
    say(f"  ✓ pulled {source}")
    return True


def remove_all() -> None:
    tags = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", f"{settings.PREFIX}/*").split()
    if tags:
        run(["docker", "image", "rm", "-f", *tags], check=False)
