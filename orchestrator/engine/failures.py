"""Makes a `Failure` of an exception, also of one whose own methods raise."""

from dataclasses import replace
from functools import partial
from typing import Any

from orchestrator.core.calls.user_code import AbnormalExit, UserFunctionError, class_name_of
from orchestrator.core.enums import Effect, FailureKind
from orchestrator.core.events import UserFunctionFailed
from orchestrator.core.failure import Failure
from orchestrator.core.privacy.secret_search import LARGE
from orchestrator.graph.tool import Tool
from orchestrator.health.failures.classify import classify, failure_of, message_of, secret_strings

from .run import Run


def failure_kind(run: Run, tool: Tool, error: Exception) -> FailureKind:
    """The failure class of an error of a started call; never raises, also for exceptions whose attributes do."""
    if isinstance(error, UserFunctionError):
        return FailureKind.BUG if tool.effect is Effect.READ else FailureKind.INVALID_OUTPUT
    try:
        return classify(error, tool, started=True, table=run.runtime.failures)
    except BaseException:
        return FailureKind.BUG if tool.effect is Effect.READ else FailureKind.AMBIGUOUS


async def make_failure_of_call(
    run: Run, tool: Tool, kind: FailureKind, error: Exception, *, call_id: str, attempt: int, raw: Any
) -> Failure:
    """As `make_failure`; large values are searched in a thread, so that the event loop is not blocked."""
    make = partial(make_failure, run, tool, kind, error, call_id=call_id, attempt=attempt, raw=raw)
    if sum(map(_size, (*run.inputs_of(tool).values(), raw))) <= LARGE:
        return make()
    failure = await run.runtime.threads.run(make)
    return replace(failure, id=run.state.next_failure_id())  # another call may have failed meanwhile


def _size(value: Any) -> int:
    return len(value) if isinstance(value, str | bytes | bytearray) else 0


def make_failure(
    run: Run, tool: Tool, kind: FailureKind, error: Exception, *, call_id: str = "", attempt: int = 1, raw: Any = None
) -> Failure:
    """The failure; its texts contain neither inputs nor outputs of the call. A bug names file and line."""
    place: dict[str, Any] = {
        "id": run.state.next_failure_id(),
        "call_id": call_id,
        "attempt": attempt,
        "at": run.runtime.clock.time(),
    }
    try:
        secrets = secret_strings(run.inputs_of(tool)) | secret_strings(run.runtime.deps) | secret_strings(raw)
        failure = failure_of(error, kind, tool.name, secrets=secrets, **place)
    except BaseException:
        return Failure(tool=tool.name, kind=kind, message=f"{class_name_of(error)} (its text cannot be read)", **place)
    if isinstance(error, UserFunctionError | AbnormalExit):  # names type and place of the original
        failure = replace(failure, message=message_of(error, secrets))
    return failure if kind is FailureKind.BUG else replace(failure, traceback="")


def note_user_failure(run: Run, tool: Tool, option: str, error: Exception) -> Failure:
    """Record that a function given as an option of a tool raised, before any call of the tool."""
    raised = error if isinstance(error, UserFunctionError) else UserFunctionError(option, error)
    failure = make_failure(run, tool, FailureKind.BUG, raised)
    run.emit(UserFunctionFailed(**run.stamp(), failure=failure, option=option))
    return failure


__all__ = ["failure_kind", "make_failure", "make_failure_of_call", "note_user_failure"]
