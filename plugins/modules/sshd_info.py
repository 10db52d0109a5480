#!/usr/bin/python
# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sshd_info
short_description: What the SSH server is now, and who a change would lock out
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Reads on which ports sshd (or C(ssh.socket) for it) listens, what sshd makes of its files, and which files say
    something else than the drop-in that is to be written.
  - Judges whether the user of the play's connection would still get in. Nothing is changed.
options:
  port:
    description: Port that sshd is to listen on.
    type: int
    default: 22
  dropin:
    description: The drop-in file that is to hold the settings. It need not exist yet.
    type: path
    default: /etc/ssh/sshd_config.d/00-slipway.conf
  wanted:
    description: Settings that must be in effect, by their names as C(sshd -T) prints them, each a list of values.
    type: dict
    default: {}
  root_login:
    description: Whether root may log in.
    type: bool
    default: false
  passwords:
    description: Whether passwords are accepted.
    type: bool
    default: false
    aliases: [password_authentication]
  allow_users:
    description: Patterns of users who may log in. Empty allows all.
    type: list
    elements: str
    default: []
  allow_groups:
    description: Patterns of groups whose members may log in. Empty allows all.
    type: list
    elements: str
    default: []
  login_user:
    description: The user that must still get in. Left out, the one who is connected.
    type: str
attributes:
  check_mode:
    description: Changes nothing anyway.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
requirements:
  - Debian or Ubuntu with systemd
"""

EXAMPLES = r"""
- name: Ask whether SSH may be closed to root and passwords
  slipway.ops.sshd_info:
    port: 2222
    allow_users: [deploy]
  register: ssh
  failed_when: ssh.problems | length > 0
"""

RETURN = r"""
installed:
  description: Whether sshd is there.
  returned: always
  type: bool
ports:
  description: Ports on which sshd or C(ssh.socket) listens now.
  returned: always
  type: list
  elements: int
  sample: [22]
login_user:
  description: The user that must still get in.
  returned: always
  type: str
  sample: operator
connected_port:
  description: Port of the host that the play's connection goes to; 0 when it is not an SSH connection.
  returned: always
  type: int
  sample: 22
problems:
  description: Why the change must not be made, one line each with the remedy.
  returned: always
  type: list
  elements: str
differing:
  description: Wanted settings that are not in effect.
  returned: always
  type: list
  elements: str
  sample: ["permitrootlogin is without-password, not no"]
overriding:
  description: Settings of other files that win over the drop-in or add to it.
  returned: always
  type: list
  elements: str
  sample: ["/etc/ssh/sshd_config:14 says port 22"]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.ops.plugins.module_utils._host.connection import connected_user, connection
from ansible_collections.slipway.ops.plugins.module_utils._host.gateway import Host, HostError
from ansible_collections.slipway.ops.plugins.module_utils._sshd import access, configuration
from ansible_collections.slipway.ops.plugins.module_utils._sshd.gateway import Sshd

ARGUMENTS = {
    "port": {"type": "int", "default": 22},
    "dropin": {"type": "path", "default": "/etc/ssh/sshd_config.d/00-slipway.conf"},
    "wanted": {"type": "dict", "default": {}},
    "root_login": {"type": "bool", "default": False},
    "passwords": {"type": "bool", "default": False, "aliases": ["password_authentication"], "no_log": False},
    "allow_users": {"type": "list", "elements": "str", "default": []},
    "allow_groups": {"type": "list", "elements": "str", "default": []},
    "login_user": {"type": "str"},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    given = module.params
    sshd = Sshd(Host())
    came = connection()
    address, port = came.address, came.port
    user = given["login_user"] or connected_user()
    result: dict[str, object] = {
        "changed": False,
        "installed": sshd.installed,
        "ports": [],
        "login_user": user,
        "connected_port": port,
        "problems": [],
        "differing": [],
        "overriding": [],
    }
    if not sshd.installed:
        module.exit_json(**result)
    wanted = {
        key.lower(): [str(value) for value in (values if isinstance(values, list) else [values])]
        for key, values in given["wanted"].items()
    }
    try:
        effective = sshd.effective(user, address)
        listeners = sshd.listeners()
        directives = configuration.read(sshd.files)
        others = configuration.foreign(directives, given["dropin"], wanted)
        problems = [f"{said}: remove it, it is stronger than {given['dropin']}" for said in others.overriding]
        unread = configuration.includes_ours(sshd.host.text(configuration.MAIN), given["dropin"])
        if unread:
            problems.append(unread)
        rules = access.Rules(
            port=given["port"],
            root_login=given["root_login"],
            passwords=given["passwords"],
            allow_users=tuple(given["allow_users"]),
            allow_groups=tuple(given["allow_groups"]),
            listeners=listeners,
        )
        if port:  # a connection that is not SSH is not lost with it
            problems += access.lockouts(sshd.login(user, effective, address), rules)
    except HostError as error:
        module.fail_json(msg=str(error))
    for said in others.overruled:
        module.warn(f"{said}, which {given['dropin']} overrules")
    for said in others.conditional:
        module.warn(f"{said}, which may hold instead of {given['dropin']}")
    result.update(
        ports=sorted({item.port for item in listeners if access.is_ssh(item.process)}),
        problems=problems,
        differing=configuration.differing(effective, wanted),
        overriding=list(others.overriding),
    )
    module.exit_json(**result)


if __name__ == "__main__":
    main()
