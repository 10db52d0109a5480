# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host should be, as values, and the one reader that finds every problem of a request at once."""

from __future__ import annotations

import base64
import binascii
import difflib
import hashlib
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._host import system

NAME = re.compile(r"^[a-z_][a-z0-9_-]{0,31}$")
HASH = re.compile(r"^(\$(y|gy|7|6|5|2[aby])\$[./A-Za-z0-9$=,]{20,}|[*!])$")
PACKAGE = re.compile(r"^[a-z0-9][a-z0-9+.-]+(:[a-z0-9-]+)?$")
UNIT = re.compile(r"^[A-Za-z0-9:_.\\@-]+\.(service|socket|timer|target|path|mount|slice|swap|automount)$")
MODE = re.compile(r"^[0-7]{4}$")
SYSCTL = re.compile(r"^[a-z0-9_]+([./][A-Za-z0-9_@:*-]+)+$")
SUDO = ("none", "password", "passwordless")
STATES = ("started", "stopped")
KEY_TYPES = (
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)


@dataclass(frozen=True)
class Group:
    name: str
    system: bool = False
    gid: int | None = None


@dataclass(frozen=True)
class User:
    name: str
    comment: str | None = None
    shell: str | None = None
    home: str | None = None
    system: bool = False
    uid: int | None = None
    groups: tuple[str, ...] = ()
    authorized_keys: tuple[str, ...] = ()
    authorized_keys_exclusive: bool = False
    sudo: str | None = None
    password: str | None = None  # a hash, as in /etc/shadow
    login: bool = False  # somebody is to log in by it


@dataclass(frozen=True)
class Directory:
    path: str
    mode: str = "0755"
    owner: str = "root"
    group: str = "root"
    owned_parent: bool = False  # the parent belongs to an ordinary user: never follow links of theirs


@dataclass(frozen=True)
class File:
    path: str
    content: bytes
    mode: str = "0644"
    owner: str = "root"
    group: str = "root"
    validate: str | None = None
    seed: bool = False
    secret: bool = False
    owned_parent: bool = False


@dataclass(frozen=True)
class Link:
    path: str
    target: str


@dataclass(frozen=True)
class Check:
    command: str
    on: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unit:
    name: str
    enabled: bool | None = None
    state: str | None = None
    masked: bool | None = None
    reload_on: tuple[str, ...] = ()
    restart_on: tuple[str, ...] = ()


@dataclass(frozen=True)
class Armed:
    name: str
    limit_seconds: int = 120
    only: tuple[str, ...] = ()  # paths and sysctls that call for it; empty means every change


@dataclass(frozen=True)
class Wish:
    packages: tuple[str, ...] = ()
    groups: tuple[Group, ...] = ()
    users: tuple[User, ...] = ()
    directories: tuple[Directory, ...] = ()
    files: tuple[File, ...] = ()
    absent: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()
    sysctls: tuple[tuple[str, str], ...] = ()
    sysctls_file: str | None = None
    sysctls_required: tuple[str, ...] = ()
    settings: tuple[system.Settings, ...] = ()
    modes: tuple[system.Mode, ...] = ()
    mounts: tuple[system.Mount, ...] = ()
    swap: system.Swap | None = None
    checks: tuple[Check, ...] = ()
    units: tuple[Unit, ...] = ()
    armed: Armed | None = None


def declared_paths(wish: Wish) -> list[str]:
    """Every path that a request wants to be there."""
    directories = [item.path for item in wish.directories]
    return directories + [item.path for item in wish.files] + [item.path for item in wish.links]


# What each item may say. The action and the module read the same table.
KEYS: dict[str, tuple[str, ...]] = {
    "groups": ("name", "system", "gid"),
    "users": (
        "name", "comment", "shell", "home", "system", "uid", "groups",
        "authorized_keys", "authorized_keys_exclusive", "sudo", "password", "login",
    ),
    "directories": ("path", "mode", "owner", "group"),
    "files": (
        "path", "content", "content_base64", "template", "variables",
        "mode", "owner", "group", "validate", "seed", "secret",
    ),
    "links": ("path", "target"),
    "checks": ("command", "on"),
    "units": ("name", "enabled", "state", "masked", "reload_on", "restart_on"),
    **system.KEYS,
}  # fmt: skip
ARMED_KEYS = ("name", "limit_seconds", "only")
SECTIONS = (
    "packages", "groups", "users", "directories", "files", "absent", "links", "sysctls", "sysctls_file",
    "sysctls_required", "settings", "modes", "mounts", "swap", "checks", "units", "armed",
)  # fmt: skip


@dataclass
class Reader:
    """Reads raw arguments and gathers problems, each with its path."""

    problems: list[str] = field(default_factory=list)

    def problem(self, path: str, message: str) -> None:
        self.problems.append(f"{path}: {message}")

    def known(self, item: Mapping[str, Any], allowed: Sequence[str], path: str) -> None:
        for key in item:
            if key not in allowed:
                near = difflib.get_close_matches(str(key), allowed, n=1)
                hint = f"did you mean {near[0]}?" if near else "known keys: " + ", ".join(allowed)
                self.problem(f"{path}.{key}" if path else str(key), f"unknown key, {hint}")

    def items(self, arguments: Mapping[str, Any], section: str) -> list[tuple[str, Mapping[str, Any]]]:
        value = arguments.get(section)
        if value is None:
            return []
        if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
            self.problem(section, "must be a list")
            return []
        found: list[tuple[str, Mapping[str, Any]]] = []
        for index, item in enumerate(value):
            path = f"{section}[{index}]"
            if not isinstance(item, Mapping):
                self.problem(path, "must be a mapping")
                continue
            self.known(item, KEYS[section], path)
            found.append((path, item))
        return found

    def text(self, item: Mapping[str, Any], key: str, path: str, default: str | None = None) -> str | None:
        value = item.get(key)
        if value is None:
            return default
        if not isinstance(value, str):
            self.problem(f"{path}.{key}", f"must be text, not {type(value).__name__}; put it in quotes")
            return default
        return str(value)

    def texts(self, item: Mapping[str, Any], key: str, path: str) -> tuple[str, ...]:
        value = item.get(key)
        if value is None:
            return ()
        if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
            self.problem(f"{path}.{key}" if path else key, "must be a list of text")
            return ()
        found: list[str] = []
        for index, entry in enumerate(value):
            if isinstance(entry, str):
                found.append(str(entry))
            else:
                where = f"{path}.{key}[{index}]" if path else f"{key}[{index}]"
                self.problem(where, f"must be text, not {type(entry).__name__}")
        return tuple(found)

    def flag(self, item: Mapping[str, Any], key: str, path: str, default: bool | None) -> bool | None:
        value = item.get(key)
        if value is None:
            return default
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in ("true", "yes", "on", "1", "false", "no", "off", "0"):
            return value.lower() in ("true", "yes", "on", "1")
        self.problem(f"{path}.{key}", "must be true or false")
        return default

    def number(self, item: Mapping[str, Any], key: str, path: str, low: int, high: int) -> int | None:
        value = item.get(key)
        if value is None:
            return None
        if isinstance(value, str) and value.isdigit():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.problem(f"{path}.{key}", f"must be a whole number from {low} to {high}")
            return None
        return int(value)

    def name(self, item: Mapping[str, Any], path: str, key: str = "name", default: str | None = None) -> str:
        value = self.text(item, key, path, default)
        if value is None:
            if item.get(key) is None:
                self.problem(f"{path}.{key}", "is required")
            return ""
        if not NAME.match(value) and not (value.isdigit() and key in ("owner", "group")):
            self.problem(f"{path}.{key}", f"{value!r} is not a valid name (lower case letters, digits, _ and -)")
        return value

    def absolute(self, value: Any, path: str) -> str:
        if not isinstance(value, str) or not value:
            self.problem(path, "an absolute path is required")
            return ""
        if not value.startswith("/") or value != posixpath.normpath(value) or value == "/" or "\0" in value:
            self.problem(path, f"{value!r} must be an absolute path without '..' and without a slash at its end")
            return ""
        return str(value)

    def mode(self, item: Mapping[str, Any], path: str, default: str) -> str:
        value = item.get("mode")
        if value is None:
            return default
        if not isinstance(value, str):
            self.problem(f"{path}.mode", f'must be octal digits in quotes, such as "{default}"; YAML read a number')
            return default
        if not MODE.match(value):
            self.problem(f"{path}.mode", f'{value!r} must be four octal digits, such as "{default}"')
            return default
        return str(value)


def _words(line: str) -> list[str] | None:
    """Split at blanks outside of double quotes, as sshd does; nothing when a quote does not close."""
    words: list[str] = [""]
    quoted = False
    for index, letter in enumerate(line.strip()):
        if letter == '"' and (index == 0 or line.strip()[index - 1] != "\\"):
            quoted = not quoted
        if letter in " \t" and not quoted:
            if words[-1]:
                words.append("")
        else:
            words[-1] += letter
    return None if quoted else [word for word in words if word]


def _fields(blob: bytes) -> list[bytes]:
    """The length-prefixed fields of a public key; none when they do not fill it exactly."""
    found: list[bytes] = []
    while blob:
        size = int.from_bytes(blob[:4], "big")
        if len(blob) < 4 + size or len(blob) < 4:
            return []
        found.append(blob[4 : 4 + size])
        blob = blob[4 + size :]
    return found if len(found) > 1 else []


def key_problem(line: str) -> str | None:
    """Say what is wrong with one line of an authorized_keys file, or nothing."""
    if "PRIVATE KEY" in line:
        return "is a private key; give the public one (the .pub file)"
    if "\n" in line.strip():
        return "holds more than one line; give one key an entry"
    words = _words(line)
    if words is None:
        return "has quotes that do not close"
    for index, word in enumerate(words[:2]):  # options, when there are any, are the first word
        if word in KEY_TYPES:
            if index + 1 >= len(words):
                return f"has no key after {word}"
            try:
                blob = base64.b64decode(words[index + 1].encode(), validate=True)
            except (binascii.Error, ValueError):
                return "is not valid base64; was it cut off?"
            fields = _fields(blob)
            if not fields or fields[0].decode("ascii", "replace") != word:
                return f"says {word} but holds another type of key, or was cut off"
            return None
    return "is not a public key (ssh-ed25519 AAAA... comment)"


def key_blob(line: str) -> tuple[str, bytes]:
    """Type and body of the key in a line of an authorized_keys file; empty when it holds none."""
    if not line.strip() or line.lstrip().startswith("#") or key_problem(line) is not None:
        return "", b""
    words = _words(line) or []
    index = next(index for index, word in enumerate(words) if word in KEY_TYPES)
    return words[index], base64.b64decode(words[index + 1].encode())


def fingerprint(line: str) -> str:
    """As ssh-keygen and sshd's log write it; empty when the line holds no key."""
    _type, blob = key_blob(line)
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=") if blob else ""


def _users(reader: Reader, arguments: Mapping[str, Any]) -> tuple[User, ...]:
    found: list[User] = []
    for path, item in reader.items(arguments, "users"):
        keys = tuple(key.strip() for key in reader.texts(item, "authorized_keys", path))
        for index, key in enumerate(keys):
            wrong = key_problem(key)
            if wrong:
                reader.problem(f"{path}.authorized_keys[{index}]", wrong)
        sudo = reader.text(item, "sudo", path)
        if sudo is not None and sudo not in SUDO:
            reader.problem(f"{path}.sudo", f"{sudo!r} must be one of {', '.join(SUDO)}")
        password = reader.text(item, "password", path)
        if password is not None and not HASH.match(password):
            reader.problem(f"{path}.password", "is not a hash; make one with mkpasswd (package whois)")
        name = reader.name(item, path)
        exclusive = bool(reader.flag(item, "authorized_keys_exclusive", path, False))
        if sudo in ("password", "passwordless") and not keys and password in (None, "*", "!"):
            reader.problem(
                f"{path}.authorized_keys",
                f"{name or 'this user'} gets sudo but has no key and no password: nobody could log in; add one",
            )
        if exclusive and item.get("authorized_keys") is None:
            reader.problem(f"{path}.authorized_keys_exclusive", "needs authorized_keys: it would remove every key")
        home = item.get("home")
        shell = item.get("shell")
        groups = reader.texts(item, "groups", path)
        for index, group in enumerate(groups):
            if not NAME.match(group):
                reader.problem(f"{path}.groups[{index}]", f"{group!r} is not a valid name")
        comment = reader.text(item, "comment", path)
        if comment is not None and (":" in comment or "\n" in comment):
            reader.problem(f"{path}.comment", "must not contain ':' or a line end")
        found.append(
            User(
                name=name,
                comment=comment,
                shell=None if shell is None else reader.absolute(shell, f"{path}.shell"),
                home=None if home is None else reader.absolute(home, f"{path}.home"),
                system=bool(reader.flag(item, "system", path, False)),
                uid=reader.number(item, "uid", path, 1, 4294967293),
                groups=groups,
                authorized_keys=keys,
                authorized_keys_exclusive=exclusive,
                sudo=sudo,
                password=password,
                login=bool(reader.flag(item, "login", path, False)),
            )
        )
    return tuple(found)


def _content(reader: Reader, item: Mapping[str, Any], path: str, rendered: bool) -> bytes:
    given = [key for key in ("content", "content_base64", "template") if item.get(key) is not None]
    if len(given) > 1:
        reader.problem(path, f"give one of {', '.join(given)}")
        return b""
    if rendered and (not given or given == ["template"]):
        reader.problem(path, "has no content; templates are rendered by the action, so run the module as a task")
        return b""
    if item.get("content") is not None:
        value = item["content"]
        if not isinstance(value, str):
            reader.problem(
                f"{path}.content", f"must be text, not {type(value).__name__}; use to_json or to_nice_yaml for data"
            )
            return b""
        return str(value).encode("utf-8", "surrogateescape")
    encoded = item.get("content_base64")
    if encoded is not None:
        try:
            return base64.b64decode(str(encoded).encode(), validate=True)
        except (binascii.Error, ValueError):
            reader.problem(f"{path}.content_base64", "is not valid base64")
    return b""


def _files(reader: Reader, arguments: Mapping[str, Any], rendered: bool) -> tuple[File, ...]:
    found: list[File] = []
    for path, item in reader.items(arguments, "files"):
        where = reader.absolute(item.get("path"), f"{path}.path")
        label = f"{path} ({where})" if where else path
        validate = reader.text(item, "validate", path)
        if validate is not None and "%s" not in validate:
            reader.problem(f"{path}.validate", "must contain %s, the temporary file")
        template = reader.text(item, "template", path)
        if template is not None and item.get("content") is None and template.startswith("/"):
            reader.problem(f"{path}.template", f"{template!r} must be relative to the role's templates directory")
        if item.get("variables") is not None and not isinstance(item["variables"], Mapping):
            reader.problem(f"{path}.variables", "must be a mapping")
        found.append(
            File(
                path=where,
                content=_content(reader, item, label, rendered),
                mode=reader.mode(item, path, "0644"),
                owner=reader.name(item, path, "owner", "root"),
                group=reader.name(item, path, "group", "root"),
                validate=validate,
                seed=bool(reader.flag(item, "seed", path, False)),
                secret=bool(reader.flag(item, "secret", path, False)),
            )
        )
    return tuple(found)


def _units(reader: Reader, arguments: Mapping[str, Any]) -> tuple[Unit, ...]:
    found: list[Unit] = []
    for path, item in reader.items(arguments, "units"):
        name = reader.text(item, "name", path) or ""
        if not UNIT.match(name):
            reader.problem(f"{path}.name", f"{name!r} must be a unit name with its type, such as nginx.service")
        state = reader.text(item, "state", path)
        if state is not None and state not in STATES:
            reader.problem(f"{path}.state", f"{state!r} must be one of {', '.join(STATES)}")
        masked = reader.flag(item, "masked", path, None)
        enabled = reader.flag(item, "enabled", path, None)
        if masked and (enabled or state == "started"):
            reader.problem(path, "a masked unit can be neither enabled nor started")
        found.append(
            Unit(
                name=name,
                enabled=enabled,
                state=state,
                masked=masked,
                reload_on=_prefixes(reader, item, "reload_on", path),
                restart_on=_prefixes(reader, item, "restart_on", path),
            )
        )
    return tuple(found)


def _prefixes(reader: Reader, item: Mapping[str, Any], key: str, path: str) -> tuple[str, ...]:
    values = reader.texts(item, key, path)
    for index, value in enumerate(values):
        if not value.startswith("/"):
            reader.problem(f"{path}.{key}[{index}]", f"{value!r} must be an absolute path or the start of one")
    return values


def _sysctls(reader: Reader, arguments: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    value = arguments.get("sysctls")
    if value is None:
        return ()
    if not isinstance(value, Mapping):
        reader.problem("sysctls", "must be a mapping of key to value")
        return ()
    found: list[tuple[str, str]] = []
    for key, wanted in value.items():
        if not SYSCTL.match(str(key)):
            reader.problem(f"sysctls.{key}", "is not a sysctl key, such as net.core.somaxconn")
            continue
        if isinstance(wanted, bool) or not isinstance(wanted, (int, str)) or str(wanted).strip() == "":
            reader.problem(f"sysctls.{key}", "must be a number or text")
            continue
        found.append((str(key), " ".join(str(wanted).split())))
    return tuple(found)


def _unique(reader: Reader, section: str, names: Iterable[str], what: str) -> None:
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name and name in seen:
            reader.problem(f"{section}[{index}].{what}", f"{name} is declared twice")
        seen.add(name)


def parse(arguments: Mapping[str, Any], rendered: bool = True) -> tuple[Wish, list[str]]:
    """Read a request. With `rendered` unset, files may still name templates."""
    reader = Reader()
    reader.known(arguments, SECTIONS, "")
    packages = reader.texts(arguments, "packages", "")
    for index, package in enumerate(packages):
        if not PACKAGE.match(package):
            reader.problem(f"packages[{index}]", f"{package!r} is not a package name")
    groups = tuple(
        Group(
            name=reader.name(item, path),
            system=bool(reader.flag(item, "system", path, False)),
            gid=reader.number(item, "gid", path, 1, 4294967293),
        )
        for path, item in reader.items(arguments, "groups")
    )
    directories = tuple(
        Directory(
            path=reader.absolute(item.get("path"), f"{path}.path"),
            mode=reader.mode(item, path, "0755"),
            owner=reader.name(item, path, "owner", "root"),
            group=reader.name(item, path, "group", "root"),
        )
        for path, item in reader.items(arguments, "directories")
    )
    links = tuple(
        Link(
            path=reader.absolute(item.get("path"), f"{path}.path"),
            target=_required(reader, item, "target", path),
        )
        for path, item in reader.items(arguments, "links")
    )
    checks = tuple(
        Check(command=_required(reader, item, "command", path), on=_prefixes(reader, item, "on", path))
        for path, item in reader.items(arguments, "checks")
    )
    absent = tuple(
        reader.absolute(value, f"absent[{index}]") for index, value in enumerate(reader.texts(arguments, "absent", ""))
    )
    sysctls_file = arguments.get("sysctls_file")
    wish = Wish(
        packages=packages,
        groups=groups,
        users=_users(reader, arguments),
        directories=directories,
        files=_files(reader, arguments, rendered),
        absent=absent,
        links=links,
        sysctls=_sysctls(reader, arguments),
        sysctls_file=None if sysctls_file is None else reader.absolute(sysctls_file, "sysctls_file"),
        sysctls_required=reader.texts(arguments, "sysctls_required", ""),
        settings=system.read_settings(reader, arguments),
        modes=system.read_modes(reader, arguments),
        mounts=system.read_mounts(reader, arguments),
        swap=system.read_swap(reader, arguments),
        checks=checks,
        units=_units(reader, arguments),
        armed=_armed(reader, arguments),
    )
    _unique(reader, "groups", (group.name for group in wish.groups), "name")
    _unique(reader, "users", (user.name for user in wish.users), "name")
    _unique(reader, "directories", (item.path for item in wish.directories), "path")
    _unique(reader, "files", (item.path for item in wish.files), "path")
    _unique(reader, "links", (item.path for item in wish.links), "path")
    _unique(reader, "units", (unit.name for unit in wish.units), "name")
    _unique(reader, "mounts", (mount.path for mount in wish.mounts), "path")
    _unique(reader, "modes", (mode.path for mode in wish.modes), "path")
    written = {item.path for item in wish.files}
    for item in wish.settings:
        if item.path in written:
            reader.problem("settings", f"{item.path} is also declared under files; say it there")
    made = set(declared_paths(wish))
    for index, gone in enumerate(wish.absent):
        if gone and gone in made:
            reader.problem(f"absent[{index}]", f"{gone} is also declared present")
    return _with_swap(wish), reader.problems


def _with_swap(wish: Wish) -> Wish:
    """A swap file comes with the unit that turns it on at boot."""
    if wish.swap is None:
        return wish
    unit = File(wish.swap.unit_path, wish.swap.unit_content)
    on = Unit(wish.swap.unit, enabled=True)  # at boot; the swap file itself is turned on with the files
    return replace(wish, files=(*wish.files, unit), units=(*wish.units, on))


def _required(reader: Reader, item: Mapping[str, Any], key: str, path: str) -> str:
    value = reader.text(item, key, path)
    if not value:
        reader.problem(f"{path}.{key}", "is required")
    return value or ""


def _armed(reader: Reader, arguments: Mapping[str, Any]) -> Armed | None:
    value = arguments.get("armed")
    if value is None:
        return None
    if not isinstance(value, Mapping):
        reader.problem("armed", "must be a mapping with name and limit_seconds")
        return None
    reader.known(value, ARMED_KEYS, "armed")
    limit = reader.number(value, "limit_seconds", "armed", 10, 86400)
    only = reader.texts(value, "only", "armed")
    for index, entry in enumerate(only):
        if not entry.startswith("/") and not SYSCTL.match(f"{entry.rstrip('.')}.x"):
            reader.problem(f"armed.only[{index}]", f"{entry!r} must be an absolute path or the start of a sysctl key")
    return Armed(name=reader.name(value, "armed"), limit_seconds=120 if limit is None else limit, only=only)
