"""The reference names what there is: every public name, every option, every field of a policy with its default."""

import inspect
import re
import tomllib

import pytest
from pydantic import BaseModel

import orchestrator
from orchestrator import Orchestrator, Policy, RunContext, testing
from orchestrator.agents.options import AgentOptions
from orchestrator.core.policy import CircuitPolicy, Retries
from orchestrator.core.process.installation import catalog_root

REFERENCE = catalog_root() / "docs" / "reference"
pytestmark = pytest.mark.skipif(not REFERENCE.is_dir(), reason="the documentation is not installed with the package")


def words(page: str) -> set[str]:
    """Every word in code on a page of the reference."""
    text = re.sub(r"^```.*?^```", "", (REFERENCE / page).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return {word for code in re.findall(r"`([^`]+)`", text) for word in re.findall(r"\w+", code)}


def test_every_public_name_is_in_the_reference() -> None:
    named = words("library.md")
    assert not {name for name in orchestrator.__all__ if name != "__version__"} - named
    assert not set(testing.__all__) - named


def test_every_option_and_method_is_in_the_reference() -> None:
    named = words("library.md")
    methods = {name for name, _ in inspect.getmembers(Orchestrator, inspect.isroutine) if not name.startswith("_")}
    assert not methods - {"aclose"} - named
    assert not set(AgentOptions.__annotations__) - named
    assert not set(inspect.signature(Orchestrator).parameters) - named
    assert not {name for name in RunContext.__abstractmethods__ if not name.startswith("_")} - named


def test_the_versions_of_python_are_those_of_the_distribution() -> None:
    """One list for people who install, one for tools that read the distribution's metadata."""
    project = tomllib.loads((catalog_root() / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    prefix = "Programming Language :: Python :: "
    declared = [each.removeprefix(prefix) for each in project["classifiers"] if each.startswith(f"{prefix}3.")]
    page = (catalog_root() / "docs" / "how-to" / "install.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| (3\.\d+) \|", page, re.MULTILINE) == declared
    assert project["requires-python"] == f">={declared[0]}"


def stated_defaults(section: str) -> dict[str, str]:
    """Field -> default, as the tables under the headings that mention `section` state them."""
    stated: dict[str, str] = {}
    parts = (REFERENCE / "policies.md").read_text(encoding="utf-8").split("\n## ")[1:]
    for part in parts:
        if part.startswith(("`[circuit]`", "`[retries]`")) and not part.startswith(f"`[{section}]`"):
            continue
        for row in re.findall(r"^\| (`.*) \| (.*) \|.*\|$", part, re.MULTILINE):
            names, values = (re.findall(r"`([^`]+)`", cell) for cell in row)
            stated.update(zip(names, values * len(names) if len(values) == 1 else values, strict=True))
    return stated


@pytest.mark.parametrize(("section", "model"), [("", Policy), ("circuit", CircuitPolicy), ("retries", Retries)])
def test_every_field_of_a_policy_stands_with_its_default(section: str, model: type[BaseModel]) -> None:
    stated = stated_defaults(section)
    fields = set(model.model_fields) - {"name", "description", "circuit", "retries"}
    assert not fields - set(stated)
    assert {name: eval(stated[name]) for name in fields} == {name: model.model_fields[name].default for name in fields}
