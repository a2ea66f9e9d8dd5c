"""Rate limits: whether an error is one, and the requested wait."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from orchestrator.core.errors import RateLimited
from orchestrator.health.quota_headers import FIRST_EPOCH, UNITS, duration_of, renewed_in

from .inspect import RATE_LIMIT_TEXT, aws_code, error_words, from_library, headers_of, status_of

_THROTTLED: Final = re.compile(
    "throttl|toomanyrequests|requestlimitexceeded|throughputexceeded|slowdown", re.IGNORECASE
)
"""Error codes of AWS for a rate limit, with status 400 or 503."""
_MILLISECONDS: Final = ("retry-after-ms", "x-ms-retry-after-ms")
"""Headers of OpenAI and Azure."""
_AMOUNT: Final = r"\d+(?:\.\d+)?"
_UNIT: Final = r"(?:ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hours?)(?![a-z])"
_WAIT: Final = re.compile(
    rf"(?:try again|retry|wait)[^\d\n]{{0,20}}?(?P<spans>(?:{_AMOUNT} ?(?:ms|[smh])(?=\d) ?)*{_AMOUNT} ?{_UNIT})"
    rf"|retry[-_ ]?after[^\w\n]{{0,4}}(?P<seconds>{_AMOUNT})",
    re.IGNORECASE,
)
"""`try again in 1m20.5s`, `retry after 20 seconds`, `"retryDelay": "34s"`, `Retry-After: 20`."""
_SPAN: Final = re.compile(rf"({_AMOUNT}) ?(milliseconds?|ms|s|m|h)", re.IGNORECASE)


def is_rate_limit(error: BaseException) -> bool:
    """Whether an error is a rate limit.

    `RateLimited`, status 429 (or 420), a code of AWS that means it, or a library's words where it gives no status; and
    status 403 with a time to come back at, which GitHub answers.
    """
    if isinstance(error, RateLimited):
        return True
    if not from_library(error):
        return False
    status = status_of(error)
    if status == 403:
        return _of_headers(headers_of(error), 0.0) is not None
    if status is None:
        return bool(RATE_LIMIT_TEXT.search(error_words(error)))
    return status in (420, 429) or bool(_THROTTLED.search(aws_code(error)))


def retry_after_of(error: BaseException, now: float | None = None) -> float | None:
    """Seconds of the requested wait; `None` if there is none. Never negative.

    From `RateLimited`; a `Retry-After` header, in seconds or as an HTTP date (RFC 9110, 10.2.3), which is read against
    the answer's own `Date`, or `now` (seconds since the epoch) without one, and also in the forms that servers send
    against the standard (`12s`, an ISO date, a time since the epoch); and of a rate limit also the time at which a
    spent quota is renewed, by the headers, or the words of the message or the body.
    """
    if isinstance(error, RateLimited):
        return _seconds(error.retry_after)
    headers = headers_of(error)
    found = _of_header(headers, now)
    if found is not None or not is_rate_limit(error):
        return found
    found = None if now is None else renewed_in(headers, now)
    return _of_words(error_words(error)) if found is None else found


def _of_headers(headers: Mapping[str, str], now: float) -> float | None:
    found = _of_header(headers, now)
    return renewed_in(headers, now) if found is None else found


def _of_header(headers: Mapping[str, str], now: float | None) -> float | None:
    for name in _MILLISECONDS:
        milliseconds = _seconds(headers.get(name))
        if milliseconds is not None:
            return milliseconds / 1000
    value = headers.get("retry-after")
    seconds = _seconds(value)
    if value is None or (seconds is not None and seconds < FIRST_EPOCH):
        return seconds
    until, since = _date(value), _date(headers.get("date"))
    start = since.timestamp() if since else now
    if start is None:
        return None
    return duration_of(value, start) if until is None else max(0.0, until.timestamp() - start)


def _of_words(words: str) -> float | None:
    found = _WAIT.search(words)
    if found is None:
        return None
    if found["seconds"]:
        return float(found["seconds"])
    spans = [(float(amount), unit.lower()) for amount, unit in _SPAN.findall(found["spans"])]
    return sum(amount * UNITS["ms" if unit.startswith("mil") else unit] for amount, unit in spans)


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
