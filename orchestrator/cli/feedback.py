"""`orchestrator feedback`: what people think of work, for the choice of agents to learn from."""

from enum import StrEnum
from typing import Annotated

import typer

from orchestrator.text import plain

from . import options
from .screen import say
from .session import assemble, find_run, load, reading


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("feedback")(_feedback)


class Word(StrEnum):
    """How good work was."""

    GOOD = "good"
    BAD = "bad"


def _feedback(
    run: options.Run,
    key: Annotated[str, typer.Argument(metavar="KEY", help="What the work gave.", show_default=False)],
    word: Annotated[Word, typer.Argument(metavar="good|bad", show_default=False)],
    project: options.Project = None,
    policy: options.Policy = options.DEFAULT_POLICY,
    store: options.Store = options.DEFAULT_STORE,
) -> None:
    """Say how good the work behind a key of a run was; the choice of agents learns from it."""
    with reading(store) as opened:
        row = find_run(opened, run)
    orc = assemble(load(project), policy, store)
    try:
        orc.feedback(row.run_id, key, success=word is Word.GOOD)
    finally:
        orc.close()
    say(f"{plain(key)} of {plain(row.run_id)}: {word}")
