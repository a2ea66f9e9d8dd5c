"""Planning for a run: the problem, the facts that it is decided on, the route, and the record of the decision."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import Any

from orchestrator.core.calls.signatures import signature_of
from orchestrator.core.calls.user_code import call_plain, is_async, truth_of
from orchestrator.core.outcome import NoRoute
from orchestrator.core.price import PICO, price_by
from orchestrator.core.route import Candidate, Impasse, Problem, Route
from orchestrator.core.values.copies import own_copy
from orchestrator.engine.runtime import Runtime
from orchestrator.graph.graph import GraphRevision
from orchestrator.graph.price_table import PriceFacts, PriceTable, transition_name
from orchestrator.graph.revision import Cone
from orchestrator.selection.choice.exploration import ExplorationRound

from .agents import NOBODY, Cast, cast
from .waits import NONE as NO_WAITS
from .waits import Waits

ALL_FACTS = 64
"""Up to this number of relevant tools, a plan records the price facts of all of them."""
NOTHING_TO_DO = "nothing more to do"
"""The name of a route without steps."""
MOST_SECONDS = 1e7
"""Largest accepted latency in seconds; a larger one counts as a mistake."""
MAX_PLAN_ATTEMPTS = 4
"""Maximum number of times that a plan is repeated because a price changed meanwhile."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A route or an impasse, with the facts that it was planned on."""

    route: Route | None
    impasse: Impasse | None
    facts: Mapping[str, PriceFacts]
    """The price facts of the relevant tools (and of transitions whose health is not perfect) at the time of the
    plan.
    """
    otherwise: float = 0.0
    """The success of a tool that is not among them: it has no observations, so it has its declared values."""
    last_resort: bool = False
    """Whether tools with an open circuit were admitted because there was no route without them."""
    revived: Mapping[str, float] = field(default_factory=dict[str, float])
    """Tools with an open circuit that could be admitted as a last resort -> the success that is then assumed."""
    cast: Cast = NOBODY
    """The agents that could take part, with their scores."""
    waits: Mapping[str, float] = field(default_factory=dict[str, float])
    """Tool -> seconds before it can be called, if known."""
    latencies: Mapping[str, float] = field(default_factory=dict[str, float])
    """Tool -> seconds that its `latency=` function gave for the inputs at hand."""
    problem: Problem | None = None
    """The solved problem, with the facts that hold for this run only."""


def solve(
    runtime: Runtime,
    problem: Problem,
    view: GraphRevision,
    values: Mapping[str, Any],
    *,
    allowed: Set[str] = frozenset(),
    recorded: bool = True,
    turn: ExplorationRound | None = None,
    waits: Waits = NO_WAITS,
) -> Planned:
    """The cheapest feasible route of a problem, or the impasse. Unless `recorded`, no facts are kept.

    When no route is left, tools whose circuit opened by itself are admitted as a last resort, unless the policy says
    fail fast: the last usable alternative is never ejected.
    """
    cone, known = view.cone(problem.goal), NOBODY
    latencies = latencies_of_inputs(view, problem.goal, values) if cone.timed else {}
    if cone.agents:
        known = cast(runtime, view, problem.goal, values, turn, problem.unusable)
    if cone.agents or cone.timed or allowed or waits is not NO_WAITS:
        special = special_facts(runtime, view, problem.goal, latencies, allowed, known)
        special |= waits.applied(lambda name: special.get(name) or runtime.prices.facts(name))
        problem = replace(problem, unusable={**waits.refused, **problem.unusable}, facts=special)
    taken_down = cone if recorded else None
    planned = _attempt(runtime, view, problem, taken_down)
    if planned.route is None and not runtime.policy.fail_fast:
        revived = _last_resort(runtime, cone.tools, problem)
        planned = with_last_resort(planned, revived, partial(_revived, runtime, view, problem, taken_down))
    if known is NOBODY and waits is NO_WAITS and not latencies:
        return planned
    return replace(planned, cast=known, waits=waits.seconds, latencies=latencies)


def with_last_resort(
    planned: Planned, revived: Mapping[str, PriceFacts], attempt: Callable[[Mapping[str, PriceFacts]], Planned]
) -> Planned:
    """When there is no route without the tools that are down: a plan that may use the tools in `revived`, if any.

    `attempt` plans with these facts in place of those of the tools that are down.
    """
    if not revived:
        return planned
    known = {name: fact.success for name, fact in revived.items()}
    second = attempt(revived)
    if second.route is None:
        return replace(planned, revived=known)
    return replace(second, last_resort=True, revived=known)


def _attempt(runtime: Runtime, view: GraphRevision, problem: Problem, recorded: Cone | None) -> Planned:
    """Plan and keep the facts; repeated when another thread changed a price meanwhile.

    `recorded`: the tools whose facts are kept.
    """
    prices, route, impasse = runtime.prices, None, None
    facts: Mapping[str, PriceFacts] = {}
    for _ in range(MAX_PLAN_ATTEMPTS):
        now = prices.now
        if recorded is not None:
            facts = price_facts(runtime, view, problem.facts, recorded)
        try:
            route, impasse = runtime.planner.plan(problem, view), None
        except NoRoute as no_route:
            route, impasse = None, no_route.impasse
        if recorded is None or prices.now == now:
            break
    return Planned(route, impasse, facts, prices.untouched_success, problem=problem)


def _revived(
    runtime: Runtime, view: GraphRevision, problem: Problem, recorded: Cone | None, more: Mapping[str, PriceFacts]
) -> Planned:
    """As `_attempt`, with these facts of tools that are down."""
    return _attempt(runtime, view, replace(problem, facts={**problem.facts, **more}), recorded)


def price_facts(
    runtime: Runtime, view: GraphRevision, special: Mapping[str, PriceFacts], cone: Cone
) -> dict[str, PriceFacts]:
    """The current price facts of the relevant tools and of the transitions whose health is not perfect.

    In a large graph, tools without observations are left out: they have their declared values.
    """
    names, transitions = cone.tools, runtime.health.entries.transitions
    if len(names) > ALL_FACTS and not runtime.own_pricing:
        heard = {*runtime.health.touched(), *(target for _, target in transitions), *special}
        names = tuple(sorted(heard & cone.names))
    nodes, facts = view.nodes, dict[str, PriceFacts]()
    for name in names:
        facts[name] = special.get(name) or runtime.prices.node_facts(nodes[name])
    for source, target in transitions:
        success = runtime.health.transition_success(source, target) if target in facts else 1.0
        if success != 1:
            label = transition_name(source, target)
            facts[label] = PriceFacts(label, 0.0, 0.0, 0.0, 1.0, 1.0, success)
    return facts


def special_facts(
    runtime: Runtime,
    view: GraphRevision,
    goal: tuple[str, ...],
    latencies: Mapping[str, float],
    allowed: Set[str],
    known: Cast,
) -> dict[str, PriceFacts]:
    """Facts that hold for this run only: agents under its demand, latencies of its inputs, tools that a rung
    allowed.
    """
    facts = dict(known.facts)
    for name, seconds in latencies.items():
        facts[name] = replace(facts.get(name) or runtime.prices.facts(name), latency=seconds)
    for name in sorted(allowed & view.cone(goal).names) if allowed else ():
        base = facts.get(name) or runtime.prices.facts(name)
        if base.success <= 0:
            facts[name] = replace(base, success=max(0.01, runtime.health.last_resort_success(name)))
    return facts


def latencies_of_inputs(view: GraphRevision, goal: tuple[str, ...], values: Mapping[str, Any]) -> dict[str, float]:
    """Latencies in seconds of the `latency=` functions for the inputs at hand. One that raises, or returns no number,
    is ignored: its tool is priced without a declared latency.
    """
    found: dict[str, float] = {}
    for name in view.cone(goal).timed:
        tool = view.tools[name]
        inputs = {p: values[key] for p, key in (*tool.needs.items(), *tool.optional.items()) if key in values}
        if not callable(tool.latency):
            continue
        wanted = function_parameters(tool.latency)
        if all(p in inputs for p in tool.needs if wanted is None or p in wanted):
            given = {p: value for p, value in inputs.items() if wanted is None or p in wanted}
            try:
                seconds = float(call_plain(tool.latency, **given))
            except Exception:
                continue
            if 0 <= seconds < MOST_SECONDS:
                found[name] = seconds
    return found


def _last_resort(runtime: Runtime, relevant: Iterable[str], problem: Problem) -> dict[str, PriceFacts]:
    """The tools with an open circuit that may be admitted when there is no route without them."""
    revived: dict[str, PriceFacts] = {}
    for name in relevant:
        base = problem.facts.get(name) or runtime.prices.facts(name)
        if base.success <= 0 and name not in problem.unusable and runtime.health.usable(name, last_resort=True):
            revived[name] = replace(base, success=max(0.01, runtime.health.last_resort_success(name)))
    return revived


def describe_route(route: Route) -> str:
    """A route as text for people."""
    return " > ".join(route.tools) or NOTHING_TO_DO


def chosen_route(route: Route) -> Candidate:
    """A route as the candidate that was chosen."""
    return Candidate(" > ".join(route.tools) or NOTHING_TO_DO, route.pico / PICO, "the chosen route")


def plan_record(runtime: Runtime, view: GraphRevision, *planned: Planned) -> dict[str, Any]:
    """The facts of plans (or impasses) made at the same moment that earlier records do not have: enough to plan
    again.
    """
    facts: dict[str, PriceFacts] = {}
    revived: dict[str, float] = {}
    otherwise = 0.0
    for each in planned:
        facts |= each.facts
        revived |= each.revived
        otherwise = max(otherwise, each.otherwise)
    record: dict[str, Any] = {
        "prices": dict(zip(facts, map(fact_row, facts.values()), strict=True)),
        "otherwise": otherwise,
        "formula": runtime.formula,
    }
    if revived:
        record["revived"] = revived
    if runtime.own_pricing:
        record["priced"] = own_prices(runtime.prices, view, facts, revived)
    return record


def own_prices(
    prices: PriceTable, view: GraphRevision, facts: Mapping[str, PriceFacts], revived: Mapping[str, float]
) -> list[list[Any]]:
    """The prices of these tools by the user's own pricing, for each transition, because replay calls no user code.

    Rows of tool, facts as a row, and the price in picodollars (`None` for infinite).
    """
    rows: list[list[Any]] = []
    for name in sorted(name for name in facts if name in view.nodes):
        told = facts[name]
        for fact in (told, replace(told, success=revived[name])) if name in revived else (told,):
            for each in priced_facts(view, facts, fact):
                pico = None if each.success <= 0 else price_by(prices.pricing, each)
                rows.append([name, fact_row(each), pico])
    return rows


def priced_facts(view: GraphRevision, facts: Mapping[str, PriceFacts], fact: PriceFacts) -> list[PriceFacts]:
    """The facts by which a tool may be priced: its own, and those of each of its transitions."""
    found = [fact]
    for t in view.incoming(fact.tool):
        passes = facts.get(transition_name(t.source, t.target))
        success = fact.success * passes.success if passes else fact.success
        found.append(replace(fact, money=fact.money + t.cost, success=success))
    return found


def route_facts(runtime: Runtime, view: GraphRevision, planned: Planned, revision: int) -> dict[str, Any]:
    """The facts and the result of a planning decision. `revision`: the number of the graph revision in the run's
    record.
    """
    facts = plan_record(runtime, view, planned)
    facts["rivals"] = "routes"
    if planned.last_resort:
        facts["last_resort"] = True
    if planned.waits:
        facts["waits"] = dict(planned.waits)
    if planned.latencies:
        facts["latencies"] = dict(planned.latencies)
    if planned.route is not None:
        facts |= {
            "tools": list(planned.route.tools),
            "price": planned.route.pico,
            "bound": planned.route.bound_pico,
            "revision": revision,
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


def known_conditions(view: GraphRevision, goal: Iterable[str], values: Mapping[str, Any]) -> dict[str, bool]:
    """The result of every `when` whose inputs are at hand. One that raises does not hold."""
    said: dict[str, bool] = {}
    for name in view.cone(tuple(goal)).conditional:
        tool = view.tools[name]
        if tool.when is None or is_async(tool.when):
            continue
        inputs = {p: values[key] for p, key in (*tool.needs.items(), *tool.optional.items()) if key in values}
        wanted = function_parameters(tool.when)
        if all(p in inputs for p in tool.needs if wanted is None or p in wanted):
            given = {p: value for p, value in inputs.items() if wanted is None or p in wanted}
            try:
                said[name] = truth_of(call_plain(tool.when, **own_copy(given)))
            except Exception:
                said[name] = False
    return said


def function_parameters(call: Callable[..., Any]) -> frozenset[str] | None:
    """The parameters that a user's function takes; `None` for any."""
    try:
        return _known_parameters(call)
    except TypeError:  # it cannot be hashed
        return _known_parameters.__wrapped__(call)


@lru_cache(maxsize=512)
def _known_parameters(call: Callable[..., Any]) -> frozenset[str] | None:
    try:
        parameters = signature_of(call).parameters.values()
    except (ValueError, TypeError):
        return None
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return frozenset(parameter.name for parameter in parameters)
