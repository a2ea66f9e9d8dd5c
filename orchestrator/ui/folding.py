"""Which tools a drawing shows, and which a large drawing folds: parts of a chain, and alternatives."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from orchestrator.graph.revision import GraphRevision

from .decision_view import DecisionSnapshot

SMALL: Final = 10
"""A drawing of at most this number of tools folds none."""
SHORTEST: Final = 3
"""Minimum number of tools to fold."""


@dataclass(frozen=True, slots=True)
class FoldedTools:
    """Tools that are drawn as one."""

    tools: tuple[str, ...]
    state: str

    @property
    def id(self) -> str:
        """Its id in the drawing."""
        return f"f:{self.tools[0]}"


def worth_drawing(snapshot: DecisionSnapshot, view: GraphRevision) -> tuple[str, ...]:
    """The tools that were used, and those that could lead to the goal."""
    past, relevant = {*snapshot.problem.done, *snapshot.problem.running}, _leading_to(snapshot, view)
    return tuple(name for name in view.nodes if name in relevant or name in past)


def most_important(snapshot: DecisionSnapshot, view: GraphRevision) -> tuple[str, ...]:
    """The tools to draw, the most relevant first."""
    problem = snapshot.problem
    first = [
        *snapshot.culprits,
        *snapshot.route_after,
        *problem.running,
        *(snapshot.runner_up.tools if snapshot.runner_up is not None else ()),
        *problem.unusable,
        *reversed(list(problem.done)),
        *snapshot.prices,
    ]
    found = dict.fromkeys(name for name in first if name in view.nodes)
    return tuple(found)


def _leading_to(snapshot: DecisionSnapshot, view: GraphRevision) -> set[str]:
    """The tools from which some path leads to the goal."""
    found: set[str] = set()
    keys = [
        *snapshot.problem.goal,
        *(key for name in snapshot.route_after if name in view.nodes for key in view.nodes[name].gives),
    ]
    seen, tools = set(keys), [name for key in keys for name in view.producers(key)]
    while tools:
        name = tools.pop()
        if name in found or name not in view.nodes:
            continue
        found.add(name)
        tools += [t.source for t in view.incoming(name)]
        for key in (*view.nodes[name].needs, *view.nodes[name].optional):
            if key not in seen:
                seen.add(key)
                tools += view.producers(key)
    return found


def folded(
    names: Sequence[str], view: GraphRevision, state: Callable[[str], str], keep: Collection[str]
) -> tuple[FoldedTools, ...]:
    """The folds of these tools; those in `keep` and the ends of a chain are not folded."""
    if len(names) <= SMALL:
        return ()
    found = [run[1:-1] for run in _chains(names, view, state, keep)]
    found += [group[1:] for group in _alternatives(names, view, state, keep)]
    return tuple(FoldedTools(tuple(some), state(some[0])) for some in found if len(some) >= SHORTEST)


def _chains(
    names: Sequence[str], view: GraphRevision, state: Callable[[str], str], keep: Collection[str]
) -> list[list[str]]:
    """Chains: each tool takes only from the previous one and is its only consumer."""
    drawn = set(names)
    after: dict[str, str] = {}
    for name in names:
        takers = {taker for key in view.nodes[name].gives for taker in view.consumers(key) if taker in drawn}
        follower = next(iter(takers)) if len(takers) == 1 else ""
        alike = follower and state(follower) == state(name) and not {name, follower} & set(keep)
        if alike and _givers(follower, view, drawn) == {name}:
            after[name] = follower
    chains: list[list[str]] = []
    for first in sorted(after.keys() - after.values()):
        chain = [first]
        while chain[-1] in after:
            chain.append(after[chain[-1]])
        chains.append(chain)
    return chains


def _givers(name: str, view: GraphRevision, drawn: set[str]) -> set[str]:
    """The tools from which a tool takes keys or transitions."""
    spec = view.nodes[name]
    by_key = {giver for key in (*spec.needs, *spec.optional) for giver in view.producers(key) if giver in drawn}
    return by_key | {transition.source for transition in view.incoming(name)}


def _alternatives(
    names: Iterable[str], view: GraphRevision, state: Callable[[str], str], keep: Collection[str]
) -> list[list[str]]:
    """Tools with the same needs and gives and without transitions."""
    groups: dict[tuple[object, ...], list[str]] = defaultdict(list)
    sources = {transition.source for transition in view.transitions}
    for name in names:
        spec = view.nodes[name]
        if name not in keep and name not in sources and not view.incoming(name):
            groups[spec.needs, spec.optional, spec.gives, state(name)].append(name)
    return list(groups.values())


__all__ = ["FoldedTools", "folded", "most_important", "worth_drawing"]
