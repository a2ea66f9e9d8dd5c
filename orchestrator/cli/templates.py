"""The files of a new project."""

from pathlib import Path
from typing import Annotated, Final

import typer

from orchestrator.core.errors import InputError
from orchestrator.core.text import plain

from .screen import say

_NAMES = '''"""Two ways to find somebody's full name: a directory that is often down, and a list that never is."""

from orchestrator import Unavailable, tool

KNOWN = {"Ada": "Ada Lovelace", "Grace": "Grace Hopper", "Alan": "Alan Turing"}


@tool(gives="full_name", cost=0.001, latency=0.05)
def directory(name: str) -> str:
    """Ask the directory. It is down today, so that you see a run heal."""
    raise Unavailable("the directory is down for maintenance")


@tool(gives="full_name", cost=0.002)
def name_list(name: str) -> str:
    """Look the name up in a list; a name that is not there stays as it is."""
    return KNOWN.get(name, name)
'''

_GREETER = '''"""An agent is a tool whose work a model, a program or a person does. This one is a program; try a model:

    greeter = Agent("openai:gpt-5-mini", name="greeter", gives="greeting", needs=["full_name"],
                    instructions="Greet this person in one sentence.", skills={"greet": 0.9})
"""

from orchestrator import Agent


def greet(full_name: str) -> str:
    """A greeting."""
    return f"Good day, {full_name}!"


greeter = Agent(greet, name="greeter", gives="greeting", skills={"greet": 0.8})
'''

_POLICY = """description = "Retry little, and never spend more than a cent per run."
max_spend = 0.01

[retries]
attempts = 1
"""

_README = """# A project for orchestrator

    orchestrator run greeting name=Ada --project PROJECT
    orchestrator why last
    orchestrator plan greeting name=Ada --project PROJECT --explain
    orchestrator run greeting name=Ada --project PROJECT --policy careful

- `tools/*.py`: every function with `@tool`. What a tool needs are its parameters; two tools that give the same key are
  alternatives.
- `agents/*.py`: every `Agent`.
- `policies/*.toml`: what money, seconds, risk and quality are worth.

A function `setup(orc)` in any of the files is called with the orchestrator, for `orc.connect(...)` and
`orc.require_skills(...)`. Files cannot import each other: put what they share into an installed package.
"""

FILES: Final = {
    "README.md": _README,
    "tools/names.py": _NAMES,
    "agents/greeter.py": _GREETER,
    "policies/careful.toml": _POLICY,
}
"""Path in the project -> text; the word PROJECT stands for the folder."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("init")(_init)


def _init(folder: Annotated[Path, typer.Argument(metavar="DIR", show_default=False)]) -> None:
    """Make a project folder with tools, an agent, a policy and a README. Nothing is ever overwritten."""
    there = [str(folder / name) for name in FILES if (folder / name).exists()]
    if there:
        raise InputError(f"{there[0]} is there already; nothing was written.")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; nothing was written.")
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("PROJECT", str(folder)), encoding="utf-8")
        say(f"  {plain(path)}")
    say()
    say(f"Try: orchestrator run greeting name=Ada --project {plain(folder)}")
