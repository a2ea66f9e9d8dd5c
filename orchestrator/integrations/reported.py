"""Classifies errors that a remote or adopted tool reports as text."""

import re
from typing import Final

from orchestrator.core.enums import FailureKind
from orchestrator.core.errors import CallerError, OrchestratorError, RateLimited, Refused, Unavailable
from orchestrator.core.text import clean
from orchestrator.health.failures.inspect import of_status, of_text, status_of

MAX_ERROR: Final = 500
"""Characters of an error that are kept."""
_PREFIX: Final = re.compile(r"^error (?:executing|calling) tool \S+?(?::\s*|$)", re.IGNORECASE)
"""What servers put before the words of an error; alone it says that the tool broke down."""
_BROKE: Final = re.compile(
    r"internal (?:server )?error|unexpected(?:ly)?\b|unhandled|traceback|exception\b", re.IGNORECASE
)
_LIMITED: Final = re.compile(r"rate.?limit|too many requests|\b429\b", re.IGNORECASE)


class ToolReported(Exception):
    """A tool said that it failed, and not that nothing happened: overload, a time-out, a defect of its own."""

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
    """What an error that a tool reports means. Most are its own no; some words say that it is busy or broke down."""
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


__all__ = ["MAX_ERROR", "ToolReported", "reported_error", "reported_kind"]
