"""What can go wrong when sshd is changed."""

from __future__ import annotations

from typing import Any

from slipway_lockout.trial import BY_PLAY, KEPT, REFUSED, Theme, Trial

DROPIN = "/etc/ssh/sshd_config.d"
OURS = f"{DROPIN}/00-slipway.conf"
KEEP = f"cp -a {OURS} /run/kept.conf\n"
BRING_BACK = f"cp -a /run/kept.conf {OURS}\nsystemctl reload ssh.service\n"


def drop(port: int) -> dict[str, Any]:
    rule = f"INPUT -p tcp --dport {port} -j DROP"
    return {"prepare": f"iptables -I {rule}", "undo": f"iptables -D {rule}"}


def foreign(name: str, text: str, reload: bool = False) -> dict[str, Any]:
    """A file of somebody else's, which sshd has read already or will read at its next start."""
    path = f"{DROPIN}/{name}"
    read = "systemctl reload ssh.service"
    return {"prepare": f"printf '{text}' > {path}\n{read if reload else ''}", "undo": f"rm {path}\n{read}"}


TO_SOCKET = """
systemctl disable --quiet ssh.service
systemctl enable --quiet ssh.socket
systemctl stop ssh.service
systemctl start ssh.socket
"""
FROM_SOCKET = """
systemctl disable --quiet ssh.socket
systemctl enable --quiet ssh.service
systemctl stop ssh.socket ssh.service
systemctl start ssh.service
"""

TRIALS = (
    Trial(
        "an allow list with a typo",
        REFUSED,
        "ssh_allow_users (operatr) leaves out operator",
        {"ssh_allow_users": ["operatr"]},
        quick=True,
    ),
    Trial(
        "allowed groups without the operator's",
        REFUSED,
        "ssh_allow_groups (admins) has no group of operator",
        {"ssh_allow_users": [], "ssh_allow_groups": ["admins"]},
    ),
    Trial(
        "an allow list for another network",
        REFUSED,
        "leaves out operator",
        {"ssh_allow_users": ["operator@10.99.0.0/16"]},
    ),
    Trial(
        "a login user that does not exist",
        REFUSED,
        "user operatr: does not exist on the host",
        {"ssh_login_user": "operatr"},
    ),
    Trial(
        "root connects, and root is to be shut out",
        REFUSED,
        "root may not log in any more",
        {"ssh_allow_users": ["operator", "root"]},
        prepare=f"""{KEEP}
        sed -i 's/^PermitRootLogin .*/PermitRootLogin prohibit-password/' {OURS}
        sed -i 's/^AllowUsers .*/AllowUsers operator root/' {OURS}
        install -d -m 0700 /root/.ssh
        install -m 0600 /home/operator/.ssh/authorized_keys /root/.ssh/authorized_keys
        systemctl reload ssh.service
        """,
        undo=f"{BRING_BACK} rm -r /root/.ssh",
        connection={"ansible_user": "root"},
    ),
    Trial(
        "a port that another process has",
        REFUSED,
        "port 2300 is taken by python3",
        {"ssh_port": 2300},
        prepare="systemd-run --quiet --unit=try-port python3 -m http.server 2300\nsleep 1",
        undo="systemctl stop try-port.service",
    ),
    Trial("port 70000", REFUSED, "ssh_port: 70000 is not between 1 and 65535", {"ssh_port": 70000}),
    Trial(
        "a new port that a foreign rule drops",
        BY_PLAY,
        "no new login on port 2400 was possible",
        {"ssh_port": 2400},
        **drop(2400),
        quick=True,
    ),
    Trial(
        "a file that sshd cannot read",
        REFUSED,
        "Bad configuration option: Nonsense",
        **foreign("90-broken.conf", "Nonsense yes\\n"),
    ),
    Trial(
        "a foreign file that is stronger",
        REFUSED,
        "00-a.conf:1 says permitrootlogin yes: remove it",
        **foreign("00-a.conf", "PermitRootLogin yes\\n"),
    ),
    Trial(
        "a second port from a foreign file",
        REFUSED,
        "90-port.conf:1 says port 2200: remove it",
        **foreign("90-port.conf", "Port 2200\\n"),
    ),
    Trial(
        "an Include that wins first",
        REFUSED,
        "/etc/ssh/first.conf:1 says permitrootlogin yes: remove it",
        {"ssh_max_auth_tries": 5},
        prepare="""
        cp -a /etc/ssh/sshd_config /run/kept.main
        printf 'PermitRootLogin yes\\n' > /etc/ssh/first.conf
        sed -i '1i Include /etc/ssh/first.conf' /etc/ssh/sshd_config
        """,
        undo="cp -a /run/kept.main /etc/ssh/sshd_config\nrm /etc/ssh/first.conf",
    ),
    Trial(
        "a main file that no longer includes drop-ins",
        REFUSED,
        "before it includes /etc/ssh/sshd_config.d/*.conf; move the Include line to its top",
        {"ssh_max_auth_tries": 5},
        prepare="cp -a /etc/ssh/sshd_config /run/kept.main\nsed -i '/^Include/d' /etc/ssh/sshd_config",
        undo="cp -a /run/kept.main /etc/ssh/sshd_config",
    ),
    Trial(
        "a denied user in a file that sshd has not read yet",
        REFUSED,
        "90-deny.conf:1 says denyusers operator: remove it",
        {"ssh_max_auth_tries": 5},
        **foreign("90-deny.conf", "DenyUsers operator\\n"),
    ),
    Trial(
        "a denied address in a file that sshd has not read yet",
        REFUSED,
        "90-deny.conf:1 says denyusers operator@172.30.0.*: remove it",
        {"ssh_max_auth_tries": 5},
        **foreign("90-deny.conf", "DenyUsers operator@172.30.0.*\\n"),
    ),
    Trial(
        "a Match block that denies the operator on the new port",
        BY_PLAY,
        "for operator denyusers is operator, not unset",
        {"ssh_port": 2500},
        **foreign("90-match.conf", "Match LocalPort 2500\\n  DenyUsers operator\\n", reload=True),
    ),
    Trial(
        "keys looked for elsewhere by a file that sshd has not read yet",
        REFUSED,
        "has no usable key in /etc/ssh/keys/operator",
        {"ssh_max_auth_tries": 5},
        **foreign("90-keys.conf", "AuthorizedKeysFile /etc/ssh/keys/%%u\\n"),
    ),
    Trial(
        "host keys that do not exist",
        REFUSED,
        "/etc/ssh/ssh_host_none_key is not there",
        {"ssh_host_keys": ["/etc/ssh/ssh_host_none_key"]},
    ),
    Trial(
        "an old client that only knows what is to be refused",
        BY_PLAY,
        "no new login on port 22 was possible",
        prepare=f"{KEEP}\nsed -i '/^KexAlgorithms/d' {OURS}\nsystemctl reload ssh.service",
        undo=BRING_BACK,
        connection={"ansible_ssh_common_args": "-o KexAlgorithms=ecdh-sha2-nistp256"},
    ),
    Trial(
        "PAM, which refuses once sshd asks it",
        BY_PLAY,
        "no new login on port 22 was possible",
        prepare=f"""{KEEP}
        cp -a /etc/pam.d/sshd /run/kept.pam
        sed -i 's/^UsePAM .*/UsePAM no/' {OURS}
        usermod --password '*' operator
        systemctl reload ssh.service
        sed -i '1i account required pam_deny.so' /etc/pam.d/sshd
        """,
        undo=f"cp -a /run/kept.pam /etc/pam.d/sshd\nusermod --password '!' operator\n{BRING_BACK}",
    ),
    Trial(
        "a start of sshd that a foreign unit file breaks, and a new port that is dropped",
        BY_PLAY,
        "no new login on port 2400 was possible",
        {"ssh_port": 2400},
        prepare=f"""
        mkdir -p /etc/systemd/system/ssh.service.d
        printf '[Service]\\nExecStartPre=/bin/false\\n' > /etc/systemd/system/ssh.service.d/broken.conf
        systemctl daemon-reload
        {drop(2400)["prepare"]}
        """,
        undo=f"""
        rm -r /etc/systemd/system/ssh.service.d
        systemctl daemon-reload
        systemctl is-active --quiet ssh.service || systemctl restart ssh.service
        {drop(2400)["undo"]}
        """,
    ),
    Trial(
        "a host that only ssh.socket serves, and a new port that is dropped",
        BY_PLAY,
        "no new login on port 2400 was possible",
        {"ssh_port": 2400},
        prepare=f"{TO_SOCKET}\n{drop(2400)['prepare']}",
        undo=f"{drop(2400)['undo']}\n{FROM_SOCKET}",
    ),
    Trial(
        "a host that only ssh.socket serves, without /run/sshd",
        REFUSED,
        "ssh_allow_users (operatr) leaves out operator",
        {"ssh_allow_users": ["operatr"]},
        prepare=f"{TO_SOCKET}\nrm -rf /run/sshd",
        undo=FROM_SOCKET,
    ),
    Trial(
        "/run/sshd is lost while a connection lives",
        KEPT,
        "failed=0",
        prepare="rm -rf /run/sshd",
        held=True,
    ),
)

THEME = Theme("ssh", ("ssh",), TRIALS)
