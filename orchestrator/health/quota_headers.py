"""Quota headers of HTTP answers: how much is left, of how much, and when it is renewed."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_SUFFIXES: Final = ("", "-requests", "-tokens")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_EPOCH_FROM: Final = 1e9
"""A reset this large is a time since the epoch (GitHub), not a duration."""


@dataclass(frozen=True, slots=True)
class QuotaLeft:
    """What an answer said of one quota; `reset_seconds` from now."""

    remaining: float
    limit: float
    reset_seconds: float


def quota_of(headers: Mapping[str, str], now: float) -> QuotaLeft | None:
    """The quota nearest to its end, or `None` when the headers state none; `now` in seconds since the epoch.

    Reads `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers), and the older `X-RateLimit-Limit`,
    `-Remaining`, `-Reset` with or without `X-`, also per requests and tokens, as model providers send them.
    """
    lower = {str(name).lower(): str(value) for name, value in headers.items()}
    found = [quota for quota in (_structured(lower), *(_plain(lower, s, now) for s in _SUFFIXES)) if quota is not None]
    return min(found, key=lambda quota: quota.remaining / quota.limit) if found else None


def _plain(headers: Mapping[str, str], suffix: str, now: float) -> QuotaLeft | None:
    for prefix in ("x-ratelimit-", "ratelimit-", "x-rate-limit-"):
        remaining = _number(headers.get(f"{prefix}remaining{suffix}"))
        limit = _number(headers.get(f"{prefix}limit{suffix}"))
        if remaining is not None and limit:
            reset = _duration(headers.get(f"{prefix}reset{suffix}"), now)
            return QuotaLeft(remaining, limit, reset)
    return None


def _structured(headers: Mapping[str, str]) -> QuotaLeft | None:
    left, policy = headers.get("ratelimit", ""), headers.get("ratelimit-policy", "")
    remaining, reset = _parameter(left, "r|remaining"), _parameter(left, "t|reset")
    limit = _parameter(left, "limit") or _parameter(policy, "q")
    if remaining is None or not limit:
        return None
    return QuotaLeft(remaining, limit, 60.0 if reset is None else reset)


def _parameter(text: str, names: str) -> float | None:
    match = re.search(rf"(?:^|[;,\s])(?:{names})\s*=\s*(\d+)", text)
    return float(match[1]) if match else None


def _number(text: str | None) -> float | None:
    try:
        value = float((text or "").split(",")[0].split(";")[0])
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _duration(text: str | None, now: float) -> float:
    """Seconds from `30`, `6m0s`, `250ms`, or a time since the epoch; a minute when nothing is said."""
    value = _number(text)
    if value is not None:
        return max(0.0, value - now) if value >= _EPOCH_FROM else value
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", text or "")
    return sum(float(number) * _UNITS[unit] for number, unit in parts) if parts else 60.0
