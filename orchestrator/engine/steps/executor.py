"""`StepExecutor`: executes one step: admission, attempts, time-outs, checks, retries."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any, Final

from orchestrator.core.calls.user_code import UserFunctionError
from orchestrator.core.enums import Effect, FailureKind, Status
from orchestrator.core.errors import StoreError
from orchestrator.core.events import CallStarted, ProblemReported
from orchestrator.core.failure import Failure
from orchestrator.core.route import Step
from orchestrator.engine.failures import failure_kind, make_failure, make_failure_of_call, note_user_failure
from orchestrator.engine.interruption import Stopped
from orchestrator.engine.planning.replan import changed_since
from orchestrator.engine.processes import in_process, processes
from orchestrator.engine.run import Run
from orchestrator.engine.slots import MOST_GIVEN_UP, THREADS, CallSlots
from orchestrator.engine.spending import DailyLimits
from orchestrator.graph.tool import Tool
from orchestrator.health.failures.classify import message_of

from .approval import why_approval
from .attempt_end import AttemptEnd, await_cost, cost_or_charged, note_unknown_cost
from .compensate import DURABLE_WITHIN, compensate_effect, intent_durable
from .context import CallContext
from .invocation import GRACE, Invocation, StillRunning, arguments, blocking_note
from .outputs import validated_outputs
from .reconcile import note_found, settle
from .result import (
    AttemptFailed,
    AttemptResult,
    Done,
    Failed,
    InvalidEffect,
    NeedsApproval,
    NotStarted,
    StepResult,
    Uncertain,
)
from .retry import may_repeat, why_not_retried
from .turn import WaitForTurn

PROVES_NOTHING_HAPPENED: Final = frozenset(
    {FailureKind.OUTAGE, FailureKind.ACCOUNT, FailureKind.TRANSIENT, FailureKind.CALLER_ERROR}
)
_OF_THIS_ATTEMPT: Final = PROVES_NOTHING_HAPPENED | {FailureKind.REFUSAL}
"""Failure classes that prove that an attempt had no effect; they prove nothing about earlier attempts."""


class StepExecutor:
    """Executes one step of one run."""

    def __init__(self, run: Run, step: Step, tool: Tool) -> None:
        self.run = run
        self.runtime = run.runtime
        self.step = step
        self.tool = tool
        self.inputs = run.inputs_of(tool)
        self.feedback: str | None = None
        self.in_call = False
        """Whether an attempt is under way."""
        self.records_intent = False
        """Whether the attempt waits until its intent is durable, so nothing was sent yet."""
        self.call_id = ""
        """The call in flight."""
        self.dropped = False
        """Whether the run ends without the step, so that its cancelled call is recorded."""
        self.settling = False
        """Whether `reconcile` is running for an uncertain effect: a halt waits for it."""
        self.own_cost = 0.0
        """US dollars of the last attempt, without its child runs."""
        self._unlimited = False
        """Whether no budget holds for the attempt."""
        self._limited = False
        """Whether a limit in US dollars holds."""
        self._expected = 0.0
        """US dollars that the attempt is expected to cost, where a limit holds."""
        self._invocation: Invocation | None = None

    @property
    def may_have_effect(self) -> bool:
        """Whether a write is in flight, which must be allowed to finish."""
        return self.in_call and not self.records_intent and self.tool.effect is not Effect.READ

    async def make(self) -> StepResult:
        """Execute the step; never raises for an error of the tool."""
        if self.tool.approval or self.tool.effect is not Effect.READ:
            try:
                why = await why_approval(self.run, self.tool, self.inputs)
            except Stopped:
                stopped = self.run.scope.reason
                return NotStarted(stopped or "the deadline has passed", over_budget=stopped is None)
            except UserFunctionError as error:
                return Failed(note_user_failure(self.run, self.tool, error.option, error).message)
            if why:
                return NeedsApproval(why)
        while True:
            match result := (await self._waits.turn() if self._may_wait() else None) or await self._attempt():
                case AttemptFailed():
                    if not may_repeat(self.run, self.tool, result):
                        return self._ended_by(result)
                    self._waits.decided()
                case NotStarted() if self.tool.name in self.run.state.doubt:
                    return Uncertain(result.reason)
                case NotStarted(held_back=True) if await self._waits.for_room():
                    pass
                case _:
                    return result

    @cached_property
    def _waits(self) -> WaitForTurn:
        """The waits of the step, where there is anything to wait for."""
        return WaitForTurn(self.run, self.tool)

    def _may_wait(self) -> bool:
        """Whether a back-off, a queue or the health of the tool may keep the step waiting."""
        return bool(self.run.not_before or self.runtime.limits) or not self.runtime.health.is_calm(self.tool.name)

    def _ended_by(self, failed: AttemptFailed) -> StepResult:
        """The result of the step after an attempt that is not repeated, with the failure's class and message."""
        failure = failed.failure
        tried = f" (attempt {failure.attempt})" if failure.attempt > 1 else ""
        reason = f"{failure.kind.replace('_', ' ')}: {failure.message}{tried}"
        if failure.kind is FailureKind.AMBIGUOUS and not failed.answered:
            return Uncertain(reason)
        if failure.kind is FailureKind.INVALID_OUTPUT and self.tool.effect is not Effect.READ and not failed.undone:
            return InvalidEffect(reason)
        why, usable_later = why_not_retried(self.run, failure)
        return Failed(f"{reason}; {why}" if why else reason, usable_later)

    # -- one attempt -------------------------------------------------------------------------------------------------

    async def _attempt(self) -> AttemptResult:
        """One attempt, within the limits of its tool and of threads. Queueing for slots does not count as latency."""
        days = DailyLimits.of(self.runtime.policy, self.run.state.labels) if self.runtime.limits_days else {}
        self._unlimited = self.run.account.unlimited
        self._limited = not self._unlimited and self.run.account.limited
        limits = self._limits(in_dollars=bool(days) or self._limited)
        slots = CallSlots(*limits, run_id=self.run.state.run_id) if limits else None
        try:
            if slots is not None:
                await self.run.within_deadline(slots.acquire(), None)
        except TimeoutError:
            return NotStarted("the deadline has passed", over_budget=True)
        invocation = Invocation(self.runtime, self.tool.name, slots)
        try:
            return await (self._reserved(days, invocation) if days else self._admitted(invocation))
        finally:
            if slots is not None and not invocation.running:
                slots.release()

    async def _reserved(self, days: Mapping[str, float], invocation: Invocation) -> AttemptResult:
        """One attempt, with its expected cost reserved in the daily accounts."""
        charges = self.runtime.charges
        expected = charges.expected(self.tool)
        if expected == 0 and charges.known(self.tool):
            return await self._admitted(invocation)
        made = await self.runtime.daily.reserve(days, expected)
        if isinstance(made, str):
            return NotStarted(made, over_budget=True)
        self.own_cost = 0.0
        try:
            return await self._admitted(invocation)
        finally:
            made.settle(self.own_cost)

    async def _admitted(self, invocation: Invocation) -> AttemptResult:
        """One attempt, unless cancellation, the budget or health forbid it now."""
        self._invocation = invocation
        self.in_call = True
        try:
            if self.run.durable:
                async with self.runtime.probe_leases(self.tool.name, self.run.state.run_id):
                    refused = self._not_started()
            else:
                refused = self._not_started()
            return refused or await self._made(invocation)
        finally:
            self.in_call = False

    def _limits(self, *, in_dollars: bool) -> "tuple[Any, ...]":
        """The limits of which the attempt holds slots, except while it waits for a person or a child.

        Under a limit `in_dollars`, a tool of unknown cost is called alone until one call has reported.
        """
        name = self.tool.name
        limited = self.tool.max_concurrency is not None or name in self.runtime.limits
        own = self.runtime.limit(self.tool) if limited else None
        thread = () if self.tool.is_async else (THREADS.slots,)
        worker = (processes().slots,) if self.tool.isolation == "process" else ()
        THREADS.most = self.runtime.policy.max_threads
        alone = in_dollars and not self.runtime.charges.known(self.tool) and not self.run.is_called_above(name)
        first = (self.runtime.first_report(self.tool),) if alone else ()
        if self.runtime.fleet_limits and (fleet := self.runtime.fleet_limit(self.tool)) is not None:
            first = (*first, fleet)
        return (*first, own, *worker, *thread) if own is not None else (*first, *worker, *thread)

    def _not_started(self) -> NotStarted | None:
        """Why the attempt may not start now: cancellation, budget, health; `None` when it may."""
        run, name = self.run, self.tool.name
        if (reason := run.scope.reason) is not None:
            return NotStarted(reason)
        if (view := self.runtime.graph.view()) is not run.view and (anew := changed_since(run, self.tool, view)):
            return NotStarted(anew, usable_later=True, declared_anew=True)
        if not self._unlimited:
            self._expected = run.expected_cost(self.tool) if self._limited else 0.0
            over = run.account.refusal(self._expected)
            if over:
                return NotStarted(over, over_budget=True)
        stuck = THREADS.given_up.get(name, 0)
        if stuck >= MOST_GIVEN_UP:
            return NotStarted(f"{stuck} calls of it that were given up still run")
        self.admission = admission = self.runtime.health.admit(name, run.state.run_id, run.last_resort)
        if not admission.ok and name not in run.state.allowed:
            return NotStarted(admission.reason, usable_later=True, held_back=run.last_resort)
        if not (admission.free or admission.probe) and self.runtime.crowded(name, last_resort=run.last_resort):
            self.runtime.health.release(name, run.state.run_id)
            reason = "held back: its circuit is open, or it has only just recovered"
            return NotStarted(reason, usable_later=True, held_back=True)
        return None

    async def _made(self, invocation: Invocation) -> AttemptResult:
        context = self._begun()
        if self.tool.effect is not Effect.READ:
            failed = await self._make_intent_durable(context)
            if failed is not None:
                return failed
        started, raw = self.runtime.clock.monotonic(), None
        self.runtime.in_flight[self.tool.name] += 1
        try:
            raw = await self._called(invocation, context)
            outputs = await validated_outputs(self.run, self.tool, raw)
            await await_cost(self.run, self.tool, context)
            cost, unknown = cost_or_charged(self.tool, context)
        except asyncio.CancelledError:
            await self._cancelled(invocation, context, started)
            raise
        except Exception as error:
            return await self._failed(error, context, started, raw)
        finally:
            self.runtime.in_flight[self.tool.name] -= 1
        self.own_cost = AttemptEnd(self.run, self.step, self.tool, context, started).succeeded(outputs, cost)
        if unknown is not None:
            note_unknown_cost(self.run, self.tool, unknown)
        if self.tool.effect is not Effect.READ or self.runtime.policy.durability == "sync":
            with suppress(StoreError):  # reported by the store; the result is kept in memory
                await self.runtime.store.settled(DURABLE_WITHIN, self.run.state.run_id, self.run.token)
        return Done()

    def _begun(self) -> CallContext:
        """Record the attempt: for a write, its intent."""
        run, name = self.run, self.tool.name
        attempt = run.state.attempts.get(name, 0) + 1
        call_id = f"{run.state.run_id}#{run.state.started_calls + 1}"
        run.emit(
            CallStarted(
                **run.stamp(),
                call_id=call_id,
                tool=name,
                attempt=attempt,
                effect=self.tool.effect,
                keys=tuple(sorted(self.step.sources)),
                via=self.step.via,
                agent=self.tool.is_agent,
                probe=self.admission.probe,
            )
        )
        self.call_id = call_id
        run.account.reserve(call_id, self._expected)
        if run.state.tries.get(name) == 1:  # the retry budget is a share of first attempts
            self.runtime.healing.note_call(name)
        return CallContext(run, name, attempt, call_id)

    async def _make_intent_durable(self, context: CallContext) -> AttemptFailed | None:
        """Wait until the intent is durable. When a cancellation or a deadline ends the wait, the call is not made."""
        self.records_intent = True
        try:
            await intent_durable(self.run)
            if (reason := self.run.scope.reason) is None:
                return None
            return self._not_made(context, StoreError(f"it was not made: {reason}"))
        except StoreError as error:
            return self._not_made(context, StoreError(f"its intent could not be made durable: {error}"))
        except asyncio.CancelledError:
            if not self._released():
                self._not_made(context, StoreError("it was not made: the run ended before its intent was durable"))
            raise
        finally:
            self.records_intent = False

    def _not_made(self, context: CallContext, error: StoreError) -> AttemptFailed:
        failure = self._failure(FailureKind.OUTAGE, context, error)
        self._end(context, self.runtime.clock.monotonic(), failure=failure)
        self.runtime.health.release(self.tool.name, self.run.state.run_id)
        return AttemptFailed(failure, repeatable=False)

    async def _called(self, invocation: Invocation, context: CallContext) -> Any:
        """The result of the call, also a late one. Raises `TimeoutError` for an abandoned call."""
        try:
            args, kwargs = arguments(self.run, self.tool, self.inputs, context, self.feedback)
            limit, started = self._time_limit(), self.runtime.clock.monotonic()
            process = self.tool.isolation == "process"
            call = in_process(self.tool, self.runtime.threads.run) if process else self.tool.call
            invocation.start(call, args, kwargs, in_thread=not self.tool.is_async and not process)
            found = await invocation.result(limit)
            if not isinstance(found, StillRunning):
                return found
            patience = self.runtime.policy.patience if self.tool.effect is not Effect.READ else 0.0
            return await invocation.late_result(limit, started, context, patience)
        except asyncio.CancelledError:
            if not self._released():
                await context.end("the call that reached for it was cancelled")
            raise
        finally:
            if invocation.blocked:
                message = blocking_note(self.tool.name, invocation.blocked)
                self.run.emit(ProblemReported(**self.run.stamp(), source=self.tool.name, message=message))
            if not context.end_plain() and not self._released():
                await context.end()

    def _released(self) -> bool:
        """Whether the run continues elsewhere: its process releases it, or its event loop ends while it only waits."""
        if self.run.left:
            return True
        task = asyncio.current_task()
        waits = self.run.state.status is Status.WAITING and not self.dropped
        return waits and task is not None and task.cancelling() > 0

    def _time_limit(self) -> float:
        """Seconds that a call may take: a write in flight at the deadline may finish, within the policy's patience."""
        own = self.tool.timeout or self.runtime.policy.timeout
        left = None if self._unlimited else self.run.account.seconds_left()
        if left is None:
            return own
        patience = self.runtime.policy.patience if self.tool.effect is not Effect.READ else 0.0
        return min(own, max(0.0, left) + patience)

    # -- how it ended ------------------------------------------------------------------------------------------------

    async def _failed(self, error: Exception, context: CallContext, started: float, raw: Any) -> Done | AttemptFailed:
        name, kind = self.tool.name, failure_kind(self.run, self.tool, error)
        if kind in _OF_THIS_ATTEMPT and name in self.run.state.doubt:
            kind = FailureKind.AMBIGUOUS  # this attempt had no effect; an earlier attempt may have had one
        failure = await make_failure_of_call(
            self.run, self.tool, kind, error, call_id=context.call_id, attempt=context.attempt, raw=raw
        )
        self.run.note_error(error)
        await await_cost(self.run, self.tool, context)
        self.own_cost = AttemptEnd(self.run, self.step, self.tool, context, started).failed(
            failure, error, charged_only=kind in PROVES_NOTHING_HAPPENED
        )
        if kind is FailureKind.INVALID_OUTPUT:
            self.feedback = message_of(error)  # only for the agent, which knows its inputs
        if kind is FailureKind.AMBIGUOUS:
            return await self.settled(failure, context)
        if kind is FailureKind.INVALID_OUTPUT and self.tool.effect is not Effect.READ:
            undone = await compensate_effect(self.run, self.tool, raw, "it happened, but its output is not valid")
            return AttemptFailed(failure, repeatable=False, undone=undone)
        return AttemptFailed(failure, repeatable=True, last_resort=self.admission.anyway)

    async def settled(self, failure: Failure, context: CallContext) -> Done | AttemptFailed:
        """The result of `reconcile` for an uncertain effect."""
        self.settling = True
        running = self._invocation is not None and self._invocation.running
        found = await settle(self.run, self.tool, failure, running=running)
        if isinstance(found, AttemptFailed):
            return found
        now = self.runtime.clock.monotonic()
        await await_cost(self.run, self.tool, context)
        cost, unknown = cost_or_charged(self.tool, context)
        end = AttemptEnd(self.run, self.step, self.tool, context, now)
        self.own_cost = end.succeeded(found.outputs, cost, later=True)
        note_found(self.run, failure)  # after the result, so that a crash in between does not repeat the call
        if unknown is not None:
            note_unknown_cost(self.run, self.tool, unknown)
        return Done()

    async def _cancelled(self, invocation: Invocation, context: CallContext, started: float) -> None:
        """The result of a cancelled call: a read has ended; a write may have happened.

        When the event loop ends while the run only waits for a person, the call does not count as ended: it is made
        again for the answer.
        """
        run = self.run
        self.runtime.health.release(self.tool.name, run.state.run_id)
        children = any(child.parent_call == context.call_id for child in run.children.values())
        if await invocation.stop(self.runtime.policy.patience if children else GRACE):
            invocation.give_up()
        if self._released():
            return
        if self.tool.effect is Effect.READ:
            self._end(context, started, cancelled=True)
            return
        error = TimeoutError("it was cancelled while the call was in flight")
        self._end(context, started, failure=self._failure(FailureKind.AMBIGUOUS, context, error))

    def _end(self, context: CallContext, started: float, **how: Any) -> None:
        """Put on record that an attempt was not made, or was cancelled: it costs what it charged."""
        end = AttemptEnd(self.run, self.step, self.tool, context, started)
        event = end.record(ok=False, cost=context.spent, **how)
        self.own_cost = event.cost - event.children_cost

    def _failure(self, kind: FailureKind, context: CallContext, error: Exception) -> Failure:
        return make_failure(self.run, self.tool, kind, error, call_id=context.call_id, attempt=context.attempt)


__all__ = ["StepExecutor"]
