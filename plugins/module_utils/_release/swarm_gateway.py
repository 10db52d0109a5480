# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a manager's engine is asked about a Swarm: one call a method, errors translated as on a single host."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._release.docker_gateway import DockerGateway, translated
from ansible_collections.slipway.ops.plugins.module_utils._release.engine import EngineError
from ansible_collections.slipway.ops.plugins.module_utils._release.observed import STACK_LABEL
from ansible_collections.slipway.ops.plugins.module_utils._release.swarm_observed import NOWHERE

LOG_SECONDS = 5.0  # a log comes from the task's node, which may be gone
SCALE_ATTEMPTS = 5


def scaled(spec: Mapping[str, Any], replicas: int) -> dict[str, Any]:
    """The service with so many tasks; one with a task on each node has them all, or none."""
    if "Global" not in spec["Mode"]:
        return {**spec, "Mode": {"Replicated": {"Replicas": replicas}}}
    template = spec["TaskTemplate"]
    placement = template.get("Placement") or {}
    constraints = [each for each in placement.get("Constraints") or [] if each != NOWHERE]
    if not replicas:
        constraints.append(NOWHERE)
    return {**spec, "TaskTemplate": {**template, "Placement": {**placement, "Constraints": constraints}}}


class SwarmGateway(DockerGateway):
    @classmethod
    def connect(cls) -> SwarmGateway:
        return cls(super().connect()._client)

    def swarm(self) -> dict[str, Any]:
        """This node's part in the Swarm: `NodeID`, `LocalNodeState`, `ControlAvailable`, `RemoteManagers`."""
        return dict(self.information().get("Swarm") or {})

    def nodes(self) -> list[dict[str, Any]]:
        with translated("nodes of the Swarm"):
            return list(self._client.nodes())

    def services(self, stack: str) -> list[dict[str, Any]]:
        with translated(f"services of {stack}"):
            return list(self._client.services(filters={"label": f"{STACK_LABEL}={stack}"}))

    def tasks(self, stack: str) -> list[dict[str, Any]]:
        """Every task of the stack, also those of services that were removed while a task of them still ends."""
        with translated(f"tasks of {stack}"):
            # The label is the service's; a filter by service would not know one that was removed.
            return list(self._client.tasks(filters={"label": [f"{STACK_LABEL}={stack}"]}))

    def create_service(self, body: Mapping[str, Any]) -> str:
        """Create it as the body says, with this host's login at the image's registry; returns its id."""
        with translated(f"service {body['Name']}"):
            headers = self._registry_headers(body["TaskTemplate"]["ContainerSpec"]["Image"])
            # The SDK's own call knows no jobs; this is the same request.
            answer = self._client._result(
                self._client._post_json(self._client._url("/services/create"), data=dict(body), headers=headers),
                json=True,
            )
        return str(answer["ID"])

    def _registry_headers(self, image: str) -> dict[str, Any]:
        from docker import auth

        if image.startswith("sha256:"):
            return {}
        registry, _name = auth.resolve_repository_name(image)
        header = auth.get_config_header(self._client, registry)
        return {"X-Registry-Auth": header} if header else {}

    def scale(self, name: str, replicas: int) -> None:
        """Set the number of replicas. Another change at the same moment makes it read and try again."""
        import docker.errors

        with translated(f"service {name}"):
            for attempt in range(1, SCALE_ATTEMPTS + 1):
                found = self._client.inspect_service(name)
                wish = scaled(found["Spec"], replicas)
                url = self._client._url("/services/{0}/update", found["ID"])
                try:
                    self._client._result(
                        self._client._post_json(url, data=wish, params={"version": found["Version"]["Index"]}),
                        json=True,
                    )
                    return
                except docker.errors.APIError as error:
                    if attempt == SCALE_ATTEMPTS or "out of sequence" not in str(error.explanation or error):
                        raise

    def remove_service(self, name: str) -> None:
        import docker.errors

        with translated(f"service {name}"), contextlib.suppress(docker.errors.NotFound):
            self._client.remove_service(name)

    def task_logs(self, task: str, terminal: bool, lines: int) -> str:
        """The end of a task's log, from whichever node it ran on; empty where that node does not give it."""
        try:
            with translated("logs"):
                asked = {"stdout": 1, "stderr": 1, "tail": str(lines)}
                url = self._client._url("/tasks/{0}/logs", task)
                answer = self._client._get(url, params=asked, timeout=LOG_SECONDS)
                output = self._client._get_result_tty(False, answer, terminal)
        except EngineError:
            return ""
        return bytes(output).decode("utf-8", "replace")

    def objects(self, kind: str, stack: str) -> list[dict[str, Any]]:
        """The configs or secrets of the stack; a secret comes without its content."""
        with translated(f"{kind}s of {stack}"):
            ask = {"config": self._client.configs, "secret": self._client.secrets}[kind]
            return list(ask(filters={"label": f"{STACK_LABEL}={stack}"}))

    def create_object(self, kind: str, body: Mapping[str, Any]) -> None:
        with translated(f"{kind} {body['Name']}"):
            url = self._client._url(f"/{kind}s/create")
            self._client._result(self._client._post_json(url, data=dict(body)), json=True)

    def remove_object(self, kind: str, identity: str, name: str) -> None:
        import docker.errors

        with translated(f"{kind} {name}"), contextlib.suppress(docker.errors.NotFound):
            remove = {"config": self._client.remove_config, "secret": self._client.remove_secret}[kind]
            remove(identity)
