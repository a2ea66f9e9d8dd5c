"""`RunState`: the state of a run, as the fold of its events. No I/O, no clock: replay builds the same state."""

from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from orchestrator.core.decision import Decision
from orchestrator.core.enums import (
    DecisionKind,
    Effect,
    Status,
)
from orchestrator.core.failure import Failure
from orchestrator.core.goal import UNLIMITED, Budget, Goal
from orchestrator.core.outcome import Call
from orchestrator.core.route import CONDITION_FALSE, Problem, StartedFrom
from orchestrator.selection.choice.constraints import Constraints
from orchestrator.selection.choice.exploration import ExplorationRound

ASKS_ONLY = frozenset({"approval", "question"})
"""Kinds of impasse that only ask a person: no route is missing, so their number is not limited."""


@dataclass(slots=True)
class OpenCall:
    """A call in flight."""

    call_id: str
    taken: StartedFrom
    effect: Effect
    attempt: int


@dataclass(frozen=True, slots=True)
class ChildRecord:
    """A child run that has ended."""

    run_id: str
    call_id: str
    tool: str
    """The tool whose call started it by `ctx.reach`."""
    status: Status
    effects: tuple[str, ...]
    compensated: tuple[str, ...]
    uncompensated: tuple[str, ...]
    generation: int
    at_end: float
    discarded: bool = False

    @property
    def reached(self) -> bool:
        """Whether it reached its goal, or a lesser one."""
        return self.status in (Status.REACHED, Status.DEMOTED)


def label_of(run_id: str, tool: str) -> str:
    """The name of an effect in the records of the runs above its own."""
    return tool if "#" in tool else f"{run_id}#{tool}"


NO_GOAL: Final[Goal[Any]] = Goal("?")
"""The goal of a state before its first event."""


@dataclass(slots=True)
class RunState:
    """The state from which a run's decisions and its outcome are computed."""

    run_id: str
    wanted: Goal[Any] = field(default=NO_GOAL)
    """The goal that was asked for."""
    goal: tuple[str, ...] = ()
    """The keys of the current goal."""
    graph: str = ""
    revision: int = 0
    started_at: float = 0.0
    parent: str | None = None
    depth: int = 0
    inputs_digest: str = ""
    child_ids: int = 1
    """The format of the ids of child runs: see `RunStarted`."""
    traceparent: str = ""
    """W3C trace context of the run's first span."""
    policy: Mapping[str, Any] = field(default_factory=dict[str, Any])
    budget: Budget = field(default=UNLIMITED)
    turn: ExplorationRound | None = None
    """The exploration round of its agent selection; `None` if no agent can take part."""
    dial: float | None = None
    constraints: Constraints | None = None
    """Which agents may be used."""
    status: Status = Status.RUNNING
    at_hand: dict[str, str | None] = field(default_factory=dict[str, str | None])
    done: dict[str, StartedFrom] = field(default_factory=dict[str, StartedFrom])
    done_at: dict[str, float] = field(default_factory=dict[str, float])
    done_by: dict[str, str] = field(default_factory=dict[str, str])
    """Tool -> the call that gave its output."""
    failed_attempts: dict[str, int] = field(default_factory=dict[str, int])
    effects: dict[str, Effect] = field(default_factory=dict[str, Effect])
    """Tools whose effects took place, in that order."""
    doing: dict[str, OpenCall] = field(default_factory=dict[str, OpenCall])
    """Calls in flight, by tool."""
    last: dict[str, OpenCall] = field(default_factory=dict[str, OpenCall])
    """The last call of a tool that was ambiguous or had no valid output, with its inputs."""
    excluded: dict[str, str] = field(default_factory=dict[str, str])
    over_budget: frozenset[str] = frozenset()
    """Tools excluded because of the budget."""
    conditions: dict[str, bool] = field(default_factory=dict[str, bool])
    approved: frozenset[str] = frozenset()
    may_abandon: frozenset[str] = frozenset()
    tainted: frozenset[str] = frozenset()
    """Keys that a model provided, and all keys computed from them."""
    uncertain: dict[str, str] = field(default_factory=dict[str, str])
    """Tools whose effect may have taken place -> the failure that says so."""
    doubt: dict[str, str] = field(default_factory=dict[str, str])
    """The same, kept during a retry: a failed retry does not prove that the earlier attempt had no effect."""
    invalid: dict[str, str] = field(default_factory=dict[str, str])
    """Tools whose effect took place with an output that is not valid -> the failure that says so."""
    calls: list[Call] = field(default_factory=list[Call])
    failures: dict[str, Failure] = field(default_factory=dict[str, Failure])
    unanswered: list[str] = field(default_factory=list[str])
    decisions: list[Decision] = field(default_factory=list[Decision])
    compensated: list[str] = field(default_factory=list[str])
    uncompensated: list[str] = field(default_factory=list[str])
    undoing: frozenset[str] = frozenset()
    """Tools whose compensation has begun and not ended."""
    attempts: dict[str, int] = field(default_factory=dict[str, int])
    tries: dict[str, int] = field(default_factory=dict[str, int])
    """Attempts since the tool was last allowed; its retries are counted by these."""
    allowed: frozenset[str] = frozenset()
    """Tools that a person allowed in spite of their health."""
    started_calls: int = 0
    own_calls: int = 0
    """Number of calls that agents made of their own tools; they count for the budget."""
    children: dict[str, ChildRecord] = field(default_factory=dict[str, ChildRecord])
    """Child runs that have ended, by id, in the order in which they ended."""
    effect_order: list[str] = field(default_factory=list[str])
    """Labels of effects in the order in which they took place: a tool of this run, or `run id#tool` of a child run."""
    child_calls: int = 0
    tainted_calls: frozenset[str] = frozenset()
    """Calls with a child run whose outcome is tainted."""
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    waiting_since: float | None = None
    waited: float = 0.0
    """Seconds in which a person was asked; they do not count for the budget."""
    cost: float = 0.0
    usage: Counter[str] = field(default_factory=Counter[str])
    llm_calls: int = 0
    impasses: int = 0
    halted: str = ""
    """Why it was cancelled; set when its calls have ended and its effects are being undone."""
    token: int = 0
    """The fencing token of the current owner."""
    doubtful_calls: frozenset[str] = frozenset()
    """Calls of an earlier owner that is not proven dead and may still send them."""
    questions: dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = field(default_factory=dict[str, Any])
    """Open questions and their impasses, by the question's id."""
    impasse: Mapping[str, Any] | None = None
    seconds: float = 0.0
    ended_at: float = 0.0
    lowered: bool = False

    def problem(self) -> Problem:
        """The planning problem of the current state."""
        return Problem(
            goal=self.goal,
            at_hand=dict(self.at_hand),
            done=dict(self.done),
            running=self._running() if self.doing or self.doubt else {},
            unusable=self.unusable() if self.excluded or self.conditions or self.uncertain else {},
            may_abandon=frozenset(self.effects if self.lowered else self.may_abandon),
        )

    def unusable(self) -> dict[str, str]:
        """The tools that the run may not start now, with the reasons."""
        found = dict(self.excluded)
        for tool, holds in self.conditions.items():
            if not holds:
                found[tool] = CONDITION_FALSE
        for tool in self.uncertain:
            found[tool] = "its effect is uncertain"
        return found

    @property
    def to_answer(self) -> tuple[str, ...]:
        """The failures that a new route answers: those without a decision, except of effects that are being settled.

        Those are answered when it is known whether the effect took place or was undone.
        """
        settling = {*self.uncertain.values(), *self.invalid.values()}
        return tuple(failure for failure in self.unanswered if failure not in settling)

    def _running(self) -> dict[str, StartedFrom]:
        """Calls in flight, and ambiguous calls that wait to be retried."""
        between = (tool for tool in self.doubt if tool not in self.uncertain and tool in self.last)
        return {tool: self.last[tool].taken for tool in between} | {
            tool: doing.taken for tool, doing in self.doing.items()
        }

    def lowered_to(self, goal: tuple[str, ...]) -> "RunState":
        """A copy with a lesser goal, for planning.

        A demotion may leave effects that cannot be undone; they are listed when the run ends.
        """
        return replace(self, goal=goal, lowered=True)

    @property
    def reached(self) -> bool:
        """Whether every key of the goal has a value."""
        return set(self.goal) <= self.at_hand.keys()

    def support(self, keys: Iterable[str]) -> set[str]:
        """The finished tools that the values of `keys` were computed with."""
        used: set[str] = set()
        open_keys = [key for key in keys if key in self.at_hand]
        while open_keys:
            tool = self.at_hand.get(open_keys.pop())
            while tool is not None and tool not in used and tool in self.done:
                used.add(tool)
                open_keys += [key for key in self.done[tool].keys if key in self.at_hand]
                tool = self.done[tool].via
        return used

    def standing(self, keys: Iterable[str]) -> list[str]:
        """Tools whose effects stand and that the values of `keys` do not use, the latest first."""
        if not self.effects:
            return []
        used = self.support(keys)
        return [tool for tool in reversed(self.effects) if tool not in used and tool not in self.compensated]

    @property
    def question(self) -> Mapping[str, Any] | None:
        """The first question that is open."""
        return next((question for question, _ in self.questions.values()), None)

    def seconds_waited(self, now: float) -> float:
        """Seconds in which a person was asked."""
        return self.waited + (0.0 if self.waiting_since is None else max(0.0, now - self.waiting_since))

    def seconds_at_work(self, now: float) -> float:
        """Seconds since the run began, without those in which a person was asked."""
        return now - self.started_at - self.seconds_waited(now)

    # -- effects of the tree -----------------------------------------------------------------------------------------

    def _used(self, child: ChildRecord, used: Container[str]) -> bool:
        return child.reached and not child.discarded and child.call_id in used

    def standing_of_tree(self) -> tuple[str, ...]:
        """Labels of the effects that stand and that the goal's values use, here and below, in their order."""
        settled, used = {*self.compensated, *self.uncompensated}, self.used_calls(self.goal)
        below = {label for child in self.children.values() if self._used(child, used) for label in child.effects}
        own = self.effects.keys() & self.support(self.goal)
        return tuple(
            label if "#" in label else label_of(self.run_id, label)
            for label in self.effect_order
            if label not in settled and (label in own or label in below)
        )

    def unused_below(self, *, reached: bool) -> list[str]:
        """Labels of effects below that stand and that nothing uses, the latest first; those in doubt left out."""
        if not self.children:
            return []
        used = self.used_calls(self.goal) if reached else set[str]()
        unused = {
            label
            for child in self.children.values()
            if child.tool not in self.doubt and not self._used(child, used)
            for label in child.effects
        }
        settled = {*self.compensated, *self.uncompensated}
        return [label for label in reversed(self.effect_order) if label in unused and label not in settled]

    def left_below(self, *, reached: bool) -> list[str]:
        """Labels of effects below that stand, or may stand, although nothing uses them."""
        if not self.children:
            return []
        used = self.used_calls(self.goal) if reached else set[str]()
        found: dict[str, None] = {}
        for child in self.children.values():
            found.update(dict.fromkeys(child.uncompensated))
            if not self._used(child, used):
                found.update(dict.fromkeys(child.effects))
        return [label for label in found if label not in self.compensated]

    def used_calls(self, keys: Iterable[str]) -> set[str]:
        """Ids of the calls whose outputs the values of `keys` were computed from."""
        return {self.done_by[tool] for tool in self.support(keys) if tool in self.done_by}

    def generation(self, tool: str) -> int:
        """Failed attempts of a step so far."""
        return self.failed_attempts.get(tool, 0)

    def next_failure_id(self) -> str:
        """The id of the next failure."""
        return f"f{len(self.failures) + 1}"

    def next_decision_id(self) -> str:
        """The id of the next decision."""
        return f"d{len(self.decisions) + 1}"

    @property
    def planned_price(self) -> float | None:
        """Price of the first route, in US dollars."""
        first = (DecisionKind.ROUTE, DecisionKind.REROUTE)  # a reroute if a condition raised before the first route
        return next((d.price for d in self.decisions if d.kind in first), None)
