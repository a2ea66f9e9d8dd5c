"""`orchestrator init`: a project that works at once and overwrites nothing; `ui` and `mcp` without their extras."""

import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Cli


def test_a_new_project_works_at_once(cli: Cli) -> None:
    said = cli("init", "mine")
    assert said.exit == 0
    readme = Path("mine/README.md").read_text()
    commands = [line.split()[1:] for line in readme.splitlines() if line.startswith("    orchestrator ")]
    assert len(commands) == 4
    for words in commands:
        assert cli(*words).exit == 0, words
    healed = cli("why", "last").out
    assert "directory failed" in healed
    assert "Rerouted to name_list → greeter" in healed
    assert "Good day, Ada Lovelace!" in cli(*commands[0]).out


def test_nothing_is_overwritten(cli: Cli) -> None:
    Path("mine/tools").mkdir(parents=True)
    Path("mine/tools/names.py").write_text("# mine")
    said = cli("init", "mine")
    assert said.exit == 2
    assert "nothing was written" in said.err
    assert [path.name for path in Path("mine").rglob("*") if path.is_file()] == ["names.py"]
    assert Path("mine/tools/names.py").read_text() == "# mine"


def test_a_file_in_the_way(cli: Cli) -> None:
    assert cli("init", "quick.txt").exit == 2


@pytest.mark.parametrize("name", ["ui", "mcp"])
def test_a_missing_extra_is_one_clear_line(cli: Cli, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, {"mcp": "orchestrator.integrations.mcp"}.get(name, f"orchestrator.{name}"), None)
    said = cli(name)
    assert said.exit == 2
    assert f"the extra {name!r} (see docs/how-to/install.md)" in said.err
    assert "pip install" not in said.err
    assert said.err.count("\n") == 1
