"""What can go wrong when the firewall is changed."""

from __future__ import annotations

from typing import Any

from slipway_lockout.trial import BY_PLAY, REFUSED, Theme, Trial

SHUT_OUT = "to the SSH port 22 would be shut out"
NOBODY = f"{SHUT_OUT}, no rule allows them"
INACTIVE = "ufw disable > /dev/null"
UNTIL_GOOD = "ufw --force enable > /dev/null"
KEEP = "cp -a /etc/ufw/before.rules /run/kept.rules\n"
BRING_BACK = "cp -a /run/kept.rules /etc/ufw/before.rules\n"


def rule(port: int = 22, source: str = "any", **more: Any) -> dict[str, Any]:
    return {"port": [str(port)], "protocol": "tcp", "from": source, **more}


def rules(*given: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"firewall_rules": list(given), **more}


def refused(title: str, says: str, variables: dict[str, Any], **more: Any) -> Trial:
    return Trial(title, REFUSED, says, variables, roles=("firewall",), **more)


TRIALS = (
    refused("a firewall without an SSH rule", NOBODY, rules(rule(80), rule(443)), quick=True),
    refused("no rule at all under a policy of deny", NOBODY, rules()),
    refused("no rule at all under a policy of reject", NOBODY, rules(firewall_default_incoming="reject")),
    refused("a rule for the wrong port", NOBODY, rules(rule(2022))),
    refused("a rule for UDP instead of TCP", NOBODY, rules(rule(protocol="udp"))),
    refused("a rule for the wrong network", NOBODY, rules(rule(source="10.99.0.0/16"))),
    refused("a rule for the wrong interface", NOBODY, rules(rule(interface="lo"))),
    refused("a rule for the wrong address of the host", NOBODY, rules(rule(to="203.0.113.7"))),
    refused(
        "a denied address before the rule that allows it",
        "denies them; add {action: limit, port: 22, protocol: tcp} before it",
        rules({"action": "deny", "from": "172.30.0.0/24"}, rule()),
    ),
    refused("port 70000 in a rule", "port 70000", rules(rule(), rule(70000))),
    Trial(
        "IPv6 switched off under an operator who comes by it",
        REFUSED,
        "for ufw then drops all of IPv6",
        rules(rule(), firewall_ipv6=False),
        roles=("firewall",),
        connection={"ansible_host": "{address_v6}"},
    ),
    Trial(
        "a protected port on which nothing listens",
        BY_PLAY,
        "no new login on the port of the play was possible",
        rules(rule(2222), firewall_protect_ports=[2222]),
        roles=("firewall",),
        held=True,
    ),
    Trial(
        "new connections dropped by ufw's own file, while the one that is held lives",
        BY_PLAY,
        "no new login on the port of the play was possible",
        prepare=f"""{INACTIVE}\n{KEEP}
        sed -i '/^COMMIT/i -A ufw-before-input -p tcp --syn --dport 22 -j DROP' /etc/ufw/before.rules
        """,
        undo=f"{BRING_BACK}\n{UNTIL_GOOD}",
        roles=("firewall",),
        held=True,
    ),
    Trial(
        "a ufw file that does not load",
        BY_PLAY,
        "the firewall is as it was before",
        prepare=f"{INACTIVE}\n{KEEP}\nsed -i '/^COMMIT/i -A ufw-nonsense -j NOWHERE' /etc/ufw/before.rules",
        undo=f"{BRING_BACK}\n{UNTIL_GOOD}",
        roles=("firewall",),
    ),
    Trial(
        "SSH moved while ufw only opens the old port",
        BY_PLAY,
        "no new login on port 3333 was possible",
        {"ssh_port": 3333},
        roles=("ssh",),
    ),
)

THEME = Theme("firewall", ("firewall", "ssh"), TRIALS)
