"""Project folders: what is loaded, under which names, and how mistakes in them are told."""

import sys
from pathlib import Path

import pytest

from orchestrator import DefinitionError, Orchestrator
from orchestrator.core.process.installation import catalog_root
from orchestrator.project import Project, load_project, module_name

READ = """
from orchestrator import tool

@tool(gives="text")
def read(document: str) -> str:
    return document
"""


AGENT = """
from orchestrator import Agent

def work(text: str) -> str:
    return text

sum_up = Agent(work, name="sum_up", gives="brief", skills=["summarise"])
"""


def project(root: Path, files: dict[str, str]) -> Path:
    """A folder with these files."""
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return root


def failure(root: Path) -> str:
    """What loading says; always one line."""
    with pytest.raises(DefinitionError) as caught:
        load_project(root)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_tools_and_agents_are_found_in_a_fixed_order(tmp_path: Path) -> None:
    loaded = load_project(
        project(tmp_path, {"tools/b.py": READ.replace("read", "b"), "tools/a.py": READ, "agents/x.py": AGENT})
    )
    assert [tool.name for tool in loaded.tools] == ["read", "b"]
    assert [tool.name for tool in loaded.agents] == ["sum_up"]
    assert loaded.sources["sum_up"] == tmp_path / "agents" / "x.py"


def test_private_files_and_other_values_are_left_alone(tmp_path: Path) -> None:
    loaded = load_project(
        project(tmp_path, {"tools/_draft.py": "raise RuntimeError", "tools/a.py": READ + "again = read\n"})
    )
    assert [tool.name for tool in loaded.tools] == ["read"]


def test_forward_references_work(tmp_path: Path) -> None:
    text = """
from __future__ import annotations
from dataclasses import dataclass
from pydantic import BaseModel
from orchestrator import tool

@dataclass
class Node:
    child: Node | None = None

class Tree(BaseModel):
    root: "Leaf"

class Leaf(BaseModel):
    name: str

@tool(gives="tree")
def grow(node: Node) -> Tree:
    return Tree(root=Leaf(name="oak"))
"""
    orc = Orchestrator.from_project(project(tmp_path, {"tools/tree.py": text}))
    outcome = orc.run_sync("tree", {"node": {"child": {}}})
    assert outcome.value.root.name == "oak"


def test_modules_have_a_fixed_name_that_shadows_nobody(tmp_path: Path) -> None:
    root = project(tmp_path, {"tools/json.py": READ})
    load_project(root)
    name = module_name(root, root / "tools" / "json.py")
    assert name.startswith("orchestrator_project_")
    assert name.endswith("_tools_json")
    assert name in sys.modules
    assert "tools" not in sys.modules
    assert name == module_name(tmp_path / "tools" / "..", root / "tools" / "json.py")


def test_no_bytecode_is_left_in_the_project(tmp_path: Path) -> None:
    root = project(tmp_path, {"tools/a.py": READ})
    load_project(root)
    assert not list(root.rglob("__pycache__"))


def test_a_changed_file_is_loaded_anew(tmp_path: Path) -> None:
    root = project(tmp_path, {"tools/a.py": READ})
    load_project(root)
    project(tmp_path, {"tools/a.py": READ.replace("def read", "def scan")})
    assert [tool.name for tool in load_project(root).tools] == ["scan"]


def test_setup_is_called_with_the_orchestrator(tmp_path: Path) -> None:
    text = READ + READ.replace("read", "check").replace("text", "checked").replace("document", "text")
    setup = "\ndef setup(orc):\n    orc.connect('START', 'read', 0.5)\n    orc.connect(read, check, cost=0.25)\n"
    orc = Orchestrator.from_project(project(tmp_path, {"tools/a.py": text + setup}))
    assert [(t.source, t.target, t.cost) for t in orc.graph.view().transitions] == [
        ("START", "read", 0.5),
        ("read", "check", 0.25),
    ]


def test_a_mistake_in_setup_names_file_and_line(tmp_path: Path) -> None:
    root = project(tmp_path, {"tools/a.py": READ + "\ndef setup(orc):\n    orc.connect('raed', 'read')\n"})
    with pytest.raises(DefinitionError, match=r"a\.py:9: .*no tool 'raed'.*'read'"):
        Orchestrator.from_project(root)


def test_a_syntax_error_names_file_and_line(tmp_path: Path) -> None:
    message = failure(project(tmp_path, {"tools/a.py": READ, "tools/bad.py": "x = 1\ndef f(:\n"}))
    assert "bad.py:2: " in message


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x = 1\n\n1 / 0\n", ":3: ZeroDivisionError: division by zero"),
        ("import nowhere_to_be_found\n", ":1: ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("raise SystemExit(4)\n", ":1: SystemExit: 4"),
        ("from orchestrator import tool\n@tool(cost=-1)\ndef f(): ...\n", ":2: Tool 'f': cost is a number"),
        ("from orchestrator import Tool\nt = Tool(min)\n", ":2: The signature of tool 'min' cannot be read"),
        ("\0", ": "),
    ],
)
def test_an_error_while_loading_names_file_and_line(tmp_path: Path, text: str, told: str) -> None:
    message = failure(project(tmp_path, {"tools/wrong.py": text}))
    assert "wrong.py" in message
    assert told in message


def test_a_file_that_fails_is_forgotten(tmp_path: Path) -> None:
    root = project(tmp_path, {"tools/wrong.py": "1 / 0"})
    failure(root)
    assert module_name(root, root / "tools" / "wrong.py") not in sys.modules


def test_files_cannot_import_each_other_and_are_told_so(tmp_path: Path) -> None:
    message = failure(project(tmp_path, {"tools/a.py": "import helper_of_a\n", "tools/helper_of_a.py": ""}))
    assert "cannot import each other" in message


def test_two_tools_of_one_name_name_both_files(tmp_path: Path) -> None:
    message = failure(project(tmp_path, {"tools/a.py": READ, "agents/b.py": READ}))
    assert "'read'" in message
    assert str(Path("tools") / "a.py") in message
    assert str(Path("agents") / "b.py") in message


def test_a_key_with_two_types_names_both_files(tmp_path: Path) -> None:
    other = "from orchestrator import tool\n@tool(gives='words')\ndef count(text: int) -> int:\n    return text\n"
    message = failure(project(tmp_path, {"tools/a.py": READ, "tools/b.py": other}))
    assert "The key 'text' does not fit" in message
    assert "a.py" in message
    assert "b.py" in message


def test_a_folder_that_is_no_project_is_refused(tmp_path: Path) -> None:
    assert "There is no folder" in failure(tmp_path / "nowhere")
    assert "is no project" in failure(tmp_path)


def test_policies_of_the_project_come_first(tmp_path: Path) -> None:
    root = project(tmp_path, {"tools/a.py": READ, "policies/cheapest.toml": "step_cost = 0.5", "policies/own.toml": ""})
    loaded = load_project(root)
    assert loaded.policies == ("cheapest", "own")
    assert loaded.policy("cheapest").step_cost == 0.5
    assert loaded.policy("fastest").name == "fastest"
    assert loaded.policy(str(root / "policies" / "own.toml")).name == "own"
    with pytest.raises(DefinitionError, match=r"no policy 'owm'.*Did you mean 'own'"):
        loaded.policy("owm")


def test_policies_that_are_shipped_are_listed_once() -> None:
    with pytest.raises(DefinitionError) as caught:
        Project(catalog_root(), (), (), {}).policy("nope")
    assert str(caught.value).count("cheapest") == 1


def test_a_malformed_policy_names_file_line_and_field(tmp_path: Path) -> None:
    root = project(tmp_path, {"tools/a.py": READ, "policies/own.toml": "step_cost = 0.1\ntime_valu = 2\n"})
    with pytest.raises(DefinitionError, match=r"own\.toml:2: time_valu: unknown field\. Did you mean 'time_value'"):
        load_project(root).policy("own")
