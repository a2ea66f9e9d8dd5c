"""The next best route: the best alternative of a recorded decision.

Planned again from the record alone (the graph, the state and the price facts of that moment), so it needs no user code
and can be computed at any later time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from orchestrator.core.decision import Decision
from orchestrator.core.errors import OrchestratorError
from orchestrator.core.policy import Policy
from orchestrator.core.price import PICO
from orchestrator.core.route import Problem
from orchestrator.graph.revision import GraphRevision
from orchestrator.observability.replay.recorded_plan import RecordedPlan

MOST_STEPS: Final = 12
"""Maximum number of steps of a route that are excluded in turn; for a longer route no alternative is computed."""


@dataclass(frozen=True, slots=True)
class RunnerUp:
    """The next best route."""

    tools: tuple[str, ...]
    price: float
    """US dollars."""
    more: float
    """By how much it is more expensive than the chosen route, in US dollars."""
    without: str
    """The step of the chosen route that it does not use."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"tools": list(self.tools), "price": self.price, "more": self.more, "without": self.without}


def next_best(
    view: Mapping[str, Any], problem: Problem, decision: Decision, policy: Mapping[str, Any]
) -> RunnerUp | None:
    """The cheapest route other than the one that `decision` chose; `None` when there is none, or it is unknown.

    `view` is the recorded graph, `problem` the state of the run, `policy` the recorded policy. It is unknown if the
    recorded price cannot be reproduced, as with the user's own pricing function.
    """
    steps = decision.chosen_tools
    if "prices" not in decision.facts or "priced" in decision.facts or not steps or len(steps) > MOST_STEPS:
        return None
    try:
        ground = RecordedPlan.of(decision.facts, GraphRevision.from_json(view), Policy.from_record(policy))
        chosen = ground.plan(problem).route
        if chosen is None or chosen.tools != steps or chosen.pico != decision.facts.get("price"):
            return None
        found = [(ground.plan(_without(problem, step)).route, step) for step in steps]
    except (OrchestratorError, ValueError, KeyError, TypeError):
        return None
    routes = [(route, step) for route, step in found if route is not None and route.tools != steps]
    if not routes:
        return None
    best, step = min(routes, key=lambda pair: (pair[0].pico, len(pair[0].steps), pair[0].tools, pair[1]))
    return RunnerUp(best.tools, best.price, (best.pico - chosen.pico) / PICO, step)


def _without(problem: Problem, step: str) -> Problem:
    return replace(problem, unusable={**problem.unusable, step: "left out"})
