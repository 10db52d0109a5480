"""What a newcomer reads when the demo is done."""

from __future__ import annotations

from . import settings

KEY = settings.KEY.relative_to(settings.ROOT)
ROOT = settings.PEBBLE_ROOT.relative_to(settings.ROOT)
DOMAIN, ADDRESS = settings.FLEET_DOMAIN, settings.FLEET_ADDRESS
PROBE = f"docker exec -it {settings.PREFIX}-{settings.PROBE}"
PLAY = ".venv/bin/ansible-playbook -i inventories/lab"


def deploy(version: str) -> str:
    """The command that releases one version for once."""
    return f"""{PLAY} playbooks/deploy.yml -e '{{"stack_environment_overrides": {{"FLEET_VERSION": "{version}"}}}}'"""


SECTIONS = (
    (
        "The site",
        (
            (f"https://{DOMAIN}", "the console; /api, /socket and /health beside it"),
            (f"curl --cacert {ROOT} --resolve {DOMAIN}:443:{ADDRESS} https://{DOMAIN}/health", "from here"),
            (f"{PROBE} curl --cacert /etc/ssl/lab/pebble-root.pem https://{DOMAIN}/health", "from the outside world"),
        ),
    ),
    (
        "Its server",
        (
            (f"ssh -p 2222 -i {KEY} {settings.USER}@{ADDRESS}", "log in"),
            ("sudo slipway status", "there: what runs"),
            ("sudo docker compose -p fleet ps", "there: its containers"),
        ),
    ),
    (
        "Verbs",
        (
            (f"{PLAY} site.yml", "again: nothing changes"),
            (deploy("1.1.0"), "a new release"),
            (deploy("1.2.0-broken"), "one that fails; the old version serves on"),
            (f"{PLAY} playbooks/backup.yml", "a backup now"),
            (f"{PLAY} playbooks/restore.yml -e restore_confirm={settings.FLEET}", "back to the last backup"),
            (f"{PLAY} playbooks/audit.yml", "the checklists, answered by looking"),
        ),
    ),
    (
        "Around it",
        (
            (f"http://{settings.SERVICES_ADDRESS}:{settings.SINK_PORT}/messages", "mail and webhooks that were sent"),
            (f"http://{settings.SERVICES_ADDRESS}:{settings.S3_PORT}/{settings.S3_BUCKET}", "where backups go (S3)"),
            ("tests/lab/lab.py status", "what of the lab is up"),
            ("make demo-down", "remove all of it"),
        ),
    ),
)


def page() -> str:
    """The whole page; commands on the left, what they are for above them."""
    lines = ["", "Marine Maroc runs in the lab."]
    for title, rows in SECTIONS:
        lines += ["", title]
        for command, meaning in rows:
            lines += [f"  {meaning}", f"      {command}"]
    return "\n".join([*lines, ""])
