"""`Run`: one live run: its state, its values, and `emit`."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

from orchestrator.core.decision import Decision
from orchestrator.core.enums import DecisionKind, Status
from orchestrator.core.errors import OwnershipLost
from orchestrator.core.events import Decided, Event
from orchestrator.core.outcome import Outcome
from orchestrator.core.process.shared_result import SharedResult
from orchestrator.core.route import Candidate, Impasse, Route
from orchestrator.core.values.copies import own_copy
from orchestrator.engine.planning.agents import NOBODY, Cast
from orchestrator.engine.planning.planning import Planned, function_parameters
from orchestrator.graph.graph import GraphRevision
from orchestrator.graph.tool import Tool

from .fold import apply
from .recorder import Recorder
from .runtime import Runtime
from .state import RunState
from .tree import BudgetAccount, CancelScope, OpenQuestion, PendingWaits, StoreOutage
from .values import ValueTable, digest, same_digest

T = TypeVar("T")


class Run:
    """One run while this process drives it: the state folded from its events, live values, the current plan."""

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
        self.node: Future[None] | None = None
        """The last node of that graph that drove it: done when the node has ended."""
        self.interrupts: dict[str, list[str]] = {}
        """Task of that graph -> the questions that it interrupted with, in order."""
        self.trace_id = trace_id
        """The trace in which the run started; the same for all its callers."""
        self.recorder = Recorder(state.run_id, runtime, token)
        self.values = ValueTable(state.run_id, runtime.store, durable=durable, token=token)
        self.scope: CancelScope = CancelScope(self.wake_up, parent.scope if parent else None)
        self.account: BudgetAccount = BudgetAccount(
            state, runtime.clock, parent.account if parent else None, parent_call
        )
        self.outage: StoreOutage = parent.outage if parent else StoreOutage()
        self.view: GraphRevision = runtime.graph.view()
        self.plan: Planned | None = None
        """The current route or impasse with the facts it was planned on."""
        self.route: Route | None = None
        self.first_route: Route | None = None
        self.last_resort = False
        """Whether the route uses tools with an open circuit, because there is no other route."""
        self.impasse: Impasse | None = None
        """Why there is no route."""
        self.open: list[Impasse] = []
        """Results of steps that only a person, or a rung of the ladder, can settle."""
        self.asked: dict[str, OpenQuestion] = {}
        """The open questions to people, by id: of this run and of the children that it waits for."""
        self.on_wake: Callable[[], None] | None = None
        """Called when a waiting run is woken: one of its suspended calls may continue by itself."""
        self.answer: tuple[str, Any, str] | None = None
        """A submitted answer that is not applied yet: the question's id, the answer, and who gave it."""
        self.scheduler: Any = None
        """The scheduler of the current route (a `StepScheduler`): its calls may stay suspended while the run waits."""
        self.parent_call = parent_call
        """The call of the parent run that started this run by `ctx.reach`."""
        self._rebound: asyncio.Event | None = None
        self.approval_wanted: dict[str, str] = {}
        """Tool (or the whole run) -> why a monitor wants a person to approve its writes."""
        self.not_retried: dict[str, dict[str, Any]] = {}
        """Failure -> the facts of the decision not to retry it, until a decision answers it."""
        self.not_before: dict[str, float] = {}
        """Tool -> when this run may call it again, in monotonic seconds: the back-off of its retry."""
        self.deferrals: dict[str, int] = {}
        """Tool -> how often its step was replaced by another route because of a wait."""
        self.repriced: set[str] = set()
        """Tools whose health changed since `take_repriced` was last called."""
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
        self.cuts: set[asyncio.Future[None]] = set()
        """One for each await that a cancellation ends: see `unless_stopped`."""
        self._left = False
        self.fenced = False
        """Whether another owner has the run: then this process decides, does and records nothing more."""
        self.released = False
        """Whether the run waits and this process has released its ownership."""
        self.error: BaseException | None = None
        """The exception of the last failure."""
        self.final: Outcome[Any] | None = None
        self.task: asyncio.Task[Outcome[Any]] | None = None
        self.phase: asyncio.Task[Any] | None = None
        """The phase that a compiled graph drives now."""
        self.recovered = False
        """Whether the run was restored from its record."""
        self.watches: list[asyncio.Task[None]] = []
        """Tasks that watch the deadlines of its questions."""
        self.waiters = 0
        """Number of callers that wait for the outcome."""
        self.rebind()

    # -- ownership and the event loop --------------------------------------------------------------------------------

    def rebind(self) -> None:
        """Bind the run to the running event loop, which may differ from the one before."""
        self.loop = asyncio.get_running_loop()
        if self._rebound is not None:
            self._rebound.set()
        self._rebound = asyncio.Event()
        self.wake = asyncio.Event()
        self.result: SharedResult[Outcome[Any]] = SharedResult()
        """The outcome, once the run has ended or waits; may be joined from any thread."""

    @property
    def token(self) -> int | None:
        """The fencing token; `None` where nothing is fenced."""
        return self.recorder.token

    def fence(self) -> None:
        """Stop the whole tree at once: another owner has the run. Callable from any thread."""
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
        """Whether this process releases the stored run in its current state: nothing of it ends here."""
        return self._left or self.fenced or (self.parent is not None and self.parent.left)

    def leave(self) -> None:
        """Release the run and all below it in their current state, for the process that recovers them. No effect in
        memory.
        """
        self._left = self.durable

    def cancel(self, reason: str) -> None:
        """Cancel the run and all below it, from any thread."""
        self.scope.cancel(reason)

    def _stop(self) -> None:
        for task in (self.task, self.phase):
            if task is not None:
                task.cancel()

    def own(self, token: int | None) -> None:
        """Write with this fencing token from now on."""
        self.recorder.token = self.values.token = token
        self.released = False

    def release(self) -> None:
        """Note that the ownership was released: the run waits, and any process may take its answer."""
        self.released = True

    def wake_up(self) -> None:
        """Wake the run, from any thread."""
        with contextlib.suppress(RuntimeError):  # its event loop is closed
            self.loop.call_soon_threadsafe(self.woken)

    def woken(self) -> None:
        """Wake the run; in the run's own event loop."""
        self.wake.set()
        if self.cancelled is not None:
            if self._rebound is not None:
                self._rebound.set()
            for cut in self.cuts:
                if not cut.done():
                    cut.set_result(None)
        if self.on_wake is not None and self.waits:
            self.on_wake()
        above = self.parent
        while above is not None and not (above.waits and above.on_wake is not None):
            above = above.parent
        if above is not None:  # it may show a question of this run that was withdrawn
            above.wake_up()

    def nudge(self, names: Iterable[str]) -> None:
        """Wake the run if it relies on one of these tools, which went down. Callable from any thread."""
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
        """Why the run must stop; `None` while it need not."""
        return self.scope.reason

    # -- events ------------------------------------------------------------------------------------------------------

    def stamp(self) -> dict[str, Any]:
        """The fields that every event of this run has."""
        return {"run_id": self.state.run_id, "at": self.runtime.clock.time()}

    def emit(self, event: Event) -> None:
        """Apply an event to the state, write it to the ledger, and pass it to every sink.

        Raises `OwnershipLost` once the run is fenced.
        """
        if self.fenced:
            raise OwnershipLost(f"another process has taken over the run {self.state.run_id!r}")
        apply(self.state, event)
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
        """Record a decision."""
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
        """The current policy, if the run was under another one before it was resumed."""
        policy = self.runtime.policy_data
        return None if policy == self.state.policy else policy

    # -- questions and the end ---------------------------------------------------------------------------------------

    @property
    def waits(self) -> bool:
        """Whether the run waits for people, and no answer has been submitted."""
        return self.state.status is Status.WAITING and self.answer is None and self.cancelled is None

    @property
    def is_at_rest(self) -> bool:
        """Whether the run waits and no task drives it; false while it is still being released."""
        return self.task is None or self.result.done()

    async def answered(self) -> None:
        """Wait until a waiting run continues."""
        while self.waits and self._rebound is not None:
            await self._rebound.wait()

    def call_waits(self, call_id: str) -> bool:
        """Whether a call in flight can only continue after a person's answer, to it or to its children."""
        return self.pending.only_people(call_id)

    def give(self, question_id: str, answer: Any, by: str) -> None:
        """Submit a person's answer to a question, and who gave it."""
        self.answer = (question_id, answer, by)

    def take_answer(self) -> tuple[str, Any, str]:
        """Take the submitted answer; `None` if there is none."""
        answer, self.answer = self.answer, None
        assert answer is not None
        return answer

    def note_error(self, error: BaseException) -> None:
        """Keep the exception of the newest failure."""
        self.error = error

    def end(self, outcome: Outcome[Any]) -> None:
        """Note that the run has ended with this outcome."""
        self.final = outcome

    def close(self) -> None:
        """Drop references that form cycles and data of live runs, so that the memory is freed at once."""
        self.scope.leave()
        self.scheduler = self.on_wake = None

    # -- the plan ----------------------------------------------------------------------------------------------------

    def use(self, planned: Planned) -> None:
        """Use this plan from now on."""
        self.plan, self.route, self.impasse = planned, planned.route, planned.impasse
        self.last_resort = planned.last_resort
        if self.first_route is None:
            self.first_route = planned.route

    def follow(self, view: GraphRevision) -> None:
        """Use this revision of the graph from now on."""
        self.view = view

    @property
    def cast(self) -> Cast:
        """The agents that the current route was planned with."""
        return self.plan.cast if self.plan is not None else NOBODY

    def stop_at(self, impasse: Impasse | None) -> None:
        """Set the impasse that the run ends with; `None` to plan again."""
        self.impasse = impasse

    def own_waits(self) -> dict[str, float]:
        """The back-offs of this run: tool -> remaining seconds."""
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
        """Own copies of the inputs that a user's function takes."""
        wanted = function_parameters(call)
        copied: dict[str, Any] = own_copy(
            {name: value for name, value in inputs.items() if wanted is None or name in wanted}
        )
        return copied

    def expected_cost(self, tool: Tool) -> float:
        """US dollars that an attempt is expected to cost."""
        runtime = self.runtime
        if tool.declares_cost and not callable(tool.cost):
            return runtime.health.money(tool.name, tool.planned_cost())
        return max(runtime.charges.expected(tool), runtime.health.money(tool.name, tool.planned_cost()))

    def is_called_above(self, name: str) -> bool:
        """Whether this run was started by a call of this tool in a run above."""
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
        """Whether this run or one above it has the same goal with equal inputs."""
        same = self.state.wanted.keys == keys and same_digest(inputs_digest, self.state.inputs_digest)
        return same or (self.parent is not None and self.parent.is_open(keys, inputs_digest))


__all__ = ["Run"]
