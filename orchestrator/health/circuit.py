"""One circuit: a pure state machine; the time and the random draw are arguments.

closed --(failures in a row, or their rate with enough evidence)--> open open --(its time is over)--> half open: one
probe at a time half open --(the probe succeeds)--> closed, ramping up;  --(it fails)--> open for twice as long any
--(an account failure)--> open for the longest time at once tripped by hand: open until restored by hand
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

from orchestrator.core.enums import CircuitState
from orchestrator.core.policy import CircuitPolicy

from .evidence import SuccessCounts

KEPT_SECONDS: Final = 60.0
"""Seconds for which the report of a process counts after it last published calls of the tool."""
OWN_WORD_SECONDS: Final = 10.0
"""A process with a success of its own within this time before another process opened the circuit requires a quorum."""


@dataclass(slots=True)
class Voices:
    """Processes that called the tool recently: when they last published, and when their own calls opened the circuit.

    Times are seconds since the epoch; an opening of 0 is none.
    """

    reports: dict[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])

    def merged(self, other: "Voices", now: float) -> Self:
        """The reports of both, the later one of each process; reports older than `KEPT_SECONDS` are dropped."""
        found = dict(self.reports)
        for who, (at, opened) in other.reports.items():
            if at >= found.get(who, (0.0, 0.0))[0]:
                found[who] = (at, opened)
        return type(self)({who: word for who, word in found.items() if now - word[0] <= KEPT_SECONDS})

    @property
    def quorum(self) -> bool:
        """Whether more than half of the processes, and at least two, found the tool failing by their own calls."""
        opened = sum(1 for _, at in self.reports.values() if at)
        return opened >= 2 and 2 * opened > len(self.reports)

    def to_json(self) -> dict[str, list[float]]:
        """Plain data."""
        return {who: list(word) for who, word in sorted(self.reports.items())}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What `to_json` wrote. Raises `ValueError`."""
        return cls({str(who): (float(at), float(opened)) for who, (at, opened) in data.items()})


_MAX_DOUBLINGS: Final = 40


@dataclass(frozen=True, slots=True)
class Circuit:
    """The state of one circuit; times are monotonic seconds."""

    state: CircuitState = CircuitState.CLOSED
    consecutive: int = 0
    """Failures in a row."""
    window: SuccessCounts = field(default_factory=SuccessCounts)
    """Evidence since it last closed, for the rate."""
    opened_at: float | None = None
    probe_at: float | None = None
    """When the open time ends."""
    openings: int = 0
    """How often it opened without closing in between; the open time doubles with each."""
    manual: bool = False
    account: bool = False
    """Whether it opened because the account cannot be used: no call can succeed, so it is not probed early."""
    reason: str = ""
    owner: str | None = None
    """The owner of the probe."""
    owner_until: float = 0.0
    """When the probe's lease expires, also without a result."""
    ramp_from: float | None = None
    """When it last recovered; set during the ramp."""

    def ticked(self, now: float) -> Self:
        """The state at `now`: open becomes half open, an expired probe lease ends, the ramp ends."""
        if self.state is CircuitState.OPEN and not self.manual and self.probe_at is not None and now >= self.probe_at:
            return replace(self, state=CircuitState.HALF_OPEN, owner=None)
        if self.owner is not None and now >= self.owner_until:
            return replace(self, owner=None)
        return self

    def failed(self, policy: CircuitPolicy, now: float, draw: float, reason: str, owner: str = "") -> Self:
        """The circuit after a failure that counts for health. `draw` in [0, 1) jitters the open time."""
        consecutive = self.consecutive + 1
        window = self.window.observed(False, now, policy.half_life)
        changed = replace(self, consecutive=consecutive, window=window)
        if self.manual or self.state is CircuitState.OPEN:
            return changed
        if self.state is CircuitState.HALF_OPEN:
            if self.owner is not None and owner != self.owner:
                return changed  # a call that started before the circuit opened: only the probe counts
            return changed._opened(policy, now, draw, f"the probe failed: {reason}")
        if consecutive >= policy.consecutive:
            return changed._opened(policy, now, draw, f"{consecutive} failures in a row, the last: {reason}")
        if window.total >= policy.evidence and window.failures / window.total >= policy.rate:
            share = round(100 * window.failures / window.total)
            return changed._opened(policy, now, draw, f"{share} % of recent calls failed, the last: {reason}")
        return changed

    def succeeded(self, policy: CircuitPolicy, now: float, *, late: bool = False) -> Self:
        """The circuit after a success. A success while open or half open proves recovery, unless the call started
        before (`late`).
        """
        window = self.window.observed(True, now, policy.half_life)
        if not (self.manual or late or self.state is CircuitState.CLOSED):
            return type(self)(window=SuccessCounts(1.0, 0.0, now), ramp_from=now)
        return type(self)(  # `replace` takes longer, and this is what most calls come to
            self.state,
            0,
            window,
            self.opened_at,
            self.probe_at,
            self.openings,
            self.manual,
            self.account,
            self.reason,
            self.owner,
            self.owner_until,
            self.ramp_from,
        )

    def turned_from(self, before: "Circuit") -> bool:
        """Whether it opened or closed since; becoming half open does not count."""
        closed, was_closed = self.state is CircuitState.CLOSED, before.state is CircuitState.CLOSED
        return closed != was_closed or self.openings != before.openings

    def window_seconds(self, policy: CircuitPolicy) -> float:
        """Seconds of the open time, in which all processes together probe once."""
        if self.probe_at is None or self.opened_at is None:
            return policy.open_seconds
        return max(0.001, self.probe_at - self.opened_at)

    def shut(self, policy: CircuitPolicy, now: float, draw: float, reason: str) -> Self:
        """Open at once, as after failures; an open circuit is unchanged."""
        if self.manual or self.state is CircuitState.OPEN:
            return self
        return self._opened(policy, now, draw, reason)

    def account_failed(self, policy: CircuitPolicy, now: float, draw: float, reason: str) -> Self:
        """Open at once: the credential was refused, or its credit is used up. Probed after the policy's longest open
        time.
        """
        if self.manual:
            return self
        most = policy.model_copy(update={"open_seconds": policy.max_open_seconds})
        return replace(self._opened(most, now, draw, reason), account=True)

    def tripped(self, now: float, reason: str) -> Self:
        """Open by hand."""
        return replace(
            self, state=CircuitState.OPEN, manual=True, reason=reason, opened_at=now, probe_at=None, owner=None
        )

    def leased(self, owner: str, until: float) -> Self:
        """With the one probe taken by `owner`."""
        return replace(self, owner=owner, owner_until=until)

    def released(self, owner: str) -> Self:
        """With the probe released without a result."""
        return replace(self, owner=None) if self.owner == owner else self

    def _opened(self, policy: CircuitPolicy, now: float, draw: float, reason: str) -> Self:
        full = min(policy.open_seconds * 2 ** min(self.openings, _MAX_DOUBLINGS), policy.max_open_seconds)
        wait = full * (1 - policy.jitter * draw)
        return replace(
            self,
            state=CircuitState.OPEN,
            opened_at=now,
            probe_at=now + wait,
            openings=self.openings + 1,
            reason=reason,
            owner=None,
            ramp_from=None,
            account=False,
        )

    def to_json(self, now: float) -> dict[str, Any]:
        """Plain data; times as ages in seconds. A probe in flight is not stored."""
        return {
            "state": str(self.state),
            "consecutive": self.consecutive,
            "window": self.window.to_json(now),
            "opened_age": None if self.opened_at is None else now - self.opened_at,
            "probe_in": None if self.probe_at is None else self.probe_at - now,
            "openings": self.openings,
            "manual": self.manual,
            "account": self.account,
            "reason": self.reason,
            "ramp_age": None if self.ramp_from is None else now - self.ramp_from,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any], now: float) -> Self:
        """What `to_json` wrote, `now` being the same instant on this process's clock."""
        return cls(
            state=CircuitState(data["state"]),
            consecutive=int(data["consecutive"]),
            window=SuccessCounts.from_json(data["window"], now),
            opened_at=None if data["opened_age"] is None else now - data["opened_age"],
            probe_at=None if data["probe_in"] is None else now + data["probe_in"],
            openings=int(data["openings"]),
            manual=bool(data["manual"]),
            account=bool(data.get("account", False)),
            reason=str(data["reason"]),
            ramp_from=None if data["ramp_age"] is None else now - data["ramp_age"],
        )
