"""Versions of the proofs' application in the lab's registry: one image built, each version a manifest of its own."""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import io
import json
import os
import tarfile
import urllib.error
import urllib.request
from typing import Any

from slipway_lab import images, settings, standins
from slipway_lab.shell import LabError

REPOSITORY = "proof/web"
BASE = "base"
REGISTRY = f"http://{settings.SERVICES_ADDRESS}:{settings.REGISTRY_PORT}"
LOCK = settings.ROOT / ".cache" / "proofs" / "base.lock"
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def image() -> images.Image:
    return images.Image("proof", "web", "proof", standins.runtime())


def ask(method: str, path: str, data: bytes | None = None, kind: str = "") -> tuple[bytes, str]:
    """The body of the answer, and where it says to go on."""
    url = path if path.startswith("http") else f"{REGISTRY}{path}"
    request = urllib.request.Request(url, data=data, method=method, headers={"Accept": standins.MANIFESTS})
    if kind:
        request.add_header("Content-Type", kind)
    try:
        with OPENER.open(request, timeout=30) as answer:
            return answer.read(), answer.headers.get("Location", "")
    except urllib.error.HTTPError as error:
        raise LabError(f"{method} {url}: {error.code} {error.read().decode(errors='replace')[:200]}") from error


def ensure_base() -> None:
    """Proofs run side by side, and all of them want it first."""
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    with LOCK.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        reference = images.ensure(image())
        tag = f"{BASE}-{reference.rpartition('-')[2]}"
        if not standins.in_registry(f"{REPOSITORY}:{tag}"):
            standins.push(standins.StandIn(f"{REPOSITORY}:{tag}", image()), reference)
    _manifest.update(json.loads(ask("GET", f"/v2/{REPOSITORY}/manifests/{tag}")[0]))


_manifest: dict[str, Any] = {}


def put_blob(data: bytes) -> dict[str, Any]:
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    _body, place = ask("POST", f"/v2/{REPOSITORY}/blobs/uploads/", b"")
    ask("PUT", f"{place}{'&' if '?' in place else '?'}digest={digest}", data, "application/octet-stream")
    return {"digest": digest, "size": len(data)}


def layer(mib: int) -> tuple[bytes, str]:
    """A layer of so many MiB that cannot be made smaller, packed, and its name unpacked."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("opt/ballast")
        entry.size = mib << 20
        archive.addfile(entry, io.BytesIO(os.urandom(mib << 20)))
    return gzip.compress(buffer.getvalue(), 1), f"sha256:{hashlib.sha256(buffer.getvalue()).hexdigest()}"


def publish(version: str, mib: int = 0) -> str:
    """Have the version in the registry, `mib` larger than others; returns its image reference."""
    if not _manifest:
        ensure_base()
    config = json.loads(ask("GET", f"/v2/{REPOSITORY}/blobs/{_manifest['config']['digest']}")[0])
    environment = [each for each in config["config"]["Env"] if not each.startswith("PROOF_VERSION=")]
    config["config"]["Env"] = [*environment, f"PROOF_VERSION={version}"]
    manifest = dict(_manifest)
    if mib:
        packed, name = layer(mib)
        config["rootfs"]["diff_ids"].append(name)
        config["history"].append({"created_by": "ballast"})
        manifest["layers"] = [*manifest["layers"], {**manifest["layers"][-1], **put_blob(packed)}]
    manifest["config"] = {**manifest["config"], **put_blob(json.dumps(config).encode())}
    data = json.dumps(manifest).encode()
    ask("PUT", f"/v2/{REPOSITORY}/manifests/{version}", data, manifest["mediaType"])
    return f"{REPOSITORY}:{version}"
