"""The map of the house, kept by a machine: which way imports point, and that nothing stands without its test."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "ansible_collections.slipway.ops.plugins."
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())
GATEWAY_IMPORTS = {"subprocess", "docker", "boto3", "botocore", "socket", "urllib", "smtplib", "http"}
CONTAINER_TESTS = ("virtualization_", "dockerenv", "systemd-detect-virt", "ConditionVirtualization")
PURE_PACKAGES = ("_stack", "_ufw", "_audit", "_preflight")


def _sources(folder: str) -> list[Path]:
    return sorted((ROOT / "plugins" / folder).rglob("*.py"))


def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def _identifier(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", _sources("module_utils"), ids=_identifier)
def test_shared_code_looks_down_only(path: Path) -> None:
    """module_utils know module_utils, and of Ansible nothing but its own module_utils."""
    for name in _imports(path):
        if name.startswith(PACKAGE):
            assert name.startswith(PACKAGE + "module_utils."), f"{name}: module_utils import only module_utils"
        assert not name.startswith("ansible.") or name.startswith("ansible.module_utils"), (
            f"{name}: runs on the target, where only ansible.module_utils is"
        )


@pytest.mark.parametrize(
    "path",
    [path for path in _sources("module_utils") if path.parent.name in PURE_PACKAGES and path.name != "gateway.py"],
    ids=_identifier,
)
def test_pure_packages_call_no_tool(path: Path) -> None:
    """Only a gateway talks to the world; values, parsing and planning do not."""
    names = _imports(path)
    roots = {name.split(".")[0] for name in names}
    assert not roots & GATEWAY_IMPORTS, f"{roots & GATEWAY_IMPORTS} belong into gateway.py"
    assert not [name for name in names if "._raft" in name], "what the managers of a Swarm agree on is asked by others"


@pytest.mark.parametrize("path", _sources("modules"), ids=_identifier)
def test_modules_do_not_import_controller_code(path: Path) -> None:
    for name in _imports(path):
        assert not name.startswith(PACKAGE) or name.startswith(PACKAGE + "module_utils."), name


@pytest.mark.parametrize(
    "path",
    [path for folder in ("modules", "filter", "lookup", "action") for path in _sources(folder)],
    ids=_identifier,
)
def test_every_plugin_has_a_unit_test(path: Path) -> None:
    folder = ROOT / "tests/unit/plugins" / path.parent.name
    assert (folder / f"test_{path.stem}.py").is_file(), f"write {folder.relative_to(ROOT)}/test_{path.stem}.py"


@pytest.mark.parametrize(
    "path", [path for folder in ("modules", "filter", "lookup") for path in _sources(folder)], ids=_identifier
)
def test_documentation_can_be_read(path: Path) -> None:
    assigned = {
        target.id: node.value.value
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for name in ("DOCUMENTATION", "EXAMPLES", "RETURN"):
        assert yaml.safe_load(assigned[name]), f"{name} is empty"


@pytest.mark.parametrize("role", ROLES)
def test_every_role_is_whole(role: str) -> None:
    folder = ROOT / "roles" / role
    for needed in ("README.md", "defaults/main.yml", "meta/main.yml", "meta/argument_specs.yml", "tasks/main.yml"):
        assert (folder / needed).is_file(), f"roles/{role}/{needed} is missing"
    scenario = ROOT / "molecule" / role
    assert (scenario / "molecule.yml").is_file(), f"molecule/{role} is missing"
    assert list((scenario / "tests").glob("test_*.py")), f"molecule/{role} verifies nothing"


@pytest.mark.parametrize("role", ROLES)
def test_defaults_and_argument_specs_are_twins(role: str) -> None:
    """Same keys, same order, same values; a variable without a default is required."""
    folder = ROOT / "roles" / role
    defaults = yaml.safe_load((folder / "defaults/main.yml").read_text(encoding="utf-8")) or {}
    options = yaml.safe_load((folder / "meta/argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"][
        "main"
    ]["options"]
    optional = [name for name, option in options.items() if not option.get("required")]
    assert optional == list(defaults)
    for name, option in options.items():
        assert name.startswith(f"{role}_"), f"{name} carries another prefix"
        assert option.get("description"), f"{name} has no description"
        if "default" in option:
            assert option["default"] == defaults[name], f"{name}: default differs from its spec"


@pytest.mark.parametrize("role", ROLES)
def test_roles_do_not_know_each_other(role: str) -> None:
    others = {f"slipway.ops.{name}" for name in ROLES if name != role}
    for path in (ROOT / "roles" / role / "tasks").rglob("*.yml"):
        text = path.read_text(encoding="utf-8")
        for task in yaml.safe_load(text) or []:
            for keyword in ("ansible.builtin.include_role", "ansible.builtin.import_role"):
                assert (task.get(keyword) or {}).get("name") not in others, f"{path.name} names another role"
        assert "groups[" not in text, f"{path.name} names an inventory group"


@pytest.mark.parametrize("folder", ["roles", "playbooks", "plugins"])
def test_nothing_asks_whether_it_runs_in_a_container(folder: str) -> None:
    """What skips itself in a container is not what was tested in one."""
    for path in sorted((ROOT / folder).rglob("*")):
        if path.suffix in (".py", ".yml", ".j2", ".sh"):
            text = path.read_text(encoding="utf-8")
            assert not [word for word in CONTAINER_TESTS if word in text], _identifier(path)
