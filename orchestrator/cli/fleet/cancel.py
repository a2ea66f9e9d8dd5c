"""`orchestrator cancel`: stop a run, whichever process drives it."""

import asyncio
from typing import Any

import typer

from orchestrator.cli import options
from orchestrator.cli.result import durable, run_json, show_outcome
from orchestrator.cli.screen import Exit, write_json
from orchestrator.cli.session import find_run, open_project, reading, working
from orchestrator.core.outcome import Outcome
from orchestrator.store.protocol import RunRow


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("cancel")(_cancel)


def _cancel(
    run: options.RunArgument,
    project: options.ProjectOption = None,
    policy: options.PolicyOption = options.DEFAULT_POLICY,
    store: options.StoreOption = options.DEFAULT_STORE,
    as_json: options.AsJson = False,
) -> None:
    """Stop a run, whichever process drives it, and tell how it ended: what stands is undone or listed."""
    with reading(store) as opened:
        run_id = find_run(opened, run).run_id
    loaded = open_project(project)

    async def work() -> tuple[Outcome[Any], RunRow | None]:
        async with working(loaded, policy, store) as orc:
            outcome = await orc.cancel(run_id)
            return outcome, await asyncio.to_thread(durable, orc.store, run_id)

    outcome, now = asyncio.run(work())
    if as_json:
        write_json(run_json(outcome, row=now))
    else:
        show_outcome(outcome, now)
    raise typer.Exit(int(Exit.REACHED))  # it was stopped, or had ended before


__all__ = ["register"]
