"""Runs as log records of the standard library: failures and problems as warnings, decisions as information.

Every record carries `run_id`, `trace_id` and `span_id` as attributes, for a formatter (`%(trace_id)s`) or a handler.
Nothing is printed unless the application sets up logging: the logger `orchestrator` has a null handler.
"""

import logging
from collections.abc import Callable
from typing import Final

from orchestrator.core import conventions as names
from orchestrator.core.events import (
    CallEnded,
    Decided,
    EffectUndone,
    Event,
    ProblemReported,
    RunEnded,
    RunStarted,
    RunWaiting,
    SignalRaised,
)
from orchestrator.core.text import plain, usd

LOG: Final = logging.getLogger(names.SCOPE)
LOG.addHandler(logging.NullHandler())

_LONGEST: Final = 500
LOUD: Final = frozenset({CallEnded, ProblemReported, EffectUndone})
"""Events that may be warnings."""


def is_loggable(event: Event) -> bool:
    """Whether an event may be logged at the current log level."""
    if type(event) in LOUD:
        return LOG.isEnabledFor(logging.WARNING) and not (isinstance(event, CallEnded) and event.failure is None)
    return LOG.isEnabledFor(logging.INFO)


def record(event: Event, ids: Callable[[], tuple[str, str]]) -> None:
    """Log one event if it is logged at all; `ids`: of its trace and its span."""
    level, text = _line(event)
    if text and LOG.isEnabledFor(level):
        log_line(level, f"run {event.run_id}: {text}", event.run_id, *ids())


def log_line(level: int, text: str, run_id: str, trace_id: str = "", span_id: str = "") -> None:
    """Log one line of a run."""
    extra = {names.LOG_RUN_ID: run_id, names.LOG_TRACE_ID: trace_id, names.LOG_SPAN_ID: span_id}
    LOG.log(level, "%s", plain(text, _LONGEST), extra=extra)


def _line(event: Event) -> tuple[int, str]:
    match event:
        case CallEnded(failure=failure) if failure is not None:
            return logging.WARNING, f"{event.tool} failed ({failure.kind}, {failure.id}): {failure.message}"
        case ProblemReported():
            return logging.WARNING, f"{event.source} has a problem: {event.message}"
        case EffectUndone(ok=False):
            return logging.WARNING, f"{event.tool} could not be undone: {event.reason}"
        case Decided(decision=decision):
            answers = f" [answers {', '.join(decision.answers)}]" if decision.answers else ""
            return logging.INFO, f"{decision.kind} {decision.id}: {decision.chosen} ({decision.reason}){answers}"
        case RunStarted():
            return logging.INFO, f"wants {' + '.join(event.goal.get('keys', ()))}, policy {event.policy.get('name')}"
        case RunWaiting():
            return logging.INFO, "waits for a person"
        case RunEnded():
            return logging.INFO, f"{event.status}, cost {usd(event.cost)}, {event.seconds:.3g} s"
        case SignalRaised():
            return logging.INFO, f"signal {event.kind} on {event.target}: {event.reason}"
        case _:
            return logging.DEBUG, ""


__all__ = ["LOG", "LOUD", "is_loggable", "log_line", "record"]
