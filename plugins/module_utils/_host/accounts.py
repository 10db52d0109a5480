# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Groups and users: what the account tools must do, and the files that belong to a user."""

from __future__ import annotations

from ansible_collections.slipway.ops.plugins.module_utils._host.observed import LINK, Account, Observation
from ansible_collections.slipway.ops.plugins.module_utils._host.steps import RunCommand, Step
from ansible_collections.slipway.ops.plugins.module_utils._host.wish import (
    Directory,
    File,
    User,
    Wish,
    fingerprint,
)

NO_SHELLS = ("/nologin", "/false")
SUDOERS = "/etc/sudoers.d/slipway-{name}"


def plan_groups(wish: Wish, seen: Observation, problems: list[str]) -> list[Step]:
    steps: list[Step] = []
    for group in wish.groups:
        found = seen.groups.get(group.name)
        if found is None:
            argv = ["groupadd"]
            if group.system:
                argv.append("--system")
            if group.gid is not None:
                argv += ["--gid", str(group.gid)]
            steps.append(RunCommand((*argv, group.name), f"group {group.name}: create"))
        elif group.gid is not None and found.gid != group.gid:
            problems.append(
                f"groups.{group.name}.gid: the group exists with gid {found.gid}; "
                "changing it would orphan files, declare that number or choose another name"
            )
    return steps


def plan_users(wish: Wish, seen: Observation, predict: bool, problems: list[str]) -> list[Step]:
    """Create and change users. With `predict`, groups that packages to come would bring are taken as given."""
    declared = {group.name for group in wish.groups} | {user.name for user in wish.users}
    steps: list[Step] = []
    for user in wish.users:
        for group in user.groups:
            if group not in seen.groups and group not in declared and not predict:
                problems.append(
                    f"users.{user.name}.groups: group {group} does not exist; declare it under groups "
                    "or the package that brings it under packages"
                )
        account = seen.accounts.get(user.name)
        _can_log_in(user, account, seen, problems)
        if account is None:
            steps.append(_create(user, user.name in seen.groups or user.name in {g.name for g in wish.groups}))
        else:
            steps.extend(_change(user, account, seen, problems))
        if user.password is not None and seen.passwords.get(user.name) != user.password:
            line = f"{user.name}:{user.password}\n"
            steps.append(RunCommand(("chpasswd", "--encrypted"), f"user {user.name}: set its password", line))
    return steps


def _can_log_in(user: User, account: Account | None, seen: Observation, problems: list[str]) -> None:
    shell = user.shell or (account.shell if account is not None else "")
    if not user.login or user.system or shell.endswith(NO_SHELLS):
        return
    has_password = _opens(user.password) if user.password is not None else _opens(seen.passwords.get(user.name, ""))
    if not user.authorized_keys and not has_password and not (seen.path(keys_path(user, seen)).content or b"").strip():
        problems.append(
            f"users.{user.name}: has neither a key nor a password to log in with; give it authorized_keys or "
            "password, or shell: /usr/sbin/nologin when nobody is to log in"
        )
    if user.sudo == "password" and not has_password:
        problems.append(
            f"users.{user.name}.sudo: asks for a password, which {user.name} does not have; "
            "give it one (password), or choose passwordless"
        )


def _opens(password: str) -> bool:
    return password != "" and password[0] not in "!*"


def _create(user: User, group_exists: bool) -> Step:
    argv = ["useradd"]
    if user.system:
        argv += ["--system", "--no-create-home"]
    else:
        argv.append("--create-home")
    argv += ["--gid", user.name] if group_exists else ["--user-group"]
    if not user.system and user.password is None:
        # what ages is a password: where only a key opens the account, its end would lock the owner out
        argv += ["--key", "PASS_MAX_DAYS=-1"]
    if user.uid is not None:
        argv += ["--uid", str(user.uid)]
    if user.home is not None:
        argv += ["--home-dir", user.home]
    argv += ["--shell", user.shell or ("/usr/sbin/nologin" if user.system else "/bin/bash")]
    if user.comment is not None:
        argv += ["--comment", user.comment]
    if user.groups:
        argv += ["--groups", ",".join(user.groups)]
    return RunCommand((*argv, user.name), f"user {user.name}: create")


def _change(user: User, account: Account, seen: Observation, problems: list[str]) -> list[Step]:
    if user.uid is not None and user.uid != account.uid:
        problems.append(
            f"users.{user.name}.uid: the user exists with uid {account.uid}; "
            "changing it would orphan files, declare that number or choose another name"
        )
    if seen.login is not None and seen.login.user == user.name:
        problems += _shut_out(user, account)
    argv: list[str] = []
    said: list[str] = []
    for option, wanted, found, word in (
        ("--comment", user.comment, account.comment, "comment"),
        ("--shell", user.shell, account.shell, "shell"),
        ("--home", user.home, account.home, "home"),
    ):
        if wanted is not None and wanted != found:
            argv += [option, wanted]
            said.append(f"{word} {found or 'none'} -> {wanted}")
    missing = [
        name
        for name in user.groups
        if name not in seen.groups
        or (user.name not in seen.groups[name].members and seen.groups[name].gid != account.gid)
    ]
    if missing:
        argv += ["--append", "--groups", ",".join(missing)]
        said.append("add to " + ", ".join(missing))
    if not argv:
        return []
    return [RunCommand(("usermod", *argv, user.name), f"user {user.name}: " + ", ".join(said))]


def _shut_out(user: User, account: Account) -> list[str]:
    """What no key could repair: an account is not put back by a new login that fails."""
    found: list[str] = []
    if user.shell is not None and user.shell.endswith(NO_SHELLS) and user.shell != account.shell:
        found.append(
            f"users.{user.name}.shell: {user.shell} lets nobody in, and this play connects as {user.name}; "
            "connect as another user first"
        )
    if user.home is not None and user.home != account.home and not user.authorized_keys:
        found.append(
            f"users.{user.name}.home: {user.name}, who this play connects as, would have no key in {user.home}; "
            "declare authorized_keys too"
        )
    return found


def home_of(user: User, seen: Observation) -> str:
    account = seen.accounts.get(user.name)
    if user.home is not None:
        return user.home
    return account.home if account is not None else f"/home/{user.name}"


def group_of(user: User, seen: Observation) -> str:
    account = seen.accounts.get(user.name)
    if account is None:
        return user.name
    for group in seen.groups.values():
        if group.gid == account.gid:
            return group.name
    return str(account.gid)


def is_way_in(path: str) -> bool:
    """Whether somebody logs in, or becomes root, by what the path says."""
    return path.endswith(("/.ssh", "/.ssh/authorized_keys")) or path.startswith("/etc/sudoers")


def keys_path(user: User, seen: Observation) -> str:
    return f"{home_of(user, seen)}/.ssh/authorized_keys"


def belongings(wish: Wish, seen: Observation, problems: list[str]) -> tuple[list[Directory], list[File], list[str]]:
    """Directories and files to have, and paths to be rid of, because of users: keys and sudo."""
    directories: list[Directory] = []
    files: list[File] = []
    absent: list[str] = []
    for user in wish.users:
        if user.authorized_keys or user.authorized_keys_exclusive:
            path = keys_path(user, seen)
            group = group_of(user, seen)
            for each in (path, path.rpartition("/")[0]):
                if seen.path(each).kind == LINK:
                    problems.append(f"{each}: is a symbolic link in a place that {user.name} owns; remove it first")
            _keep_a_way_in(user, seen, problems)
            directories.append(Directory(path.rpartition("/")[0], "0700", user.name, group, owned_parent=True))
            files.append(
                File(
                    path=path,
                    content=authorized_keys(user, seen.path(path).content or b""),
                    mode="0600",
                    owner=user.name,
                    group=group,
                    owned_parent=True,
                )
            )
        sudoers = SUDOERS.format(name=user.name)
        if user.sudo == "none":
            absent.append(sudoers)
        elif user.sudo is not None:
            tag = "NOPASSWD: " if user.sudo == "passwordless" else ""
            files.append(
                File(
                    path=sudoers,
                    content=f"{user.name} ALL=(ALL:ALL) {tag}ALL\n".encode(),
                    mode="0440",
                    validate="visudo -c -q -f %s",
                )
            )
    return directories, files, absent


def removed_keys(user: User, current: bytes) -> tuple[str, ...]:
    """Fingerprints of the keys that would go, because they are not declared."""
    if not user.authorized_keys_exclusive:
        return ()
    kept = {fingerprint(key) for key in user.authorized_keys}
    there = (fingerprint(line) for line in current.decode("utf-8", "replace").splitlines())
    return tuple(found for found in there if found and found not in kept)


def _keep_a_way_in(user: User, seen: Observation, problems: list[str]) -> None:
    """The key that this run came by stays, and so does one at least of the user who is connected."""
    if seen.login is None or seen.login.user != user.name:
        return
    gone = removed_keys(user, seen.path(keys_path(user, seen)).content or b"")
    if not gone:
        return
    where = f"users.{user.name}.authorized_keys"
    if not user.authorized_keys:
        problems.append(
            f"{where}: no key is left of the user who this play connects as; add the public key to connect with"
        )
    elif seen.login.key in gone:
        problems.append(
            f"{where}: leaves out {seen.login.key}, the key that this play is connected with; "
            "add it, or connect with one of those declared and remove it then"
        )


def authorized_keys(user: User, current: bytes) -> bytes:
    """Keep the other keys unless they are to go; keep the file as it is when it says the same."""
    if user.authorized_keys_exclusive:
        return "".join(f"{key}\n" for key in user.authorized_keys).encode()
    lines = current.decode("utf-8", "surrogateescape").splitlines()
    there = {line.strip() for line in lines}
    missing = [key for key in user.authorized_keys if key not in there]
    if not missing:
        return current
    return "".join(f"{line}\n" for line in [*lines, *missing]).encode("utf-8", "surrogateescape")
