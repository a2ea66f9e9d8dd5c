"""The agents that can do the steps of a run: the demand of each step, the score of each agent, and excluded agents."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from orchestrator.agents.agent import Agent
from orchestrator.core.goal import Goal
from orchestrator.engine.runtime import Runtime
from orchestrator.graph.graph import GraphRevision
from orchestrator.graph.price_table import PICO, PriceFacts
from orchestrator.graph.tool import Tool
from orchestrator.selection import Constraints, Demand, ExplorationRound, Judged


@dataclass(frozen=True)
class Cast:
    """The agents that a plan could use, with the facts that it was made on, by name."""

    demands: Mapping[str, Demand] = field(default_factory=dict[str, Demand])
    judged: Mapping[str, Judged] = field(default_factory=dict[str, Judged])
    facts: Mapping[str, PriceFacts] = field(default_factory=dict[str, PriceFacts])


NOBODY: Final = Cast()
UNCONSTRAINED: Final = Constraints()


def cast(
    runtime: Runtime,
    view: GraphRevision,
    goal: tuple[str, ...],
    values: Mapping[str, Any],
    turn: ExplorationRound | None,
    unusable: Collection[str] = (),
) -> Cast:
    """The agents that could take part in a route to the goal, each scored against its alternatives under its demand.

    Without a turn (for a plan that runs nothing) nothing is sampled and no newcomer is held back.
    """
    agents = {name: tool for name in view.cone(goal).agents if isinstance(tool := view.tools[name], Agent)}
    demands = {name: runtime.demands.of(agent, view, values)[0] for name, agent in agents.items()}
    bases = {name: runtime.prices.facts(name) for name in agents}
    able = {name for name in agents if name not in unusable and bases[name].success > 0}
    groups: dict[tuple[tuple[str, ...], Demand], list[str]] = {}
    for name, agent in agents.items():
        groups.setdefault((tuple(sorted(agent.gives)), demands[name]), []).append(name)
    judged: dict[str, Judged] = {}
    for (keys, demand), members in groups.items():
        rivals = sorted({name for key in keys for name in view.producers(key)} & able)
        judged |= runtime.selector.judge(members, demand, turn, usable=rivals)
    facts = {name: _facts(runtime, agent, bases[name], demands[name], judged) for name, agent in agents.items()}
    return Cast(demands, judged, facts)


def _facts(
    runtime: Runtime, agent: Agent, base: PriceFacts, demand: Demand, judged: Mapping[str, Judged]
) -> PriceFacts:
    """The price facts of an agent in this run."""
    selector, known = runtime.selector, judged.get(agent.name)
    counted = known.counted if known else selector.estimate(agent, demand).mean
    return replace(base, money=selector.money(agent, base.money), competence=min(1.0, max(0.0, counted)))


def facts_now(runtime: Runtime, tool: Tool) -> PriceFacts:
    """The price facts of a tool or an agent outside any run; an agent's under its declared demand."""
    base = runtime.prices.facts(tool.name)
    wait = max(runtime.health.wait(tool.name), runtime.queues().get(tool.name, 0.0))
    base = replace(base, latency=base.latency + wait) if wait else base
    if not isinstance(tool, Agent):
        return base
    return runtime.selector.facts(tool, runtime.demands.declared(runtime.graph.view(), tool.gives, {}), base)


def price_now(runtime: Runtime, tool: Tool, source: str | None) -> float | None:
    """The price outside any run in US dollars, by the transition from `source` if there is one; `None` if the tool is
    down.
    """
    by = next((t for t in runtime.graph.view().incoming(tool.name) if t.source == source), None)
    facts, cost = facts_now(runtime, tool), by.cost if by else 0.0
    pico = runtime.prices.price(tool.name, cost, facts, by.source if by else None)
    return None if pico is None else pico / PICO


# -- who is refused --------------------------------------------------------------------------------------------------


def refused_agents(
    runtime: Runtime, view: GraphRevision, goal: Goal[Any], constraints: Constraints | None
) -> dict[str, str]:
    """Agent -> why it may not be used for this goal or a lesser one."""
    selector = runtime.selector
    if not constraints and selector.options.constraints == UNCONSTRAINED:
        return {}
    found: dict[str, str] = {}
    for name in view.cone(goal.every_key).agents:
        agent = view.tools[name]
        if isinstance(agent, Agent):
            money = selector.money(agent, runtime.prices.facts(name).money)
            found[name] = selector.refuses(agent, money, constraints)
    return {name: reason for name, reason in found.items() if reason}


__all__ = ["NOBODY", "Cast", "cast", "facts_now", "price_now", "refused_agents"]
