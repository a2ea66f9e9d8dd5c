"""`Failure`: one failed attempt, as it is recorded."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .enums import FailureKind


@dataclass(frozen=True, repr=False)
class Failure:
    """One failed attempt. Its texts hold no argument values."""

    id: str
    tool: str
    kind: FailureKind
    message: str
    call_id: str = ""
    attempt: int = 1
    """From 1."""
    step: str = ""
    retry_after: float | None = None
    """Seconds of the server's `Retry-After`."""
    rate_limited: bool = False
    error_type: str = ""
    """Such as `httpx.ReadTimeout`."""
    status: int | None = None
    """HTTP status, if any."""
    traceback: str = ""
    at: float = 0.0
    """Seconds since the epoch."""

    def __str__(self) -> str:
        """The class and the message: `bug: KeyError: 'missing' (shop.py:10)`."""
        return f"{self.kind}: {self.message}"

    def __repr__(self) -> str:
        """One line, without the traceback."""
        return f"<Failure {self.id} of {self.tool}: {' '.join(str(self).split())}>"

    @property
    def retryable(self) -> bool:
        """Whether the same call may be tried again as it is."""
        return self.kind is FailureKind.TRANSIENT

    def to_json(self) -> dict[str, Any]:
        """Plain data, for records."""
        return {**asdict(self), "kind": str(self.kind)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Failure":
        """The failure that `to_json` wrote."""
        plain: dict[str, Any] = {**data, "kind": FailureKind(data["kind"])}
        return cls(**plain)
