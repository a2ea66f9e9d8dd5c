"""`RunState`: the state of a run, as the fold of its events. No I/O, no clock: replay builds the same state."""

from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Final

from orchestrator.core.decision import Decision
from orchestrator.core.enums import (
    ANSWERING,
    ESCALATING,
    STEP_LEVEL,
    DecisionKind,
    Effect,
    FailureKind,
    PartKind,
    Status,
)
from orchestrator.core.events import (
    BudgetRaised,
    CallEnded,
    CallStarted,
    ChildDiscarded,
    ChildEnded,
    ConditionChecked,
    Decided,
    DemandTold,
    EffectUndone,
    Event,
    GoalLowered,
    GraphChanged,
    PartEnded,
    RunEnded,
    RungAsked,
    RunResumed,
    RunStarted,
    RunWaiting,
    ToolAllowed,
    ToolExcluded,
    UserFunctionFailed,
    ValueProvided,
    ValuesExpired,
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
    failed_attempts: Counter[str] = field(default_factory=Counter[str])
    effects: dict[str, Effect] = field(default_factory=dict[str, Effect])
    """Tools whose effects took place, in that order."""
    doing: dict[str, OpenCall] = field(default_factory=dict[str, OpenCall])
    """Calls in flight, by tool."""
    last: dict[str, OpenCall] = field(default_factory=dict[str, OpenCall])
    """The last call of a tool that was ambiguous or had no valid output, with its inputs."""
    excluded: dict[str, str] = field(default_factory=dict[str, str])
    over_budget: set[str] = field(default_factory=set[str])
    """Tools excluded because of the budget."""
    conditions: dict[str, bool] = field(default_factory=dict[str, bool])
    approved: set[str] = field(default_factory=set[str])
    may_abandon: set[str] = field(default_factory=set[str])
    tainted: set[str] = field(default_factory=set[str])
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
    undoing: set[str] = field(default_factory=set[str])
    """Tools whose compensation has begun and not ended."""
    attempts: Counter[str] = field(default_factory=Counter[str])
    tries: Counter[str] = field(default_factory=Counter[str])
    """Attempts since the tool was last allowed; its retries are counted by these."""
    allowed: set[str] = field(default_factory=set[str])
    """Tools that a person allowed in spite of their health."""
    started_calls: int = 0
    own_calls: int = 0
    """Number of calls that agents made of their own tools; they count for the budget."""
    children: dict[str, ChildRecord] = field(default_factory=dict[str, ChildRecord])
    """Child runs that have ended, by id, in the order in which they ended."""
    effect_order: list[str] = field(default_factory=list[str])
    """Labels of effects in the order in which they took place: a tool of this run, or `run id#tool` of a child run."""
    child_calls: int = 0
    tainted_calls: set[str] = field(default_factory=set[str])
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
    doubtful_calls: set[str] = field(default_factory=set[str])
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
        return self.failed_attempts[tool]

    def next_failure_id(self) -> str:
        """The id of the next failure."""
        return f"f{len(self.failures) + 1}"

    def next_decision_id(self) -> str:
        """The id of the next decision."""
        return f"d{len(self.decisions) + 1}"

    def note_failure(self, failure: Failure) -> None:
        """Apply a failure; it stays unanswered until a decision answers it."""
        self.failures[failure.id] = failure
        self.unanswered.append(failure.id)

    def apply(self, event: Event) -> None:
        """Apply one event. Events that change no state (signals, progress) are ignored."""
        take = self._TAKES.get(type(event))
        if take is not None:
            take(self, event)

    def _run_started(self, event: RunStarted) -> None:
        self.wanted = Goal.from_json(event.goal)
        self.goal = self.wanted.keys
        self.graph, self.revision = event.graph, event.revision
        self.started_at, self.parent, self.depth = event.at, event.parent, event.depth
        self.inputs_digest, self.policy = event.inputs_digest, event.policy
        self.turn = ExplorationRound(event.turn, event.probe) if event.turn else None
        self.dial = event.dial
        self.constraints = Constraints.from_json(event.constraints) if event.constraints else None
        self.traceparent = event.traceparent
        self.budget = Budget.from_json(event.budget)
        self.at_hand.update(dict.fromkeys(event.inputs))
        self.labels = event.labels
        self.tainted.update(event.tainted)
        self.child_ids = event.child_ids

    def _graph_changed(self, event: GraphChanged) -> None:
        self.graph, self.revision = event.graph, event.revision

    def _decided(self, event: Decided) -> None:
        self.decisions.append(event.decision)
        if event.decision.kind in ANSWERING:
            answered = set(event.decision.answers)
            self.unanswered = [failure for failure in self.unanswered if failure not in answered]
        facts = event.decision.facts
        if event.decision.kind in ESCALATING and facts.get("impasse") not in ASKS_ONLY and not facts.get("shown"):
            self.impasses += 1
        if event.decision.kind is DecisionKind.HALT and facts.get("impasse") == "cancelled":
            self.halted = event.decision.reason.removesuffix(".")
        if event.decision.kind is DecisionKind.COMPENSATE and event.decision.subject:
            self.undoing.add(event.decision.subject)
        if event.decision.kind in STEP_LEVEL and event.decision.subject:
            self.uncertain.pop(event.decision.subject, None)
        if event.decision.kind is DecisionKind.RECONCILE and event.decision.subject:
            self.doubt.pop(event.decision.subject, None)

    def _condition_checked(self, event: ConditionChecked) -> None:
        self.conditions[event.tool] = event.holds

    def _call_started(self, event: CallStarted) -> None:
        self.started_calls += 1
        self.attempts[event.tool] = self.attempts.get(event.tool, 0) + 1
        self.tries[event.tool] = self.tries.get(event.tool, 0) + 1
        self.doing[event.tool] = OpenCall(
            event.call_id, StartedFrom(event.keys, event.via), event.effect, event.attempt
        )

    def _call_ended(self, event: CallEnded) -> None:
        doing = self.doing.pop(event.tool, None) or self.last.get(event.tool)
        self.cost += event.cost - event.children_cost
        self.llm_calls += event.llm_calls
        if event.usage:
            self.usage.update(event.usage)  # pyright: ignore[reportArgumentType, reportCallIssue]
        if event.asked:
            self.tries[event.tool] -= 1
            return
        if event.failure is not None:
            self.failed_attempts[event.tool] += 1
            self.note_failure(event.failure)
            self._note_effect_of_failure(event, doing)
        if event.failure is not None or event.ok:
            error = event.failure.message if event.failure else None
            self.calls.append(Call(event.tool, event.attempt, event.seconds, error, event.call_id, event.cost))
        if event.ok and doing is not None:
            self._finish(event, doing)

    def _note_effect_of_failure(self, event: CallEnded, doing: OpenCall | None) -> None:
        assert event.failure is not None
        if event.failure.kind is FailureKind.AMBIGUOUS:
            self.uncertain[event.tool] = self.doubt[event.tool] = event.failure.id
            if doing is not None:
                self.last[event.tool] = doing
        elif event.failure.kind is FailureKind.INVALID_OUTPUT and doing and doing.effect is not Effect.READ:
            self.invalid[event.tool] = event.failure.id
            self.effects[event.tool] = doing.effect
            self.effect_order.append(event.tool)
            self.last[event.tool] = doing

    def _settled(self, tool: str) -> None:
        """Note that it is known whether the effect of a tool took place."""
        self.uncertain.pop(tool, None)
        self.doubt.pop(tool, None)

    def _finish(self, event: CallEnded, doing: OpenCall) -> None:
        self.done[event.tool] = doing.taken
        self.done_at[event.tool] = event.at
        self.done_by[event.tool] = event.call_id
        if self.doubt or self.uncertain:
            self._settled(event.tool)
        for key in event.kept:
            self.at_hand.setdefault(key, event.tool)
        if event.call_id in self.tainted_calls or self.tainted.intersection(doing.taken.keys):
            self.tainted.update(event.gives)
        if doing.effect is not Effect.READ:
            self.effects[event.tool] = doing.effect
            self.effect_order.append(event.tool)

    def _user_function_failed(self, event: UserFunctionFailed) -> None:
        self.note_failure(event.failure)

    def _child_ended(self, event: ChildEnded) -> None:
        if event.tainted:
            self.tainted_calls.add(event.call_id)
        if event.child not in self.children:
            self.cost += event.cost
            self.child_calls += event.calls
            self.effect_order += event.effects
        known = self.children.get(event.child)
        self.children[event.child] = ChildRecord(
            event.child,
            event.call_id,
            event.tool,
            event.status,
            event.effects,
            event.compensated,
            event.uncompensated,
            event.generation,
            event.at_end or event.at,
            known is not None and known.discarded and known.call_id == event.call_id,  # each attempt decides for itself
        )

    def _child_discarded(self, event: ChildDiscarded) -> None:
        self.children[event.child] = replace(self.children[event.child], discarded=True)

    def _tool_excluded(self, event: ToolExcluded) -> None:
        self.excluded[event.tool] = event.reason
        if event.over_budget:
            self.over_budget.add(event.tool)

    def _tool_allowed(self, event: ToolAllowed) -> None:
        self.excluded.pop(event.tool, None)
        self.over_budget.discard(event.tool)
        self._settled(event.tool)
        self.tries.pop(event.tool, None)
        if event.approved:
            self.approved.add(event.tool)
        if event.abandon:
            self.may_abandon.add(event.tool)
        if event.forced:
            self.allowed.add(event.tool)

    def _value_provided(self, event: ValueProvided) -> None:
        self.at_hand.setdefault(event.key, event.settles)
        if event.tainted:
            self.tainted.add(event.key)
        if event.settles:
            self._settled(event.settles)
            self.invalid.pop(event.settles, None)
            made = self.last.get(event.settles)  # its inputs stay used, so their effects are not undone
            self.done.setdefault(event.settles, made.taken if made else StartedFrom(()))
            if event.settles not in self.effects:
                self.effect_order.append(event.settles)
            self.effects.setdefault(event.settles, made.effect if made else Effect.WRITE)
            if made is not None:
                self.done_by[event.settles] = made.call_id

    def _values_expired(self, event: ValuesExpired) -> None:
        for tool in event.tools:
            self.done.pop(tool, None)
            for key in [key for key, giver in self.at_hand.items() if giver == tool]:
                del self.at_hand[key]

    def _rung_asked(self, event: RungAsked) -> None:
        self.llm_calls += event.calls
        self.cost += event.cost
        spent = {"control_repairs": event.repairs, "control_tokens": event.tokens}
        self.usage.update({name: amount for name, amount in spent.items() if amount})

    def _part_ended(self, event: PartEnded) -> None:
        self.own_calls += event.kind is PartKind.TOOL and not event.left_out

    def _demand_told(self, event: DemandTold) -> None:
        self.cost += event.cost
        self.usage.update({"demand_calls": 1, "demand_tokens": event.tokens} if event.tokens else {"demand_calls": 1})

    def _goal_lowered(self, event: GoalLowered) -> None:
        self.goal = event.goal
        self.lowered = True

    def _budget_raised(self, event: BudgetRaised) -> None:
        self.budget = Budget.from_json(event.budget)

    def _run_waiting(self, event: RunWaiting) -> None:
        self.status = Status.WAITING
        self.questions[str(event.question.get("id") or "")] = (event.question, event.impasse)
        self.impasse = next(iter(self.questions.values()))[1]
        if self.waiting_since is None:
            self.waiting_since = event.at

    def _run_resumed(self, event: RunResumed) -> None:
        self.status = Status.RUNNING
        if event.question_id:
            self.questions.pop(event.question_id, None)
        else:
            self.questions.clear()
        self.token = max(self.token, event.token)
        if event.owner_unproven:
            self.doubtful_calls |= {doing.call_id for doing in (*self.doing.values(), *self.last.values())}
        if self.waiting_since is not None:
            self.waited += max(0.0, event.at - self.waiting_since)
            self.waiting_since = None
        if event.policy is not None:
            self.policy = event.policy

    def _effect_undone(self, event: EffectUndone) -> None:
        self.undoing.discard(event.tool)
        if event.ok:
            self.compensated.append(event.tool)
            self.invalid.pop(event.tool, None)
            self.uncompensated = [tool for tool in self.uncompensated if tool != event.tool]
        elif event.tool not in self.uncompensated:
            self.uncompensated.append(event.tool)

    def _run_ended(self, event: RunEnded) -> None:
        self.status, self.ended_at = event.status, event.at
        self.seconds = event.seconds
        self.goal = event.goal
        self.uncompensated = list(event.uncompensated)
        self.impasse = event.impasse

    _TAKES: ClassVar[Mapping[type[Event], Callable[[Any, Any], None]]] = {
        RunStarted: _run_started,
        GraphChanged: _graph_changed,
        Decided: _decided,
        ConditionChecked: _condition_checked,
        CallStarted: _call_started,
        CallEnded: _call_ended,
        UserFunctionFailed: _user_function_failed,
        ChildEnded: _child_ended,
        ChildDiscarded: _child_discarded,
        ToolExcluded: _tool_excluded,
        ToolAllowed: _tool_allowed,
        ValueProvided: _value_provided,
        ValuesExpired: _values_expired,
        RungAsked: _rung_asked,
        PartEnded: _part_ended,
        DemandTold: _demand_told,
        GoalLowered: _goal_lowered,
        BudgetRaised: _budget_raised,
        RunWaiting: _run_waiting,
        RunResumed: _run_resumed,
        EffectUndone: _effect_undone,
        RunEnded: _run_ended,
    }
    """Event type -> the method that applies it."""

    @property
    def planned_price(self) -> float | None:
        """Price of the first route, in US dollars."""
        first = (DecisionKind.ROUTE, DecisionKind.REROUTE)  # a reroute if a condition raised before the first route
        return next((d.price for d in self.decisions if d.kind in first), None)
