"""Quota headers of HTTP responses: the rest, the limit, and the time of renewal."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

_NAMES: Final = (
    *(
        f"{prefix}%s{suffix}"
        for suffix in ("", "-requests", "-tokens")
        for prefix in ("x-ratelimit-", "ratelimit-", "x-rate-limit-")
    ),
    *(f"anthropic-ratelimit-{what}-%s" for what in ("requests", "tokens", "input-tokens", "output-tokens")),
)
"""Headers of one quota each; `%s` is `limit`, `remaining` or `reset`."""
UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
FIRST_EPOCH: Final = 1e9
"""A reset this large is a time since the epoch (GitHub; in milliseconds OpenRouter), not a duration."""
_UNSAID: Final = 60.0
"""Default seconds until a quota is renewed, if the header does not state them."""


@dataclass(frozen=True, slots=True)
class QuotaLeft:
    """One quota from the headers of a response; `reset_seconds` from now."""

    remaining: float
    limit: float
    reset_seconds: float


_Found = tuple[float, float, float | None]
"""The rest, the limit, and the seconds until renewal if stated."""


def quota_of(headers: Mapping[str, str], now: float) -> QuotaLeft | None:
    """The quota nearest to its end, or `None` when the headers state none; `now` in seconds since the epoch.

    Reads `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers), the older `X-RateLimit-Limit`,
    `-Remaining`, `-Reset` with or without `X-`, also per requests and tokens, as model providers send them, and those
    of Anthropic.
    """
    found = _quotas(headers, now)
    if not found:
        return None
    remaining, limit, reset = min(found, key=lambda quota: quota[0] / quota[1])
    return QuotaLeft(remaining, limit, _UNSAID if reset is None else reset)


def renewed_in(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds until every used-up quota is renewed; `None` if none is used up, or the headers do not state it."""
    spent = [reset for remaining, _, reset in _quotas(headers, now) if not remaining and reset is not None]
    return max(spent, default=None)


def _quotas(headers: Mapping[str, str], now: float) -> list[_Found]:
    lower = {str(name).lower(): str(value) for name, value in headers.items()}
    if not any("limit" in name for name in lower):
        return []
    return [found for found in (_structured(lower), *(_plain(lower, name, now) for name in _NAMES)) if found]


def _plain(headers: Mapping[str, str], name: str, now: float) -> _Found | None:
    remaining, limit = _number(headers.get(name % "remaining")), _number(headers.get(name % "limit"))
    return _found(remaining, limit, duration_of(headers.get(name % "reset"), now))


def _structured(headers: Mapping[str, str]) -> _Found | None:
    left, policy = headers.get("ratelimit", ""), headers.get("ratelimit-policy", "")
    remaining, reset = _parameter(left, "r|remaining"), _parameter(left, "t|reset")
    limit = _parameter(left, "limit") or _parameter(policy, "q")
    return _found(remaining, limit, reset)


def _found(remaining: float | None, limit: float | None, reset: float | None) -> _Found | None:
    """A quota with a stated limit; also one without it when nothing is left."""
    if remaining is None or not (limit or (remaining == 0 and reset is not None)):
        return None
    return remaining, limit or 1.0, reset


def _parameter(text: str, names: str) -> float | None:
    match = re.search(rf"(?:^|[;,\s])(?:{names})\s*=\s*(\d+)", text)
    return float(match[1]) if match else None


def _number(text: str | None) -> float | None:
    try:
        value = float((text or "").split(",")[0].split(";")[0])
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def duration_of(text: str | None, now: float) -> float | None:
    """Seconds from `30`, `6m0s`, `250ms`, a time since the epoch or an ISO date; `None` for anything else."""
    value = _number(text)
    if value is not None:
        epoch = value / 1000 if value >= 1000 * FIRST_EPOCH else value
        return max(0.0, epoch - now) if epoch >= FIRST_EPOCH else value
    try:
        return max(0.0, datetime.fromisoformat(text or "").timestamp() - now)
    except (ValueError, OverflowError):
        parts = re.findall(r"(\d+(?:\.\d+)?) ?(ms|s|m|h|d)", text or "")
        return sum(float(number) * UNITS[unit] for number, unit in parts) if parts else None
