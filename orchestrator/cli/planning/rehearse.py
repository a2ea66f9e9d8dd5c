"""`orchestrator rehearse`: a goal under every single fault and every pair of faults, on stand-ins."""

import asyncio
from typing import Annotated, Any

import typer
from rich.text import Text

from orchestrator.cli import options
from orchestrator.cli.result import MARKS
from orchestrator.cli.screen import exit_of, say, table, worst, write_json
from orchestrator.cli.session import assemble, open_project
from orchestrator.cli.values import check_key, goal_of
from orchestrator.core.enums import Status
from orchestrator.core.goal import Goal
from orchestrator.core.text import counted, listed, plain, usd
from orchestrator.engine.lifecycle.start import check_goal
from orchestrator.observability.resilience import source_keys
from orchestrator.testing.rehearsal import Breakdown, Rehearsal, Rehearsed, rehearse

WIDEST = 24
"""Maximum number of faults in the matrix on a terminal."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("rehearse")(_rehearse)


def _rehearse(
    goal: options.GoalArgument,
    given: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY...", help="The keys that are given. Default: those that no tool gives."),
    ] = None,
    demote: options.DemoteOption = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with the worst status of all single faults, for use in CI.")
    ] = False,
    project: options.ProjectOption = None,
    policy: options.PolicyOption = options.DEFAULT_POLICY,
    as_json: options.AsJson = False,
) -> None:
    """Run GOAL under every single fault and every pair of faults, on stand-ins for its tools, and print the matrix.

    Nothing real is called: no tool, no model, no person.
    """
    wanted = goal_of(goal, demote or ())
    orc = assemble(open_project(project), policy)
    view = orc.graph.view()
    check_goal(wanted, set(view.keys))
    keys = [word.partition("=")[0] for word in given or ()]
    for key in keys:
        check_key(view, key)
    every = tuple(dict.fromkeys(key for each in (wanted, *wanted.demotions) for key in each.keys))
    found = asyncio.run(rehearse(view, wanted, keys or source_keys(view, every), orc.policy))
    if as_json:
        write_json(_json(found))
    else:
        _show(found)
    if strict:
        raise typer.Exit(int(worst(exit_of(each.status) for each in (found.plain, *found.singles))))


def _json(found: Rehearsal) -> dict[str, Any]:
    every = (found.plain, *found.singles, *found.pairs)
    return {
        "schema": "orchestrator.rehearse/1",
        "goal": list(found.goal.keys),
        "given": list(found.given),
        "faults": [{"tool": fault.tool, "kind": fault.kind} for fault in found.faults],
        "counts": {str(status): sum(each.status is status for each in every) for status in Status},
        "complete": found.complete,
        "scenarios": [each.to_json() for each in every],
    }


def _show(found: Rehearsal) -> None:
    say(Text.assemble((plain(found.goal.name), "bold"), f" from {plain(listed(found.given)) or 'nothing'}, stand-ins"))
    say()
    rows = [_row("no fault", found.plain, found.goal)]
    met = [each for each in found.singles if each.failed]
    rows += [_row(str(each.faults[0]), each, found.goal) for each in met]
    table(["fault", "outcome", "tools that worked", "cost", "left standing or uncertain"], rows, right=[3])
    unmet = [str(each.faults[0]) for each in found.singles if not each.failed]
    if unmet:
        say(Text(f"not met by the route, so as without a fault: {plain(listed(unmet), 400)}", "dim"))
    if found.pairs:
        say()
        _show_pairs(found)
    every = (*found.singles, *found.pairs)
    say()
    counts = [f"{n} {status}" for status in Status if (n := sum(each.status is status for each in every))]
    say(
        Text(f"{counted(len(found.singles), 'fault')}, {counted(len(found.pairs), 'pair')}: {', '.join(counts)}", "dim")
    )
    if not found.complete:
        say(Text("not every pair was rehearsed: there are too many", "yellow"))


def _row(name: str, each: Rehearsed, wanted: Goal[Any]) -> list[str | Text]:
    mark, style = MARKS[each.status]
    ended = str(each.status)
    if each.status is Status.DEMOTED and each.goal != wanted.keys:
        ended += f" to {plain(' + '.join(each.goal))}"
    path = " → ".join(each.tools) if each.tools else each.impasse
    return [name, Text(f"{mark} {ended}", style), plain(path, 100), usd(each.cost), listed(each.uncompensated)]


def _show_pairs(found: Rehearsal) -> None:
    """Print the matrix: a row and a column per fault, the outcome under both; on the diagonal, of one alone."""
    faults = _interesting(found)
    outcome = {each.faults: each.status for each in (*found.singles, *found.pairs)}
    say(Text("Pairs (the diagonal is one fault alone)", "bold"))
    rows: list[list[str | Text]] = []
    for n, row in enumerate(faults, 1):
        cells: list[str | Text] = [str(n), str(row)]
        for column in faults:
            key = (row,) if row == column else tuple(sorted((row, column)))
            mark, style = MARKS[outcome[key]] if key in outcome else ("·", "dim")
            cells.append(Text(mark, style))
        rows.append(cells)
    table(["", "fault", *(str(n) for n in range(1, len(faults) + 1))], rows, right=[0])
    left_out = len(found.faults) - len(faults)
    if left_out:
        say(Text(f"{counted(left_out, 'fault')} that change nothing are left out; --json has all pairs", "dim"))


def _interesting(found: Rehearsal) -> list[Breakdown]:
    """The faults in the matrix: those that occurred in a run; of too many, those that change most outcomes."""
    hurt = dict.fromkeys(found.faults, 0)
    met: set[str] = set()
    for each in (*found.singles, *found.pairs):
        met.update(each.failed)
        if each.status is not found.plain.status:
            for fault in each.faults:
                hurt[fault] += 1
    shown = [fault for fault in found.faults if fault.tool in met]
    return sorted(sorted(shown, key=lambda fault: -hurt[fault])[:WIDEST])


__all__ = ["register"]
