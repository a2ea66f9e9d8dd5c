"""The tool graph as Mermaid text: prices on the edges, what is down struck out, a route in bold."""

from collections.abc import Iterable

from orchestrator.api import Orchestrator
from orchestrator.core.enums import START
from orchestrator.core.route import Route
from orchestrator.core.text import plain, usd

_UNSAFE = frozenset('"#&<>;`{}[]|\\%')
_LONGEST = 60


def mermaid(orc: Orchestrator, route: Route | None = None) -> str:
    """A flowchart: keys that nobody gives are round, tools are boxes, an edge says which key goes along and at what
    price its end is reached; the edges of `route` are thick, and edges to tools that are down are crossed out."""
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
    """Text inside quotes: what could end them, or be taken for markup, as a character code."""
    return "".join(f"#{ord(char)};" if char in _UNSAFE else char for char in plain(text, _LONGEST))
