"""What a recorded route was expected to take: money, time and risk, from the facts of that moment."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.core.decision import Decision
from orchestrator.engine.planning.planning import fact_from_row
from orchestrator.graph.revision import GraphRevision


@dataclass(frozen=True, slots=True)
class Expectation:
    """Expected dollars, seconds and risk of a route: sums over its steps, one attempt each."""

    money: float = 0.0
    """US dollars."""
    latency: float = 0.0
    """Seconds of work, side by side or not."""
    risk: float = 0.0
    """Expected number of bad results; for small risks about the chance of one."""
    success: float = 1.0
    """Chance that every step works at its first attempt."""

    def __add__(self, other: "Expectation") -> "Expectation":
        """The sum over two routes."""
        return Expectation(
            self.money + other.money,
            self.latency + other.latency,
            self.risk + other.risk,
            self.success * other.success,
        )


def expectation_of(tools: Iterable[str], decision: Decision, view: GraphRevision) -> Expectation:
    """What these tools were expected to take when the decision was made; as declared where nothing was recorded."""
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


__all__ = ["Expectation", "expectation_of"]
