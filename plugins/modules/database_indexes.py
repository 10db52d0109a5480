#!/usr/bin/python
# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: database_indexes
short_description: Create the indexes that a stack's database should have
version_added: 0.1.0
description:
  - Creates indexes in a database that runs in a container of a stack on this host, if they are absent.
  - An index is present when one of its name leads with the wanted columns. It is also not created when another index
    already leads with the same columns, since it would only cost writes.
  - Never drops or alters an index. One that has the wanted name and other columns is left alone and named in a warning.
  - A table or column that does not exist yet is no error, since migrations create it. The index is RV(pending), which a
    warning says, and a later run creates it.
  - Readers and writers go on while an index is built, with C(ALGORITHM=INPLACE, LOCK=NONE) for InnoDB tables and
    C(CREATE INDEX CONCURRENTLY) in PostgreSQL. On MySQL and MariaDB a statement gives up when a table's lock is not had
    within 30 seconds.
  - Uses the client of the database image itself, inside the container. The password is read there, from the container's
    own environment, so that this module takes no secret.
options:
  stack:
    description: Name of the stack, which is the Compose project of its containers.
    type: str
    required: true
  service:
    description: Name of the service that runs the database.
    type: str
    required: true
  kind:
    description: Which server it is.
    type: str
    choices: [mysql, mariadb, postgresql]
    required: true
  database:
    description: Name of the database.
    type: str
    required: true
  user:
    description: Database user that may create indexes.
    type: str
    required: true
  password_variable:
    description:
      - Name of the variable in the container's environment that holds the user's password.
      - When it is empty there, the variable of the same name with C(_FILE) at its end names the file to read it from.
    type: str
    required: true
  indexes:
    description:
      - The indexes that should exist. Names are plain identifiers.
    type: list
    elements: dict
    required: true
    suboptions:
      table:
        description: Name of the table. With PostgreSQL it may carry its schema, as in V(sales.orders).
        type: str
        required: true
      name:
        description: Name of the index.
        type: str
        required: true
      columns:
        description:
          - Columns in order. With MySQL and MariaDB a column may carry a prefix length, as in V(title(40\)).
        type: list
        elements: str
        required: true
  tables:
    description:
      - Tables to optimize and analyze in a run that creates an index, whether or not they have indexes here.
    type: list
    elements: str
    default: []
  analyze:
    description:
      - Whether to optimize (MySQL and MariaDB) and analyze the tables whose indexes were changed by this run, and with
        them those of O(tables) without indexes here.
    type: bool
    default: true
attributes:
  check_mode:
    support: full
    description:
      - Predicts the statements. Where no container runs yet, predicts that every index will be created.
  diff_mode:
    support: full
    description: The statements, in the order in which they run.
requirements:
  - Docker with its command line client on the host
author:
  - Slipway contributors (@slipway)
"""

EXAMPLES = r"""
- name: Create the indexes of the fleet's busiest tables
  slipway.ops.database_indexes:
    stack: fleet
    service: database
    kind: mysql
    database: fleetbase
    user: root
    password_variable: MYSQL_ROOT_PASSWORD
    indexes:
      - {table: orders, name: idx_orders_status, columns: [status]}
      - {table: orders, name: idx_orders_status_driver, columns: [status, driver_id]}
    tables: [drivers]
"""

RETURN = r"""
statements:
  description: The statements that were run, or would be in check mode, in order.
  returned: success
  type: list
  elements: str
  sample: ["ALTER TABLE `orders` ADD INDEX `idx_orders_status` (`status`), ALGORITHM=INPLACE, LOCK=NONE;"]
created:
  description: Indexes that were created, or rebuilt because an earlier build was interrupted, as table.index.
  returned: success
  type: list
  elements: str
  sample: [orders.idx_orders_status]
present:
  description: Indexes that were there already, as table.index.
  returned: success
  type: list
  elements: str
covered:
  description: Indexes not created since another one leads with the same columns, each with the name of that one.
  returned: success
  type: list
  elements: str
pending:
  description: Indexes not created since their table or a column does not exist yet.
  returned: success
  type: list
  elements: str
different:
  description: Indexes that exist under the wanted name over other columns, and were left alone.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.ops.plugins.module_utils._database.gateway import (
    Database,
    DatabaseError,
    NoContainer,
    run,
)
from ansible_collections.slipway.ops.plugins.module_utils._database.model import KINDS, InvalidIndexes, parse
from ansible_collections.slipway.ops.plugins.module_utils._database.plan import plan
from ansible_collections.slipway.ops.plugins.module_utils._database.sql import dialect


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "stack": {"type": "str", "required": True},
            "service": {"type": "str", "required": True},
            "kind": {"type": "str", "required": True, "choices": list(KINDS)},
            "database": {"type": "str", "required": True},
            "user": {"type": "str", "required": True},
            # The name of a variable, never its value.
            "password_variable": {"type": "str", "required": True, "no_log": False},
            "indexes": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "table": {"type": "str", "required": True},
                    "name": {"type": "str", "required": True},
                    "columns": {"type": "list", "elements": "str", "required": True},
                },
            },
            "tables": {"type": "list", "elements": "str", "default": []},
            "analyze": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    params = module.params
    language = dialect(params["kind"])
    try:
        wanted = parse(params["indexes"], params["tables"], params["kind"])
        database = Database(
            params["stack"],
            params["service"],
            language,
            params["database"],
            params["user"],
            params["password_variable"],
            run,
        )
        try:
            found = database.observe(wanted)
        except NoContainer:
            if not module.check_mode:
                raise
            found = None
        steps = plan(language, wanted, found, params["analyze"])
        if not module.check_mode:
            for statement in steps.statements:
                for complaint in database.execute(statement):
                    module.warn(complaint)
            if steps.changed and plan(language, wanted, database.observe(wanted)).changed:
                raise DatabaseError("the server accepted the statements but the indexes are not there")
    except (DatabaseError, InvalidIndexes, ValueError) as error:
        module.fail_json(msg=str(error))
    for warning in [*steps.pending, *steps.different]:
        module.warn(warning)
    module.exit_json(
        changed=steps.changed,
        statements=steps.statements,
        created=steps.created,
        present=steps.present,
        covered=steps.covered,
        pending=steps.pending,
        different=steps.different,
        diff={
            "before": "",
            "after": "".join(f"{statement}\n" for statement in steps.statements),
            "before_header": f"{params['stack']}/{params['service']} indexes",
            "after_header": f"{params['stack']}/{params['service']} indexes",
        },
    )


if __name__ == "__main__":
    main()
