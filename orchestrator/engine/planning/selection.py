"""Records the selection of agents in a run: excluded agents, and for each step the chosen agent, its candidates and the
reason.
"""

from dataclasses import replace
from typing import Any

from orchestrator.agents.agent import Agent
from orchestrator.core.enums import DecisionKind
from orchestrator.core.events import ToolExcluded
from orchestrator.core.price import standard
from orchestrator.core.route import Candidate, Route
from orchestrator.engine.run import Run
from orchestrator.graph.graph import GraphRevision
from orchestrator.graph.tool import Tool
from orchestrator.selection import Demand, Judged

from .agents import NOBODY, Cast, refused_agents
from .candidates import pricer
from .planning import Planned


def exclude_refused(run: Run) -> None:
    """Record which agents the run's constraints exclude; also those that a rung has allowed."""
    state = run.state
    for name, reason in refused_agents(run.runtime, run.view, state.wanted, state.constraints).items():
        if name not in state.excluded and name not in state.done and name not in state.doing:
            run.emit(ToolExcluded(**run.stamp(), tool=name, reason=reason))


def decide_agents(run: Run, planned: Planned) -> None:
    """Record the agents of a new route, their candidates and the reasons; an unchanged selection is not repeated."""
    route = planned.route
    assert route is not None
    asked = run.runtime.demands.model
    prices = pricer(run.runtime, run.view, run.state.unusable(), planned)
    plan = run.state.decisions[-1].id
    before = {
        d.subject: (d.chosen, d.facts.get("demand"))
        for d in run.state.decisions
        if d.kind is DecisionKind.SELECT and "plan" in d.facts
    }
    for agent, key in agent_steps(route, run.view):
        demand = planned.cast.demands.get(agent, Demand())
        if agent in run.state.doing or before.get(key) == (agent, demand.weights):
            continue
        rivals = [name for name in run.view.producers(key) if name in planned.cast.facts]
        listed = tuple(_explained(each, planned.cast.judged.get(each.name)) for each in prices.agents(rivals))
        run.decide(
            DecisionKind.SELECT,
            agent,
            candidates=listed,
            subject=key,
            reason=f"part of the cheapest route under the demand {demand}{_score(planned.cast.judged.get(agent))}",
            price=next((c.price for c in listed if c.name == agent), None),
            facts={
                "demand": demand.weights,
                "source": demand.source,
                **({"model": asked.name} if demand.source == "model" and asked else {}),
                **({} if demand.size is None else {"size": demand.size}),
                "plan": plan,
                **_judgements(run, planned.cast, rivals),
            },
        )


def _score(judged: Judged | None) -> str:
    if judged is None:
        return ""
    trial = "; a newcomer on trial" if judged.newcomer and judged.counted > 0 else ""
    return f", {_expected(judged)}{trial}"


def _expected(judged: Judged) -> str:
    seen = judged.estimate
    calls = f"{seen.evidence:.0f} call{'' if round(seen.evidence) == 1 else 's'}"
    return f"competence {seen.mean:.2f} [{seen.low:.2f}, {seen.high:.2f}] by {calls}"


def _explained(candidate: Candidate, judged: Judged | None) -> Candidate:
    """A candidate with its expected competence, and with the competence that was used if that differs."""
    if judged is None or candidate.reason:
        return candidate
    other = abs(judged.counted - judged.estimate.mean) > 1e-9
    counted = f", counted at {judged.counted:.2f}{' (a newcomer)' if judged.newcomer else ''}" if other else ""
    return replace(candidate, reason=_expected(judged) + counted)


def _judgements(run: Run, made: Cast, rivals: list[str]) -> dict[str, Any]:
    """The score of each candidate and the parts of its price: enough to recompute its competence."""
    runtime = run.runtime
    record: dict[str, Any] = {"judged": {name: made.judged[name].to_json() for name in rivals if name in made.judged}}
    if not runtime.own_pricing and runtime.policy.pricing == "standard":
        formula = standard(runtime.policy)
        record["parts"] = {name: formula.terms(made.facts[name]) for name in rivals if name in made.facts}
    explore = runtime.selector.options.exploration
    return record if explore is None else {**record, "exploration": explore.to_json()}


def agent_steps(route: Route, view: GraphRevision) -> list[tuple[str, str]]:
    """The steps of a route that agents do, as (agent, key): each is a selection by skill.

    Of several keys that an agent gives, the key is the first one that the goal or another step uses; the first of all
    if only a transition leads on from it.
    """
    taken = {(source, key) for step in route.steps for key, source in step.sources.items()}
    chosen: list[tuple[str, str]] = []
    for step in route.steps:
        tool: Tool = view.tools[step.tool]
        if tool.is_agent:
            wanted = [key for key in tool.gives if key in route.goal or (step.tool, key) in taken]
            chosen.append((step.tool, (*wanted, *tool.gives)[0]))
    return chosen


def newly_demanded(run: Run) -> str:
    """The key of a coming agent's step whose demand has changed since it was planned; empty for none."""
    if run.route is None or run.cast is NOBODY:
        return ""
    for agent, key in agent_steps(run.route, run.view):
        tool = run.view.tools[agent]
        ahead = agent not in run.state.done and agent not in run.state.doing
        if ahead and isinstance(tool, Agent) and agent in run.cast.demands:
            now, _ = run.runtime.demands.of(tool, run.view, run.values.values)
            if now != run.cast.demands[agent]:
                return key
    return ""


__all__ = ["decide_agents", "exclude_refused", "newly_demanded"]
