# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.slipway.ops.plugins.module_utils._host import report
from ansible_collections.slipway.ops.plugins.module_utils._host.observed import PathState
from ansible_collections.slipway.ops.plugins.module_utils._host.steps import (
    ActOnUnit,
    InstallPackages,
    Remove,
    WriteFile,
)
from ansible_collections.slipway.ops.plugins.module_utils._host.wish import File

OLD = PathState("file", "0600", "root", "root", content=b"s3cret old\n")


def test_diff_of_files_and_of_the_rest() -> None:
    steps = [
        InstallPackages(("nginx",)),
        WriteFile(File("/etc/a", b"new\n"), PathState("file", "0644", "root", "root", content=b"old\n")),
        WriteFile(File("/etc/b", b"\x00\x01"), PathState()),
        ActOnUnit("reload", "nginx.service", "/etc/a"),
    ]
    found = report.diff(steps)
    assert found[0]["after"] == "install packages nginx\nunit nginx.service: reload (/etc/a changed)\n"
    assert (found[1]["before"], found[1]["after"]) == ("old\n", "new\n")
    assert found[2]["before_header"] == "/etc/b (missing)"
    assert found[2]["after"] == "(binary content)\n"


def test_no_secret_shows() -> None:
    steps = [WriteFile(File("/etc/s", b"s3cret new\n", mode="0600", secret=True), OLD), Remove("/etc/old", OLD)]
    assert "s3cret" not in str(report.diff(steps)) + str(report.lines(steps))
    assert report.diff(steps)[0]["before"] != report.diff(steps)[0]["after"]


def test_a_change_of_mode_alone_shows_no_content() -> None:
    step = WriteFile(File("/etc/s", b"s3cret old\n", mode="0644"), OLD, content_differs=False)
    assert report.diff([step]) == [
        {
            "before_header": "host",
            "after_header": "host",
            "before": "",
            "after": "file /etc/s: 0600 root:root -> 0644 root:root\n",
        }
    ]
