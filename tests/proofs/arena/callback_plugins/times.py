"""Writes what every task reported and when it began and ended, one line of JSON each, to $TIMES_FILE."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = r"""
name: times
type: notification
short_description: Keep when every task began and ended
description: For the release proofs, by the machine's monotonic clock.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "times"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._begun: dict[tuple[str, str], float] = {}

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        self._begun[(host.get_name(), task._uuid)] = time.monotonic()

    def v2_runner_on_ok(self, result: Any) -> None:
        self._keep(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._keep(result)

    def _keep(self, result: Any) -> None:
        said = result.result if hasattr(result, "result") else result._result
        task = result.task if hasattr(result, "task") else result._task
        host = result.host if hasattr(result, "host") else result._host
        entry = {
            "task": task.get_name(),
            "host": host.get_name(),
            "begun": self._begun.get((host.get_name(), task._uuid), 0.0),
            "ended": time.monotonic(),
            "release": said.get("release", 0),
        }
        with open(os.environ["TIMES_FILE"], "a", encoding="utf-8") as record:
            record.write(json.dumps(entry, default=str) + "\n")
