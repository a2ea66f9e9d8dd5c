"""Access control: a token per tenant, limits on the size and the rate of requests."""

import hashlib
import hmac
import json
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from orchestrator.core.checks import problem_with
from orchestrator.core.errors import InputError

LARGEST_BODY: Final = 1024 * 1024
"""Bytes of a request's body."""
READ_SECONDS: Final = 10.0
"""Seconds in which the body of a request must arrive."""
RATE: Final = 50.0
"""Requests per second and tenant, on average."""
BURST: Final = 100.0
STREAMS: Final = 50
"""Maximum number of open event streams of a tenant: each reads the store a few times a second."""


class Tokens:
    """Tokens and their tenants; only digests are kept, compared in constant time."""

    def __init__(self, tenants: Mapping[str, str]) -> None:
        """`tenants`: token -> tenant. Raises `InputError` for an invalid token or tenant."""
        self._tenants: dict[bytes, str] = {}
        for token, tenant in tenants.items():
            if len(token) < 16:
                raise InputError("a token has at least 16 characters")
            if problem := problem_with(tenant):
                raise InputError(f"{tenant[:60]!r} cannot be a tenant: {problem}")
            self._tenants[_digest(token)] = tenant

    def tenant(self, authorization: str | None) -> str | None:
        """The tenant of an `Authorization: Bearer` header; `None` for an unknown token."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return None
        asked = _digest(token.strip())
        found: str | None = None
        for digest, tenant in self._tenants.items():
            if hmac.compare_digest(digest, asked):
                found = tenant
        return found


def read_tokens(given: str) -> tuple[Tokens, str]:
    """Tokens of a JSON file or text (token -> tenant); without any, a new one, which is returned to be printed.

    Raises:
        InputError: the file cannot be read, or is not such a mapping.
    """
    if not given:
        made = secrets.token_urlsafe(24)
        return Tokens({made: "default"}), made
    try:
        text = given if given.lstrip().startswith("{") else Path(given).read_text(encoding="utf-8")
        data: Any = json.loads(text)
    except (OSError, ValueError) as error:
        raise InputError(f"the tokens cannot be read: {type(error).__name__}") from error
    if not isinstance(data, dict) or not all(isinstance(v, str) for v in data.values()):  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        raise InputError("the tokens are a JSON object: token -> tenant")
    return Tokens(data), ""  # pyright: ignore[reportUnknownArgumentType]


@dataclass
class _Bucket:
    left: float
    at: float


class RateLimit:
    """A token bucket per tenant."""

    def __init__(self, rate: float = RATE, burst: float = BURST, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._buckets: dict[str, _Bucket] = {}

    def wait(self, tenant: str) -> float:
        """Seconds until the tenant may send a request again; 0: the request is admitted."""
        now = self._clock()
        bucket = self._buckets.setdefault(tenant, _Bucket(self._burst, now))
        bucket.left = min(self._burst, bucket.left + (now - bucket.at) * self._rate)
        bucket.at = now
        if bucket.left < 1.0:
            return (1.0 - bucket.left) / self._rate
        bucket.left -= 1.0
        return 0.0


class StreamLimit:
    """Counts the open event streams of each tenant."""

    def __init__(self, most: int = STREAMS) -> None:
        self._most = most
        self._open: Counter[str] = Counter()

    def take(self, tenant: str) -> bool:
        """Count one more stream; `False` if the tenant has reached the limit."""
        if self._open[tenant] >= self._most:
            return False
        self._open[tenant] += 1
        return True

    def give_back(self, tenant: str) -> None:
        """Count one stream less."""
        self._open[tenant] -= 1
        if not self._open[tenant]:
            del self._open[tenant]


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


__all__ = ["LARGEST_BODY", "READ_SECONDS", "STREAMS", "RateLimit", "StreamLimit", "Tokens", "read_tokens"]
