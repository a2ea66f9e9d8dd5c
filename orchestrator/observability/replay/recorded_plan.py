"""Planning from a record: the recorded graph and prices, the current planner, and the expected cost of a route."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from orchestrator.core.decision import Decision
from orchestrator.core.outcome import NoRoute
from orchestrator.core.policy import Policy
from orchestrator.core.price import recorded_formula
from orchestrator.core.route import Problem, Route
from orchestrator.engine.planning.candidates import Pricer
from orchestrator.engine.planning.planning import Planned, fact_from_row, with_last_resort
from orchestrator.graph.graph import ToolGraph
from orchestrator.graph.price_table import PICO, PriceFacts, PriceTable, Pricing, RecordedHealthFacts
from orchestrator.graph.revision import GraphRevision
from orchestrator.routing import Planner

RecordedPricing = Mapping[PriceFacts, int | None]
"""The recorded results of the user's own pricing, in picodollars; `None` for infinite."""


@dataclass(frozen=True)
class RecordedPlan:
    """The facts that one decision was planned on."""

    view: GraphRevision
    policy: Policy
    facts: Mapping[str, PriceFacts]
    """The price facts before a last resort: tools that are down have success 0."""
    revived: Mapping[str, PriceFacts]
    otherwise: float
    priced: RecordedPricing | None
    """The user's own prices, if no policy formula was used."""
    rival_routes: bool = False
    """Whether alternatives are listed as routes; older records list them as tools."""

    @classmethod
    def of(
        cls, record: Mapping[str, Any], view: GraphRevision, policy: Policy, *, own_prices: bool = True
    ) -> "RecordedPlan":
        """Read the facts that `planning.plan_record` wrote."""
        rows: Mapping[str, Iterable[float]] = record["prices"]
        recorded = {name: fact_from_row(name, row) for name, row in rows.items()}
        revived = {
            name: replace(recorded[name], success=success) for name, success in record.get("revived", {}).items()
        }
        down = {name: replace(fact, success=0.0) for name, fact in revived.items()}
        priced = _priced(record["priced"]) if own_prices and "priced" in record else None
        policy = recorded_formula(record, policy) if own_prices else policy
        otherwise = float(record.get("otherwise", 0.0))
        return cls(view, policy, {**recorded, **down}, revived, otherwise, priced, record.get("rivals") == "routes")

    def plan(self, problem: Problem) -> Planned:
        """Plan again, in the same two stages as the engine."""
        planned = self._attempt(problem, {})
        if planned.route is not None or self.policy.fail_fast:
            return planned
        return with_last_resort(planned, self._usable(problem), partial(self._attempt, problem))

    def pricer(self, problem: Problem, *, last_resort: bool) -> Pricer:
        """A `Pricer` with the recorded prices."""
        more: Mapping[str, PriceFacts] = self.revived if last_resort else {}

        def plan_without(others: Mapping[str, str]) -> Route | None:
            return self._attempt(replace(problem, unusable={**problem.unusable, **others}), more).route

        plan = plan_without if self.rival_routes else None
        return Pricer(self._table(more), self.view, problem.unusable, {**self.facts, **more}, plan=plan)

    def _usable(self, problem: Problem) -> dict[str, PriceFacts]:
        return {name: fact for name, fact in self.revived.items() if name not in problem.unusable}

    def _attempt(self, problem: Problem, more: Mapping[str, PriceFacts]) -> Planned:
        facts, prices = {**self.facts, **more}, self._table(more)
        try:
            route = Planner(ToolGraph(), prices, self.policy).plan(problem, self.view)
            return Planned(route, None, facts, self.otherwise)
        except NoRoute as no_route:
            return Planned(None, no_route.impasse, facts, self.otherwise)

    def _table(self, more: Mapping[str, PriceFacts]) -> PriceTable:
        facts = RecordedHealthFacts({**self.facts, **more}, self.otherwise)
        return PriceTable(self.view, self.policy, _own_pricing(self.priced), facts)


def _priced(rows: Iterable[tuple[str, Iterable[float], int | None]]) -> RecordedPricing:
    return {fact_from_row(name, row): pico for name, row, pico in rows}


def _own_pricing(priced: RecordedPricing | None) -> Pricing | None:
    """The user's own pricing as a table of its recorded results; without one, the policy's formula."""
    if priced is None:
        return None

    def price(facts: PriceFacts) -> float:
        pico = priced.get(facts)
        return math.inf if pico is None else pico / PICO

    return price


@dataclass(frozen=True, slots=True)
class Expectation:
    """Expected dollars, seconds and risk of a route: sums over its steps, one attempt each."""

    money: float = 0.0
    """US dollars."""
    latency: float = 0.0
    """Sum of the seconds of all steps, parallel or not."""
    risk: float = 0.0
    """Expected number of bad results; for small risks about the probability of one."""
    success: float = 1.0
    """Probability that every step works at its first attempt."""

    def __add__(self, other: "Expectation") -> "Expectation":
        """The sum over two routes."""
        return Expectation(
            self.money + other.money,
            self.latency + other.latency,
            self.risk + other.risk,
            self.success * other.success,
        )


def expectation_of(tools: Iterable[str], decision: Decision, view: GraphRevision) -> Expectation:
    """The expectation of these tools at the time of the decision; declared values if nothing was recorded."""
    rows: Mapping[str, Any] = decision.facts.get("prices", {})
    otherwise = float(decision.facts.get("otherwise", 1.0)) or 1.0
    total = Expectation()
    for name in tools:
        if name in rows:
            fact = fact_from_row(name, rows[name])
            total += Expectation(fact.money, fact.latency, fact.risk, fact.success)
        elif name in view.nodes:
            spec = view.nodes[name]
            total += Expectation(spec.cost, spec.latency, spec.risk, otherwise)
    return total
