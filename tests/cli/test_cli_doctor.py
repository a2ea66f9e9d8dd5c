"""`orchestrator doctor` and `orchestrator tools --check`."""

import importlib.metadata
import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.process.installation import EXTRAS, import_part
from tests.cli.conftest import Cli

TOOLS = '''
from orchestrator import Tool, Unavailable, tool

@tool(gives="pages")
def reader(path: str) -> list[str]:
    """Read."""
    try:
        import no_such_package_at_all
    except ImportError:
        raise Unavailable("not installed") from None
    return []

@tool(gives="total")
def add(numbers: list[int], name: str) -> int:
    """Add."""
    return sum(numbers)

def _down() -> bool:
    raise ConnectionRefusedError("nobody listens")

@tool(gives="rate", health_check=_down)
def rate(currency: str) -> float:
    """Rate."""
    return 1.0
'''
AGENTS = """
from orchestrator import Agent

writer = Agent("openai:gpt-5-mini", name="writer", needs=["total"], gives="text")
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for folder, text in (("tools", TOOLS), ("agents", AGENTS)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "some.py").write_text(text)
    return tmp_path


def test_doctor_says_what_would_fail_and_why(cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "very-secret")
    said = cli("doctor", "--project", str(project), "--json")
    found = json.loads(said.out)
    assert found["would_fail"] == {
        "reader": ["no_such_package_at_all is not installed"],
        "rate": ["its health check failed: ConnectionRefusedError: nobody listens"],
        "writer": ["the environment variable OPENAI_API_KEY is not set"],
    }
    assert (found["keys"]["OPENAI_API_KEY"], found["keys"]["ANTHROPIC_API_KEY"]) == (False, True)
    assert found["extras"]["mcp"] == []
    text = cli("doctor", "--project", str(project))
    assert "nobody listens" in text.out
    assert "very-secret" not in said.out + text.out


def test_doctor_notices_the_other_project_of_the_name(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    class Other:
        metadata = {"Summary": "something else"}  # noqa: RUF012
        version = "1.0"

    real = importlib.metadata.distribution

    def distribution(name: str) -> Any:
        return Other() if name == "orchestrator" else real(name)

    monkeypatch.setattr(importlib.metadata, "distribution", distribution)
    assert "another project" in cli("doctor").out


def test_tools_check_names_copies(cli: Cli, project: Path) -> None:
    found = json.loads(cli("tools", "--check", "--project", str(project), "--json").out)
    checks = {each["name"]: each for each in found["tools"]}
    assert checks["add"]["copies"] == ["numbers (list[int])"]
    assert checks["reader"]["problems"] == ["no_such_package_at_all is not installed"]
    assert "share=True" in cli("tools", "--check", "--project", str(project)).out


def test_doctor_reports_each_file_that_cannot_be_loaded_and_looks_at_the_others(cli: Cli, project: Path) -> None:
    (project / "tools" / "broken.py").write_text("import no_such_package_at_all")
    (project / "tools" / "wrong.py").write_text("from orchestrator import tool\n@tool(cots=1)\ndef f(x): return x\n")
    said = cli("doctor", "--project", str(project), "--json")
    found = json.loads(said.out)
    assert said.exit == 2
    first, second = found["not_loaded"]
    assert "broken.py:1: ModuleNotFoundError" in first
    assert "wrong.py:2: @tool has no option 'cots'. Did you mean 'cost'?" in second
    assert {"reader", "rate"} <= set(found["would_fail"])
    shown = cli("doctor", "--project", str(project))
    assert shown.exit == 2
    assert "Not loaded:" in shown.out
    assert "docs/how-to/install.md" in shown.out


def test_every_extra_of_the_distribution_is_known_with_its_modules() -> None:
    declared = tomllib.loads(Path(__file__).parents[2].joinpath("pyproject.toml").read_text())
    extras = declared["project"]["optional-dependencies"]
    assert set(EXTRAS) == set(extras) - {"dev", "docs"}
    homes: dict[str, set[str]] = {}
    for module, names in importlib.metadata.packages_distributions().items():
        for name in names:
            homes.setdefault(re.sub(r"[-_.]+", "-", name).lower(), set()).add(module)
    for extra, listed in extras.items():
        for requirement in listed if extra in EXTRAS else ():
            name = re.sub(r"[-_.]+", "-", re.split(r"[\[<>=~! ]", requirement)[0]).lower()
            if name in homes and not name.startswith("tessdata"):
                assert homes[name] & set(EXTRAS[extra]), f"{extra}: {requirement}"


def test_a_name_that_needs_an_extra_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "langchain.agents.middleware", None)
    monkeypatch.delitem(sys.modules, "orchestrator.integrations.langchain.middleware", raising=False)
    with pytest.raises(ModuleNotFoundError, match=r"HealingMiddleware needs langchain, .* extra 'llm'"):
        import_part("orchestrator.integrations.langchain.middleware", "HealingMiddleware")
