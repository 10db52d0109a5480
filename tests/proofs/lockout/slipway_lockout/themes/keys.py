"""What can go wrong with keys, sudo and the account that a play connects by."""

from __future__ import annotations

from typing import Any

from slipway_lockout.trial import BY_ITSELF, BY_PLAY, KEPT, REFUSED, Theme, Trial

ANOTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA another"
NO_LOGIN = "no new login on the port of the play was possible"
NO_KEY = "has no usable key in"


def user(**changed: Any) -> dict[str, Any]:
    """The operator as declared, with something changed."""
    declared = {
        "name": "operator",
        "authorized_keys": ["{key}"],
        "authorized_keys_exclusive": True,
        "sudo": "passwordless",
    }
    return {"base_users": [{**declared, **changed}]}


def mode(path: str, wrong: str, right: str) -> dict[str, Any]:
    return {"prepare": f"chmod {wrong} {path}", "undo": f"chmod {right} {path}"}


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
        {"ssh_max_auth_tries": 5},
        **mode("/home/operator/.ssh", "0777", "0700"),
        held=True,
    ),
    Trial(
        "a home that others may write",
        REFUSED,
        NO_KEY,
        {"ssh_max_auth_tries": 5},
        **mode("/home/operator", "0777", "0700"),
        held=True,
    ),
    Trial(
        "a file of keys that belongs to another user",
        REFUSED,
        NO_KEY,
        {"ssh_max_auth_tries": 5},
        prepare="chown nobody /home/operator/.ssh/authorized_keys",
        undo="chown operator /home/operator/.ssh/authorized_keys",
        held=True,
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
