"""What can go wrong with keys, sudo and the account that a play connects by."""

from __future__ import annotations

from typing import Any

from slipway_lockout.themes.ssh import BRING_BACK, KEEP, OURS
from slipway_lockout.trial import BY_ITSELF, BY_PLAY, KEPT, REFUSED, Theme, Trial

ANOTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA another"
NO_LOGIN = "no new login on the port of the play was possible"
NO_KEY = "has no usable key in"
KEYS = "/home/operator/.ssh/authorized_keys"


def user(**changed: Any) -> dict[str, Any]:
    """The operator as declared, with something changed."""
    declared = {
        "name": "operator",
        "authorized_keys": ["{key}"],
        "authorized_keys_exclusive": True,
        "sudo": "passwordless",
    }
    return {"base_users": [{**declared, **changed}]}


def lenient(wrong: str, right: str) -> dict[str, Any]:
    """What sshd let pass until now, and will not with the role's StrictModes."""
    return {
        "prepare": f"{KEEP}\nsed -i 's/^StrictModes .*/StrictModes no/' {OURS}\nsystemctl reload ssh.service\n{wrong}",
        "undo": f"{right}\n{BRING_BACK}",
    }


TRIALS = (
    Trial(
        "only another key declared",
        REFUSED,
        "the key that this play is connected with",
        user(authorized_keys=[ANOTHER]),
        roles=("base",),
        quick=True,
    ),
    Trial(
        "the last key removed",
        REFUSED,
        "operator gets sudo but has no key and no password: nobody could log in",
        user(authorized_keys=[]),
        roles=("base",),
    ),
    Trial(
        "a key with a letter missing",
        REFUSED,
        "is not valid base64; was it cut off?",
        user(authorized_keys=[ANOTHER.replace("AAAAC3", "AAAA3")]),
        roles=("base",),
    ),
    Trial(
        "a key that is only good from another network",
        BY_PLAY,
        NO_LOGIN,
        user(authorized_keys=['from="10.99.0.0/16" {key}']),
        roles=("base",),
        held=True,
    ),
    Trial(
        "a key that runs another command",
        BY_PLAY,
        NO_LOGIN,
        user(authorized_keys=['command="/bin/false" {key}']),
        roles=("base",),
        held=True,
    ),
    Trial(
        "a key that has expired",
        BY_PLAY,
        NO_LOGIN,
        user(authorized_keys=['expiry-time="20200101" {key}']),
        roles=("base",),
        held=True,
    ),
    Trial(
        "sudo taken from the operator",
        BY_ITSELF,
        "the host puts it back by itself when its time is over",
        user(sudo="none"),
        roles=("base",),
        held=True,
    ),
    Trial(
        "sudo by a password that the operator does not have",
        REFUSED,
        "asks for a password, which operator does not have",
        user(sudo="password"),
        roles=("base",),
        held=True,
    ),
    Trial(
        "a shell that lets nobody in",
        REFUSED,
        "/usr/sbin/nologin",
        user(shell="/usr/sbin/nologin"),
        roles=("base",),
        held=True,
    ),
    Trial(
        "a directory of keys that others may write",
        REFUSED,
        NO_KEY,
        **lenient("chmod 0777 /home/operator/.ssh", "chmod 0700 /home/operator/.ssh"),
    ),
    Trial(
        "a home that others may write",
        REFUSED,
        NO_KEY,
        **lenient("chmod 0777 /home/operator", "chmod 0700 /home/operator"),
    ),
    Trial(
        "a file of keys that belongs to another user",
        REFUSED,
        NO_KEY,
        **lenient(f"chown nobody {KEYS}\nchmod 0644 {KEYS}", f"chown operator {KEYS}\nchmod 0600 {KEYS}"),
    ),
    Trial(
        "the file of keys is lost while a connection lives",
        KEPT,
        "failed=0",
        prepare="rm /home/operator/.ssh/authorized_keys",
        roles=("base",),
        held=True,
    ),
)

THEME = Theme("keys", ("base", "ssh"), TRIALS)
