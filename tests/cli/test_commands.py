"""The table of commands says what the commands say, and `--help` loads none of them."""

import subprocess
import sys
import textwrap
from importlib import import_module
from pathlib import Path

import typer

import orchestrator.cli
from orchestrator.cli.commands import COMMANDS
from orchestrator.store import SqlStore


def test_the_table_has_every_command_of_its_modules_with_the_first_lines_of_its_docstring() -> None:
    found: dict[str, tuple[str, str]] = {}
    for module in dict.fromkeys(module for module, _ in COMMANDS.values()):
        made = typer.Typer()
        import_module(f"orchestrator.cli.{module}").register(made)
        for name, command in typer.main.get_group(made).commands.items():
            found[name] = (module, " ".join((command.help or "").split("\n\n")[0].split()))
    assert found == dict(COMMANDS)


def test_every_module_that_registers_commands_is_in_the_table() -> None:
    folder = Path(orchestrator.cli.__path__[0])
    named = {
        ".".join(path.relative_to(folder).with_suffix("").parts)
        for path in folder.rglob("*.py")
        if "\ndef register(app: typer.Typer" in path.read_text()
    }
    assert named == {module for module, _ in COMMANDS.values()}


def test_help_loads_no_command_and_not_the_engine() -> None:
    program = """
        import sys
        from orchestrator.cli.app import invoke
        assert invoke(["--help"]) == 0
        loaded = [name for name in sys.modules if name.startswith(("orchestrator.engine", "orchestrator.api", "numpy"))]
        assert not loaded, loaded
        assert "pydantic" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=60, stdout=subprocess.DEVNULL)


def test_a_list_of_runs_loads_no_engine(tmp_path: Path) -> None:
    SqlStore(tmp_path / "runs.db").close()
    program = f"""
        import sys
        from orchestrator.cli.app import invoke
        assert invoke(["runs", "--store", {str(tmp_path / "runs.db")!r}]) == 0
        loaded = [name for name in sys.modules if name.startswith(("orchestrator.engine", "orchestrator.api", "numpy"))]
        assert not loaded, loaded
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=60, stdout=subprocess.DEVNULL)
