"""`orchestrator init`: a project folder that works at once."""

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.errors import InputError
from orchestrator.text import plain

from .screen import say
from .templates import FILES


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
