"""A small signed APT repository, made with dpkg-deb and gpg, for proofs about packages and their versions."""

from __future__ import annotations

import functools
import hashlib
import http.server
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path

SUITE, COMPONENT = "lab", "stable"


@dataclass(frozen=True)
class Package:
    name: str
    version: str
    files: Mapping[str, str | bytes]  # a path that ends in * is a program
    depends: str = ""
    postinst: str = ""


class Repository:
    def __init__(self, directory: Path) -> None:
        self.root = directory / "served"
        self.keys = Path(tempfile.mkdtemp(prefix="gpg-"))  # its socket's path must be short
        self.packages: list[tuple[Path, str]] = []
        (self.root / "pool").mkdir(parents=True)
        self._gpg("--quick-gen-key", "lab@example.test", "ed25519", "sign", "never")

    def _gpg(self, *arguments: str) -> str:
        command = ["gpg", "--batch", "--yes", "--quiet", "--passphrase", "", "--pinentry-mode", "loopback"]
        environment = {**os.environ, "GNUPGHOME": str(self.keys)}
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=True, env=environment)
        return done.stdout

    @property
    def key(self) -> str:
        return self._gpg("--armor", "--export")

    @property
    def fingerprint(self) -> str:
        lines = self._gpg("--with-colons", "--list-keys").splitlines()
        return next(line.split(":")[9] for line in lines if line.startswith("fpr:"))

    def add(self, package: Package) -> None:
        control = f"Package: {package.name}\nVersion: {package.version}\nArchitecture: all\n"
        control += "Maintainer: lab <lab@example.test>\n"
        control += f"Depends: {package.depends}\n" if package.depends else ""
        control += "Description: package of the lab\n"
        with tempfile.TemporaryDirectory() as place:
            root = Path(place)
            for name, content in package.files.items():
                path = root / name.rstrip("*").lstrip("/")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content if isinstance(content, bytes) else content.encode())
                path.chmod(0o755 if name.endswith("*") else 0o644)
            (root / "DEBIAN").mkdir()
            (root / "DEBIAN/control").write_text(control)
            if package.postinst:
                (root / "DEBIAN/postinst").write_text(f"#!/bin/sh\nset -e\n{package.postinst}\n")
                (root / "DEBIAN/postinst").chmod(0o755)
            target = self.root / f"pool/{package.name}_{package.version.replace(':', '.')}_all.deb"
            subprocess.run(
                ["dpkg-deb", "--root-owner-group", "--build", str(root), str(target)], check=True, capture_output=True
            )
        self.packages.append((target, control))

    def add_file(self, deb: Path) -> None:
        """A package that is there already."""
        target = self.root / "pool" / deb.name
        target.write_bytes(deb.read_bytes())
        shown = subprocess.run(["dpkg-deb", "--field", str(deb)], capture_output=True, text=True, check=True)
        self.packages.append((target, shown.stdout))

    def publish(self) -> None:
        index = "\n".join(control + self._entry(path) for path, control in self.packages)
        place = self.root / f"dists/{SUITE}/{COMPONENT}"
        for architecture in ("amd64", "arm64"):
            folder = place / f"binary-{architecture}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "Packages").write_text(index)
        sums = "".join(
            f" {hashlib.sha256(path.read_bytes()).hexdigest()} {path.stat().st_size} {path.relative_to(place.parent)}\n"
            for path in sorted(place.rglob("Packages"))
        )
        release = (
            f"Origin: lab\nSuite: {SUITE}\nCodename: {SUITE}\nArchitectures: amd64 arm64\nComponents: {COMPONENT}\n"
        )
        release += f"Date: {formatdate(usegmt=True)}\nSHA256:\n{sums}"
        (place.parent / "Release").write_text(release)
        self._gpg("--clearsign", "--output", str(place.parent / "InRelease"), str(place.parent / "Release"))

    def _entry(self, path: Path) -> str:
        data = path.read_bytes()
        return (
            f"Filename: {path.relative_to(self.root)}\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n"
        )

    @contextmanager
    def served(self, address: str) -> Iterator[str]:
        """The repository over HTTP at an address of this machine; gives its URL."""
        handler = functools.partial(Quiet, directory=str(self.root))
        with http.server.ThreadingHTTPServer((address, 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            try:
                yield f"http://{address}:{server.server_port}"
            finally:
                server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
