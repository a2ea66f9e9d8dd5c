"""`StepExecutor`: one step made to happen: attempts, time-outs, checks, retries."""

import asyncio
import inspect
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_never

from orchestrator.core.enums import DecisionKind, Effect, FailureKind
from orchestrator.core.errors import InvalidOutput, StoreError, ToolError
from orchestrator.core.events import CallEnded, CallStarted
from orchestrator.core.failure import Failure
from orchestrator.core.route import Step
from orchestrator.core.schema import validate
from orchestrator.engine.background.learning import note_outcome
from orchestrator.engine.lifecycle.finish import DURABLE_WITHIN, undo
from orchestrator.graph.tool import Tool
from orchestrator.health.failures.classify import classify, failure_of, message_of, secret_strings
from orchestrator.health.retry_budget import backoff

from .approval import is_approved
from .context import CallContext, WaitForAnswer, idempotency_key
from .reconcile import settle
from .result import AttemptFailed, Finished, NotStarted, Settled, StepStatus
from .retry import RetryFacts, decide_retry

if TYPE_CHECKING:
    from orchestrator.engine.run import Run

PROVES_NOTHING_HAPPENED = frozenset({FailureKind.OUTAGE, FailureKind.TRANSIENT, FailureKind.CALLER_ERROR})


class StepExecutor:
    """Makes one step of one run happen."""

    def __init__(self, run: "Run", step: Step, tool: Tool) -> None:
        self.run = run
        self.runtime = run.runtime
        self.step = step
        self.tool = tool
        self.inputs = run.inputs_of(tool)
        self.feedback: str | None = None
        self.undone = False
        """Whether an effect with an invalid output was undone at once."""

    async def make(self) -> Finished:
        """Make the step happen; never raises for what a tool does."""
        if not is_approved(self.run, self.tool, self.inputs):
            return Finished(self.tool.name, StepStatus.NEEDS_APPROVAL)
        limit = self.runtime.limit(self.tool)
        if limit is None:
            return await self._made()
        async with limit:
            return await self._made()

    async def _made(self) -> Finished:
        name = self.tool.name
        try:
            try:
                await self._attempt()
            except AttemptFailed as failed:
                await self._go_on_after(failed)
        except AttemptFailed as failed:
            return Finished(name, self._ending(failed), self._why(failed))
        except NotStarted as stopped:
            ending = StepStatus.UNCERTAIN if name in self.run.state.doubt else stopped.ending
            return Finished(name, ending, stopped.reason)
        except Settled:
            return Finished(name, StepStatus.DONE)
        except WaitForAnswer as asked:
            return Finished(name, StepStatus.ASKED, asked.question, asked)
        return Finished(name, StepStatus.DONE)

    async def _go_on_after(self, failed: AttemptFailed) -> None:
        """Further attempts by tenacity, to which the failed one is the first: most calls never need it."""
        past: list[AttemptFailed] = [failed]

        async def attempt() -> None:
            if past:
                raise past.pop()
            await self._attempt()

        await AsyncRetrying(
            sleep=self.runtime.clock.sleep,
            wait=self._pause,
            stop=stop_never,
            retry=retry_if_exception(self._again),
            reraise=True,
        )(attempt)

    def _why(self, failed: AttemptFailed) -> str:
        """What happened, in a few words: the class of the failure, its message, and why it is not tried again."""
        failure = failed.failure
        tried = f" (attempt {failure.attempt})" if failure.attempt > 1 else ""
        return f"{failure.kind.replace('_', ' ')}: {failure.message}{tried}"

    def _ending(self, failed: AttemptFailed) -> StepStatus:
        if failed.failure.kind is FailureKind.AMBIGUOUS and not failed.answered:
            return StepStatus.UNCERTAIN
        if failed.failure.kind is FailureKind.INVALID_OUTPUT and self.tool.effect is not Effect.READ:
            return StepStatus.FAILED if self.undone else StepStatus.INVALID_EFFECT
        return StepStatus.FAILED

    # -- one attempt -------------------------------------------------------------------------------------------------

    async def _attempt(self) -> None:
        context = await self._start()
        clock = self.runtime.clock
        started = clock.monotonic()
        raw: Any = None
        self.runtime.in_flight[self.tool.name] += 1
        try:
            raw = await self._invoke(context)
            outputs = await self.checked(raw)
        except WaitForAnswer:
            self._end(context, started, asked=True)
            raise
        except asyncio.CancelledError:
            self._cancelled(context, started)
            raise
        except Exception as error:
            raise await self._failed(error, context, started, raw) from None
        finally:
            self.runtime.in_flight[self.tool.name] -= 1
        self.succeed(outputs, context, started)
        if self.tool.effect is not Effect.READ or self.runtime.policy.durability == "sync":
            with suppress(StoreError):  # it is told; the result itself is not lost to this run
                await self.runtime.store.settled(DURABLE_WITHIN, self.run.state.run_id, self.run.token)

    async def _start(self) -> CallContext:
        """Budget, admission, and for writes the durable intent. Raises `NotStarted`."""
        run, name = self.run, self.tool.name
        over = run.over_budget(self.tool)
        if over:
            raise NotStarted(StepStatus.OVER_BUDGET, over)
        admission = self.runtime.health.admit(name, run.state.run_id, run.last_resort)
        if not admission.ok and name not in run.state.allowed:
            raise NotStarted(StepStatus.NOT_ADMITTED, admission.reason)
        if not admission.probe and self.runtime.crowded(name, last_resort=run.last_resort):
            self.runtime.health.release(name, run.state.run_id)
            raise NotStarted(StepStatus.NOT_ADMITTED, "held back: it is failing everybody, or has only just recovered")
        attempt = run.state.attempts[name] + 1
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
                probe=admission.probe,
            )
        )
        self.runtime.healing.note_call(name)
        context = CallContext(run, name, attempt, call_id)
        if self.tool.effect is not Effect.READ:
            await self._make_intent_durable(context)
        return context

    async def _make_intent_durable(self, context: CallContext) -> None:
        try:
            await self.runtime.store.settled(DURABLE_WITHIN, self.run.state.run_id, self.run.token)
        except StoreError as error:
            failed = StoreError(f"its intent could not be made durable: {error}")
            failure = self._failure(FailureKind.OUTAGE, context, failed)
            self._end(context, self.runtime.clock.monotonic(), failure=failure)
            self.runtime.health.release(self.tool.name, self.run.state.run_id)
            raise AttemptFailed(failure, repeatable=False) from None

    async def _invoke(self, context: CallContext) -> Any:
        tool = self.tool
        args, kwargs = tool.bind(self.inputs)
        if tool.signature and tool.signature.context:
            kwargs[tool.signature.context] = context
        if tool.idempotency_key:
            kwargs[tool.idempotency_key] = idempotency_key(context.run_id, tool.name)
        feedback = getattr(tool, "accepts_feedback", None)
        if feedback and self.feedback is not None:
            kwargs[feedback] = self.feedback
        return await self.run.within_deadline(
            self.call(tool.call, args, kwargs, is_async=tool.is_async), tool.timeout or self.runtime.policy.timeout
        )

    async def call(self, call: Any, args: list[Any], kwargs: dict[str, Any], *, is_async: bool) -> Any:
        if is_async:
            return await call(*args, **kwargs)
        result = await self.runtime.threads.run(lambda: call(*args, **kwargs))
        return await result if inspect.isawaitable(result) else result

    async def checked(self, raw: Any) -> dict[str, Any]:
        """The outputs by key, validated by their types and by `ensure`. Raises `InvalidOutput`."""
        tool = self.tool
        if len(tool.gives) == 1:
            outputs = dict(zip(tool.gives, [raw], strict=True))
        elif isinstance(raw, Mapping) and set(tool.gives) <= set(cast("Mapping[str, Any]", raw)):
            outputs = {key: cast("Mapping[str, Any]", raw)[key] for key in tool.gives}
        else:
            raise InvalidOutput(f"it gives {', '.join(tool.gives)}: its call must return a mapping with these keys")
        view = self.run.view
        outputs = {key: validate(key, view.key_type(key), value) for key, value in outputs.items()}
        if tool.ensure is not None:
            await self._ensure(tool.ensure, outputs[next(iter(tool.gives))] if len(tool.gives) == 1 else outputs)
        return outputs

    async def _ensure(self, ensure: Any, output: Any) -> None:
        try:
            verdict = ensure(output)
            verdict = await verdict if inspect.isawaitable(verdict) else verdict
        except ToolError:
            raise  # it says itself what the output means: a refusal in words, say
        except Exception as error:
            raise InvalidOutput(f"ensure rejected the output: {error}") from error
        if verdict is False:
            raise InvalidOutput("ensure rejected the output")

    # -- how it ended ------------------------------------------------------------------------------------------------

    def _end(self, context: CallContext, started: float, **what: Any) -> CallEnded:
        event = CallEnded(
            **self.run.stamp(),
            call_id=context.call_id,
            tool=self.tool.name,
            attempt=context.attempt,
            seconds=max(0.0, self.runtime.clock.monotonic() - started),
            ok=what.pop("ok", False),
            usage={name: float(amount) for name, amount in context.usage.items()},
            llm_calls=context.llm_calls,
            **what,
        )
        self.run.emit(event)
        return event

    def succeed(self, outputs: Mapping[str, Any], context: CallContext, started: float, *, later: bool = False) -> None:
        kept = self.run.values.put(self.tool.name, outputs, self.run.view)
        event = self._end(
            context,
            started,
            ok=True,
            gives=tuple(self.tool.gives),
            kept=kept,
            cost=self._cost(context),
            reconciled=later,
        )
        if not later:
            self.runtime.health.record(
                self.tool.name, True, None, event.seconds, event.cost, via=self.step.via, owner=self.run.state.run_id
            )
        note_outcome(self.run, self.tool, True, event)

    def _cost(self, context: CallContext) -> float:
        cost = self.tool.cost
        return (float(cost(context.usage)) if callable(cost) else cost) + context.charged

    def _failure(self, kind: FailureKind, context: CallContext, error: Exception, raw: Any = None) -> Failure:
        """The failure that an error is; its texts hold neither what the call was given nor what it gave."""
        secrets = secret_strings(self.inputs) | secret_strings(self.runtime.deps) | secret_strings(raw)
        failure = failure_of(
            error,
            kind,
            self.tool.name,
            secrets=secrets,
            id=self.run.state.next_failure_id(),
            call_id=context.call_id,
            attempt=context.attempt,
            at=self.runtime.clock.time(),
        )
        return failure if kind is FailureKind.BUG else replace(failure, traceback="")

    async def _failed(self, error: Exception, context: CallContext, started: float, raw: Any) -> AttemptFailed:
        kind = classify(error, self.tool, started=True, table=self.runtime.failures)
        if kind in _OF_THIS_ATTEMPT and self.tool.name in self.run.state.doubt:
            kind = FailureKind.AMBIGUOUS  # nothing happened this time; an attempt before it may have taken place
        failure = self._failure(kind, context, error, raw)
        nothing = kind in PROVES_NOTHING_HAPPENED
        event = self._end(context, started, failure=failure, cost=context.charged if nothing else self._cost(context))
        self.runtime.health.record(
            self.tool.name,
            False,
            kind,
            event.seconds,
            event.cost,
            retry_after=failure.retry_after,
            rate_limited=failure.rate_limited,
            via=self.step.via,
            message=failure.message,
            owner=self.run.state.run_id,
        )
        note_outcome(self.run, self.tool, False, event)
        if kind is FailureKind.INVALID_OUTPUT:
            self.feedback = message_of(error)  # for the agent alone, which knows what it was given
        if kind is FailureKind.AMBIGUOUS:
            return await settle(self, failure, context)
        if kind is FailureKind.INVALID_OUTPUT and self.tool.effect is not Effect.READ:
            self.undone = await undo(self.run, self.tool, raw, "it happened, but its output is not valid")
            return AttemptFailed(failure, repeatable=False)
        return AttemptFailed(failure, repeatable=True)

    def _cancelled(self, context: CallContext, started: float) -> None:
        """A read that is cancelled is over; a write's intent stays open, for it may have happened."""
        self.runtime.health.release(self.tool.name, self.run.state.run_id)
        if self.tool.effect is Effect.READ:
            self._end(context, started, cancelled=True)

    # -- retries -----------------------------------------------------------------------------------------------------

    def retry_facts(self, failure: Failure, *, repeatable: bool) -> RetryFacts:
        retries = self.runtime.policy.retries
        allowed = self.tool.retries if self.tool.retries is not None else retries.attempts
        spent = self.run.state.tries[self.tool.name]
        wanted = repeatable and spent <= allowed and failure.kind in _RETRIED
        return RetryFacts(
            kind=failure.kind,
            attempt=spent,
            retries=allowed,
            in_budget=not wanted or self.runtime.healing.allow(self.tool.name),
            retry_after=failure.retry_after,
            max_retry_after=retries.max_retry_after,
            seconds_left=self.run.seconds_left(),
            is_agent=self.tool.is_agent,
            repeatable=repeatable,
            usable=self.runtime.health.usable(self.tool.name),
            own=self.tool.retries is not None,
        )

    def _again(self, error: BaseException) -> bool:
        return isinstance(error, AttemptFailed) and self.may_repeat(error)

    def may_repeat(self, error: AttemptFailed) -> bool:
        """Whether the attempt is made again; if so, the decision is on record."""
        if error.answered:
            return error.repeatable
        facts = self.retry_facts(error.failure, repeatable=error.repeatable)
        again, reason = decide_retry(facts)
        if again:
            self.run.decide(
                DecisionKind.RETRY,
                "retry",
                reason=reason,
                answers=(error.failure.id,),
                subject=self.tool.name,
                facts=facts.to_json(),
            )
        else:
            self.run.not_retried[error.failure.id] = facts.to_json()
        return again

    def _pause(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        after = error.failure.retry_after if isinstance(error, AttemptFailed) else None
        drawn = backoff(state.attempt_number, self.runtime.policy.retries, self.runtime.draws)
        return max(drawn, after or 0.0)


_OF_THIS_ATTEMPT = PROVES_NOTHING_HAPPENED | {FailureKind.REFUSAL}
"""Kinds that prove that an attempt did nothing, and nothing about the attempts before it."""
_RETRIED = (FailureKind.TRANSIENT, FailureKind.AMBIGUOUS, FailureKind.INVALID_OUTPUT)
