"""Compares the route that continues with a tool, its wait included, with the best route without it."""

from dataclasses import dataclass, replace

from orchestrator.engine.run import Run

from .planning import Planned, describe_route, solve
from .waits import known_waits


@dataclass(frozen=True, slots=True)
class Comparison:
    """The two alternatives, both priced as whole routes from the current state of the run."""

    again: int | None = None
    """Picodollars of the cheapest route with the tool; `None` when there is none, it was not computed, or a route by
    other keys is no dearer."""
    other: int | None = None
    """Picodollars of the cheapest route without the tool; `None` when there is none."""
    route: str = ""
    """The route without it."""

    @property
    def other_is_cheaper(self) -> bool:
        """Whether the route without the tool is cheaper; a tie goes to the current tool."""
        return self.other is not None and (self.again is None or self.other < self.again)


def compare(run: Run, tool: str, wait: float = 0.0) -> Comparison:
    """Price the route with `tool` after `wait` seconds and the best route without it."""
    rivals = {name for key in run.view.nodes[tool].gives for name in run.view.producers(key)} - {tool}
    rivals -= run.state.done.keys()
    other = _planned(run, tool, wait, {tool})
    if other.route is None:
        return Comparison()
    again = _planned(run, tool, wait, rivals)
    if other.last_resort and again.route is not None and not again.last_resort:
        return Comparison(again.route.pico)
    with_tool = again.route if again.route is not None and tool in again.route.tools else None
    return Comparison(with_tool.pico if with_tool else None, other.route.pico, describe_route(other.route))


def _planned(run: Run, tool: str, wait: float, left_out: set[str]) -> Planned:
    state = run.state
    problem = state.problem()
    problem = replace(problem, unusable={**problem.unusable, **dict.fromkeys(sorted(left_out), "left out to compare")})
    own = run.own_waits()
    own[tool] = max(wait, own.get(tool, 0.0))
    waits = known_waits(run.runtime, run.view, state.goal, own, run.account.seconds_left(), state.run_id)
    values = run.values.values
    return solve(
        run.runtime,
        problem,
        run.view,
        values,
        allowed=state.allowed,
        recorded=False,
        turn=state.turn,
        waits=waits,
    )


__all__ = ["Comparison", "compare"]
