# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pack the contexts on the controller and build where the task runs; documented in plugins/modules/stack_build.py."""

from __future__ import annotations

import json
import os
import tempfile
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.slipway.ops.plugins.plugin_utils._context import ContextError, pack
from ansible_collections.slipway.ops.plugins.plugin_utils._model_action import ModelAction


class ActionModule(ModelAction):
    """Each context is sent once, however many services are built from it."""

    MODULE = "stack_build"

    def prepare(self, arguments: dict[str, Any]) -> None:
        arguments.pop("environment")
        if self._connection._shell.tmpdir is None:
            self._make_tmp_path()
        sent: dict[tuple[str, str, str], dict[str, str]] = {}
        archives: dict[str, dict[str, str]] = {}
        for name, service in json.loads(arguments["model"])["services"].items():
            build = service.get("build")
            if not build:
                continue
            key = (build["context"], build["dockerfile"], build.get("dockerfile_inline", ""))
            if key not in sent:
                sent[key] = self._send(name, os.path.join(str(arguments.get("directory") or ""), key[0]), *key[1:])
            archives[name] = sent[key]
        arguments["archives"] = archives

    def _send(self, name: str, directory: str, dockerfile: str, inline: str) -> dict[str, str]:
        try:
            packed, content = pack(directory, dockerfile, inline)
        except (ContextError, OSError) as error:
            raise AnsibleActionFail(f"services.{name}.build: {error}") from error
        remote = self._connection._shell.join_path(self._connection._shell.tmpdir, f"context-{content[:16]}.tar.gz")
        with tempfile.NamedTemporaryFile(prefix="slipway-context-") as local:
            local.write(packed)
            local.flush()
            self._transfer_file(local.name, remote)
        return {"path": remote, "content": content}
