"""Compensation: an effect with its own durable intent and durable result.

A compensation whose answer was lost may have taken place. It is repeated only if `reconcile` finds that the effect
still stands, or if it takes the tool's idempotency key; otherwise the effect is listed.
"""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from orchestrator.core.calls.user_code import class_name_of, describe_error, is_async
from orchestrator.core.enums import NOT_DONE, DecisionKind, Effect
from orchestrator.core.errors import CallerError, Refused, StoreError
from orchestrator.core.events import EffectUndone
from orchestrator.engine.planning.planning import function_parameters
from orchestrator.engine.run import Run
from orchestrator.engine.slots import THREADS, CallSlots
from orchestrator.engine.state import label_of
from orchestrator.graph.tool import Tool
from orchestrator.health.failures.classify import nothing_happened

from .context import context_argument, idempotency_key
from .invocation import Invocation, StillRunning
from .reconcile import reconciled
from .retry import pause

DURABLE_WITHIN: Final = 10.0
"""Minimum seconds that an intent may take to become durable, if the policy's `patience` is shorter."""


async def intent_durable(run: Run) -> None:
    """Wait until the records of `run` are durable, for the policy's `patience`, so that a restart of the database loses
    no effect.

    All effects of a run tree share this time while the store is unreachable: one after another they wait no longer than
    the first. Raises `StoreError` after that time, and when the record was refused or lost.
    """
    outage, patience = run.outage, max(DURABLE_WITHIN, run.runtime.policy.patience)
    began = time.monotonic()
    try:
        await run.runtime.store.settled(outage.seconds_left(began, patience), run.state.run_id, run.token)
    except StoreError:
        outage.lasts(began, time.monotonic())
        raise
    outage.is_over()


class _Lost(Exception):
    """The compensation may have taken place."""

    def __init__(self, message: str, *, running: bool = False) -> None:
        super().__init__(message)
        self.running = running


def can_be_undone(tool: Tool) -> bool:
    """Whether an effect of this tool can be undone at all."""
    return tool.effect is Effect.WRITE and tool.compensate is not None


async def compensate_effect(
    run: Run,
    tool: Tool,
    output: Any,
    reason: str,
    facts: Mapping[str, Any] | None = None,
    *,
    of: Run | None = None,
) -> bool:
    """Compensate one effect of this run, or of one below (`of`); one that fails is listed, never swallowed.

    `facts`: the facts of the decision at the end of a run; `None` during the run.
    """
    if not can_be_undone(tool):
        return False
    label = tool.name if of is None else label_of(of.state.run_id, tool.name)
    run.decide(
        DecisionKind.COMPENSATE,
        tool.name,
        reason=reason,
        subject=label,
        price=tool.undo_cost,
        facts={"undo": True, **(facts or {})},
    )
    clock, store = run.runtime.clock, run.runtime.store
    started = clock.monotonic()
    try:
        await intent_durable(run)
    except StoreError as error:
        problem, uncertain = f"its intent could not be made durable: {class_name_of(error)}", False
    else:
        problem, uncertain = await _compensated(of or run, tool, output)
    seconds = max(0.0, clock.monotonic() - started)
    stamp = run.stamp()
    ended = EffectUndone(**stamp, tool=label, ok=not problem, reason=problem, seconds=seconds, uncertain=uncertain)
    run.emit(ended)
    with suppress(StoreError):  # reported by the store; the result is kept in memory
        await store.settled(DURABLE_WITHIN, run.state.run_id, run.token)
    return not problem


async def _compensated(run: Run, tool: Tool, output: Any) -> tuple[str, bool]:
    """The problem of a compensation, empty when it took place, and whether it is ambiguous."""
    attempts = run.runtime.policy.retries.attempts + 1
    for attempt in range(1, attempts + 1):
        try:
            await _attempt(run, tool, output)
        except _Lost as lost:
            stands = await effect_stands(run, tool)
            if stands is False:
                return "", False
            safe = not lost.running and (stands or takes_key(tool))
            if not safe or attempt == attempts:
                return str(lost), lost.running or stands is not True
        except Exception as error:
            if isinstance(error, Refused | CallerError) or attempt == attempts:
                return describe_error(error, text=False), False
        else:
            return "", False
        await run.runtime.clock.sleep(pause(run.runtime, attempt))
    raise AssertionError("unreachable")


async def _attempt(run: Run, tool: Tool, output: Any) -> None:
    """One attempt. Raises `_Lost` when it may have taken place, and the original error when it did not."""
    call, runtime = tool.compensate, run.runtime
    assert call is not None
    given = context_argument(run, tool.name, call)
    if takes_key(tool) and tool.idempotency_key:
        given[tool.idempotency_key] = idempotency_key(run.state.run_id, f"{tool.name} undone")
    slots = CallSlots(THREADS.slots)
    await slots.acquire()
    invocation = Invocation(runtime, tool.name, slots)
    invocation.start(call, [output], given, in_thread=not is_async(call))
    limit = tool.timeout or runtime.policy.timeout
    try:
        found = await invocation.result(limit)
        if isinstance(found, StillRunning):
            await invocation.stop()
            found = await invocation.result(runtime.policy.patience)
    except asyncio.CancelledError:
        if await invocation.stop():
            invocation.give_up()
        raise
    except Exception as error:
        if nothing_happened(error):
            raise
        raise _Lost(describe_error(error, text=False)) from error
    if isinstance(found, StillRunning):
        invocation.give_up()
        raise _Lost(f"no answer within {limit:g} s, and it still runs", running=True)


def takes_key(tool: Tool) -> bool:
    """Whether the compensation takes the tool's idempotency key, so that repeating it is safe."""
    if tool.compensate is None or tool.idempotency_key is None:
        return False
    return tool.idempotency_key in (function_parameters(tool.compensate) or ())


async def effect_stands(run: Run, tool: Tool) -> bool | None:
    """The answer of `reconcile` about an effect with an ambiguous compensation; `None` if it cannot tell."""
    if tool.reconcile is None:
        return None
    try:
        return await reconciled(run, tool, run.inputs_of(tool)) is not NOT_DONE
    except Exception:
        return None
