"""What the runs of one tree share: `BudgetAccount` (money, calls, time) and `CancelScope`. Both nest as the runs do."""

from collections.abc import Callable
from dataclasses import dataclass, field

from orchestrator.core.clock import Clock
from orchestrator.core.goal import UNLIMITED

from .state import RunState


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
        """Why this run, or one above it, is to stop; `None` while it is not. Read after this scope stands below its
        parent: a cancellation from another thread is not missed."""

    def cancel(self, reason: str) -> None:
        """Stop the run and all below it; the first reason stays."""
        self.reason = self.reason or reason
        self._wake()
        for scope in tuple(self._below):
            scope.cancel(self.reason)

    def leave(self) -> None:
        """Take an ended run out of the scope above it; nobody is woken any more."""
        if self._parent is not None and self in self._parent._below:
            self._parent._below.remove(self)
        self._wake = _nobody


def _nobody() -> None:
    """Wake nobody."""


@dataclass(slots=True)
class _Call:
    """A call in flight: what it may cost, what it charged, and what its children cost so far."""

    expected: float
    charged: float = 0.0
    ended_children: float = 0.0
    live: "dict[str, BudgetAccount]" = field(default_factory=dict[str, "BudgetAccount"])

    def spent(self) -> float:
        """The larger of what was expected and what has come up: a learned cost has the children in it."""
        come_up = self.charged + self.ended_children + sum(child.spent() for child in self.live.values())
        return max(self.expected, come_up)


class BudgetAccount:
    """What a run and the runs below it may spend. A call is reserved before it is made, in one step with the check.

    What ended calls cost and how many there were is folded from events (`state`); calls in flight are kept here.
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
        """Calls in flight that agents make themselves."""
        if parent is not None:
            parent._open_child(parent_call, state.run_id, self)
        self._parent_call = parent_call

    # -- calls -------------------------------------------------------------------------------------------------------

    def refusal(self, cost: float) -> str:
        """Why an attempt that may cost this much US dollars is not allowed, here or above; empty when it is."""
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
        """As `refusal`, for a call of a run below: what its own call has reserved already is not reserved twice."""
        call = self._calls.get(child._parent_call)
        if call is not None:
            come_up = call.charged + call.ended_children + sum(each.spent() for each in call.live.values())
            cost = max(0.0, come_up + cost - call.spent())
        return self.refusal(cost)

    @property
    def limited(self) -> bool:
        """Whether a limit in US dollars holds, here or above."""
        return self._state.budget.usd is not None or (self._parent is not None and self._parent.limited)

    def out_of_calls(self) -> str:
        """Why this run, or one above it, may make no call at all any more; empty when it may."""
        return self._out_of_calls() or (self._parent.out_of_calls() if self._parent else "")

    def _out_of_calls(self) -> str:
        budget, left = self._state.budget, self._own_seconds_left()
        if budget.calls is not None and self.calls() >= budget.calls:
            return f"the budget of {budget.calls} calls is used up"
        return "the deadline has passed" if left is not None and left <= 0 else ""

    def count_parts(self, by: int) -> None:
        """So many more calls of an agent's own are in flight."""
        self._parts += by

    def reserve(self, call_id: str, usd: float) -> None:
        """A call begins that may cost this much."""
        self._calls[call_id] = _Call(usd)

    def charge(self, call_id: str, usd: float) -> None:
        """A call in flight has cost this much more."""
        call = self._calls.get(call_id)
        if call is not None:
            call.charged += usd

    def settle(self, call_id: str) -> None:
        """A call has ended: from now on its cost is part of `state`."""
        self._calls.pop(call_id, None)

    # -- children ----------------------------------------------------------------------------------------------------

    def _open_child(self, call_id: str, run_id: str, account: "BudgetAccount") -> None:
        self._calls.setdefault(call_id, _Call(0.0)).live[run_id] = account

    def moved_to(self, parent_call: str) -> None:
        """The call above was made again, and joins this run."""
        if self._parent is not None and parent_call != self._parent_call:
            self._parent_call = parent_call
            self._parent._open_child(parent_call, self._state.run_id, self)

    def close_child(self, call_id: str, run_id: str, usd: float, *, counted: bool) -> None:
        """A child has ended; `counted` where what it cost was counted for the first time, and is part of `state`."""
        call = self._calls.get(call_id)
        if call is not None:
            call.live.pop(run_id, None)
            call.ended_children += usd if counted else 0.0

    # -- what is left ------------------------------------------------------------------------------------------------

    def spent(self) -> float:
        """US dollars so far: ended calls, calls in flight at what they may cost, and everything below."""
        in_flight = sum(call.spent() - call.ended_children for call in self._calls.values())
        return self._state.cost + in_flight

    def calls(self) -> int:
        """Attempts so far, with what agents called themselves and everything below."""
        state = self._state
        below = sum(child.calls() for call in self._calls.values() for child in call.live.values())
        return state.started_calls + state.own_calls + self._parts + state.child_calls + below

    def seconds_left(self) -> float | None:
        """Until the deadline of this run or of one above it; `None` without one."""
        own = None if self._state.budget.seconds is None else self._own_seconds_left()
        if self._parent is None:
            return own
        above = self._parent.seconds_left()
        return min((left for left in (own, above) if left is not None), default=None)

    def _own_seconds_left(self) -> float | None:
        limit = self._state.budget.seconds
        return None if limit is None else limit - self._state.seconds_at_work(self._clock.time())


__all__ = ["BudgetAccount", "CancelScope"]
