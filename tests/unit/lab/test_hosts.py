"""How a lab host is described to the engine."""

from __future__ import annotations

import io
import tarfile

import pytest
from slipway_lab import cli, guide, hosts, settings

KEY = "ssh-ed25519 AAAA x\n"


def test_a_bare_host_gets_its_address_from_the_engine() -> None:
    command = hosts.create_command(hosts.Machine("shop", "image", volumes=hosts.DATA_VOLUMES), KEY)
    assert command[-2:] == ["image", "/sbin/init"]
    assert "--name=slipway-lab-shop" in command
    assert "--volume=slipway-lab-shop-docker:/var/lib/docker" in command
    assert "--network-alias=shop.lab" in command
    assert not [part for part in command if part.startswith(("--ip", "--publish"))]


def test_a_fixed_host_has_both_addresses_and_its_names() -> None:
    command = hosts.create_command(hosts.Machine("fleet", "image", "172.30.0.10", ("fleet.example.com",)), KEY)
    assert {"--ip=172.30.0.10", "--ip6=fd00:51:1b::a:10", "--network-alias=fleet.example.com"} <= set(command)
    assert f"--label={hosts.ALIASES_LABEL}=fleet.example.com" in command


def test_a_host_of_another_checkout_can_be_told() -> None:
    marks = {
        part
        for key in (KEY, "ssh-ed25519 BBBB y\n")
        for part in hosts.create_command(hosts.Machine("shop", "image"), key)
        if part.startswith(f"--label={hosts.KEY_LABEL}=")
    }
    assert len(marks) == 2


def test_never_privileged() -> None:
    assert "--cap-drop=SYS_RESOURCE" in hosts.BOOT_OPTIONS
    assert "--privileged" not in hosts.create_command(hosts.Machine("shop", "image"), KEY)


def test_the_key_belongs_to_the_login_user() -> None:
    with tarfile.open(fileobj=io.BytesIO(hosts.authorized_keys("ssh-ed25519 AAAA x\n"))) as archive:
        found = {entry.name: (oct(entry.mode), entry.uid) for entry in archive}
    assert found == {"home/operator/.ssh": ("0o700", 1000), "home/operator/.ssh/authorized_keys": ("0o600", 1000)}


@pytest.mark.parametrize(
    ("arguments", "wish"),
    [
        pytest.param(["host", "create", "x"], {"release": "trixie", "docker": False, "alias": []}, id="bare"),
        pytest.param(
            ["host", "create", "x", "--release", "bookworm", "--docker", "--alias", "a.b", "--alias", "c.d"],
            {"release": "bookworm", "docker": True, "alias": ["a.b", "c.d"]},
            id="all",
        ),
        pytest.param(["up", "--services"], {"services": True, "all": False}, id="up"),
        pytest.param(["down", "--images"], {"images": True}, id="down"),
    ],
)
def test_arguments(arguments: list[str], wish: dict[str, object]) -> None:
    assert wish.items() <= vars(cli.parser().parse_args(arguments)).items()


def test_the_lab_keeps_its_own_names() -> None:
    with pytest.raises(hosts.LabError, match="choose another name"):
        hosts.create(settings.PROBE)


def test_the_guide_names_the_site() -> None:
    assert f"https://{settings.FLEET_DOMAIN}" in guide.page()
