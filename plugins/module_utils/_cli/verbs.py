# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``slipway`` can do: each verb, one line about it, and the function that does it.

The function takes the words after the verb and returns the exit status. It is imported only when its verb is used, so a
program that was built without one package still has all the other verbs.
"""

from __future__ import annotations

from typing import NamedTuple

COLLECTION_PACKAGE = "ansible_collections.slipway.ops.plugins.module_utils"


class Verb(NamedTuple):
    """One word of the command line."""

    name: str
    package: str
    function: str
    summary: str

    @property
    def module(self) -> str:
        """The full name of the module that holds the function."""
        return f"{COLLECTION_PACKAGE}.{self.package}"


VERBS: tuple[Verb, ...] = (
    Verb("status", "_release.cli", "status", "what runs here: releases, services, the last backup"),
    Verb("release", "_release.cli", "release", "this host's part of a release over several hosts, started by the play"),
    Verb("rollback", "_release.cli", "rollback", "bring the last good release back, as it was"),
    Verb("plan", "_release.cli", "plan", "what a release of the deployed version would do now"),
    Verb("run", "_release.cli", "run", "run a command in a container of its own, as a service runs now"),
    Verb("backup", "_backup.cli", "backup", "make a recovery point now, list the points, read one back"),
    Verb("restore", "_backup.cli", "restore", "bring a stack's data back from a recovery point"),
    Verb("drill", "_backup.cli", "drill", "try a restore in a network of its own, check and measure it"),
    Verb("points", "_backup.cli", "points", "list the recovery points (the same as: backup points)"),
    Verb("upstreams", "_proxy.cli", "upstreams", "write nginx's upstream files from the running containers"),
    Verb("maintenance", "_proxy.maintenance", "maintenance", "answer 503 for a stack's host names, or stop doing so"),
    Verb("certificate", "_certificate.cli", "certificate", "publish a renewed certificate and prove that it is served"),
    Verb("watch", "_watch.cli", "watch", "look at health, logs and backups once, and tell when something is wrong"),
    Verb("swarm", "_swarm.cli", "swarm", "this Swarm manager: its nodes, its backup, drain it and take it back"),
    Verb("prune", "_docker.cli", "prune", "keep Docker's images and build cache within their budget"),
    Verb("confirm", "_armed.cli", "confirm", "keep an armed change, which would otherwise undo itself"),
)
