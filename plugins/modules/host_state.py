#!/usr/bin/python
# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_state
short_description: Bring one concern of a host into a declared state in one call
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Packages, groups, users and their keys, directories, files, links, sysctls and systemd units of one concern
    are observed, planned and applied in a single call to the host.
  - >-
    The order is safe: packages, groups and users, directories, files, absent paths and links, checks, sysctls, units.
    When anything fails before the units are reached, every file, link, directory and sysctl is put back as it was.
  - Units are reloaded or restarted only when a file that they depend on changed. When a run fails between the two,
    the next run still owes the restart.
  - An action plugin of the same name renders templates on the controller. Arguments are not logged on the host.
  - Every problem of a request is reported at once, with its path, before anything is touched.
options:
  packages:
    description:
      - Distribution packages that must be installed, all in one transaction without recommended packages.
      - Package lists are updated when there are none, when they are older than 24 hours, or when a package is unknown.
    type: list
    elements: str
    default: []
  groups:
    description: Groups that must exist.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the group.
        type: str
        required: true
      system:
        description: Create it as a system group.
        type: bool
        default: false
      gid:
        description: Its number. A group that exists with another number is refused.
        type: int
  users:
    description: Users that must exist.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Login name.
        type: str
        required: true
      comment:
        description: Full name.
        type: str
      shell:
        description: Login shell. A new user gets V(/bin/bash), a new system user V(/usr/sbin/nologin).
        type: str
      home:
        description: Home directory. Files are not moved when it changes.
        type: str
      system:
        description: Create a system user, without a home directory.
        type: bool
        default: false
      uid:
        description: Its number. A user that exists with another number is refused.
        type: int
      groups:
        description: Groups to be a member of, besides those it is in already.
        type: list
        elements: str
        default: []
      authorized_keys:
        description: Public keys, one each, with options in front if wanted.
        type: list
        elements: str
      authorized_keys_exclusive:
        description: Remove every other key.
        type: bool
        default: false
      sudo:
        description:
          - Whether the user may run any command as any user, asked for a password or not.
          - V(none) removes the file in C(/etc/sudoers.d) that this module wrote. Left out, sudo is not touched.
        type: str
        choices: [none, password, passwordless]
      password:
        description: Hash of the password, as C(mkpasswd) makes it. Left out, the password is not touched.
        type: str
      login:
        description:
          - Whether somebody is to log in. A user with neither key nor password is then refused, and so is one who
            needs a password for sudo and has none. System users and those without a shell are not meant.
        type: bool
        default: false
  directories:
    description:
      - Directories that must exist. Those missing above a declared path are made with V(0755) for root.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path.
        type: str
        required: true
      mode:
        description: Four octal digits, in quotes.
        type: str
        default: "0755"
      owner:
        description: Owner.
        type: str
        default: root
      group:
        description: Group.
        type: str
        default: root
  files:
    description:
      - Files, written whole. Without content or template, the source is the template of the calling role
        that lies under the same path, such as C(templates/etc/nginx/nginx.conf.j2) for C(/etc/nginx/nginx.conf).
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path.
        type: str
        required: true
      content:
        description: Text to write.
        type: str
      content_base64:
        description: Bytes to write, in base64.
        type: str
      template:
        description: Template of the role or playbook to render, relative to its templates directory.
        type: str
      variables:
        description: Further variables for the template.
        type: dict
      mode:
        description: Four octal digits, in quotes.
        type: str
        default: "0644"
      owner:
        description: Owner.
        type: str
        default: root
      group:
        description: Group.
        type: str
        default: root
      validate:
        description: Command that must accept the new file, V(%s), before it replaces the old.
        type: str
      seed:
        description: Write the file only when it is missing; never change it afterwards.
        type: bool
        default: false
      secret:
        description: Keep the content out of the diff and of messages.
        type: bool
        default: false
  absent:
    description: Files, links and empty directories that must not be there.
    type: list
    elements: str
    default: []
  links:
    description: Symbolic links.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path of the link.
        type: str
        required: true
      target:
        description: What it points to.
        type: str
        required: true
  sysctls:
    description: Kernel parameters and their live values. Parameters unknown to the kernel give a warning.
    type: dict
    default: {}
  sysctls_file:
    description: File, such as V(/etc/sysctl.d/60-example.conf), to hold O(sysctls) for the next boot.
    type: str
  sysctls_required:
    description: Keys of O(sysctls) that the kernel must know. One that it does not know is refused.
    type: list
    elements: str
    default: []
  settings:
    description:
      - Single settings of configuration files that others own, such as C(/etc/login.defs). The other lines stay.
      - A setting is written where it stands, or after the comment that shows it, or at the end.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path. Items of the same path are joined.
        type: str
        required: true
      separator:
        description: What stands between key and value.
        type: str
        choices: [" ", "=", " = "]
        default: " "
      values:
        description: Keys and their values.
        type: dict
        required: true
  modes:
    description: Modes and owners of files and directories that others bring. What is not there is left out.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path.
        type: str
        required: true
      mode:
        description: Four octal digits, in quotes.
        type: str
        default: "0644"
      owner:
        description: Owner.
        type: str
        default: root
      group:
        description: Group.
        type: str
        default: root
  mounts:
    description:
      - Options that mounts have at least, live. A directory that is no mount becomes one, of itself.
      - For the next boot, have a unit or C(/etc/fstab) say the same.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path.
        type: str
        required: true
      options:
        description: Mount options, such as V(noexec).
        type: list
        elements: str
        required: true
  swap:
    description:
      - A swap file, turned on, and the unit that turns it on at boot. A file of another size is made anew.
      - Refused where the file system cannot hold one, or where it does not fit.
    type: dict
    suboptions:
      path:
        description: Absolute path.
        type: str
        required: true
      size_mib:
        description: Size in MiB.
        type: int
        required: true
  checks:
    description:
      - Commands that must succeed once files, absent paths and links are written; all is put back when one fails.
    type: list
    elements: dict
    default: []
    suboptions:
      command:
        description: Command, without a shell.
        type: str
        required: true
      "on":
        description: Run it only when a path under one of these changed. Empty means on any change.
        type: list
        elements: str
        default: []
  units:
    description: systemd units, handled in the order given. Unit files are read again whenever they changed.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name with type, such as V(nginx.service).
        type: str
        required: true
      enabled:
        description: Whether it starts at boot. Left out, that is not touched.
        type: bool
      state:
        description:
          - Whether it runs. A unit that was started must still run a moment later.
          - A unit whose condition does not hold on this host gives a warning.
        type: str
        choices: [started, stopped]
      masked:
        description: Whether it is masked, which also stops it.
        type: bool
      reload_on:
        description: Paths, or beginnings of paths, whose change calls for a reload.
        type: list
        elements: str
        default: []
      restart_on:
        description: Paths, or beginnings of paths, whose change calls for a restart.
        type: list
        elements: str
        default: []
  armed:
    description:
      - Make the change one that undoes itself unless it is confirmed in time with M(slipway.ops.armed_confirm).
      - Files, sysctls and units that the plan changes are put back as they were, also after a reboot.
        Packages and accounts stay.
    type: dict
    suboptions:
      name:
        description: Name of the change, for the confirmation.
        type: str
        required: true
      limit_seconds:
        description: Seconds to confirm within.
        type: int
        default: 120
      only:
        description:
          - Paths, and beginnings of sysctl keys such as V(net.), whose change calls for it, besides keys and sudo of
            users. Nothing else is armed, nor put back. Empty means every change.
        type: list
        elements: str
        default: []
  foreseen:
    description:
      - In check mode, what earlier tasks of the run would have left behind, as RV(foreseen) of the last of them.
        The action plugin hands it on from task to task by itself.
    type: dict
    default: {}
attributes:
  check_mode:
    description: Complete, also on a host that has nothing of the concern yet. What a validation refuses is a warning.
    support: full
  diff_mode:
    description: One entry for each file and one for everything else. Secret content is not shown.
    support: full
requirements:
  - Debian or Ubuntu with systemd
"""

EXAMPLES = r"""
- name: Configure nginx
  slipway.ops.host_state:
    packages: [nginx]
    files:
      - path: /etc/nginx/nginx.conf # from templates/etc/nginx/nginx.conf.j2 of the role
        validate: nginx -t -c %s
    absent: [/etc/nginx/sites-enabled/default]
    checks:
      - {command: nginx -t, "on": [/etc/nginx/]}
    units:
      - {name: nginx.service, enabled: true, state: started, reload_on: [/etc/nginx/]}

- name: Have the deploy user
  slipway.ops.host_state:
    users:
      - name: deploy
        groups: [docker]
        authorized_keys: ["{{ lookup('ansible.builtin.file', '~/.ssh/id_ed25519.pub') }}"]
        sudo: passwordless
"""

RETURN = r"""
plan:
  description: What was done, or in check mode would be done, one line a step.
  returned: success
  type: list
  elements: str
  sample: ["install packages nginx", "file /etc/nginx/nginx.conf: change content", "unit nginx.service: reload"]
armed:
  description: Name of the armed change that waits for its confirmation, if there is one.
  returned: when armed
  type: str
  sample: ssh
ansible_facts:
  description: The one fact that roles ask for, so that a play need not gather any.
  returned: success
  type: dict
  contains:
    distribution_release:
      description: Code name of the host's release.
      returned: where C(/etc/os-release) tells it
      type: str
      sample: trixie
foreseen:
  description: What this and earlier tasks of the run would leave behind, for O(foreseen). The action plugin keeps it.
  returned: in check mode, by the module alone
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.ops.plugins.module_utils._armed.converge import converge
from ansible_collections.slipway.ops.plugins.module_utils._armed.gateway import Store
from ansible_collections.slipway.ops.plugins.module_utils._host import report
from ansible_collections.slipway.ops.plugins.module_utils._host.gateway import Host, HostError
from ansible_collections.slipway.ops.plugins.module_utils._host.wish import parse

NAMED: dict[str, object] = {"name": {"type": "str", "required": True}}
PLACED: dict[str, object] = {"path": {"type": "str", "required": True}}
TEXTS: dict[str, object] = {"type": "list", "elements": "str", "default": []}
FLAG: dict[str, object] = {"type": "bool", "default": False}


def owned(mode: str) -> dict[str, object]:
    root = {"type": "str", "default": "root"}
    return {"mode": {"type": "str", "default": mode}, "owner": root, "group": root}


def listed(options: dict[str, object]) -> dict[str, object]:
    return {"type": "list", "elements": "dict", "default": [], "options": options}


ARGUMENTS = {
    "packages": TEXTS,
    "groups": listed({**NAMED, "system": FLAG, "gid": {"type": "int"}}),
    "users": listed(
        {
            **NAMED,
            "comment": {"type": "str"},
            "shell": {"type": "str"},
            "home": {"type": "str"},
            "system": FLAG,
            "uid": {"type": "int"},
            "groups": TEXTS,
            "authorized_keys": {"type": "list", "elements": "str", "no_log": False},
            "authorized_keys_exclusive": {**FLAG, "no_log": False},
            "sudo": {"type": "str", "choices": ["none", "password", "passwordless"]},
            "password": {"type": "str", "no_log": True},
            "login": FLAG,
        }
    ),
    "directories": listed({**PLACED, **owned("0755")}),
    "files": listed(
        {
            **PLACED,
            "content": {"type": "str"},
            "content_base64": {"type": "str"},
            "template": {"type": "str"},
            "variables": {"type": "dict"},
            **owned("0644"),
            "validate": {"type": "str"},
            "seed": FLAG,
            "secret": {**FLAG, "no_log": False},
        }
    ),
    "absent": TEXTS,
    "links": listed({**PLACED, "target": {"type": "str", "required": True}}),
    "sysctls": {"type": "dict", "default": {}},
    "sysctls_file": {"type": "str"},
    "sysctls_required": TEXTS,
    "settings": listed(
        {
            **PLACED,
            "separator": {"type": "str", "choices": [" ", "=", " = "], "default": " "},
            "values": {"type": "dict", "required": True},
        }
    ),
    "modes": listed({**PLACED, **owned("0644")}),
    "mounts": listed({**PLACED, "options": {"type": "list", "elements": "str", "required": True}}),
    "swap": {"type": "dict", "options": {**PLACED, "size_mib": {"type": "int", "required": True}}},
    "checks": listed({"command": {"type": "str", "required": True}, "on": TEXTS}),
    "units": listed(
        {
            **NAMED,
            "enabled": {"type": "bool"},
            "state": {"type": "str", "choices": ["started", "stopped"]},
            "masked": {"type": "bool"},
            "reload_on": TEXTS,
            "restart_on": TEXTS,
        }
    ),
    "foreseen": {"type": "dict", "default": {}},
    "armed": {"type": "dict", "options": {**NAMED, "limit_seconds": {"type": "int", "default": 120}, "only": TEXTS}},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    earlier = module.params.pop("foreseen")
    wish, problems = parse(module.params)
    if problems:
        module.fail_json(msg="\n".join(problems))
    host = Host()
    try:
        done = converge(host, Store(host), wish, module.check_mode, module.warn, earlier)
    except HostError as error:
        module.fail_json(msg=str(error))
    result = {"changed": bool(done.steps), "plan": report.lines(done.steps)}
    if done.armed is not None:
        result["armed"] = done.armed
    release = host.release()
    if release:
        result["ansible_facts"] = {"distribution_release": release}
    if module.check_mode:
        result["foreseen"] = done.foreseen
    if module._diff and done.steps:
        result["diff"] = report.diff(done.steps)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
