"""`orchestrator feedback` and `judgements`: what people and judges say of work, to learn from."""

from enum import StrEnum
from typing import Annotated

import typer

from orchestrator.cli import options
from orchestrator.cli.screen import say, table, write_json
from orchestrator.cli.session import find_run, reading
from orchestrator.core.event_records import to_body
from orchestrator.core.text import plain, usd
from orchestrator.engine.lifecycle.feedback import feedback_on_record
from orchestrator.selection.learning.evaluation import judgements_of


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("feedback")(_feedback)
    app.command("judgements")(_judgements)


class Rating(StrEnum):
    """How good work was."""

    GOOD = "good"
    BAD = "bad"


def _feedback(
    run: options.RunArgument,
    key: Annotated[str, typer.Argument(metavar="KEY", help="What the work gave.", show_default=False)],
    word: Annotated[Rating, typer.Argument(metavar="good|bad", show_default=False)],
    store: options.StoreOption = options.DEFAULT_STORE,
) -> None:
    """Rate the work that gave a key of a run; the choice of agents learns from it.

    The record of the run is enough: its program need not be at hand.
    """
    with reading(store) as opened:
        row = find_run(opened, run)
        feedback_on_record(opened, row.run_id, key, word is Rating.GOOD)
    say(f"{plain(key)} of {plain(row.run_id)}: {word}")


def _judgements(
    run: options.RunArgument, store: options.StoreOption = options.DEFAULT_STORE, as_json: options.AsJson = False
) -> None:
    """Show the judgements of a run's agents by judges and people."""
    with reading(store) as opened:
        row = find_run(opened, run)
        found = judgements_of(opened, row.run_id)
    if as_json:
        judgements = [{**to_body(each), "at": each.at} for each in found]
        write_json({"schema": "orchestrator.judgements/1", "run": row.run_id, "judgements": judgements})
        return
    if not found:
        say("Nobody has judged the work of this run.")
        return
    words = {True: "good", False: "bad", None: "no judgement"}
    rows = [[j.tool, " + ".join(j.keys), j.by, j.problem or words[j.good], f"{j.weight:g}", usd(j.cost)] for j in found]
    table(["agent", "gave", "judged by", "word", "weighs", "cost"], rows, right=[4, 5])
