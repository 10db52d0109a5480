# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was read about each thing that is watched; a pass makes these, and the rules judge them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from ansible_collections.slipway.ops.plugins.module_utils._backup.promises import Observed


@dataclass(frozen=True)
class Unreadable:
    """It could not be measured, which is as bad as a bad value: it may be hiding one."""

    reason: str


@dataclass(frozen=True)
class HttpAnswer:
    status: int
    seconds: float
    body: str = ""


@dataclass(frozen=True)
class LogLines:
    """Matching lines of all containers of the service, within the window."""

    matches: int
    containers: int


@dataclass(frozen=True)
class BackupStatus:
    """The time of the last good backup, in seconds since 1970, or None when there has been none.

    failure says why the newest attempt failed, when it did.
    """

    last_success: float | None
    failure: str = ""


@dataclass(frozen=True)
class FollowedLog:
    """How the log of one database server stands: how many seconds of changes a loss of the host would cost now (None
    when that is not known yet), the files of it that are missing, the other problems, and the receiver on another host
    that commits should wait for and that is not in order."""

    name: str
    loss_seconds: float | None
    missing: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    receiver: str = ""


@dataclass(frozen=True)
class FollowedLogs:
    """The time of the follower's last word, in seconds since 1970, or None when there has been none. Without logs to be
    followed, `wanted` is false."""

    wanted: bool
    told: float | None = None
    held: bool = False
    logs: tuple[FollowedLog, ...] = ()


@dataclass(frozen=True)
class Standing:
    """What a stack's promises and drills are judged by; None where no backup is set up."""

    observed: Observed | None


@dataclass(frozen=True)
class CertificateFile:
    path: str
    not_before: float
    not_after: float
    self_signed: bool


@dataclass(frozen=True)
class Certificates:
    files: tuple[CertificateFile, ...]


@dataclass(frozen=True)
class DiskUse:
    used_percent: float
    used_inodes_percent: float


Reading = Union[Unreadable, HttpAnswer, LogLines, BackupStatus, FollowedLogs, Standing, Certificates, DiskUse]
