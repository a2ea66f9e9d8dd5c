"""`orchestrator plan` and `orchestrator graph`: the route and its price, without running it."""

from collections.abc import Iterable
from typing import Annotated, Any

import typer
from rich.text import Text

from orchestrator.api import Orchestrator
from orchestrator.cli import options
from orchestrator.cli.screen import Exit, say, table, write_json
from orchestrator.cli.session import looking, open_project
from orchestrator.cli.values import goal_of, read_inputs
from orchestrator.core.enums import START
from orchestrator.core.errors import InputError
from orchestrator.core.outcome import NoRoute
from orchestrator.core.route import Impasse, Route
from orchestrator.core.text import duration, listed, plain, usd
from orchestrator.engine.lifecycle.start import check_goal
from orchestrator.graph.price_table import PriceFacts


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("plan")(_plan)
    app.command("graph")(_graph)


def _plan(
    goal: options.GoalArgument,
    inputs: options.Inputs = None,
    explain: Annotated[bool, typer.Option("--explain", help="What every price is made of.")] = False,
    demote: options.DemoteOption = None,
    dial: options.Dial = None,
    trust: options.Trust = None,
    stays: options.Stays = False,
    max_cost: options.MaxCost = None,
    project: options.ProjectOption = None,
    policy: options.PolicyOption = options.DEFAULT_POLICY,
    store: options.StoreOption = options.DEFAULT_STORE,
    as_json: options.AsJson = False,
) -> None:
    """Show the route that a run would begin with, and its alternatives. Nothing is run."""
    wanted = goal_of(goal, demote or ())
    preferred = options.preferences(dial, trust, stays=stays, max_cost=max_cost)
    with looking(open_project(project), policy, store) as orc:
        view = orc.graph.view()
        check_goal(wanted, set(view.keys))
        values = read_inputs(view, inputs or ()).values
        try:
            route = orc.plan(wanted, values, **preferred)
        except NoRoute as stuck:
            show_impasse(stuck.impasse, as_json=as_json)
            raise typer.Exit(int(Exit.ESCALATED)) from None
        if as_json:
            write_json(_route_json(orc, route))
        else:
            _show_route(orc, route, explain=explain)


def _route_json(orc: Orchestrator, route: Route) -> dict[str, Any]:
    return {
        "schema": "orchestrator.plan/1",
        "goal": list(route.goal),
        "tools": list(route.tools),
        "price": route.price,
        "bound": route.bound,
        "steps": [
            {
                "tool": step.tool,
                "price": step.price,
                "takes": dict(step.sources),
                "via": step.via,
                "after": list(step.after),
                "effect": str(step.effect),
                "facts": facts_json(orc.price_facts(step.tool)),
            }
            for step in route.steps
        ],
        "alternatives": [
            {"instead_of": a.instead_of, "tools": list(a.tools), "price": a.price, "more": a.more}
            for a in route.alternatives
        ],
    }


def facts_json(facts: PriceFacts) -> dict[str, float]:
    """The terms of a price as JSON."""
    return {
        "money": facts.money,
        "latency": facts.latency,
        "risk": facts.risk,
        "competence": facts.competence,
        "pressure": facts.pressure,
        "success": facts.success,
    }


def facts_text(facts: PriceFacts) -> str:
    """The terms of a price as text."""
    parts = [usd(facts.money), duration(facts.latency)]
    if facts.risk:
        parts.append(f"risk {facts.risk:g}")
    if facts.competence < 1:
        parts.append(f"competence {facts.competence:.2f}")
    if facts.pressure > 1:
        parts.append(f"pressure {facts.pressure:.2f}")
    return ", ".join([*parts, f"works {facts.success:.0%}"])


def _show_route(orc: Orchestrator, route: Route, *, explain: bool) -> None:
    path = " → ".join(plain(tool) for tool in route.tools) or "nothing more to do"
    say(Text.assemble((path, "bold"), f"  {usd(route.price)}"))
    if route.bound < route.price:
        say(Text(f"no plan can be cheaper than {usd(route.bound)}", "dim"))
    say()
    headers = ["step", "price", "takes", "effect", *(["made of"] if explain else [])]
    rows: list[list[str | Text]] = []
    for step in route.steps:
        takes = listed([f"{key} of {source}" if source else key for key, source in step.sources.items()])
        made_of = [facts_text(orc.price_facts(step.tool))] if explain else []
        rows.append([step.tool, usd(step.price), takes, str(step.effect), *made_of])
    table(headers, rows, right=[1])
    if route.alternatives:
        say()
        say(Text("What it beat", "bold"))
        beaten = [[_instead(a), " → ".join(a.tools), usd(a.price), f"+{usd(a.more)}"] for a in route.alternatives]
        table(["", "route", "price", "more"], beaten, right=[2, 3])


def _instead(alternative: Any) -> str:
    return f"instead of {alternative.instead_of}" if alternative.instead_of else "the next best"


def show_impasse(impasse: Impasse, *, as_json: bool, schema: str = "orchestrator.plan/1") -> None:
    """Why there is no route, for people or for programs."""
    if as_json:
        write_json({"schema": schema, "goal": list(impasse.goal), "impasse": impasse.to_json()})
        return
    say(Text.assemble(("✗ ", "red"), ("No route", "bold red"), f" to {plain(' + '.join(impasse.goal))}"))
    if impasse.unreachable:
        say(f"  cannot be produced: {plain(listed(impasse.unreachable))}")
    if impasse.reason:
        say(f"  {plain(impasse.reason)}")
    for blame in impasse.blame:
        say(
            f"  {plain(blame.tool)}: {plain(blame.reason)}"
            + (f" ({plain(blame.last_error)})" if blame.last_error else "")
        )


def _graph(
    goal: Annotated[str | None, typer.Argument(metavar="[GOAL]", help="Mark the route to this goal.")] = None,
    inputs: options.Inputs = None,
    form: Annotated[str, typer.Option("--format", metavar="FORMAT", help="mermaid.")] = "mermaid",
    project: options.ProjectOption = None,
    policy: options.PolicyOption = options.DEFAULT_POLICY,
    store: options.StoreOption = options.DEFAULT_STORE,
) -> None:
    """Draw the tool graph, with prices on the edges; with a goal, its route is highlighted."""
    if form != "mermaid":
        raise InputError(f"There is no format {plain(form, 40)!r}. Known: mermaid.")
    with looking(open_project(project), policy, store) as orc:
        route: Route | None = None
        if goal is not None:
            wanted = goal_of(goal)
            view = orc.graph.view()
            check_goal(wanted, set(view.keys))
            route = orc.plan(wanted, read_inputs(view, inputs or ()).values)
        say(Text(mermaid(orc, route)))


_UNSAFE = frozenset('"#&<>;`{}[]|\\%')
_LONGEST = 60


def mermaid(orc: Orchestrator, route: Route | None = None) -> str:
    """A flowchart: inputs are round, tools are boxes, an edge shows its key and the price of its target; the edges of
    `route` are thick, and edges to tools that are down are crossed out.
    """
    view = orc.graph.view()
    tools = {name: f"t{number}" for number, name in enumerate(view.nodes)}
    given = sorted(key for key in view.keys if not view.producers(key))
    keys = {key: f"k{number}" for number, key in enumerate(given)}
    lines = ["flowchart LR"]
    lines += [f'    {keys[key]}(["{_safe(key)}"])' for key in given]
    lines += [f'    {tools[name]}["{_safe(name)}"]' for name in view.nodes]
    drawn = orc.graph.nx
    if START in drawn:
        tools = {**tools, START: "start"}
        lines.append(f'    start(("{START}"))')
    chosen = _chosen(route)
    for key in given:
        for name in view.consumers(key):
            lines.append(_edge(keys[key], tools[name], (), orc.price(name), (key, name) in chosen))
    for source, target, data in sorted(drawn.edges(data=True)):
        price = orc.price(target, source)
        lines.append(_edge(tools[source], tools[target], data["keys"], price, (source, target) in chosen))
    if route is not None:
        lines += _goal(route, orc, tools)
    return "\n".join(lines)


def _chosen(route: Route | None) -> set[tuple[str, str]]:
    """The edges of a route, from a key that was provided or from a tool."""
    steps = route.steps if route is not None else ()
    edges = {(source or key, step.tool) for step in steps for key, source in step.sources.items()}
    return edges | {(step.via, step.tool) for step in steps if step.via is not None}


def _goal(route: Route, orc: Orchestrator, tools: dict[str, str]) -> Iterable[str]:
    """The goal's keys, after the steps that give them."""
    view = orc.graph.view()
    for number, key in enumerate(route.goal):
        yield f'    g{number}(["{_safe(key)}"])'
        for step in route.steps:
            if key in view.nodes[step.tool].gives:
                yield f"    {tools[step.tool]} ==> g{number}"


def _edge(source: str, target: str, keys: Iterable[str], price: float | None, chosen: bool) -> str:
    label = " ".join([*(_safe(key) for key in keys), "down" if price is None else usd(price)])
    arrow = "--x" if price is None else "==>" if chosen else "-->"
    return f'    {source} {arrow}|"{label}"| {target}'


def _safe(text: str) -> str:
    """Text for quotes in Mermaid: quotes and markup as character codes."""
    return "".join(f"#{ord(char)};" if char in _UNSAFE else char for char in plain(text, _LONGEST))
