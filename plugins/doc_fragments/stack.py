# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules that plan and release a stack take alike: the documentation of `_release/arguments.py`."""

from __future__ import annotations


class ModuleDocFragment:
    # The arguments PLANNING.
    DOCUMENTATION = r"""
options:
  model:
    description:
      - The model of the stack. The action plugin takes a dictionary and hands it on as JSON.
    type: str
    required: true
  environment:
    description:
      - The variables that the Compose file was read with, as a dictionary. They are kept beside the model, with mode
        0600, for backups.
    type: str
    default: "{}"
  elsewhere:
    description:
      - Services that run exactly once (C(x-slipway.single)) and not on this host, with the host that runs them. They
        are stopped here before they start there. Filter P(slipway.ops.stack_singles#filter) tells.
    type: dict
    default: {}
  digests:
    description: What names of images stand for, such as RV(slipway.ops.stack_build#module:digests).
    type: dict
    default: {}
  hooks:
    description:
      - Commands of your own, run on the host around the phases of a release while its lease is held, such as
        C(before_migrate) with the value C([[/usr/local/bin/tell, migration]]).
      - >-
        Moments are C(before_) or C(after_) and one of C(pull), C(recovery_point), C(prepare), C(stop), C(migrate),
        C(start), C(switch), C(watch), C(replace), C(finish), and C(release) for the whole. Those of C(pull),
        C(recovery_point), C(stop) and C(migrate) are passed over when there is nothing to do.
      - >-
        A command sees C(SLIPWAY_STACK), C(SLIPWAY_RELEASE), C(SLIPWAY_PHASE), C(SLIPWAY_WHEN) (C(before) or C(after))
        and C(SLIPWAY_OUTCOME) (C(running); C(succeeded) or C(failed) at C(after_release)), and nothing of the stack's
        variables.
      - A failure up to C(before_finish) takes the release back. A later one fails the task and says that the release
        serves.
      - They are kept with the release, so that one that comes back has its own. Over several hosts each runs them.
    type: dict
    default: {}
  hook_timeout_seconds:
    description: How long one command of O(hooks) may take. Then it is killed, which is a failure.
    type: float
    default: 300
  settle_seconds:
    description: How long a replica without a healthcheck must run before it counts as healthy.
    type: int
    default: 5
  migrate:
    description: Whether this host runs the migrations. Over several hosts one does.
    type: bool
    default: true
  recovery_point:
    description:
      - Whether to make a recovery point before a migration, where the stack is backed up from this host. The point is
        read back before the migration begins; when it cannot be made, nothing is migrated and the release fails.
    type: bool
    default: true
  confirmed_volumes:
    description:
      - Full names of volumes whose data may be left behind by this version. Without its name here, a volume that holds
        data is neither dropped, exchanged for another nor covered by a new mount; the release is refused.
    type: list
    elements: str
    default: []
  confirmed_point_max_age_hours:
    description:
      - How old the newest recovery point that was read back may be when O(confirmed_volumes) applies, in hours.
    type: float
    default: 24
  disk_floor_mib:
    description:
      - How much of the disk that holds the engine's images must stay free beside what is pulled, in MiB. With less than
        that, and four times the compressed size of the layers that are not here yet, nothing is pulled.
    type: int
    default: 1024
  upstream_directory:
    description: Where nginx reads its upstreams on the host.
    type: path
    default: /etc/nginx/slipway/upstreams
"""

    # The arguments SIGNATURE_OPTIONS, as `image_signatures`.
    SIGNATURES = r"""
options:
  image_signatures:
    description:
      - Whose signature images must carry. The program C(cosign) on the host checks it at the registry, for the digest
        that will run. The first rule that covers an image counts; an image that none covers needs no signature.
      - A release that C(slipway rollback) brings back was checked when it was released, and is not checked again.
    type: list
    elements: dict
    default: []
    suboptions:
      images:
        description: Patterns of names without their tags, such as V(registry.example.com/shop/*).
        type: list
        elements: str
        required: true
      key:
        description: The public key as text, its path on the host, or its address in a key service.
        type: str
      identity:
        description: Without a key, a regular expression for the identity in the certificate. Needs C(issuer).
        type: str
      issuer:
        description: Who vouches for that identity, such as V(https://token.actions.githubusercontent.com).
        type: str
      transparency_log:
        description: Whether the signature must be in the public transparency log. V(false) for private infrastructure.
        type: bool
        default: true
      unsigned:
        description: These images need no signature, whatever a later rule says.
        type: bool
        default: false
"""
