"""What a route beat: the next best route, and for each step the best route without it."""

from collections.abc import Callable
from dataclasses import replace

from orchestrator.errors import NoRoute
from orchestrator.route import Alternative, Problem, Route


def beaten(plan: Callable[[Problem], Route], problem: Problem) -> tuple[Alternative, ...]:
    """The alternatives of the route that `plan` chooses for `problem`, best first.

    The first, `instead_of` nothing in particular, is the next best route as a whole: any other route lacks one of the
    chosen steps. Then for each step the best route that does without it, cheapest first.
    """
    chosen = plan(problem)
    found: list[Alternative] = []
    for step in chosen.steps:
        if step.tool in problem.running:
            continue
        try:
            other = plan(replace(problem, unusable={**problem.unusable, step.tool: "left out"}))
        except NoRoute:
            continue
        found.append(Alternative(step.tool, other.tools, other.pico, other.pico - chosen.pico))
    found.sort(key=lambda a: (a.pico, len(a.tools), a.instead_of or ""))
    return (replace(found[0], instead_of=None), *found) if found else ()
