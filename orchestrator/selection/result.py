"""What a selection returns: who was chosen, among whom, and why."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from orchestrator.pricing import PriceFacts
from orchestrator.route import Candidate

from .demand import Demand
from .estimation import Estimate
from .turn import Turn


@dataclass(frozen=True, slots=True)
class Scored:
    """One agent as a choice saw it."""

    name: str
    price: float | None
    """US dollars; `None` for one that may not or cannot be chosen."""
    estimate: Estimate
    """Expected competence, with its 90 % interval and its evidence."""
    facts: PriceFacts
    """What the price was made of; its competence is drawn when exploring, and bounded for a newcomer."""
    parts: Mapping[str, float]
    """The price in parts, in US dollars: step, money, time, risk, quality; and the factors pressure and success."""
    reason: str = ""
    """Why it was left out, or counted otherwise than by its estimate."""

    @property
    def competence(self) -> float:
        """Expected competence in [0, 1]."""
        return self.estimate.mean

    @property
    def interval(self) -> tuple[float, float]:
        """The 90 % interval of its competence."""
        return self.estimate.low, self.estimate.high

    @property
    def cost(self) -> float:
        """US dollars that the call is expected to cost."""
        return self.facts.money

    @property
    def candidate(self) -> Candidate:
        """As a decision records it."""
        low, high = self.interval
        made_of = f"competence {self.competence:.3f} [{low:.2f}, {high:.2f}], {self.cost:g} USD"
        return Candidate(self.name, self.price, self.reason or made_of, self.facts)


@dataclass(frozen=True)
class Selection:
    """Who does it, and why. Candidates are worked out when first asked for."""

    agent: str
    """Name of the chosen agent."""
    demand: Demand
    reason: str
    turn: Turn
    ties: tuple[str, ...] = ()
    """Agents at the same price, which the order of names decided against."""
    explain: Callable[[], tuple[Scored, ...]] = field(default=tuple, compare=False, repr=False)

    @cached_property
    def candidates(self) -> tuple[Scored, ...]:
        """All that were considered, cheapest first, then those left out."""
        return self.explain()

    @property
    def chosen(self) -> Scored:
        """The chosen agent among the candidates."""
        return next(candidate for candidate in self.candidates if candidate.name == self.agent)

    def to_json(self) -> dict[str, Any]:
        """Plain data, for records."""
        return {
            "agent": self.agent,
            "demand": self.demand.to_json(),
            "reason": self.reason,
            "turn": {"number": self.turn.number, "probe": self.turn.probe},
            "ties": list(self.ties),
            "candidates": [
                {
                    "name": c.name,
                    "price": c.price,
                    "competence": c.competence,
                    "interval": list(c.interval),
                    "evidence": c.estimate.evidence,
                    "cost": c.cost,
                    "parts": dict(c.parts),
                    "reason": c.reason,
                }
                for c in self.candidates
            ],
        }
