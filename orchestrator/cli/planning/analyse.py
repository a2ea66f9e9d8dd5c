"""`orchestrator analyse`: how robust the way to a goal is, from the graph and today's health. Nothing is run."""

from typing import Annotated

import typer
from rich.text import Text

from orchestrator.cli import options
from orchestrator.cli.screen import Exit, say, table, write_json
from orchestrator.cli.session import looking, open_project
from orchestrator.cli.values import check_key, goal_of
from orchestrator.core.outcome import NoRoute
from orchestrator.core.route import Problem
from orchestrator.core.text import counted, listed, plain, usd
from orchestrator.engine.lifecycle.start import check_goal
from orchestrator.observability.resilience import Resilience, ToolAnalysis, analyse, source_keys

from .plan import show_impasse


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("analyse")(_analyse)


def _analyse(
    goal: options.GoalArgument,
    given: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY...", help="The keys that are given. Default: those that no tool gives."),
    ] = None,
    most: Annotated[int, typer.Option("--most", min=1, max=6, help="Largest sets of lost tools to look for.")] = 3,
    project: options.ProjectOption = None,
    policy: options.PolicyOption = options.DEFAULT_POLICY,
    store: options.StoreOption = options.DEFAULT_STORE,
    as_json: options.AsJson = False,
) -> None:
    """Show which tools GOAL depends on: single points of failure, smallest sets of tools whose loss stops it,
    expected price and chance of success under today's health, and what an alternative would be worth.
    """
    wanted = goal_of(goal)
    loaded = open_project(project)
    with looking(loaded, policy, store) as orc:
        view = orc.graph.view()
        check_goal(wanted, set(view.keys))
        keys = [word.partition("=")[0] for word in given or ()]
        for key in keys:
            check_key(view, key)
        problem = Problem(wanted.keys, dict.fromkeys(keys or source_keys(view, wanted.keys)))
        facts = {name: orc.price_facts(name) for name in view.relevant(wanted.keys)}
        try:
            found = analyse(view, facts, problem, orc.policy, most=most)
        except NoRoute as stuck:
            show_impasse(stuck.impasse, as_json=as_json, schema="orchestrator.analyse/1")
            raise typer.Exit(int(Exit.ESCALATED)) from None
    if as_json:
        write_json({"schema": "orchestrator.analyse/1", **found.to_json()})
    else:
        _show(found, most)


def _show(found: Resilience, most: int) -> None:
    path = " → ".join(plain(tool) for tool in found.route) or "nothing to do: the goal is given"
    say(Text.assemble((path, "bold"), f"  {usd(found.price)}"))
    say(Text(f"from {plain(listed(found.given)) or 'nothing'}", "dim"))
    say()
    at_most = f" to {found.chance_at_most:.2%}" if found.chance_at_most - found.chance > 5e-5 else ""
    say(
        f"chance of success   {found.chance:.2%}{at_most}  (this route alone, first attempts: {found.route_chance:.2%})"
    )
    say(f"expected price      {usd(found.expected_price)}  (mean over the routes taken, where the goal is reached)")
    alone = plain(listed(found.single_points)) if found.single_points else "none"
    say(Text.assemble("single points of failure  ", (alone, "bold red" if found.single_points else "green")))
    sets = [cut for cut in found.cuts if len(cut) > 1]
    if sets:
        say(f"the goal is also lost with all of ({counted(len(sets), 'set')}, up to {most} tools):")
        for cut in sets[:20]:
            say(f"  {plain(' + '.join(cut))}")
        if len(sets) > 20:
            say(Text(f"  and {len(sets) - 20} more; --json lists all", "dim"))
    if not found.cuts_complete:
        say(Text("  more sets may exist: the search was ended", "dim"))
    if found.tools:
        say()
        headers = ["tool", "works", "if it is lost", "more", "an equal alternative"]
        table(headers, [_row(tool, found) for tool in found.tools], right=[1, 3])


def _row(tool: ToolAnalysis, found: Resilience) -> list[str | Text]:
    gain = tool.chance_with_alternative - found.chance
    worth = f"{found.chance:.2%} → {tool.chance_with_alternative:.2%}" if gain > 5e-5 else "would add nothing"
    if tool.without is None:
        lost: str | Text = Text("the goal is lost", "red")
    else:
        lost = " → ".join(tool.without)
    return [tool.tool, f"{tool.success:.0%}", lost, "" if tool.more is None else f"+{usd(tool.more)}", worth]


__all__ = ["register"]
