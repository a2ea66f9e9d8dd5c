"""`orchestrator replay`: makes recorded decisions again, with the recorded or another policy."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from orchestrator.cli import options
from orchestrator.cli.screen import Exit, say, write_json
from orchestrator.cli.session import find_run, reading
from orchestrator.core.catalog_path import catalog_root
from orchestrator.core.errors import DefinitionError
from orchestrator.core.policy import Policy
from orchestrator.core.text import plain
from orchestrator.observability.replay.replay import replay_run
from orchestrator.project import Project


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("replay")(_replay)


def _replay(
    run: options.Run,
    policy: Annotated[
        str | None, typer.Option("--policy", metavar="NAME", help="What would have been decided under this policy.")
    ] = None,
    project: options.Project = None,
    store: options.Store = options.DEFAULT_STORE,
    as_json: options.AsJson = False,
) -> None:
    """Make every decision of a run again from its record. No tool and no model is called."""
    other = _policy(project, policy) if policy is not None else None
    with reading(store) as opened:
        row = find_run(opened, run)
        replay = replay_run(opened, row.run_id, other)
    if as_json:
        write_json(
            {
                "schema": "orchestrator.replay/1",
                "run_id": row.run_id,
                "policy": replay.policy,
                "agrees": replay.agrees,
                "decisions": len(replay.decisions),
                "differences": [difference.to_json() for difference in replay.differences],
            }
        )
    elif replay.agrees:
        say(
            Text.assemble(
                ("✓ ", "green"), f"run {plain(row.run_id)}: all {len(replay.decisions)} decisions come out again"
            )
        )
    else:
        question = "would have been decided otherwise" if other else "does not come out again"
        say(Text.assemble(("✗ ", "red"), f"run {plain(row.run_id)} {question}"))
        for difference in replay.differences:
            say(f"  {plain(difference)}")
    if not replay.agrees and other is None:
        raise typer.Exit(int(Exit.UNEXPECTED))


def _policy(folder: Path | None, name: str) -> Policy:
    """A policy by name without loading the project's code."""
    root = folder if folder is not None else catalog_root()
    if not root.is_dir():
        raise DefinitionError(f"There is no folder {str(root)!r}.")
    return Project(root, (), (), {}).policy(name)
