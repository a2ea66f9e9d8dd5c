"""Results of adopted and remote tools: errors reported as text, values in the form of a type, messages to a model."""

import json
import re
from collections.abc import Iterable
from typing import Any, Final

from pydantic import ValidationError

from orchestrator.core.enums import FailureKind
from orchestrator.core.errors import CallerError, OrchestratorError, RateLimited, Refused, ToolError, Unavailable
from orchestrator.core.outcome import Outcome
from orchestrator.core.text import clean
from orchestrator.core.types.schema import adapter
from orchestrator.health.failures.inspect import of_status, of_text, status_of

MAX_ERROR: Final = 500
"""Maximum characters of an error."""
_PREFIX: Final = re.compile(r"^error (?:executing|calling) tool \S+?(?::\s*|$)", re.IGNORECASE)
"""Prefix that servers add to an error; without further text the tool itself has failed."""
_BROKE: Final = re.compile(
    r"internal (?:server )?error|unexpected(?:ly)?\b|unhandled|traceback|exception\b", re.IGNORECASE
)
_LIMITED: Final = re.compile(r"rate.?limit|too many requests|\b429\b", re.IGNORECASE)


class ToolReported(ToolError):
    """A tool reported a failure that does not prove that nothing happened: overload, a time-out, a defect."""

    def __init__(self, message: str, kind: FailureKind) -> None:
        super().__init__(message)
        self.kind = kind


def reported_kind(error: BaseException) -> FailureKind | None:
    """The row of the failure table for `ToolReported`, and for a server that declined with a status to be reached."""
    if isinstance(error, ToolReported):
        return error.kind
    if isinstance(error, Unavailable) and (status := status_of(error)) is not None:
        kind = of_status(status)
        return kind if kind in (FailureKind.ACCOUNT, FailureKind.TRANSIENT) else FailureKind.OUTAGE
    return None


def reported_error(text: str) -> OrchestratorError | ToolReported:
    """The exception for an error that a tool reports: usually a refusal, by some words an overload or a defect."""
    message = clean(text, MAX_ERROR)
    words = _PREFIX.sub("", message)
    kind = of_text(words)
    if not words or (kind is FailureKind.REFUSAL and _BROKE.search(words)):
        return ToolReported(message or "the tool failed and did not say why", FailureKind.BUG)
    if kind is FailureKind.REFUSAL:
        return Refused(words)
    if kind is FailureKind.CALLER_ERROR:
        return CallerError(words)
    limited = kind is FailureKind.TRANSIENT and _LIMITED.search(words)
    return RateLimited(words) if limited else ToolReported(words, kind)


def fitted(value: Any, annotation: Any) -> Any:
    """A value converted to a type: the value itself, or its text parsed as JSON if only that fits."""
    return first_fitting([value, *_parsed(value)], annotation)


def first_fitting(candidates: Iterable[Any], annotation: Any) -> Any:
    """The first candidate that already has the type, else the first that validation accepts, else the first."""
    listed = list(candidates)
    if annotation is Any:
        return listed[0]
    for strict in (True, False):
        for one in listed:
            try:
                adapter(annotation).validate_python(one, strict=strict)
            except (ValidationError, ValueError):
                continue
            return one
    return listed[0]


def _parsed(value: Any) -> list[Any]:
    if not isinstance(value, str):
        return []
    try:
        return [json.loads(value)]
    except (ValueError, RecursionError):
        return []


def statement(name: str, outcome: Outcome[Any], line: str) -> str:
    """The attempts of a failed call and their errors, in a few sentences for a model.

    `line` is the declaration that would make an ambiguous failure healable, if the tool only reads.
    """
    last: dict[str, tuple[str, str, int]] = {}
    for failure in outcome.failures:
        count = last.get(failure.tool, ("", "", 0))[2] + 1
        last[failure.tool] = (str(failure.kind).replace("_", " "), failure.message, count)
    tried = [
        f"{tool} ({kind}: {message}{f'; {count} attempts' if count > 1 else ''})"
        for tool, (kind, message, count) in last.items()
    ]
    parts = [f"{name} failed. Tried: {'; '.join(tried)}." if tried else f"{name} could not be called."]
    unsure = [f.tool for f in outcome.failures if f.kind is FailureKind.AMBIGUOUS]
    if unsure:
        parts.append(
            f"The call of {unsure[-1]} may have taken effect, so it was neither repeated nor replaced; check before "
            f"you call it again. If it only reads, {line} lets such failures be healed."
        )
    elif not tried and outcome.impasse is not None:
        parts.append(outcome.impasse.message)
    return " ".join(parts)


def arguments_key(name: str) -> str:
    """The key of the arguments of an adopted or served tool."""
    return f"{name}.arguments"
