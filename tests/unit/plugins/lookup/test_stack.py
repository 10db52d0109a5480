from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible import constants as C
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible_collections.slipway.ops.plugins.lookup import stack


def look(path: Path, **options: Any) -> dict[str, Any]:
    definitions = yaml.safe_load(stack.DOCUMENTATION)["options"]
    C.config.initialize_plugin_configuration_definitions("lookup", "slipway.ops.stack", definitions)
    lookup = stack.LookupModule(loader=DataLoader())
    lookup._load_name = "slipway.ops.stack"
    return lookup.run([str(path)], {}, **options)[0]


def test_a_file_becomes_a_model(tmp_path: Path) -> None:
    (tmp_path / "settings.ini").write_text("x")
    file = tmp_path / "compose.yaml"
    file.write_text("services: {web: {image: 'i:${V}'}}\nconfigs: {c: {file: ./settings.ini}}\n")
    model = look(file, name="t", environment={"V": 2})
    assert model["services"]["web"]["image"] == "i:2"
    assert model["configs"]["c"] == {"content": "x"}
    assert model["engine"] == "compose"
    assert look(file, name="t", environment={"V": 2}, engine="swarm")["engine"] == "swarm"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "services:\n  web:\n    imag: i\n    image: i\n",
            "{file}:3: services.web.imag: unknown key; did you mean image?",
        ),
        (
            "services:\n  web:\n    image: i:${V}\n    ports: ['80']\n",
            "{file}:3: services.web.image: the variable V is not set; set V in stack_environment or write a default: "
            "${{V:-value}}\n{file}:4: services.web.ports[0]: publishes a port that nobody chose; "
            "write HOST:80 or use expose",
        ),
        (
            "services:\n  web: [\n",
            "{file}: does not parse: line 3, column 1: expected the node content, but found '<stream end>'; "
            "correct the YAML there",
        ),
        ("", "{file}: the file holds no mapping; begin it with services:"),
    ],
)
def test_problems_have_file_line_and_path(tmp_path: Path, text: str, expected: str) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text(text)
    with pytest.raises(AnsibleError) as caught:
        look(file, name="t")
    assert str(caught.value) == expected.format(file=file)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(AnsibleError, match=r"compose\.yaml: cannot be read .*; set stack_compose_file to its path"):
        look(tmp_path / "compose.yaml")


def test_variables_are_texts(tmp_path: Path) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text("name: t\nservices: {web: {image: i, environment: {A: '${A}', B: '${B}'}}}\n")
    assert look(file, environment={"A": True, "B": 1})["services"]["web"]["environment"] == {"A": "true", "B": "1"}
    with pytest.raises(AnsibleError, match=r"stack_environment\.A: is not a text"):
        look(file, environment={"A": None, "B": 1})
