"""Why there is no route: the keys that cannot be produced, and a smallest set of unusable tools that would open one."""

from collections.abc import Sequence

from orchestrator.core.enums import START
from orchestrator.core.errors import nearest
from orchestrator.core.route import CONDITION_FALSE, Blame, Impasse
from orchestrator.graph.price_table import transition_name
from orchestrator.routing.joins.branch_and_bound import Instance, build_instance
from orchestrator.routing.joins.decisions import Skeleton
from orchestrator.routing.joins.solver import best_plan

from .situation import Situation
from .weights import NEVER

INFINITE_PRICE = "the pricing makes it infinite"
"""The reason of a working tool that the user's pricing excludes."""
_UNIT = 1 << 120
"""Weight of one unusable part in the search for the fewest: more than any undo cost."""


def impasse_of(skeleton: Skeleton | None, situation: Situation, states: int) -> Impasse:
    """The impasse of a situation for which planning found nothing; `skeleton` is `None` for a key nobody knows."""
    problem, c = situation.problem, situation.compiled
    open_goal = [g for g in problem.goal if g not in problem.at_hand and c.key.get(g) not in situation.free]
    missing = sorted(g for g in open_goal if g not in c.key or not c.producers[c.key[g]])
    if missing or skeleton is None:
        known = [key for key in sorted(c.key) if c.producers[c.key[key]]]
        lacking_keys = " and ".join(f"{key!r}{_hint(key, known)}" for key in missing)
        return Impasse(problem.goal, tuple(missing), (), reason=f"No tool gives {lacking_keys}")
    planned = build_instance(situation)
    reachable = set(planned.adders)
    unreachable = [g for g in open_goal if c.key[g] not in reachable]
    starts = _cheapest_opening(skeleton, situation, states)
    if starts is None:
        return _never(situation, unreachable)
    for start in sorted(starts, key=lambda start: c.names[c.tool_of(start)]):
        for k in c.needs[c.tool_of(start)]:
            if k not in reachable and k not in situation.free and c.keys[k] not in unreachable:
                unreachable.append(c.keys[k])
    blame = {blame.tool: blame for start in starts for blame in _broken(situation, start)}
    listed = tuple(blame[name] for name in sorted(blame))
    if not unreachable and planned.solvable:
        return _committed(situation, planned, listed)
    return Impasse(problem.goal, tuple(unreachable), listed)


def _hint(key: str, known: Sequence[str]) -> str:
    found = nearest(key, known).strip()
    return f" ({found[0].lower()}{found[1:]})" if found else ""


def _cheapest_opening(skeleton: Skeleton, situation: Situation, states: int) -> Sequence[int] | None:
    """The plan that needs the fewest unusable parts to work again; `None` when no repair would help."""
    c, values = situation.compiled, situation.weights.values
    costs = {start: NEVER if c.gated(tool) else 1 for tool in c.tool.values() for start in c.starts(tool)}
    down = {start for start in costs if values[start] >= NEVER or start in situation.over}
    for name in situation.problem.unusable:
        if name in c.tool:
            down.update(c.starts(c.tool[name]))
    for start in (start for start in down if costs[start] < NEVER):
        costs[start] = _weight(_broken(situation, start)) * _UNIT + 1
    found = best_plan(skeleton, situation.restored(), states, costs)
    return None if found is None else found.starts


def _weight(broken: Sequence[Blame]) -> int:
    """The weight of an unusable tool: a broken tool can recover, so a false condition is blamed last."""
    return sum(1000 if blame.reason == CONDITION_FALSE else 1 for blame in broken)


def _broken(situation: Situation, start: int) -> list[Blame]:
    """The unusable parts that prevent this start."""
    c, problem = situation.compiled, situation.problem
    source = c.via(start)
    name = c.names[c.tool_of(start)]
    transition = (source or "", name)
    down = situation.weights.alone(c.tool_of(start), problem.facts) is None
    found: list[Blame] = []
    if name in problem.unusable:
        found.append(Blame(name, problem.unusable[name]))
    elif down:
        found.append(Blame(name, _why_infinite(situation, c.tool_of(start))))
    if transition in problem.unusable_transitions:
        found.append(Blame(transition_name(*transition), problem.unusable_transitions[transition]))
    elif not down and situation.weights.cost(start, problem.facts) >= NEVER:
        found.append(Blame(transition_name(*transition), "circuit open"))
    return found


def _why_infinite(situation: Situation, tool: int) -> str:
    """Why the price of a tool is infinite: it is not expected to succeed, or the pricing gives no finite price."""
    return "circuit open" if situation.success(tool) <= 0 else INFINITE_PRICE


def _never(situation: Situation, unreachable: Sequence[str]) -> Impasse:
    """No route even with everything working: name the needs that no tool satisfies."""
    c = situation.compiled
    seen, stack, lacking = set(unreachable), list(unreachable), dict[str, str]()
    while stack:
        key = stack.pop()
        for tool in c.view.producers(key):
            for need in c.view.nodes[tool].needs:
                if c.key[need] in situation.free or need in seen:
                    continue
                seen.add(need)
                stack.append(need)
                if not c.producers[c.key[need]]:
                    lacking[need] = tool
    keys = (*unreachable, *sorted(lacking))
    if not lacking:
        return Impasse(situation.problem.goal, keys, (), reason=_circle(situation, keys))
    wanted_keys = ", ".join(f"{key!r} (needed by {tool})" for key, tool in sorted(lacking.items()))
    return Impasse(situation.problem.goal, keys, (), reason=f"No tool gives {wanted_keys}, and it was not provided")


def _committed(situation: Situation, planned: Instance, blame: Sequence[Blame]) -> Impasse:
    """There are routes, but each abandons an effect that cannot be undone."""
    mask = planned.goal_mask
    for m in planned.mask:
        mask |= m
    stakes = situation.stakes
    stuck = [n for i, n in enumerate(stakes.names) if stakes.undo[i] is None and not mask >> i & 1]
    stuck = stuck or [n for i, n in enumerate(stakes.names) if stakes.undo[i] is None]
    return Impasse(
        situation.problem.goal,
        (),
        tuple(blame),
        reason=f"Every route left would abandon {' and '.join(stuck)}, which cannot be undone",
        kind="approval",
        subject=stuck[0] if stuck else None,
    )


def _circle(situation: Situation, keys: Sequence[str]) -> str:
    """Names a circle of tools that need what each other gives: `one needs b, which two gives; two needs a, ...`."""
    view = situation.compiled.view
    key, seen, reasons = keys[0], dict[str, int](), list[str]()
    while key not in seen:
        seen[key] = len(reasons)
        maker = next(iter(view.producers(key)), None)
        needed = None
        if maker is not None:
            needed = next((need for need in view.nodes[maker].needs if need not in situation.problem.at_hand), None)
        if maker is None or needed is None:
            return _cut_off(situation, keys) or "The tools that could help wait for each other"
        reasons.append(f"{maker} needs {needed} to give {key}")
        key = needed
    return f"The tools that could help wait for each other ({'; '.join(reasons[seen[key] :][:5])})"


def _cut_off(situation: Situation, keys: Sequence[str]) -> str:
    """Names a tool whose transitions all come from tools that left the graph; empty where there is none."""
    view = situation.compiled.view
    pending, seen = [*keys], set(keys)
    while pending:
        for tool in view.producers(pending.pop()):
            sources = [transition.source for transition in view.incoming(tool)]
            if sources and not any(source in view.nodes or source == START for source in sources):
                gone = " or ".join(dict.fromkeys(sources))
                return f"{tool} starts only after {gone}"
            for source in sources:
                needs = {*view.nodes[source].gives} if source in view.nodes else set[str]()
                pending += sorted(needs - seen)
                seen |= needs
            pending += sorted({*view.nodes[tool].needs} - seen)
            seen |= {*view.nodes[tool].needs}
    return ""
