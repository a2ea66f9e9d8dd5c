"""`rehearse`: a goal under every single fault and every pair of faults, on stand-ins for its tools.

A stand-in has its tool's needs, gives, effect, declared price and skills, and returns at once; no tool, no model and no
person is called. What predicates (`when`, `ensure`, `approval`) would say is not known: conditions count as true,
outputs as valid, approvals as given. Time is virtual.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.agents.agent import Agent
from orchestrator.api import Orchestrator
from orchestrator.core.enums import Effect, Status
from orchestrator.core.goal import Goal
from orchestrator.core.outcome import Outcome
from orchestrator.core.policy import Policy
from orchestrator.escalation import Demote
from orchestrator.graph.revision import GraphRevision, ToolSpec
from orchestrator.graph.tool import Tool

from .clock import FakeClock
from .faults import fail, lose_answer

MOST_SCENARIOS: Final = 3000
OUTAGE: Final = "outage"
LOST_ANSWER: Final = "lost answer"
_BREAK: Final[Mapping[str, Callable[[Tool], Tool]]] = {OUTAGE: fail(), LOST_ANSWER: lose_answer()}


@dataclass(frozen=True, slots=True, order=True)
class Breakdown:
    """One fault: the tool, and how it breaks."""

    tool: str
    kind: str = OUTAGE
    """`outage` (every call fails, nothing happens) or `lost answer` (the effect takes place, the call times out)."""

    def __str__(self) -> str:
        return self.tool if self.kind == OUTAGE else f"{self.tool} ({self.kind})"


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """How a run ended under some faults."""

    faults: tuple[Breakdown, ...]
    status: Status
    goal: tuple[str, ...]
    """The goal that was reached, lesser or not; the wanted one where none was."""
    tools: tuple[str, ...]
    """The tools that worked, in the order in which they ended."""
    failed: tuple[str, ...]
    """The tools whose injected faults were hit."""
    cost: float
    """US dollars, as declared."""
    uncompensated: tuple[str, ...]
    """Effects that the outcome does not use, or that are uncertain."""
    impasse: str

    def to_json(self) -> dict[str, Any]:
        """Plain data, for programs."""
        return {
            "faults": [{"tool": fault.tool, "kind": fault.kind} for fault in self.faults],
            "status": str(self.status),
            "goal": list(self.goal),
            "tools": list(self.tools),
            "failed": list(self.failed),
            "cost": self.cost,
            "uncompensated": list(self.uncompensated),
            "impasse": self.impasse,
        }


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """The outcomes of a goal without a fault, under every single fault, and under every pair."""

    goal: Goal[Any]
    given: tuple[str, ...]
    faults: tuple[Breakdown, ...]
    plain: Rehearsed
    singles: tuple[Rehearsed, ...]
    pairs: tuple[Rehearsed, ...]
    complete: bool
    """Whether every pair was rehearsed; there may be too many."""

    def of(self, *faults: Breakdown) -> Rehearsed | None:
        """The outcome under these faults."""
        wanted = tuple(sorted(faults))
        return next((each for each in (self.plain, *self.singles, *self.pairs) if each.faults == wanted), None)


async def rehearse(
    view: GraphRevision, goal: Goal[Any], given: Iterable[str], policy: Policy, *, most: int = MOST_SCENARIOS
) -> Rehearsal:
    """Run the goal under every single fault and every pair of faults of the tools that could take part in it."""
    keys = tuple(sorted(given))
    wanted = tuple(dict.fromkeys(key for each in (goal, *goal.demotions) for key in each.keys))
    names = view.relevant(wanted)
    faults = tuple(sorted(fault for name in names for fault in _faults_of(view.nodes[name])))

    async def one(*broken: Breakdown) -> Rehearsed:
        return await _rehearsed(view, names, goal, keys, policy, broken)

    plain = await one()
    singles = [await one(fault) for fault in faults]
    wanted_pairs = [pair for pair in itertools.combinations(faults, 2) if pair[0].tool != pair[1].tool]
    shown = wanted_pairs[: max(0, most - len(singles) - 1)]
    pairs = [await one(*pair) for pair in shown]
    return Rehearsal(goal, keys, faults, plain, tuple(singles), tuple(pairs), len(shown) == len(wanted_pairs))


def _faults_of(spec: ToolSpec) -> list[Breakdown]:
    effect = spec.effect != Effect.READ
    return [Breakdown(spec.name), *([Breakdown(spec.name, LOST_ANSWER)] if effect else [])]


async def _rehearsed(
    view: GraphRevision,
    names: Sequence[str],
    goal: Goal[Any],
    keys: Sequence[str],
    policy: Policy,
    broken: tuple[Breakdown, ...],
) -> Rehearsed:
    kinds = {fault.tool: fault.kind for fault in broken}
    tools = [stand_in(view.nodes[name]) for name in names]
    tools = [_BREAK[kinds[tool.name]](tool) if tool.name in kinds else tool for tool in tools]
    async with Orchestrator(tools, policy=policy, escalation=[Demote()], clock=FakeClock()) as orc:
        for transition in view.transitions:
            if transition.target in names and (transition.source in names or transition.source == "START"):
                orc.connect(transition.source, transition.target, transition.cost)
        outcome = await orc.run(goal, dict.fromkeys(keys, "stand-in"))
    return _summary(broken, outcome)


def _summary(broken: tuple[Breakdown, ...], outcome: Outcome[Any]) -> Rehearsed:
    return Rehearsed(
        faults=broken,
        status=outcome.status,
        goal=outcome.goal.keys,
        tools=tuple(call.tool for call in outcome.calls if call.error is None),
        failed=tuple(dict.fromkeys(failure.tool for failure in outcome.failures)),
        cost=outcome.cost,
        uncompensated=outcome.uncompensated,
        impasse=outcome.impasse.message if outcome.impasse is not None and not outcome.ok else "",
    )


def stand_in(spec: ToolSpec) -> Tool:
    """A tool of the same needs, gives, effect, price and skills that returns a text for every key."""

    async def answer(**values: Any) -> Any:
        del values
        found = {key: f"stand-in for {key}" for key in spec.gives}
        return found if len(found) != 1 else found[spec.gives[0]]

    options: dict[str, Any] = {
        "name": spec.name,
        "needs": list(spec.needs),
        "gives": list(spec.gives),
        "cost": spec.cost,
        "latency": spec.latency,
        "risk": spec.risk,
        "effect": spec.effect,
    }
    if spec.undo_cost is not None:
        options |= {"compensate": _undone, "undo_cost": spec.undo_cost / 10**12}
    return Agent(answer, skills=dict(spec.skills), **options) if spec.skills else Tool(answer, **options)


async def _undone(output: Any) -> None:
    del output


__all__ = ["Breakdown", "Rehearsal", "Rehearsed", "rehearse", "stand_in"]
