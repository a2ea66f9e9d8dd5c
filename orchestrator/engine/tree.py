"""What the runs of a tree share: `BudgetAccount` (money, calls, time), `CancelScope`, and the questions and child runs
that calls wait for (`PendingWaits`), which are nested like the runs; and one `StoreOutage`.
"""

import asyncio
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from orchestrator.core.clock import Clock
from orchestrator.core.goal import UNLIMITED
from orchestrator.core.route import Impasse
from orchestrator.escalation import Question

from .state import RunState

LEAST_WAIT: Final = 0.1
"""Minimum seconds for which an effect waits for the store."""


class CancelScope:
    """Cancellation of a run and of every run below it.

    `wake` is called, from any thread, when the scope is cancelled.
    """

    def __init__(self, wake: Callable[[], None], parent: "CancelScope | None" = None) -> None:
        self._wake = wake
        self._parent = parent
        self._below: list[CancelScope] = []
        if parent is not None:
            parent._below.append(self)
        self.reason: str | None = None if parent is None else parent.reason
        """Why this run, or one above it, must stop; `None` while it need not. Read after this scope is attached to its
        parent, so that a cancellation from another thread is not missed.
        """

    def cancel(self, reason: str) -> None:
        """Cancel the run and all runs below it; the first reason is kept."""
        self.reason = self.reason or reason
        self._wake()
        for scope in tuple(self._below):
            scope.cancel(self.reason)

    def leave(self) -> None:
        """Detach an ended run from the scope above it; it is not woken any more."""
        if self._parent is not None and self in self._parent._below:
            self._parent._below.remove(self)
        self._wake = _nobody


def _nobody() -> None:
    """Do nothing."""


@dataclass(slots=True)
class _Call:
    """A call in flight: its expected cost, what it charged, and the cost of its children so far."""

    expected: float
    charged: float = 0.0
    ended_children: float = 0.0
    live: "dict[str, BudgetAccount]" = field(default_factory=dict[str, "BudgetAccount"])

    def spent(self) -> float:
        """The larger of the expected and the actual cost so far; a learned cost includes the children."""
        come_up = self.charged + self.ended_children + sum(child.spent() for child in self.live.values())
        return max(self.expected, come_up)


class BudgetAccount:
    """The budget of a run and the runs below it. Each call is checked and reserved in one step before it is made.

    Cost and number of ended calls come from events (`state`); calls in flight are kept here.
    """

    def __init__(
        self,
        state: RunState,
        clock: Clock,
        parent: "BudgetAccount | None" = None,
        parent_call: str = "",
    ) -> None:
        self._state = state
        self._clock = clock
        self._parent = parent
        self._calls: dict[str, _Call] = {}
        self._parts = 0
        """Number of calls in flight that agents make themselves."""
        if parent is not None:
            parent._open_child(parent_call, state.run_id, self)
        self._parent_call = parent_call

    # -- calls -------------------------------------------------------------------------------------------------------

    def refusal(self, cost: float) -> str:
        """Why an attempt of this expected cost in US dollars is not allowed, here or above; empty when it is."""
        if self._state.budget is UNLIMITED and self._parent is None:
            return ""
        over = self._out_of_calls()
        if over:
            return over
        limit = self._state.budget.usd
        if limit is not None:
            spent = self.spent()
            if spent + cost > limit + 1e-12:
                return f"it costs ${cost:g}, and ${max(0.0, limit - spent):g} of ${limit:g} is left"
        return self._parent.refusal_below(self, cost) if self._parent else ""

    def refusal_below(self, child: "BudgetAccount", cost: float) -> str:
        """As `refusal`, for a call of a run below: what the call above it has reserved is not counted twice."""
        call = self._calls.get(child._parent_call)
        if call is not None:
            come_up = call.charged + call.ended_children + sum(each.spent() for each in call.live.values())
            cost = max(0.0, come_up + cost - call.spent())
        return self.refusal(cost)

    @property
    def unlimited(self) -> bool:
        """Whether no limit at all holds: for a run without a budget and without a run above it."""
        return self._parent is None and self._state.budget is UNLIMITED

    @property
    def limited(self) -> bool:
        """Whether a limit in US dollars holds, here or above."""
        return self._state.budget.usd is not None or (self._parent is not None and self._parent.limited)

    def out_of_calls(self) -> str:
        """Why this run, or one above it, may make no more calls; empty when it may."""
        return self._out_of_calls() or (self._parent.out_of_calls() if self._parent else "")

    def _out_of_calls(self) -> str:
        budget, left = self._state.budget, self._own_seconds_left()
        if budget.calls is not None and self.calls() >= budget.calls:
            return f"the budget of {budget.calls} calls is used up"
        return "the deadline has passed" if left is not None and left <= 0 else ""

    def count_parts(self, by: int) -> None:
        """Add to the number of agents' own calls in flight."""
        self._parts += by

    def reserve(self, call_id: str, usd: float) -> None:
        """Reserve the expected cost of a call that starts."""
        self._calls[call_id] = _Call(usd)

    def charge(self, call_id: str, usd: float) -> None:
        """Add to the cost of a call in flight."""
        call = self._calls.get(call_id)
        if call is not None:
            call.charged += usd

    def settle(self, call_id: str) -> None:
        """Remove an ended call, whose cost is part of `state` now."""
        self._calls.pop(call_id, None)

    # -- children ----------------------------------------------------------------------------------------------------

    def _open_child(self, call_id: str, run_id: str, account: "BudgetAccount") -> None:
        self._calls.setdefault(call_id, _Call(0.0)).live[run_id] = account

    def moved_to(self, parent_call: str) -> None:
        """Attach this run to the repeated call above, which has joined it."""
        if self._parent is not None and parent_call != self._parent_call:
            self._parent_call = parent_call
            self._parent._open_child(parent_call, self._state.run_id, self)

    def close_child(self, call_id: str, run_id: str, usd: float, *, counted: bool) -> None:
        """Detach an ended child; `counted`: its cost was counted for the first time and is part of `state`."""
        call = self._calls.get(call_id)
        if call is not None:
            call.live.pop(run_id, None)
            call.ended_children += usd if counted else 0.0

    # -- what is left ------------------------------------------------------------------------------------------------

    def spent(self) -> float:
        """US dollars so far: ended calls, calls in flight at their expected cost, and all runs below."""
        in_flight = sum(call.spent() - call.ended_children for call in self._calls.values())
        return self._state.cost + in_flight

    def calls(self) -> int:
        """Attempts so far, including agents' own calls and all runs below."""
        state = self._state
        below = sum(child.calls() for call in self._calls.values() for child in call.live.values())
        return state.started_calls + state.own_calls + self._parts + state.child_calls + below

    def seconds_left(self) -> float | None:
        """Seconds until the deadline of this run or of one above it; `None` without one."""
        own = None if self._state.budget.seconds is None else self._own_seconds_left()
        if self._parent is None:
            return own
        above = self._parent.seconds_left()
        return min((left for left in (own, above) if left is not None), default=None)

    def _own_seconds_left(self) -> float | None:
        limit = self._state.budget.seconds
        return None if limit is None else limit - self._state.seconds_at_work(self._clock.time())


@dataclass(slots=True)
class StoreOutage:
    """How long the effects of a run tree have waited for an unreachable store. Times are in monotonic seconds."""

    _since: float | None = None
    _until: float = 0.0

    def seconds_left(self, now: float, patience: float) -> float:
        """Seconds for which one more effect may wait. A wait that failed longer ago belongs to an earlier outage."""
        if self._since is None or now - self._until > patience:
            self._since = None
            return patience
        return max(LEAST_WAIT, self._since + patience - now)

    def lasts(self, since: float, until: float) -> None:
        """Note a wait from `since` to `until` that failed."""
        if self._since is None:
            self._since = since
        self._until = until

    def is_over(self) -> None:
        """Note that the store has answered."""
        self._since = None


class Waiter(Protocol):
    """A run, as far as it may wait for people."""

    @property
    def waits(self) -> bool:
        """Whether it waits for people, and no answer has been submitted."""
        ...

    @property
    def is_at_rest(self) -> bool:
        """Whether it waits and no task drives it any more."""
        ...


@dataclass(eq=False, slots=True)
class CallQuestion:
    """A question of a call in flight, which stays suspended until it is answered."""

    tool: str
    call_id: str
    text: str
    wanted: str
    """The name of the type of the answer; empty for any type."""
    answered: "asyncio.Future[Any]"

    def asks(self, impasse: Impasse) -> bool:
        """Whether this impasse has the same question: the same step, text and type."""
        mine = (self.tool, self.text, self.wanted)
        return mine == (impasse.subject, impasse.question, impasse.answer_type or "")


@dataclass(frozen=True, slots=True)
class OpenQuestion:
    """An open question of a run and its impasse."""

    impasse: Impasse
    question: Question
    base: Impasse | None = None
    """The entry of `Run.open` that the question is about."""
    asking: CallQuestion | None = None
    """The suspended call of this run that asks."""


@dataclass(eq=False, slots=True)
class Reach:
    """A child run that a call awaits."""

    call_id: str
    child_id: str


@dataclass(slots=True)
class PendingWaits:
    """The waits of all calls in flight. The code that waits adds and removes its entry, so no entry outlives it."""

    children: Mapping[str, Waiter]
    """The child runs that have not ended, by id."""
    reaches: list[Reach] = field(default_factory=list[Reach])
    """Child runs that calls in flight await."""
    questions: list[CallQuestion] = field(default_factory=list[CallQuestion])
    """Questions of calls in flight."""

    @contextmanager
    def reaching(self, call_id: str, child_id: str) -> Generator[None]:
        """Context in which a call awaits this child run."""
        reach = Reach(call_id, child_id)
        self.reaches.append(reach)
        try:
            yield
        finally:
            if reach in self.reaches:
                self.reaches.remove(reach)

    @contextmanager
    def asking(self, question: CallQuestion) -> Generator[None]:
        """Context in which a call awaits the answer to a question."""
        self.questions.append(question)
        try:
            yield
        finally:
            if question in self.questions:
                self.questions.remove(question)

    def end(self, call_id: str) -> None:
        """Clean up after a call: cancel its tasks that still ask, and withdraw their questions."""
        for question in tuple(self.questions):
            if question.call_id != call_id:
                continue
            self.questions.remove(question)
            question.answered.cancel()

    def drop(self) -> None:
        """Forget all waits: the event loop of the calls is gone."""
        self.questions.clear()
        self.reaches.clear()

    def only_people(self, call_id: str) -> bool:
        """Whether a call waits for nothing but people's answers, here or in child runs."""
        asked = [question for question in self.questions if question.call_id == call_id]
        reached = [reach for reach in self.reaches if reach.call_id == call_id]
        if not asked and not reached:
            return False
        open_still = all(not question.answered.done() for question in asked)
        return open_still and all(self._child_waits(reach.child_id) for reach in reached)

    def _child_waits(self, child_id: str) -> bool:
        child = self.children.get(child_id)
        return child is not None and child.waits and child.is_at_rest


__all__ = ["BudgetAccount", "CallQuestion", "CancelScope", "OpenQuestion", "PendingWaits", "StoreOutage"]
