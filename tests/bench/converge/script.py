"""One shell script, sent over one SSH login: the state with the files in it as a tar archive."""

from __future__ import annotations

import base64
import io
import shlex
import tarfile
from typing import Any

SCRIPT = r"""
set -eu
export DEBIAN_FRONTEND=noninteractive
missing=
for name in @packages@; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' $name 2>/dev/null)" = installed ] || missing="$missing $name"
done
if [ -n "$missing" ]; then
  apt-get -qq update
  apt-get -qq -y --no-install-recommends -o Dpkg::Options::=--force-confold install $missing >/dev/null
fi
[ "$(apt-mark showhold | tr '\n' ' ')" = "@holds@ " ] || apt-mark hold @holds@ >/dev/null
for name in @groups@; do getent group $name >/dev/null || groupadd --system $name; done
@users@
new=$(mktemp -d)
changed=
base64 -d <<'END' | tar -C "$new" -xz --same-owner
@archive@
END
while read -r mode owner path; do
  [ -e "$path" ] || mkdir -p "$path"
  [ "$(stat -c '%04a %U:%G' "$path")" = "$mode $owner" ] || { chmod "$mode" "$path"; chown "$owner" "$path"; }
done <<'END'
@directories@
END
while read -r mode owner path; do
  if ! cmp -s "$new$path" "$path" || [ "$(stat -c '%04a %U:%G' "$path")" != "$mode $owner" ]; then
    install -m "$mode" -o "${owner%:*}" -g "${owner#*:}" "$new$path" "$path"
    changed="$changed $path"
  fi
done <<'END'
@files@
END
@links@
rm -rf "$new"
case "$changed" in *@sysctls@*) sysctl -e -q -p @sysctls@;; esac
case "$changed" in */etc/systemd/system/*) systemctl daemon-reload;; esac
added=$(ufw show added)
@rules@
ufw status | grep -q 'Status: active' || ufw --force enable >/dev/null
@units@
"""


def render(state: dict[str, Any]) -> str:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path, item in state["paths"].items():
            if item["kind"] == "file":
                data = base64.b64decode(item["content"])
                entry = tarfile.TarInfo(path.lstrip("/"))
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))

    def listed(kind: str) -> str:
        rows = [(path, item) for path, item in state["paths"].items() if item["kind"] == kind]
        return "\n".join(f"{item['mode']} {item['owner']}:{item['group']} {path}" for path, item in rows)

    parts = {
        "packages": " ".join(state["packages"]),
        "holds": " ".join(state["holds"]),
        "groups": " ".join(state["groups"]),
        "users": "\n".join(
            f"id {user['name']} >/dev/null 2>&1 || useradd --create-home --shell {user['shell']}"
            f" --comment {shlex.quote(user['comment'])} --groups {','.join(user['groups'])} {user['name']}"
            for user in state["users"]
        ),
        "archive": base64.encodebytes(buffer.getvalue()).decode().strip(),
        "directories": listed("directory") + "\n" + listed("mode"),
        "files": listed("file"),
        "links": "\n".join(
            f'[ "$(readlink {path})" = {item["target"]} ] || ln -sfn {item["target"]} {path}'
            for path, item in state["paths"].items()
            if item["kind"] == "link"
        ),
        "sysctls": state["sysctls_file"],
        "rules": "\n".join(
            f'case "$added" in *{shlex.quote(rule)}*) ;; *) {rule} >/dev/null;; esac' for rule in state["rules"]
        ),
        "units": "\n".join(_unit(name, unit) for name, unit in state["units"].items()),
    }
    script = SCRIPT
    for name, text in parts.items():
        script = script.replace(f"@{name}@", text)
    return script


def _unit(name: str, unit: dict[str, Any]) -> str:
    lines = []
    if unit["enabled"]:
        lines.append(f"systemctl -q is-enabled {name} || systemctl -q enable {name}")
    if unit["restart_on"]:
        lines.append(f'case "$changed" in *{unit["restart_on"]}*) systemctl restart {name};; esac')
    if unit["running"]:
        lines.append(f"systemctl -q is-active {name} || systemctl start {name}")
    return "\n".join(lines)
