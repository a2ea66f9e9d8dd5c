"""`Run`: the live side of one run: its state, its values, and `emit`."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from orchestrator.core.decision import Decision
from orchestrator.core.enums import DecisionKind, Status
from orchestrator.core.errors import OwnershipLost
from orchestrator.core.events import Decided, Event
from orchestrator.core.outcome import Outcome
from orchestrator.core.route import Candidate, Impasse, Route
from orchestrator.engine.planning.agents import NOBODY, Cast
from orchestrator.engine.planning.planning import Planned, function_parameters
from orchestrator.escalation import Question
from orchestrator.graph.graph import GraphRevision
from orchestrator.graph.tool import Tool

from .pending import CallQuestion, PendingWaits
from .recorder import Recorder
from .runtime import Runtime
from .state import RunState
from .tree import BudgetAccount, CancelScope
from .values import ValueTable, digest, same_digest

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OpenQuestion:
    """What a run waits for."""

    impasse: Impasse
    question: Question
    base: Impasse | None = None
    """The entry of `Run.open` that it is about."""
    asking: CallQuestion | None = None
    """The suspended call of this run that asks."""


class Run:
    """One run while this process drives it: folded state, live values, the current plan."""

    def __init__(
        self,
        runtime: Runtime,
        state: RunState,
        *,
        durable: bool,
        parent: "Run | None" = None,
        parent_call: str = "",
        token: int | None = None,
        named: bool = False,
        in_graph: bool = False,
        trace_id: str = "",
    ) -> None:
        self.runtime = runtime
        self.state = state
        self.parent = parent
        self.durable = durable
        self.named = named
        """Whether the caller chose the run's id."""
        self.in_graph = in_graph
        """Whether a compiled graph drives the run."""
        self.trace_id = trace_id
        """Of the trace that the run began in; the same for all who ask for this run."""
        self.recorder = Recorder(state.run_id, runtime, token)
        self.values = ValueTable(state.run_id, runtime.store, durable=durable, token=token)
        self.scope: CancelScope = CancelScope(self.wake_up, parent.scope if parent else None)
        self.account: BudgetAccount = BudgetAccount(
            state, runtime.clock, parent.account if parent else None, parent_call
        )
        self.view: GraphRevision = runtime.graph.view()
        self.plan: Planned | None = None
        """What the current route was planned on, or that there is none."""
        self.route: Route | None = None
        self.first_route: Route | None = None
        self.last_resort = False
        """Whether the route uses tools with an open circuit, because there is no other."""
        self.impasse: Impasse | None = None
        """Why there is no route."""
        self.open: list[Impasse] = []
        """Steps that only a person, or a rung of the ladder, can settle."""
        self.asked: dict[str, OpenQuestion] = {}
        """The questions that people are to answer, by id: of this run and of the children that it waits for."""
        self.on_wake: Callable[[], None] | None = None
        """Called when something happens in a run that waits: one of its suspended calls may continue by itself."""
        self.answer: tuple[str, Any, str] | None = None
        """A person's answer on its way in: the question's id, the answer, and who gave it."""
        self.scheduler: Any = None
        """The scheduler of the current route (a `StepScheduler`): its calls may outlast a wait for a person."""
        self.parent_call = parent_call
        """The call of the parent that reached for this run."""
        self._rebound: asyncio.Event | None = None
        self.approval_wanted: dict[str, str] = {}
        """Tool (or the whole run) -> why a monitor wants a person to approve its writes."""
        self.not_retried: dict[str, dict[str, Any]] = {}
        """Failure -> the facts that it was not tried again on, until a decision answers it."""
        self.not_before: dict[str, float] = {}
        """Tool -> when this run may call it again, in monotonic seconds: the back-off of its retry."""
        self.deferrals: Counter[str] = Counter()
        """How often a step of a tool gave way to another route because of a wait."""
        self.repriced: set[str] = set()
        """Tools whose health changed since the run last looked."""
        self.children: dict[str, Run] = {}
        """Child runs that have not ended."""
        self.pending = PendingWaits(self.children)
        """What calls in flight wait for."""
        self.child_outcomes: dict[str, Outcome[Any]] = {}
        """Outcomes of child runs, by id."""
        self.ended_children: dict[str, Run] = {}
        """Child runs that have ended, until the root has: their values are needed to undo their effects."""
        self.once_calls: dict[tuple[str, str], Any] = {}
        """Step and key -> the call of `ctx.once` in flight, also if its attempt was given up."""
        self._left = False
        self.fenced = False
        """Whether another owner has the run: nothing more is decided, done or recorded here."""
        self.released = False
        """Whether the run, which waits, is no longer owned by this process."""
        self.error: BaseException | None = None
        """The exception of the last failure."""
        self.final: Outcome[Any] | None = None
        self.task: asyncio.Task[Outcome[Any]] | None = None
        self.recovered = False
        """Whether the run was picked up from its record."""
        self.watches: list[asyncio.Task[None]] = []
        """Tasks that watch the deadlines of its questions while it waits."""
        self.waiters = 0
        """Callers that wait for the outcome."""
        self.rebind()

    # -- ownership and the event loop --------------------------------------------------------------------------------

    def rebind(self) -> None:
        """Continue in the running event loop, which may be another one than before."""
        self.loop = asyncio.get_running_loop()
        if self._rebound is not None:
            self._rebound.set()
        self._rebound = asyncio.Event()
        self.wake = asyncio.Event()
        self.result: Future[Outcome[Any]] = Future()
        """The outcome, once the run has ended or waits; anybody may join it, from any thread."""

    @property
    def token(self) -> int | None:
        """The fencing token; `None` where nothing is fenced."""
        return self.recorder.token

    def fence(self) -> None:
        """Stop at once: another owner has the run. From any thread; the whole tree stops."""
        if self.parent is not None and not self.parent.fenced:
            self.parent.fence()
        if self.fenced:
            return
        self.fenced = True
        self.recorder.fence()
        for child in list(self.children.values()):
            child.fence()
        with contextlib.suppress(RuntimeError):  # its event loop is gone
            self.loop.call_soon_threadsafe(self._stop)

    @property
    def left(self) -> bool:
        """Whether this process leaves the run, which it stores, as it is: nothing of it ends here."""
        return self._left or self.fenced or (self.parent is not None and self.parent.left)

    def leave(self) -> None:
        """Leave the run and all below it as they are, for the process that recovers them; in memory nobody does."""
        self._left = self.durable

    def cancel(self, reason: str) -> None:
        """Cancel the run and all below it, from any thread."""
        self.scope.cancel(reason)

    def _stop(self) -> None:
        if self.task is not None:
            self.task.cancel()

    def own(self, token: int | None) -> None:
        """Write with this fencing token from now on."""
        self.recorder.token = self.values.token = token
        self.released = False

    def release(self) -> None:
        """The run waits, and any process may take its answer."""
        self.released = True

    def wake_up(self) -> None:
        """Have the run look again, from any thread."""
        with contextlib.suppress(RuntimeError):  # its event loop is gone, and nobody sleeps any more
            self.loop.call_soon_threadsafe(self.woken)

    def woken(self) -> None:
        """Look again; in the run's own event loop."""
        self.wake.set()
        if self.cancelled is not None and self._rebound is not None:
            self._rebound.set()
        if self.on_wake is not None and self.waits:
            self.on_wake()
        above = self.parent
        while above is not None and not (above.waits and above.on_wake is not None):
            above = above.parent
        if above is not None:  # it may show a question of this run, which may have been withdrawn
            above.wake_up()

    def nudge(self, names: Iterable[str]) -> None:
        """These tools went down: have the run look again if it relies on one. Called from any thread."""
        route = self.route
        if route is not None:
            relied_on = [name for name in names if name in route.tools and name not in self.state.done]
            self.repriced.update(relied_on)
            if relied_on:
                self.wake_up()

    def take_repriced(self) -> set[str]:
        """The tools that went down since this was last called."""
        repriced, self.repriced = self.repriced, set()
        return repriced

    @property
    def cancelled(self) -> str | None:
        """Why the run is to stop, once it is."""
        return self.scope.reason

    # -- events ------------------------------------------------------------------------------------------------------

    def stamp(self) -> dict[str, Any]:
        """What every event of this run carries."""
        return {"run_id": self.state.run_id, "at": self.runtime.clock.time()}

    def emit(self, event: Event) -> None:
        """Apply an event to the state, write it to the ledger, and hand it to every sink.

        Raises `OwnershipLost` once the run is fenced.
        """
        if self.fenced:
            raise OwnershipLost(f"another process has taken over the run {self.state.run_id!r}")
        self.state.apply(event)
        self.recorder.publish(event)

    def publish_from_anywhere(self, event: Event) -> None:
        """Publish an event that changes no state, from any thread."""
        with contextlib.suppress(RuntimeError):  # its event loop is gone
            self.loop.call_soon_threadsafe(self.recorder.publish, event)

    def emit_from_anywhere(self, event: Event) -> None:
        """Emit an event from any thread; at once in the run's own event loop."""
        try:
            here = asyncio.get_running_loop() is self.loop
        except RuntimeError:
            here = False
        if here:
            self.emit(event)
        else:
            self.loop.call_soon_threadsafe(self.emit, event)

    def decide(
        self,
        kind: DecisionKind,
        chosen: str,
        *,
        reason: str = "",
        answers: tuple[str, ...] = (),
        candidates: tuple[Candidate, ...] = (),
        subject: str | None = None,
        price: float | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> Decision:
        """Put a decision on record."""
        given_up = answers and {f: self.not_retried.pop(f) for f in answers if f in self.not_retried}
        if given_up:
            facts = {**(facts or {}), "not_retried": given_up}
        decision = Decision(
            id=self.state.next_decision_id(),
            kind=kind,
            chosen=chosen,
            candidates=candidates,
            reason=reason,
            answers=answers,
            subject=subject,
            price=price,
            facts=facts or {},
        )
        self.emit(Decided(**self.stamp(), decision=decision))
        return decision

    def other_policy(self) -> dict[str, Any] | None:
        """The policy now in force, where the run was under another so far: it was resumed by somebody else."""
        policy = self.runtime.policy_data
        return None if policy == self.state.policy else policy

    # -- questions and the end ---------------------------------------------------------------------------------------

    @property
    def waits(self) -> bool:
        """Whether the run waits for people, and no answer is on its way in."""
        return self.state.status is Status.WAITING and self.answer is None and self.cancelled is None

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing drives the run: while it begins to wait it is still being released."""
        return self.task is None or self.result.done()

    async def answered(self) -> None:
        """Returns when a run that waits continues."""
        while self.waits and self._rebound is not None:
            await self._rebound.wait()

    def call_waits(self, call_id: str) -> bool:
        """Whether a call in flight can only continue when a person has answered: it asked, or its children did."""
        return self.pending.only_people(call_id)

    def give(self, question_id: str, answer: Any, by: str) -> None:
        """A person's answer to a question, and who gave it."""
        self.answer = (question_id, answer, by)

    def take_answer(self) -> tuple[str, Any, str]:
        """The answer that was given, once."""
        answer, self.answer = self.answer, None
        assert answer is not None
        return answer

    def note_error(self, error: BaseException) -> None:
        """The exception of the newest failure."""
        self.error = error

    def end(self, outcome: Outcome[Any]) -> None:
        """The run has ended with this outcome."""
        self.final = outcome

    def close(self) -> None:
        """Drop what only a live run needs and what refers back to it, so that its memory is freed at once."""
        self.scope.leave()
        self.scheduler = self.on_wake = None

    # -- the plan ----------------------------------------------------------------------------------------------------

    def use(self, planned: Planned) -> None:
        """Continue with this plan."""
        self.plan, self.route, self.impasse = planned, planned.route, planned.impasse
        self.last_resort = planned.last_resort
        if self.first_route is None:
            self.first_route = planned.route

    def follow(self, view: GraphRevision) -> None:
        """Continue with this revision of the graph."""
        self.view = view

    @property
    def cast(self) -> Cast:
        """What the current route was planned on about agents."""
        return self.plan.cast if self.plan is not None else NOBODY

    def stop_at(self, impasse: Impasse | None) -> None:
        """The impasse that the run ends with; `None` to look again."""
        self.impasse = impasse

    def own_waits(self) -> dict[str, float]:
        """The back-offs of this run: tool -> seconds that are left."""
        if not self.not_before:
            return {}
        now = self.runtime.clock.monotonic()
        return {name: at - now for name, at in self.not_before.items() if at > now}

    def hold_back(self, tool: str, seconds: float) -> None:
        """Do not call a tool for so many seconds in this run."""
        self.not_before[tool] = self.runtime.clock.monotonic() + seconds

    # -- what a call may ask -----------------------------------------------------------------------------------------

    def inputs_of(self, tool: Tool) -> dict[str, Any]:
        """The values at hand for a tool's parameters."""
        values, found = self.values.values, dict[str, Any]()
        for parameter, key in tool.takes.items():
            if key in values:
                found[parameter] = values[key]
        return found

    def accepted(self, call: Callable[..., Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the inputs that a user's function takes."""
        wanted = function_parameters(call)
        return {name: value for name, value in inputs.items() if wanted is None or name in wanted}

    def expected_cost(self, tool: Tool) -> float:
        """US dollars that an attempt is expected to cost."""
        runtime = self.runtime
        if tool.declares_cost and not callable(tool.cost):
            return runtime.health.money(tool.name, tool.planned_cost())
        return max(runtime.charges.expected(tool), runtime.health.money(tool.name, tool.planned_cost()))

    def is_called_above(self, name: str) -> bool:
        """Whether a call of this tool in a run above has reached for this run."""
        return self.parent is not None and (name in self.parent.state.doing or self.parent.is_called_above(name))

    async def within_deadline(self, work: Awaitable[T], timeout: float | None) -> T:
        """The result of `work` within its time-out and the run's deadline. Raises `TimeoutError`."""
        left = self.account.seconds_left()
        limits = [limit for limit in (timeout, None if left is None else max(0.0, left)) if limit is not None]
        limit = min(limits, default=None)
        try:
            return await self.runtime.clock.wait_for(work, limit)
        except TimeoutError as error:
            raise TimeoutError(str(error) or f"no answer within {limit:g} s") from None

    def digest(self, inputs: Mapping[str, Any]) -> str:
        """SHA-256 of inputs."""
        return digest(inputs, self.view, self.runtime.digest_key)

    def is_open(self, keys: tuple[str, ...], inputs_digest: str) -> bool:
        """Whether this run or one above it works on the same goal with equal inputs."""
        same = self.state.wanted.keys == keys and same_digest(inputs_digest, self.state.inputs_digest)
        return same or (self.parent is not None and self.parent.is_open(keys, inputs_digest))


__all__ = ["OpenQuestion", "Run"]
