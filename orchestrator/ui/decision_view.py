"""`DecisionSnapshot`: everything a page shows of one decision, computed from the records before it and its facts."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.core.decision import Decision
from orchestrator.core.enums import KEEPS_ROUTE
from orchestrator.core.errors import DefinitionError
from orchestrator.core.policy import Policy
from orchestrator.core.price import PRICINGS, PriceFacts, QualityOnce, QualityPerAttempt, recorded_formula, standard
from orchestrator.core.route import Candidate, Problem
from orchestrator.engine.state import RunState
from orchestrator.graph.revision import GraphRevision
from orchestrator.observability.explain.next_best import RunnerUp, next_best
from orchestrator.store import Store

from .run_history import RunHistory


@dataclass(frozen=True, slots=True)
class Part:
    """A term of a price."""

    name: str
    usd: float
    share: float
    """Its share of the price."""


@dataclass(frozen=True, slots=True)
class PricedTool:
    """A tool with its price at that decision, and the terms of the price."""

    facts: PriceFacts
    price: float | None
    """US dollars; `None` for a tool that cannot be used."""
    parts: tuple[Part, ...]
    """Terms before they are multiplied, quality last; empty under a pricing of the user's own."""
    why: str = ""
    """Why it cannot be used."""
    chosen: bool = False

    @property
    def tool(self) -> str:
        """Its name."""
        return self.facts.tool


@dataclass(frozen=True)
class DecisionSnapshot:
    """One decision, and the state of the run before it."""

    decision: Decision
    number: int
    """From 1."""
    at: float
    """Seconds since the run began."""
    state: RunState
    problem: Problem
    view: GraphRevision | None
    prices: Mapping[str, PricedTool]
    """Price facts by tool, as last recorded at that decision."""
    policy: str
    runner_up: RunnerUp | None
    standard: bool
    """Whether the prices follow the framework's formula, so that their parts add up."""

    route_after: tuple[str, ...]
    """The route after the decision: the one it chose, or the current one."""

    @property
    def route(self) -> tuple[str, ...]:
        """The route that the decision chose; empty where it chose something else."""
        return self.decision.chosen_tools

    @property
    def culprits(self) -> tuple[str, ...]:
        """The tools whose failures the decision answers."""
        failures = self.state.failures
        return tuple(dict.fromkeys(failures[each].tool for each in self.decision.answers if each in failures))

    def dearer(self, candidate: Candidate) -> float | None:
        """Additional price of a candidate in US dollars: of a tool compared with the tool that it would replace, of
        anything else compared with the choice. `None` if they cannot be compared.
        """
        chosen: float | None = None
        if candidate.facts is not None and self.route:
            replaced = self.prices.get(candidate.reason.removeprefix("instead of "))
            chosen = replaced.price if replaced is not None else None
        elif not self.route or candidate.facts is None:
            chosen = self.decision.price
        return None if candidate.price is None or chosen is None else candidate.price - chosen


def snapshot_of(history: RunHistory, position: int, store: Store) -> DecisionSnapshot:
    """The snapshot of the decision at `position`."""
    index, decision = history.decisions[position]
    state = history.state_before(position)
    problem = state.problem()
    graph = store.graph(state.graph) if state.graph else None
    policy = _policy(state.policy)
    planned = _last_planned(history, position)
    policy = policy and recorded_formula(planned.facts, policy)
    return DecisionSnapshot(
        decision=decision,
        number=position + 1,
        at=max(0.0, history.events[index][1].at - state.started_at),
        state=state,
        problem=problem,
        view=None if graph is None else GraphRevision.from_json(graph),
        prices=_prices(decision, planned, policy, problem),
        policy=policy.name if policy is not None else "",
        runner_up=None if graph is None else next_best(graph, problem, decision, state.policy),
        route_after=planned.chosen_tools if decision.kind in KEEPS_ROUTE else decision.chosen_tools,
        standard=policy is not None and _is_standard(policy) and "priced" not in planned.facts,
    )


def _policy(data: Mapping[str, Any]) -> Policy | None:
    try:
        return Policy.from_record(data)
    except ValueError:  # a policy of another version
        return None


def _last_planned(history: RunHistory, position: int) -> Decision:
    """The decision itself if it has prices, else the last one before it that has."""
    for _, decision in reversed(history.decisions[: position + 1]):
        if "prices" in decision.facts:
            return decision
    return history.decisions[position][1]


def _prices(decision: Decision, planned: Decision, policy: Policy | None, problem: Problem) -> dict[str, PricedTool]:
    facts = {c.name: c.facts for c in planned.candidates if c.facts is not None}
    facts |= {c.name: c.facts for c in decision.candidates if c.facts is not None}
    recorded: Mapping[str, Any] = planned.facts.get("prices", {})
    facts |= {name: PriceFacts(name, *map(float, row)) for name, row in recorded.items()}
    reasons = {c.name: c.reason for c in decision.candidates if c.price is None and c.facts is not None}
    own = {str(name): pico for name, _, pico in planned.facts.get("priced", ())}
    revived: Mapping[str, float] = planned.facts.get("revived", {})
    chosen = {*decision.chosen_tools, decision.chosen}
    found = {
        name: _priced(each, policy, own, problem.unusable.get(name, reasons.get(name, "")), name in chosen)
        for name, each in facts.items()
        if " -> " not in name and name not in revived
    }
    for name, success in revived.items():
        if name in facts:
            each = facts[name]
            again = PriceFacts(
                name, each.money, each.latency, each.risk, each.competence, each.pressure, float(success)
            )
            found[name] = _priced(again, policy, own, problem.unusable.get(name, ""), name in chosen)
    return dict(sorted(found.items(), key=lambda item: _order(item[1])))


def _order(priced: PricedTool) -> tuple[bool, float, str]:
    return not priced.chosen, math.inf if priced.price is None else priced.price, priced.tool


def _priced(facts: PriceFacts, policy: Policy | None, own: Mapping[str, Any], why: str, chosen: bool) -> PricedTool:
    price = None
    if not why and facts.success > 0:
        price = own[facts.tool] / 10**12 if own.get(facts.tool) is not None else _price(facts, policy)
    elif not why:
        why = "its circuit is open"
    return PricedTool(facts, price, () if own or policy is None else _parts(facts, policy), why, chosen)


def _price(facts: PriceFacts, policy: Policy | None) -> float | None:
    if policy is None or policy.pricing not in PRICINGS:
        return None
    try:
        usd = PRICINGS[policy.pricing](policy)(facts)
    except (ArithmeticError, DefinitionError):
        return None
    return usd if math.isfinite(usd) else None


def _is_standard(policy: Policy) -> bool:
    return policy.pricing in ("standard", QualityOnce.name, QualityPerAttempt.name)


def _parts(facts: PriceFacts, policy: Policy) -> tuple[Part, ...]:
    """The terms of the price with their shares; all but quality are paid for each attempt."""
    if not _is_standard(policy):
        return ()
    terms = standard(policy).terms(facts)
    attempts = facts.pressure / facts.success if facts.success > 0 else 1.0
    once = policy.pricing != QualityPerAttempt.name
    weighed = {name: usd if name == "quality" and once else usd * attempts for name, usd in terms.items()}
    total = math.fsum(weighed.values())
    return tuple(
        Part("latency" if name == "time" else name, usd, weighed[name] / total if total > 0 else 0.0)
        for name, usd in terms.items()
    )
