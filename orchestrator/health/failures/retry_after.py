"""Rate limits: whether an error is one, and how long the other side asked to wait."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from orchestrator.core.errors import RateLimited

from .inspect import from_library, status_of


def is_rate_limit(error: BaseException) -> bool:
    """Whether an error says that there were too many calls: `RateLimited`, or status 429."""
    return isinstance(error, RateLimited) or (from_library(error) and status_of(error) == 429)


def retry_after_of(error: BaseException, now: float | None = None) -> float | None:
    """Seconds that the other side asked to wait, from `RateLimited` or a `Retry-After` header; `None` without one.

    The header holds seconds or an HTTP date (RFC 9110, 10.2.3), which is read against the response's own `Date`, or
    `now` (seconds since the epoch) without one. Never negative.
    """
    if isinstance(error, RateLimited):
        return _seconds(error.retry_after)
    response: Any = getattr(error, "response", None)
    headers: Any = getattr(response, "headers", None) or getattr(error, "headers", None)
    if headers is None or not hasattr(headers, "get"):
        return None
    milliseconds = _seconds(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after") or headers.get("Retry-After")
    seconds = _seconds(value)
    if seconds is not None or value is None:
        return seconds
    until, since = _date(value), _date(headers.get("date") or headers.get("Date"))
    start = since.timestamp() if since else now
    return None if until is None or start is None else max(0.0, until.timestamp() - start)


def _seconds(value: Any) -> float | None:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        return None
    return seconds if 0 <= seconds < float("inf") else None


def _date(value: Any) -> datetime | None:
    try:
        date = parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
