# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Docker Engine's API: the only place that imports its SDK. One call a method, errors translated."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._release.engine import EngineError
from ansible_collections.slipway.ops.plugins.module_utils._release.observed import STACK_LABEL
from ansible_collections.slipway.ops.plugins.module_utils._release.reference import Reference

CALL_TIMEOUT_SECONDS = 900
TASK_LABEL = "com.docker.swarm.task.id"


class EngineMissing(EngineError):
    """There is no SDK or no engine on this host."""


@contextlib.contextmanager
def translated(what: str) -> Iterator[None]:
    import docker.errors
    import requests.exceptions

    try:
        yield
    except docker.errors.APIError as error:
        detail = str(error.explanation or error).strip().replace("\n", " ")
        raise EngineError(f"{what}: {detail}") from error
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        raise EngineError(f"{what}: the engine did not answer ({error}); see journalctl -u docker") from error


def connect_client(timeout_seconds: float = CALL_TIMEOUT_SECONDS) -> Any:
    """The SDK's client for this host's engine; EngineMissing without one."""
    try:
        import docker
        import docker.errors
        import requests.exceptions
    except ImportError as error:
        raise EngineMissing(f"the Python package docker is missing ({error}); install python3-docker") from error
    try:
        return docker.APIClient(base_url="unix:///var/run/docker.sock", version="auto", timeout=timeout_seconds)
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        raise EngineMissing(f"the Docker engine does not answer ({error}); start docker.service") from error


def known(ask: Callable[[str], dict[str, Any]], identity: str) -> dict[str, Any] | None:
    """What the engine answers to this question of the SDK; None when it has nothing of that name."""
    import docker.errors

    try:
        return ask(identity)
    except docker.errors.NotFound:
        return None


class DockerGateway:
    def __init__(self, client: Any) -> None:
        self._client = client

    @classmethod
    def connect(cls) -> DockerGateway:
        return cls(connect_client())

    def containers(self, stack: str) -> list[dict[str, Any]]:
        """Every container of the stack, as `inspect` shows it; those that a Swarm put here are the Swarm's."""
        with translated(f"containers of {stack}"):
            listed = self._client.containers(all=True, filters={"label": f"{STACK_LABEL}={stack}"})
        found = (self.inspect(entry["Id"]) for entry in listed if TASK_LABEL not in (entry.get("Labels") or {}))
        return [entry for entry in found if entry is not None]

    def inspect(self, container: str) -> dict[str, Any] | None:
        with translated(f"container {container[:12]}"):
            return known(self._client.inspect_container, container)

    def image(self, reference: str) -> dict[str, Any] | None:
        with translated(f"image {reference}"):
            return known(self._client.inspect_image, reference)

    def networks(self) -> list[dict[str, Any]]:
        with translated("networks"):
            return list(self._client.networks())

    def volumes(self) -> list[str]:
        with translated("volumes"):
            return [entry["Name"] for entry in self._client.volumes()["Volumes"] or []]

    def pull(self, reference: str, say: Callable[[Mapping[str, Any]], None] | None = None) -> None:
        with translated(f"pull {reference}"):
            for event in self._client.pull(reference, stream=True, decode=True):
                if "error" in event:
                    raise EngineError(f"pull {reference}: {event['error']}; check the name and the registry's login")
                if say is not None:
                    say(event)

    def tag(self, image: str, reference: str) -> None:
        name = Reference.parse(reference)
        with translated(f"tag {reference}"):
            self._client.tag(image, name.familiar, name.tag or "latest", force=True)

    def distribution(self, reference: str) -> str:
        """The digest that the registry gives the name now."""
        with translated(f"image {reference}"):
            return str(self._client.inspect_distribution(reference)["Descriptor"]["digest"])

    def layer_chains(self) -> list[tuple[str, ...]]:
        """The unpacked layers of every image that is here, bottom first."""
        with translated("images"):
            listed = self._client.images()
        found = (self.image(entry["Id"]) or {} for entry in listed)
        return [tuple((each.get("RootFS") or {}).get("Layers") or ()) for each in found]

    def information(self) -> dict[str, Any]:
        with translated("engine"):
            return dict(self._client.info())

    def free_bytes(self) -> int:
        """What is free where the engine keeps images."""
        found = os.statvfs(self.information()["DockerRootDir"])
        return found.f_bavail * found.f_frsize

    def has_data(self, volume: str) -> bool:
        with translated(f"volume {volume}"):
            found = known(self._client.inspect_volume, volume)
        if found is None:
            return False
        place = found.get("Mountpoint") or ""
        try:
            with os.scandir(place) as entries:
                return next(entries, None) is not None
        except FileNotFoundError:
            return False

    def create_network(self, body: Mapping[str, Any]) -> None:
        with translated(f"network {body['Name']}"):
            # The SDK's own call cannot carry a prepared IPAM body; this is the same request.
            self._client._result(
                self._client._post_json(self._client._url("/networks/create"), data=dict(body)), json=True
            )

    def remove_network(self, name: str) -> None:
        with translated(f"network {name}"):
            self._client.remove_network(name)

    def create_volume(self, body: Mapping[str, Any]) -> None:
        with translated(f"volume {body['Name']}"):
            self._client.create_volume(body["Name"], body["Driver"], body["DriverOpts"] or None, body["Labels"])

    def create(self, name: str, body: Mapping[str, Any]) -> str:
        data = dict(body)
        if self._api_version() < (1, 44) and "StartInterval" in data.get("Healthcheck", {}):
            data["Healthcheck"] = {key: value for key, value in data["Healthcheck"].items() if key != "StartInterval"}
        with translated(f"container {name}"):
            return str(self._client.create_container_from_config(data, name=name)["Id"])

    def _api_version(self) -> tuple[int, ...]:
        return tuple(int(part) for part in str(self._client.api_version).split("."))

    def join(self, container: str, network: str, endpoint: Mapping[str, Any]) -> None:
        addresses = endpoint.get("IPAMConfig", {})
        with translated(f"network {network}"):
            self._client.connect_container_to_network(
                container,
                network,
                aliases=endpoint.get("Aliases"),
                ipv4_address=addresses.get("IPv4Address"),
                ipv6_address=addresses.get("IPv6Address"),
                link_local_ips=addresses.get("LinkLocalIPs"),
            )

    def start(self, container: str, name: str) -> None:
        with translated(f"container {name}"):
            self._client.start(container)

    def stop_all(self, containers: Iterable[tuple[str, str, int]]) -> None:
        """Stop (id, name, grace seconds) all at the same time."""

        def stop(entry: tuple[str, str, int]) -> None:
            import docker.errors

            container, name, grace = entry
            with translated(f"container {name}"), contextlib.suppress(docker.errors.NotFound):
                self._client.stop(container, timeout=grace)

        entries = list(containers)
        if entries:
            with ThreadPoolExecutor(max_workers=len(entries)) as pool:
                list(pool.map(stop, entries))

    def remove(self, container: str, name: str, volumes: bool = False) -> None:
        import docker.errors

        with translated(f"container {name}"), contextlib.suppress(docker.errors.NotFound):
            self._client.remove_container(container, v=volumes, force=True)

    def rename(self, container: str, name: str) -> None:
        with translated(f"container {name}"):
            self._client.rename(container, name)

    def wait(self, container: str, name: str, timeout_seconds: float) -> int:
        """The exit code. Raises EngineError when it runs longer."""
        import requests.exceptions

        with translated(f"container {name}"):
            try:
                return int(self._client.wait(container, timeout=timeout_seconds)["StatusCode"])
            except (requests.exceptions.ReadTimeout, requests.exceptions.ConnectionError) as error:
                raise EngineError(f"container {name}: runs longer than {timeout_seconds:g} s") from error

    def logs(self, container: str, lines: int) -> str:
        try:
            with translated("logs"):
                output = self._client.logs(container, stdout=True, stderr=True, tail=lines)
        except EngineError:
            return ""
        return bytes(output).decode("utf-8", "replace")

    def attach(self, container: str, name: str) -> Iterator[tuple[bytes | None, bytes | None]]:
        """What it writes from now on, as (output, errors), until it ends."""
        with translated(f"container {name}"):
            return iter(self._client.attach(container, stdout=True, stderr=True, stream=True, demux=True))

    def execute(self, container: str, name: str, command: list[str]) -> tuple[int, str]:
        with translated(f"command in {name}"):
            run = self._client.exec_create(container, command)
            output = self._client.exec_start(run["Id"])
            code = self._client.exec_inspect(run["Id"])["ExitCode"]
        return int(code or 0), bytes(output).decode("utf-8", "replace")

    def events(self) -> Iterator[dict[str, Any]]:
        """Events of containers of every stack, without an end."""
        with translated("events"):
            yield from self._client.events(decode=True, filters={"type": "container", "label": STACK_LABEL})
