#!/usr/bin/python
# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: certificate
short_description: Have certificates issued, published for nginx and proved over the wire
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Compares the published certificates with the wanted ones and takes the steps that are missing.
  - >-
    Files are C(/etc/slipway/certificates/NAME/current/fullchain.pem) and C(privkey.pem). C(current) is a link that is
    swapped by rename, so that a reader never meets half a pair.
  - >-
    With O(state=issued), certbot is installed from pinned wheels into an environment of its own. An order is made by
    HTTP challenge when the certificate is missing, is the placeholder, is for other names, came from another directory,
    or is in the last third of its life (the last half, when it lives less than 10 days). Then nginx is tested and
    reloaded, and new connections to port 443 must show the published certificate.
  - Before the authority is asked, this host must answer a challenge on its own port 80.
  - >-
    Orders are noted in C(/var/lib/slipway/certificates/ledger.json). After 2 failed orders within an hour, or 3
    certificates within 7 days for the same names, the next order is refused with the time from which it may be made.
  - A certificate that fails does not hold up the others; all errors are reported together.
  - Check mode predicts the same steps, also on a host where neither nginx nor certbot is installed.
options:
  certificates:
    description:
      - The wanted certificates, as host names, lists of host names, or mappings of V(name) and V(domains).
      - The name is the name of the directory; it is the first domain where it is not given. Wildcards are refused.
    type: list
    elements: raw
    required: true
  state:
    description:
      - >-
        V(placeholder) makes a marked self-signed pair, valid 1 day, where no readable pair exists, so that nginx can
        start.
      - V(issued) makes sure that a valid certificate of the authority is published and served.
    type: str
    choices: [placeholder, issued]
    default: issued
  directory_url:
    description: Address of the ACME directory. The default is Let's Encrypt.
    type: str
    default: https://acme-v02.api.letsencrypt.org/directory
  email:
    description: Address of the account. Without it, the account is registered without one.
    type: str
    default: ""
  ca_file:
    description: >-
      Path on the host to a PEM file with the authority that signs the ACME server's own TLS, for a private one.
    type: str
    default: ""
  profile:
    description: >-
      Certificate profile to require from the authority, such as V(shortlived). Empty takes the authority's default.
    type: str
    default: ""
  requirements:
    description:
      - Text of a pip requirements file that pins certbot and all it needs, with hashes.
      - Empty takes the certbot that is installed.
    type: str
    default: ""
  pip_environment:
    description: >-
      Environment variables for pip, such as V(PIP_INDEX_URL).
      Credentials belong into the host's own configuration of pip.
    type: dict
    default: {}
attributes:
  check_mode:
    description: Predicts all steps and changes nothing.
    support: full
  diff_mode:
    description: The diff is the plan.
    support: full
"""

EXAMPLES = r"""
- name: Let nginx start before the first certificate
  slipway.ops.certificate:
    state: placeholder
    certificates: [shop.example]

- name: Serve a certificate of Let's Encrypt
  slipway.ops.certificate:
    certificates:
      - {name: shop.example, domains: [shop.example, www.shop.example]}
    email: admin@shop.example
"""

RETURN = r"""
plan:
  description: The steps, one line each, in order.
  returned: always
  type: list
  elements: str
  sample: ["order a certificate for shop.example: there is only the placeholder"]
certificates:
  description:
    - The state of each certificate after the run.
    - V(served) says whether a new connection shows the published certificate; it is absent with O(state=placeholder).
  returned: always
  type: list
  elements: dict
  sample:
    - name: shop.example
      wanted_domains: [shop.example]
      present: true
      placeholder: false
      serial: 3a67790d34ee038b
      domains: [shop.example]
      issuer: CN=Example Authority
      not_before: 1795229232
      not_after: 1803005232
      fingerprint: 5f0d6a1c
      key_matches: true
      served: true
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.ops.plugins.module_utils._certificate import certbot
from ansible_collections.slipway.ops.plugins.module_utils._certificate.converge import converge
from ansible_collections.slipway.ops.plugins.module_utils._certificate.gateway import CertificateError, Gateway
from ansible_collections.slipway.ops.plugins.module_utils._certificate.names import parse_requests
from ansible_collections.slipway.ops.plugins.module_utils._certificate.plan import STATE_ISSUED, STATE_PLACEHOLDER


def argument_spec() -> dict[str, Any]:
    return {
        "certificates": {"type": "list", "elements": "raw", "required": True},
        "state": {"type": "str", "choices": [STATE_PLACEHOLDER, STATE_ISSUED], "default": STATE_ISSUED},
        "directory_url": {"type": "str", "default": certbot.LETS_ENCRYPT},
        "email": {"type": "str", "default": ""},
        "ca_file": {"type": "str", "default": ""},
        "profile": {"type": "str", "default": ""},
        "requirements": {"type": "str", "default": ""},
        "pip_environment": {"type": "dict", "default": {}},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    options = module.params
    requests, problems = parse_requests(options["certificates"])
    if problems:
        module.fail_json(msg="\n".join(f"certificates{problem}" for problem in problems))
    gateway = Gateway(
        certbot.Authority(options["directory_url"], options["email"], options["ca_file"], options["profile"]),
        certbot.Tool(
            options["requirements"],
            pip_environment={str(key): str(value) for key, value in options["pip_environment"].items()},
        ),
    )
    try:
        outcome = converge(gateway, requests, options["state"], module.check_mode)
    except CertificateError as error:
        module.fail_json(msg=str(error))
    lines = [step.line() for step in outcome.steps]
    result = {
        "changed": bool(lines),
        "plan": lines,
        "certificates": outcome.certificates,
        "diff": {"before": "", "after": "".join(f"{line}\n" for line in lines)},
    }
    if outcome.errors:
        module.fail_json(msg="\n".join(outcome.errors), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
