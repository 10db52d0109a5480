# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The second factor in PAM: a block of ours above the password's in the file that sshd's logins go by."""

from __future__ import annotations

FILE = "/etc/pam.d/sshd"
PACKAGE = "libpam-google-authenticator"
ENROLMENT = ".google_authenticator"  # in the home of a user who has one
BEGIN = "# BEGIN slipway: a code instead of a password"
END = "# END slipway"
# Decides alone: a right code is enough, anything else, a missing secret too, is a refusal.
RULE = "auth [success=done new_authtok_reqd=done default=die] pam_google_authenticator.so"


def without_second_factor(text: str) -> str:
    kept: list[str] = []
    inside = False
    for line in text.splitlines(keepends=True):
        if line.rstrip("\n") == BEGIN:
            inside = True
        elif inside and line.rstrip("\n") == END:
            inside = False
        elif not inside:
            kept.append(line)
    return "".join(kept)


def with_second_factor(text: str) -> str:
    """Raises ValueError where the file has no place for it."""
    block = f"{BEGIN}\n{RULE}\n{END}\n"
    if not text:  # in check mode, before the package is there
        return block
    plain = without_second_factor(text).splitlines(keepends=True)
    for index, line in enumerate(plain):
        words = line.split()
        if words[:1] == ["auth"] or words[:2] == ["@include", "common-auth"]:
            return "".join(plain[:index]) + block + "".join(plain[index:])
    raise ValueError(f"{FILE} has neither an auth line nor @include common-auth; restore the distribution's file")
