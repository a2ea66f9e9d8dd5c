"""Planning for a run: the problem and the facts that it is decided on, the route, and the decisions that say so."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from orchestrator.agent import Agent
from orchestrator.errors import NoRoute
from orchestrator.graph import GraphView
from orchestrator.pricing import PICO, PriceFacts
from orchestrator.route import Candidate, Impasse, Problem, Route
from orchestrator.tooling import Tool
from orchestrator.types import DecisionKind

if TYPE_CHECKING:
    from .services import Services
    from .state import RunState


@dataclass(frozen=True, slots=True)
class Planned:
    """A route or an impasse, with the facts that it was planned on."""

    route: Route | None
    impasse: Impasse | None
    facts: Mapping[str, PriceFacts]
    """The price facts of every tool that could matter, as they were."""
    last_resort: bool = False
    """Whether tools with an open circuit were admitted, because no route was left without them."""


def plan(services: "Services", state: "RunState", view: GraphView, values: Mapping[str, Any]) -> Planned:
    """The cheapest feasible route from where the run stands, or the impasse.

    When no route is left, tools whose circuit opened by itself are admitted as a last resort, unless the policy says
    fail fast: the last usable alternative is never ejected.
    """
    problem = state.problem()
    relevant = relevant_tools(view, state.goal)
    special = special_facts(services, state, view, relevant, values)
    planned = _attempt(services, view, replace(problem, facts=special), relevant)
    if planned.route is not None or services.policy.fail_fast:
        return planned
    revived = _last_resort(services, relevant, problem, special)
    if not revived:
        return planned
    second = _attempt(services, view, replace(problem, facts={**special, **revived}), relevant)
    return replace(second, last_resort=True) if second.route is not None else planned


def _attempt(services: "Services", view: GraphView, problem: Problem, relevant: tuple[str, ...]) -> Planned:
    facts = {name: problem.facts.get(name) or services.prices.facts(name) for name in relevant if name in view.tools}
    try:
        return Planned(services.planner.plan(problem, view), None, facts)
    except NoRoute as no_route:
        return Planned(None, no_route.impasse, facts)


def relevant_tools(view: GraphView, goal: Iterable[str]) -> tuple[str, ...]:
    """Tools that could take part in a route to the goal: backwards through needs and transitions, sorted."""
    keys, tools = list(goal), set[str]()
    seen = set(keys)
    while keys:
        waiting = list(view.producers(keys.pop()))
        while waiting:
            name = waiting.pop()
            if name in tools:
                continue
            tools.add(name)
            waiting += [t.source for t in view.incoming(name) if t.source in view.tools]
            fresh = [key for key in view.tools[name].needs.values() if key not in seen]
            seen.update(fresh)
            keys += fresh
    return tuple(sorted(tools))


def special_facts(
    services: "Services", state: "RunState", view: GraphView, relevant: Iterable[str], values: Mapping[str, Any]
) -> dict[str, PriceFacts]:
    """Facts that hold for this run only: agents under its demand, and tools that somebody allowed."""
    facts: dict[str, PriceFacts] = {}
    for name in relevant:
        tool = view.tools[name]
        if isinstance(tool, Agent):
            demand = services.demand(tool.gives, values)
            facts[name] = services.selector.facts(tool, demand, services.prices.facts(name))
        if name in state.allowed:
            base = facts.get(name) or services.prices.facts(name)
            if base.success <= 0:
                facts[name] = replace(base, success=max(0.01, services.health.last_resort_success(name)))
    return facts


def _last_resort(
    services: "Services", relevant: Iterable[str], problem: Problem, special: Mapping[str, PriceFacts]
) -> dict[str, PriceFacts]:
    revived: dict[str, PriceFacts] = {}
    for name in relevant:
        base = special.get(name) or services.prices.facts(name)
        if base.success <= 0 and name not in problem.unusable and services.health.usable(name, last_resort=True):
            revived[name] = replace(base, success=max(0.01, services.health.last_resort_success(name)))
    return revived


def describe_route(route: Route) -> str:
    """A route as people read it."""
    return " > ".join(route.tools) or "nothing more to do"


def route_facts(planned: Planned) -> dict[str, Any]:
    """What a planning decision was made from, beside the records before it: enough to make it again."""
    facts: dict[str, Any] = {"prices": {name: fact_row(fact) for name, fact in planned.facts.items()}}
    if planned.last_resort:
        facts["last_resort"] = True
    if planned.route is not None:
        facts |= {
            "tools": list(planned.route.tools),
            "price": planned.route.pico,
            "bound": planned.route.bound_pico,
            "revision": planned.route.revision,
        }
        if planned.route.abandons:
            facts["abandons"] = list(planned.route.abandons)
    return facts


def fact_row(facts: PriceFacts) -> list[float]:
    """Price facts as a row of numbers."""
    return [facts.money, facts.latency, facts.risk, facts.competence, facts.pressure, facts.success]


def fact_from_row(tool: str, row: Iterable[float]) -> PriceFacts:
    """The price facts that `fact_row` wrote."""
    return PriceFacts(tool, *row)


def candidates(services: "Services", planned: Planned, view: GraphView, problem: Problem) -> tuple[Candidate, ...]:
    """The route that was chosen, then for each of its steps the other tools that give the same key."""
    route = planned.route
    assert route is not None
    listed = [Candidate(describe_route(route), route.price, "the chosen route")]
    told = set(route.tools)
    for step in route.steps:
        for key in view.tools[step.tool].gives:
            for name in view.producers(key):
                if name not in told:
                    told.add(name)
                    listed.append(candidate(services, name, view, problem, planned.facts, f"instead of {step.tool}"))
    return tuple(listed)


def candidate(
    services: "Services",
    name: str,
    view: GraphView,
    problem: Problem,
    facts: Mapping[str, PriceFacts],
    reason: str = "",
) -> Candidate:
    """One tool as a candidate: its price by its cheapest transition, or why it cannot be used."""
    fact = facts.get(name) or services.prices.facts(name)
    if name in problem.unusable:
        return Candidate(name, None, problem.unusable[name], fact)
    entry = min((transition.cost for transition in view.incoming(name)), default=0.0)
    pico = services.prices.price(name, entry, replace(fact, money=fact.money + entry))
    if pico is None:
        return Candidate(name, None, services.health.status(name).reason or "its circuit is open", fact)
    return Candidate(name, pico / PICO, reason, fact)


def agent_steps(route: Route, view: GraphView) -> list[tuple[str, str]]:
    """The steps of a route that an agent does, as (agent, key): each is a choice by skill."""
    chosen: list[tuple[str, str]] = []
    for step in route.steps:
        tool: Tool = view.tools[step.tool]
        if tool.is_agent:
            chosen.append((step.tool, next(iter(tool.gives))))
    return chosen


def known_conditions(view: GraphView, goal: Iterable[str], values: Mapping[str, Any]) -> dict[str, bool]:
    """What every `when` whose inputs are at hand says. One that raises does not hold."""
    said: dict[str, bool] = {}
    for name in relevant_tools(view, goal):
        tool = view.tools[name]
        if tool.when is None:
            continue
        inputs = {p: values[key] for p, key in (*tool.needs.items(), *tool.optional.items()) if key in values}
        wanted = parameters_of(tool.when)
        if all(p in inputs for p in tool.needs if wanted is None or p in wanted):
            given = {p: value for p, value in inputs.items() if wanted is None or p in wanted}
            try:
                said[name] = bool(tool.when(**given))
            except Exception:
                said[name] = False
    return said


def parameters_of(call: Callable[..., Any]) -> set[str] | None:
    """The parameters that a user's function takes; `None` for any."""
    try:
        parameters = inspect.signature(call).parameters.values()
    except (ValueError, TypeError):
        return None
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return {parameter.name for parameter in parameters}


PLANNING: frozenset[DecisionKind] = frozenset({DecisionKind.ROUTE, DecisionKind.REROUTE, DecisionKind.BRANCH})
"""The kinds of decision that choose a route."""
