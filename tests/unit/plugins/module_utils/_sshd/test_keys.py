# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._host.wish import fingerprint, key_blob
from ansible_collections.slipway.ops.plugins.module_utils._sshd import keys

ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHA5c2dczsWP1BiO664mVlI0UArUM2QHorIeK+ZkX0Br x"
SMALL = (
    "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQDK6b/o3CAsHwtJAz94orRUbryqAdzylbBfkF1mmMxwpVv0jJKl51dzMAcZ0J5a"
    "dCigqZSQJgJ7RmpHapVvihpMJJq25xqjiBHZNaiCiSK6sxWLewtr+goujzqxRbhtttocVTCtBMN456Vz5vmJssSxdIipY7lOmSgK"
    "4+QZiWotu93TNXLsmGR3I2ASfjBVTU4Ew7BCZ4WiA2cI2sCdqmRdVmWcfgADmahkoX9sIVw9V4227rM+TAX6r2aJvzQ2VqAL416D"
    "gBQbtBkWeaAMEIh3Ju05DCVXVPVVma0CuBik8baj06FVaLiYOXtEdPBQfcrM9jLxnB58uTXYFpV73JPT"
)
LARGE = (
    "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAACAQCDT/4SSP5OIPdGZSEjACIQfeZ5QKA58X6WcQsn6WdKFyrroVBGiq+RWhMEjgDF"
    "wqWlmRBbnD1oVpPpa7rySMgpVIsaIlX4I/aPSj0Wqr1a9bIIUyK1l10BlZaVz8vtb9rod5KVsjLdypHCwNrzZYx+ApDFdrBEWbrz"
    "GqCHRiHsiYaA9isX/gEoCIi+2NQDIWIBm63p2yiGQwEcAWh7UFxBSmsaH3gKbQxW9el4BzqXrg5igPEZDhNfJa+oux96rMOA38+h"
    "DhHMNE+QJjd2Uy9Q7DITfzq6chE/lVujmN5EQbCGMrqkDmTIK0IqiekXB+Bhjuu4YJoMQ/X0XqfPqITQ84pt9LwrGe0MvAItQhiP"
    "0zixPBj4o1zOGZS1f568I2eEZM2wvA8H7vutWLP/gRoylxT13+CMI+xr9YcSsyPQKsI91wFm40Y7qknasf1rOu99xDZkeo5jhM5h"
    "MWDKvj0kNqpK0vgBnGuDlESNrWElHiCQWwAFd/LVTTzNYXbnNRXlRlm8eTEsbM8QD1ARRFVrNUapmiLKenhL1THxzEH1J/YZGrb1"
    "NwWXRdgheslPf6bcDNfBS7o7xBI2Y26YLbVLDFYzBn5VMqStYJU77cWt7abuL9xVLUoP0NJGGmajusd2jIk3A5KxDAqB0jZepU4y"
    "qAuuCZU5bWT3R4Z5Z3v1dQ=="
)
CURVE = (
    "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBH34jd56O5S5wcDCRCOIIMcId8Nv"
    "1DwABUIyq6vcM6KXJrmbE1mB+ibhj7i0H41pDfsa+cVGXaTcd3rOUk8J6gI="
)


@pytest.mark.parametrize(("line", "size"), [(SMALL, 2048), (LARGE, 4096), (ED25519, 256), (CURVE, 256)])
def test_bits(line: str, size: int) -> None:
    assert keys.bits(key_blob(line)[1]) == size


@pytest.mark.parametrize(
    ("line", "revoked", "says"),
    [
        (ED25519, (), None),
        (f'from="192.0.2.0/24" {LARGE}', (), None),
        (SMALL, (), "is RSA of 2048 bits, 3072 are needed"),
        (CURVE, (), "is of type ecdsa-sha2-nistp256"),
        (ED25519, (fingerprint(ED25519),), "is revoked"),
        ("rubbish", (), "is not a public key"),
    ],
)
def test_refusal(line: str, revoked: tuple[str, ...], says: str | None) -> None:
    assert keys.refusal(line, revoked) == says


def test_usable() -> None:
    count, others = keys.usable(f"# {ED25519}\n\n{ED25519}\n{SMALL}\nrubbish\n{LARGE}\n", (fingerprint(LARGE),))
    assert count == 1
    assert others == [
        f"{fingerprint(SMALL)} is RSA of 2048 bits, 3072 are needed",
        f"{fingerprint(LARGE)} is revoked",
    ]
