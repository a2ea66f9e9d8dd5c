"""From a plan (actions) to a `Route` (steps with names, sources and order)."""

from ..route import Route, Step
from ..types import START
from .commit import Task, order, waits
from .hyperpath import Plan, score
from .instance import Instance
from .paths import Path
from .situation import Situation
from .weights import SHIFT, pico_of


def chain(situation: Situation, path: Path) -> Route | None:
    """The route of a path that leaves nothing behind and takes nothing from calls in flight; `None` for any other.

    In such a path each step waits for the one before, so there is nothing to put in order.
    """
    if situation.problem.running or situation.stakes.names:
        return None
    c, free, values = situation.compiled, situation.free, situation.weights.values
    over, nodes, key = situation.over, c.nodes, c.key
    gives: dict[int, str] = {}
    steps: list[Step] = []
    after: tuple[str, ...] = ()
    for tool, start in path.starts:
        node = nodes[tool]
        sources: dict[str, str | None] = {}
        for name in (*node.needs, *node.optional) if node.optional else node.needs:
            k = key[name]
            if k in free:
                sources[name] = free[k]
            elif k in gives:
                sources[name] = gives[k]
        cost = over.get(start, values[start]) if over else values[start]
        via = None if start < len(nodes) else c.place_name(c.transition_source[start - len(nodes)])
        steps.append(Step(node.name, sources, via, after, cost >> SHIFT, node.effect))
        after = (node.name,)
        for k in c.gives[tool]:
            gives.setdefault(k, node.name)
    pico = path.cost >> SHIFT
    return Route(situation.problem.goal, tuple(steps), pico, pico, (), c.view.revision)


def to_route(instance: Instance, plan: Plan, bound: int) -> Route:
    """The route that this plan is. `bound` is a lower bound on its cost. The plan must be feasible."""
    situation = instance.situation
    cost = score(instance, plan)
    assert cost is not None, "an infeasible plan has no route"
    steps = _steps(instance, plan)
    mask = instance.goal_mask
    for a in plan:
        mask |= instance.mask[a]
    return Route(
        goal=tuple(situation.problem.goal),
        steps=steps,
        pico=pico_of(cost),
        bound_pico=min(pico_of(bound), pico_of(cost)),
        abandons=situation.stakes.abandoned(mask),
        revision=situation.compiled.view.revision,
    )


def _steps(instance: Instance, plan: Plan) -> tuple[Step, ...]:
    situation = instance.situation
    c, problem = situation.compiled, situation.problem
    sources: dict[str, dict[str, str | None]] = {}
    vias: dict[str, str | None] = {}
    led: dict[str, str] = {}
    picos: dict[str, int] = {}
    gives: dict[int, str] = {}
    for a in plan:
        name = c.names[instance.tool[a]]
        taken = sorted((*c.nodes[instance.tool[a]].needs, *c.nodes[instance.tool[a]].optional))
        found = {
            key: (c.key[key] in situation.free, situation.free.get(c.key[key]), gives.get(c.key[key])) for key in taken
        }
        sources[name] = {key: origin if free else step for key, (free, origin, step) in found.items() if free or step}
        vias[name] = via = c.via(instance.start[a])
        if via is not None and via != START and c.tools + c.tool[via] not in situation.passed:
            led[name] = via
        picos[name] = pico_of(instance.cost[a])
        for k in c.gives[instance.tool[a]]:
            gives.setdefault(k, name)
    _join_running(instance, sources, vias)
    tasks = [
        Task(
            name,
            c.view.nodes[name].effect,
            picos.get(name, 0),
            situation.facts(c.tool[name]).success,
            frozenset(s for s in (*sources[name].values(), led.get(name)) if s in sources),
            name in problem.running,
        )
        for name in sources
    ]
    ordered = order(tasks)
    after = waits(ordered)
    return tuple(
        Step(task.name, sources[task.name], vias[task.name], after[task.name], task.pico, task.effect)
        for task in ordered
    )


def _join_running(instance: Instance, sources: dict[str, dict[str, str | None]], vias: dict[str, str | None]) -> None:
    """Add the calls in flight that the plan (or the goal itself) takes something from."""
    situation = instance.situation
    problem, c = situation.problem, situation.compiled
    used = {source for taken in sources.values() for source in taken.values()} | set(vias.values())
    used.update(situation.free.get(c.key[key]) for key in problem.goal if key not in problem.at_hand and key in c.key)
    for name in sorted(problem.running):
        if name in used:
            taken = problem.running[name]
            sources[name] = {key: problem.at_hand.get(key) for key in taken.keys}
            vias[name] = taken.via
