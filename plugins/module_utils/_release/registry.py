# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a registry says of an image before it is pulled: its layers and how large they are. Asks only, over HTTP."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import re
import ssl
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._release.reference import HUB, Reference

TIMEOUT_SECONDS = 15
HUB_HOST = "registry-1.docker.io"
HUB_LOGIN = "https://index.docker.io/v1/"
ACCEPTED = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "armv6l": "arm", "i686": "386"}

Login = tuple[str, str]


@dataclass(frozen=True)
class Layer:
    """`content` names the unpacked layer, so that one that is here already can be told."""

    content: str
    bytes: int


@dataclass(frozen=True)
class Manifest:
    digest: str
    layers: tuple[Layer, ...]


@dataclass(frozen=True)
class Setup:
    """What the engine knows of registries, from its own `info`."""

    mirrors: tuple[str, ...] = ()
    plain_http: frozenset[str] = frozenset()
    system: str = "linux"
    machine: str = "amd64"

    def bases(self, registry: str) -> list[str]:
        """The addresses to ask, in the order that the engine asks them."""
        if registry == HUB:
            return [*(mirror.rstrip("/") for mirror in self.mirrors), f"https://{HUB_HOST}"]
        return [f"{'http' if self.is_plain(registry) else 'https'}://{registry}"]

    def is_plain(self, registry: str) -> bool:
        name = registry.rpartition(":")[0] or registry
        return registry in self.plain_http or name == "localhost" or name.startswith("127.")


def parse_setup(information: Mapping[str, Any]) -> Setup:
    registries = information.get("RegistryConfig") or {}
    indexes = registries.get("IndexConfigs") or {}
    machine = str(information.get("Architecture") or "")
    return Setup(
        mirrors=tuple((indexes.get(HUB) or {}).get("Mirrors") or ()),
        plain_http=frozenset(name for name, index in indexes.items() if not index.get("Secure", True)),
        system=str(information.get("OSType") or "linux"),
        machine=MACHINES.get(machine, machine or "amd64"),
    )


def kept_login(registry: str) -> Login | None:
    """The login that Docker's client keeps for the registry, in its file or its helper."""
    directory = os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
    try:
        with open(os.path.join(directory, "config.json"), encoding="utf-8") as stream:
            config = json.load(stream)
    except (OSError, ValueError):
        return None
    address = HUB_LOGIN if registry == HUB else registry
    helper = (config.get("credHelpers") or {}).get(address) or config.get("credsStore")
    if helper:
        return _ask_helper(str(helper), address)
    entry = (config.get("auths") or {}).get(address) or {}
    if not entry.get("auth"):
        return None
    user, _colon, password = base64.b64decode(entry["auth"]).decode("utf-8", "replace").partition(":")
    return user, password


def _ask_helper(helper: str, address: str) -> Login | None:
    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run([program, "get"], input=address, capture_output=True, text=True, check=False, timeout=30)
        found = json.loads(done.stdout) if done.returncode == 0 else {}
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return (str(found["Username"]), str(found["Secret"])) if found.get("Secret") else None


class Registries:
    """Answers None where a registry does not answer, or does not let us look: sizes are a forecast, not a need."""

    def __init__(self, setup: Setup, login: Callable[[str], Login | None] = kept_login) -> None:
        self.setup = setup
        self._login = login
        self._tokens: dict[tuple[str, str], str] = {}

    def manifest(self, reference: str) -> Manifest | None:
        """The one for this machine's platform, with the digest of what the name itself stands for."""
        name = Reference.parse(reference)
        for base in self.setup.bases(name.registry):
            try:
                return self._manifest(base, name)
            except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
                continue
        return None

    def digest(self, reference: str) -> str:
        """What the name stands for, on whatever platform; empty where no registry tells."""
        name = Reference.parse(reference)
        for base in self.setup.bases(name.registry):
            try:
                body, digest = self._get(base, name, f"manifests/{name.wanted}")
            except (OSError, http.client.HTTPException, ValueError, KeyError):
                continue
            return digest or f"sha256:{hashlib.sha256(body).hexdigest()}"
        return ""

    def _manifest(self, base: str, name: Reference) -> Manifest:
        body, digest = self._get(base, name, f"manifests/{name.wanted}")
        found = json.loads(body)
        if "manifests" in found:
            chosen = _for_platform(found["manifests"], self.setup)
            body, _digest = self._get(base, name, f"manifests/{chosen}")
            found = json.loads(body)
        config, _digest = self._get(base, name, f"blobs/{found['config']['digest']}")
        contents = json.loads(config)["rootfs"]["diff_ids"]
        sizes = [int(layer["size"]) for layer in found["layers"]]
        return Manifest(digest, tuple(Layer(*pair) for pair in zip(contents, sizes)))

    def _get(self, base: str, name: Reference, what: str) -> tuple[bytes, str]:
        url = f"{base}/v2/{name.path}/{what}"
        key = (base, name.path)
        try:
            return self._request(url, self._tokens.get(key, ""))
        except urllib.error.HTTPError as error:
            if error.code != 401:
                raise
            self._tokens[key] = self._authorization(error.headers.get("WWW-Authenticate") or "", name)
        return self._request(url, self._tokens[key])

    def _request(self, url: str, authorization: str) -> tuple[bytes, str]:
        headers = {"Accept": ", ".join(ACCEPTED), **({"Authorization": authorization} if authorization else {})}
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the addresses are ours or the challenge's
        opener = urllib.request.build_opener(
            _WithoutSecrets(), urllib.request.HTTPSHandler(context=ssl.create_default_context())
        )
        with opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
            return answer.read(), str(answer.headers.get("Docker-Content-Digest") or "")

    def _authorization(self, challenge: str, name: Reference) -> str:
        """What the registry wants to see, from the kept login; raises ValueError where there is no way."""
        scheme, _space, parameters = challenge.partition(" ")
        login = self._login(name.registry)
        basic = "Basic " + base64.b64encode(":".join(login).encode()).decode() if login else ""
        if scheme.lower() == "basic" and basic:
            return basic
        asked = dict(re.findall(r'(\w+)="([^"]*)"', parameters))
        if scheme.lower() != "bearer" or not asked.get("realm", "").startswith(("https://", "http://")):
            raise ValueError("no login")
        query = {
            "scope": f"repository:{name.path}:pull",
            **({"service": asked["service"]} if "service" in asked else {}),
        }
        body, _digest = self._request(f"{asked['realm']}?{urllib.parse.urlencode(query)}", basic)
        found = json.loads(body)
        return f"Bearer {found.get('token') or found['access_token']}"


class _WithoutSecrets(urllib.request.HTTPRedirectHandler):
    """A registry sends us to its storage for blobs; the login is not for there."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> urllib.request.Request | None:
        following = super().redirect_request(*args, **kwargs)
        if following is not None:
            following.remove_header("Authorization")
        return following


def _for_platform(manifests: Sequence[Mapping[str, Any]], setup: Setup) -> str:
    for entry in manifests:
        platform = entry.get("platform") or {}
        if (platform.get("os"), platform.get("architecture")) == (setup.system, setup.machine):
            return str(entry["digest"])
    raise ValueError(f"no image for {setup.system}/{setup.machine}")
