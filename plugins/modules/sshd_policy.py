#!/usr/bin/python
# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sshd_policy
short_description: The SSH server as one policy, in one call that cannot lock its operator out
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Writes all settings to C(/etc/ssh/sshd_config.d/00-slipway.conf), which sshd reads first, and the files that they
    name; and has C(ssh.service) run instead of C(ssh.socket).
  - Algorithms, key types and sizes are those of ssh-audit's policy for the host's release, as far as its OpenSSH has
    them.
  - Refused before anything changes when the user of the play's connection, or one who is let in by name, would not get
    in any more; when another file is stronger than the drop-in; when another process has the port. Every reason is told
    at once.
  - A change is armed. It undoes itself unless M(slipway.ops.armed_confirm) confirms it under the name V(ssh).
  - On every run, what sshd makes of its files for each user who is let in by name, the ports it listens on, and what
    the running process offers on the wire are compared with what is wanted. A process that runs something older is
    restarted.
options:
  port:
    description: Port to listen on. While it is new, the old one stays open too and RV(moving) is true.
    type: int
    default: 22
  confirm_limit_seconds:
    description: Seconds after which a change that was not confirmed is put back.
    type: int
    default: 120
  login_user:
    description: The user that must still get in. Empty means the one who is connected.
    type: str
    default: ""
  root_login:
    description: Whether root may log in, with a key.
    type: bool
    default: false
  passwords:
    description: Whether passwords are accepted.
    type: bool
    default: false
  allow_users:
    description: Patterns of users who may log in, with an address or network after C(@) or not. Empty restricts nobody.
    type: list
    elements: str
    default: []
  allow_groups:
    description: Patterns of groups whose members may log in. Empty restricts nobody.
    type: list
    elements: str
    default: []
  deny_users:
    description: Patterns of users who may not log in.
    type: list
    elements: str
    default: []
  deny_groups:
    description: Patterns of groups whose members may not log in.
    type: list
    elements: str
    default: []
  max_auth_tries:
    description: Attempts to authenticate within a connection.
    type: int
    default: 4
  login_grace_seconds:
    description: Seconds that a login may take.
    type: int
    default: 30
  client_alive_interval_seconds:
    description: Seconds of silence after which a client is asked whether it is there.
    type: int
    default: 300
  client_alive_count:
    description: Questions without an answer after which a client is dropped.
    type: int
    default: 2
  tcp_forwarding:
    description: Whether clients may forward TCP ports.
    type: bool
    default: false
  agent_forwarding:
    description: Whether clients may forward their agent.
    type: bool
    default: false
  banner_file:
    description: File shown before a login. Empty shows none.
    type: str
    default: ""
  host_keys:
    description:
      - Host keys to offer, in order. One that is missing is made; one that is there is never replaced.
      - Empty offers Ed25519, and RSA where the distribution's key has 4096 bits. Where the release's policy does not
        pass without RSA, a key of 4096 bits is made beside a smaller one, C(/etc/ssh/ssh_host_rsa_4096_key).
    type: list
    elements: str
    default: []
  host_certificates:
    description: Certificates of host keys to present. They must be there.
    type: list
    elements: str
    default: []
  key_exchanges:
    description: Key exchanges to offer, in order, one of them post-quantum. Empty means those of the release's policy.
    type: list
    elements: str
    default: []
  ciphers:
    description: Ciphers to offer, in order. Empty means those of the release's policy.
    type: list
    elements: str
    default: []
  macs:
    description: Message authentication codes to offer, in order. Empty means those of the release's policy.
    type: list
    elements: str
    default: []
  trusted_user_ca_keys:
    description: Public keys of authorities whose certificates let users in.
    type: list
    elements: str
    default: []
  authorized_principals:
    description:
      - For each user, the principals that a certificate must name one of. Others get in by no certificate.
      - Empty means that a certificate must name the user.
    type: dict
    default: {}
  revoked_keys:
    description: Public keys that let nobody in any more, wherever they are authorized; of users and of authorities.
    type: list
    elements: str
    default: []
  second_factor:
    description: V(totp) asks for a code of C(google-authenticator) after the key.
    type: str
    choices: [none, totp]
    default: none
  second_factor_exempt_users:
    description: Users who log in by key alone, as programs must; the one who the play connects as among them.
    type: list
    elements: str
    default: []
  admin_networks:
    description:
      - Addresses and networks that are never banned nor slowed down. The address that the play comes from is added.
    type: list
    elements: str
    default: []
  fail2ban:
    description: Whether fail2ban bans addresses that try to get in, as the journal tells.
    type: bool
    default: true
  fail2ban_max_retry:
    description: Failures after which an address is banned.
    type: int
    default: 5
  fail2ban_find_seconds:
    description: Seconds within which the failures count.
    type: int
    default: 600
  fail2ban_ban_seconds:
    description: Seconds that a ban lasts.
    type: int
    default: 3600
  foreseen:
    description:
      - In check mode, what earlier tasks of the run would have left behind, as RV(foreseen) of the last of them.
        The action plugin hands it on from task to task by itself.
    type: dict
    default: {}
attributes:
  check_mode:
    description: Complete, also on a host without sshd.
    support: full
  diff_mode:
    description: One entry for each file. Keys and Diffie-Hellman groups are not shown.
    support: full
requirements:
  - Debian or Ubuntu with systemd
"""

EXAMPLES = r"""
- name: Move SSH to another port, for two users
  slipway.ops.sshd_policy:
    port: 2222
    allow_users: [operator, deploy]
  register: changed

- name: Log in anew on the wanted port and keep the change
  slipway.ops.armed_confirm:
    name: ssh
    port: 2222
  when: changed.armed is defined
"""

RETURN = r"""
plan:
  description: What was done, or in check mode would be done, one line a step.
  returned: success
  type: list
  elements: str
  sample: ["file /etc/ssh/sshd_config.d/00-slipway.conf: create (0644 root:root)", "unit ssh.service: restart"]
armed:
  description: Name of the armed change that waits for its confirmation, if there is one.
  returned: when armed
  type: str
  sample: ssh
moving:
  description: Whether the port that sshd was found on is open still. Run the module again once the new one is proven.
  returned: success
  type: bool
ports:
  description: Ports that sshd listens on by now.
  returned: success
  type: list
  elements: int
  sample: [2222]
login_user:
  description: The user that still gets in.
  returned: success
  type: str
  sample: operator
connected_port:
  description: Port of the host that the play's connection goes to; 0 when it is not an SSH connection.
  returned: success
  type: int
  sample: 22
audit_policy:
  description: Name of ssh-audit's policy that the algorithms are from.
  returned: success
  type: str
  sample: Hardened Debian 13 (version 1)
foreseen:
  description: What this and earlier tasks of the run would leave behind, for O(foreseen). The action plugin keeps it.
  returned: in check mode, by the module alone
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.ops.plugins.module_utils._armed.gateway import Store
from ansible_collections.slipway.ops.plugins.module_utils._host import report
from ansible_collections.slipway.ops.plugins.module_utils._host.gateway import Host, HostError
from ansible_collections.slipway.ops.plugins.module_utils._sshd.gateway import Sshd
from ansible_collections.slipway.ops.plugins.module_utils._sshd.policy import parse
from ansible_collections.slipway.ops.plugins.module_utils._sshd.server import Server

TEXTS: dict[str, object] = {"type": "list", "elements": "str", "default": []}
OFF: dict[str, object] = {"type": "bool", "default": False}


def number(default: int) -> dict[str, object]:
    return {"type": "int", "default": default}


ARGUMENTS = {
    "port": number(22),
    "confirm_limit_seconds": number(120),
    "login_user": {"type": "str", "default": ""},
    "root_login": OFF,
    "passwords": {**OFF, "no_log": False},
    "allow_users": TEXTS,
    "allow_groups": TEXTS,
    "deny_users": TEXTS,
    "deny_groups": TEXTS,
    "max_auth_tries": number(4),
    "login_grace_seconds": number(30),
    "client_alive_interval_seconds": number(300),
    "client_alive_count": number(2),
    "tcp_forwarding": OFF,
    "agent_forwarding": OFF,
    "banner_file": {"type": "str", "default": ""},
    "host_keys": {**TEXTS, "no_log": False},
    "host_certificates": TEXTS,
    "key_exchanges": {**TEXTS, "no_log": False},
    "ciphers": TEXTS,
    "macs": TEXTS,
    "trusted_user_ca_keys": {**TEXTS, "no_log": False},
    "authorized_principals": {"type": "dict", "default": {}},
    "revoked_keys": {**TEXTS, "no_log": False},
    "second_factor": {"type": "str", "choices": ["none", "totp"], "default": "none"},
    "second_factor_exempt_users": TEXTS,
    "admin_networks": TEXTS,
    "fail2ban": {"type": "bool", "default": True},
    "fail2ban_max_retry": number(5),
    "fail2ban_find_seconds": number(600),
    "fail2ban_ban_seconds": number(3600),
    "foreseen": {"type": "dict", "default": {}},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    earlier = module.params.pop("foreseen")
    policy, problems = parse(module.params)
    if problems:
        module.fail_json(msg="; ".join(problems))
    host = Host()
    server = Server(host, Sshd(host), Store(host), policy, module.warn, earlier)
    try:
        done = server.run(module.check_mode)
    except HostError as error:
        module.fail_json(msg=str(error))
    result = {
        "changed": bool(done.steps),
        "plan": report.lines(done.steps),
        "moving": done.moving,
        "ports": done.ports,
        "login_user": done.login_user,
        "connected_port": done.connected_port,
        "audit_policy": done.policy,
    }
    if done.armed is not None:
        result["armed"] = done.armed
    if module.check_mode:
        result["foreseen"] = done.foreseen
    if module._diff and done.steps:
        result["diff"] = report.diff(done.steps)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
