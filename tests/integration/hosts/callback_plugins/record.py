"""Writes what every task of a run reported, one line of JSON each, to $RECORD_FILE."""

from __future__ import annotations

import json
import os
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = r"""
name: record
type: notification
short_description: Keep what every task reported
description: For the tests of the host roles, which compare runs task by task.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "record"

    def v2_runner_on_ok(self, result: Any) -> None:
        self._keep(result, "ok")

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._keep(result, "failed")

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._keep(result, "skipped")

    def _keep(self, result: Any, status: str) -> None:
        said = result.result if hasattr(result, "result") else result._result
        task = result.task if hasattr(result, "task") else result._task
        entry = {
            "task": task.get_name(),
            "status": status,
            "changed": bool(said.get("changed")),
            "plan": said.get("plan") or [],
            "diff": said.get("diff") or [],
            "warnings": said.get("warnings") or [],
            "msg": str(said.get("msg", "")),
        }
        with open(os.environ["RECORD_FILE"], "a", encoding="utf-8") as record:
            record.write(json.dumps(entry, default=str) + "\n")
