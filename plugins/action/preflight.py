# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check everything that can be checked before a host is touched; documented in plugins/modules/preflight.py."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Optional

from ansible import constants as C
from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import lookup_loader
from ansible_collections.slipway.ops.plugins.module_utils._preflight.names import check_name
from ansible_collections.slipway.ops.plugins.module_utils._preflight.specs import check_value, unknown_variables
from ansible_collections.slipway.ops.plugins.module_utils._preflight.values import UnresolvedError, resolve
from ansible_collections.slipway.ops.plugins.module_utils._stack import derived
from ansible_collections.slipway.ops.plugins.plugin_utils import _resolver

_COLLECTION = "slipway.ops"
_STACK_ENVIRONMENT = "stack_environment"
_COLLECTION_ROLES = Path(__file__).resolve().parents[2] / "roles"

ARGUMENT_SPEC: dict[str, Any] = {
    "roles": {"type": "list", "elements": "str", "default": []},
    "provided_variables": {"type": "list", "elements": "str", "default": []},
    "compose_file": {"type": "path"},
    "stack_name": {"type": "str"},
    "engine": {"type": "str", "choices": ["compose", "swarm"], "default": "compose"},
    "environment": {"type": "dict", "default": {}},
    "host_names": {"type": "list", "elements": "str"},
    "addresses": {"type": "list", "elements": "str", "default": []},
    "dns_servers": {"type": "list", "elements": "str", "default": []},
    "dns_timeout_seconds": {"type": "float", "default": 5},
}


class ActionModule(ActionBase):
    """Report all problems of variables, Compose file and host names at once, without a connection to the host."""

    TRANSFERS_FILES = False
    _requires_connection = False

    @classmethod
    def finalize_task_arg(cls, name: str, value: Any, templar: Any, context: Any) -> Any:
        """Leave arguments as they are written: run() resolves them, to name every part that cannot be resolved."""
        return value

    def run(self, tmp: Any = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        """Return the result of all checks."""
        result = super().run(tmp, task_vars)
        variables = dict(task_vars or {})
        specifications = self._specifications()
        role_names, role_problems = self._role_names(variables, specifications)
        for name in role_names:
            for variable, value in specifications[name]["defaults"].items():
                variables.setdefault(variable, value)
        self._templar.available_variables = variables

        arguments, argument_problems, names_problems = self._arguments()
        variable_problems = self._check_roles(role_names, specifications, variables, arguments["provided_variables"])
        model, stack_problems = self._check_stack(arguments, variables)
        host_names = self._host_names(arguments, model)
        if stack_problems:
            # Host names are usually derived from the Compose file: when that cannot be read, this is only its echo.
            names_problems = []
        names_problems = [*names_problems, *self._check_names(host_names, arguments)]

        problems = _once([*role_problems, *variable_problems, *argument_problems, *stack_problems, *names_problems])
        problems = _without_echoes(problems)
        if problems:
            raise AnsibleActionFail(_message(problems))
        result.update(changed=False, host_names=host_names, msg="everything that can be checked beforehand is in order")
        return result

    def _render(self, value: Any) -> Any:
        try:
            rendered = self._templar.template(value)
            # An encrypted value is decrypted when it is first read as text.
            return str(rendered) if type(rendered).__name__ == "EncryptedString" else rendered
        except Exception as error:
            if type(error).__name__ == "AnsibleValueOmittedError":
                return None
            raise UnresolvedError(str(error)) from error

    def _arguments(self) -> tuple[dict[str, Any], list[str], list[str]]:
        """Return the arguments, what is wrong with them, and what of host_names cannot be resolved."""
        arguments: dict[str, Any] = {}
        problems: list[str] = []
        names_problems: list[str] = []
        for name in self._task.args:
            if name not in ARGUMENT_SPEC:
                problems.append(f"preflight: has no option {name}: use {', '.join(ARGUMENT_SPEC)}")
        for name, spec in ARGUMENT_SPEC.items():
            value = self._task.args.get(name)
            default = spec.get("default")
            if value is None or name == "roles":
                arguments[name] = default
                continue
            resolved, unresolved = self._resolve_argument(name, value)
            wrong = [] if unresolved else check_value(f"preflight.{name}", resolved, spec)
            usable = not wrong and (not unresolved or name == "environment")
            arguments[name] = resolved if usable else default
            (names_problems if name == "host_names" else problems).extend(unresolved)
            problems.extend(wrong)
        return arguments, problems, names_problems

    def _resolve_argument(self, name: str, raw: Any) -> tuple[Any, list[str]]:
        """Resolve an argument; one that only names a variable is resolved by that variable's own parts."""
        variables = self._templar.available_variables
        referred = _referred_variable(raw)
        if referred is not None and referred in variables and not _is_template(variables[referred]):
            return resolve(referred, variables[referred], self._render)
        value, problems = resolve(name, raw, self._render)
        if problems and referred is not None and referred not in variables:
            return value, [f"variable {referred}: is required: set it in group_vars or host_vars"]
        if problems and name == "environment" and _STACK_ENVIRONMENT in variables:
            # The play adds to the variable, so that the whole fails with any part: the variable's own parts say more.
            own_value, own_problems = resolve(_STACK_ENVIRONMENT, variables[_STACK_ENVIRONMENT], self._render)
            if own_problems:
                return own_value, own_problems
        return value, [problem.replace(f"variable {name}", f"preflight.{name}", 1) for problem in problems]

    def _specifications(self) -> dict[str, dict[str, Any]]:
        """Return options and defaults of every role of the collection, by the role's short name."""
        return {path.name: self._specification(path) for path in sorted(_COLLECTION_ROLES.glob("*")) if path.is_dir()}

    def _specification(self, path: Path) -> dict[str, Any]:
        entry_points: Any = {}
        for file_name in ("argument_specs.yml", "argument_specs.yaml"):
            if (path / "meta" / file_name).is_file():
                loaded = self._loader.load_from_file(str(path / "meta" / file_name), cache="all") or {}
                entry_points = loaded.get("argument_specs") or {}
        defaults: Any = {}
        if (path / "defaults" / "main.yml").is_file():
            defaults = self._load_variables(path / "defaults" / "main.yml")
        known: set[str] = set(defaults)
        for entry_point in entry_points.values():
            known.update(entry_point.get("options") or {})
        options = (entry_points.get("main") or {}).get("options") or {}
        return {"options": options, "defaults": defaults, "known": known}

    def _load_variables(self, path: Path) -> Any:
        return self._loader.load_from_file(str(path), cache="all", trusted_as_template=True) or {}

    def _role_names(
        self, variables: dict[str, Any], specifications: dict[str, dict[str, Any]]
    ) -> tuple[list[str], list[str]]:
        self._templar.available_variables = variables
        requested, problems = resolve("roles", self._task.args.get("roles") or [], self._render)
        names: list[str] = []
        for role in requested if isinstance(requested, list) else [requested]:
            name = str(role)[len(_COLLECTION) + 1 :] if str(role).startswith(f"{_COLLECTION}.") else str(role)
            if name not in specifications:
                path = self._find_role(name)
                if path is None:
                    problems.append(f"preflight.roles: there is no role {role}")
                    continue
                specifications[name] = self._specification(path)
            names.append(name)
        return names, problems

    def _find_role(self, name: str) -> Optional[Path]:
        beside = [Path(self._loader.get_basedir()) / "roles", *(Path(path) for path in C.DEFAULT_ROLES_PATH or [])]
        return next((path / name for path in beside if (path / name).is_dir()), None)

    def _check_roles(
        self,
        names: list[str],
        specifications: dict[str, dict[str, Any]],
        variables: Mapping[str, Any],
        provided: Iterable[str],
    ) -> list[str]:
        known = {variable for spec in specifications.values() for variable in spec["known"]}
        known.update(provided)
        problems: list[str] = []
        for name in names:
            for variable, spec in specifications[name]["options"].items():
                if variable not in provided:
                    problems.extend(self._check_variable(name, variable, spec, variables))
            problems.extend(unknown_variables(name, variables, known))
        return problems

    def _check_variable(
        self, role: str, variable: str, spec: Mapping[str, Any], variables: Mapping[str, Any]
    ) -> list[str]:
        required = f"variable {variable}: is required by role {role}: set it in group_vars or host_vars"
        if variable not in variables:
            return [required] if spec.get("required") else []
        value, problems = resolve(variable, variables[variable], self._render)
        if problems:
            return problems
        if value is None and spec.get("required"):
            return [required]
        return [f"variable {problem}" for problem in check_value(variable, value, spec)]

    def _check_stack(
        self, arguments: Mapping[str, Any], variables: Mapping[str, Any]
    ) -> tuple[Optional[Any], list[str]]:
        compose_file = arguments["compose_file"]
        if not compose_file:
            return None, []
        lookup = lookup_loader.get(f"{_COLLECTION}.stack", loader=self._loader, templar=self._templar)
        if lookup is None:
            return None, [f"{compose_file}: cannot be checked: the lookup {_COLLECTION}.stack is missing"]
        options = {"environment": arguments["environment"] or {}, "engine": arguments["engine"] or "compose"}
        if arguments["stack_name"]:
            options["name"] = arguments["stack_name"]
        try:
            return lookup.run([compose_file], dict(variables), **options)[0], []
        except AnsibleError as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            return None, lines or [f"{compose_file}: cannot be used"]

    def _host_names(self, arguments: Mapping[str, Any], model: Optional[Any]) -> list[str]:
        if arguments["host_names"] is not None:
            return list(arguments["host_names"])
        if model is None:
            return []
        return derived.host_names(model)

    def _check_names(self, host_names: list[str], arguments: Mapping[str, Any]) -> list[str]:
        expected: list[str] = []
        for host in arguments["addresses"]:
            found = _resolver.to_addresses(host)
            if not found:
                return [f"preflight.addresses: {host} is neither an address nor a name that resolves"]
            expected.extend(found)
        try:
            answers = _resolver.ask(host_names, arguments["dns_servers"], float(arguments["dns_timeout_seconds"]))
        except AnsibleError as error:
            return [f"preflight.{error.message}"]
        return [
            problem
            for name in host_names
            for problem in check_name(name, answers[name].addresses, answers[name].failure, expected)
        ]


def _is_template(raw: Any) -> bool:
    return isinstance(raw, str) and "{{" in raw


def _referred_variable(raw: Any) -> Optional[str]:
    if not isinstance(raw, str):
        return None
    text = raw.strip()
    inner = text[2:-2].strip() if text.startswith("{{") and text.endswith("}}") else ""
    return inner if inner.isidentifier() else None


def _without_echoes(problems: list[str]) -> list[str]:
    """Leave out that an option lacks a variable which a role is known to require."""
    required = {problem.partition(" by role ")[0] for problem in problems if ": is required by role " in problem}
    return [problem for problem in problems if problem.partition(": set it ")[0] not in required]


def _once(problems: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(problems))


def _message(problems: list[str]) -> str:
    if len(problems) == 1:
        return problems[0]
    return "\n".join([f"{len(problems)} problems, nothing was touched:", *problems])
