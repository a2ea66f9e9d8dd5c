"""Everything remembered about one tool or transition, and how it becomes prices."""

import math
from dataclasses import dataclass, field
from typing import Any

from orchestrator.core.enums import CircuitState
from orchestrator.core.policy import Policy

from .circuit import Circuit
from .evidence import Evidence, Mean
from .latency import LatencyBuckets
from .pressure import Pressure
from .status import ToolHealth

GRAINS = 20
"""Evidence fades in steps of a twentieth of its half-life, so that prices stand still between two looks."""


@dataclass(frozen=True, slots=True)
class Override:
    """What a monitor's signal, or a person, does to a target for a while."""

    factor: float
    """Multiplies the price; infinite for a forbidden target."""
    until: float
    """Monotonic seconds."""
    reason: str = ""


@dataclass(slots=True)
class Entry:
    """Mutable state of one target; times are monotonic seconds."""

    latency: LatencyBuckets
    evidence: Evidence = field(default_factory=Evidence)
    cost: Mean = field(default_factory=Mean)
    circuit: Circuit = field(default_factory=Circuit)
    pressure: Pressure = field(default_factory=Pressure)
    calls: int = 0
    failures: int = 0
    last_failure: str = ""
    overrides: dict[str, Override] = field(default_factory=dict[str, Override])
    """By who asked for it."""
    verdicts: dict[str, bool] = field(default_factory=dict[str, bool])
    """Owners of admitted calls in flight -> whether the call decides about an open circuit."""
    lease: str | None = None
    """The owner for whom this process holds the probe among all processes."""
    unanswered_since: float | None = None
    """When the store was first asked for the probe and did not answer, while it does not."""
    turned_at: float = 0.0
    """When the circuit last opened or closed, in seconds since the epoch."""
    hand_at: float = 0.0
    """When that was last done by hand, in seconds since the epoch: what failed or succeeded cannot undo it."""
    last_ok: float = -math.inf
    """When this process last saw it succeed."""
    news: "Entry | None" = None
    """What this process alone has seen since it last told the others, if it tells them."""
    told: tuple[float, float] = (0.0, 0.0)
    """The turn of the circuit that the others know."""
    writes: int = 0
    """How many times what is stored was changed, as far as this process knows, its own changes included."""

    @property
    def turn(self) -> tuple[float, float]:
        """Orders what processes say of the circuit: the later turn is right, and one by hand before any other."""
        return (self.hand_at, self.turned_at)

    def both(self) -> "tuple[Entry, ...]":
        """This, and the news of it: what is observed is counted in both."""
        return (self,) if self.news is None else (self, self.news)

    def add(self, other: "Entry", half_life: float) -> None:
        """Add another's counts, not its circuit; both pressures hold."""
        self.evidence = self.evidence.merged(other.evidence, half_life)
        self.cost = self.cost.merged(other.cost, half_life)
        self.latency.merge(other.latency)
        self.calls += other.calls
        self.failures += other.failures
        self.pressure = self.pressure.merged(other.pressure)
        self.last_failure = other.last_failure or self.last_failure

    def pressing(self, now: float) -> bool:
        """Whether a quota or a rate limit makes it dearer."""
        return not self.pressure.idle(now)

    def news_to_json(self, now: float) -> dict[str, Any]:
        """The news, with the circuit and the pressure as they are."""
        news = self.news or Entry(LatencyBuckets(self.latency.half_life))
        whole = self.to_json(now)
        counts = news.to_json(now)
        return {**whole, **{name: counts[name] for name in ("evidence", "latency", "cost", "calls", "failures")}}

    def take(self, stored: "Entry", half_life: float) -> None:
        """Take over what all processes have seen, with the news that they do not know yet."""
        mine = self.news or Entry(LatencyBuckets(half_life))
        self.evidence = stored.evidence.merged(mine.evidence, half_life)
        self.cost = stored.cost.merged(mine.cost, half_life)
        stored.latency.merge(mine.latency)
        self.latency = stored.latency
        self.calls, self.failures = stored.calls + mine.calls, stored.failures + mine.failures
        self.pressure = self.pressure.merged(stored.pressure)
        self.last_failure = self.last_failure if mine.failures else stored.last_failure or self.last_failure
        self.writes = stored.writes
        self._take_circuit(stored)

    def _take_circuit(self, stored: "Entry") -> None:
        by_hand = stored.hand_at > self.hand_at
        if stored.turn <= self.turn or (self.lease is not None and not by_hand):
            return  # known already; or this process holds the probe, whose verdict is newer than anything
        opened = stored.circuit.opened_at if stored.circuit.state is not CircuitState.CLOSED else None
        if opened is not None and self.last_ok > opened and not by_hand:
            return
        self.circuit = stored.circuit
        self.hand_at, self.turned_at = self.told = stored.turn

    def mean(self, policy: Policy, now: float) -> float:
        """Posterior mean probability of success, standing still within a grain of time."""
        half_life = policy.circuit.half_life
        grain = half_life / GRAINS
        return self.evidence.decayed(math.floor(now / grain) * grain, half_life).mean()

    def factor(self, policy: Policy, now: float) -> float:
        """Pressure: quota, rate limits, recovery, and what signals ask for; at least 1, infinite when forbidden."""
        if not self.overrides and self.circuit.ramp_from is None and self.pressure.untouched:
            return 1.0
        value = self.pressure.value(math.floor(now)) * self._ramp(policy, now)
        for override in self.overrides.values():
            if now < override.until:
                value *= override.factor
        return max(1.0, value)

    def forbidden(self, now: float) -> str | None:
        """Why a signal forbids it now; `None` when none does."""
        for by in sorted(self.overrides):
            override = self.overrides[by]
            if math.isinf(override.factor) and now < override.until:
                return f"{by}: {override.reason}" if override.reason else f"forbidden by {by}"
        return None

    def ramping(self, policy: Policy, now: float) -> bool:
        """Whether it recovered so recently that it does not get its full share yet."""
        since = self.circuit.ramp_from
        return since is not None and now < since + policy.circuit.ramp_seconds

    def _ramp(self, policy: Policy, now: float) -> float:
        since = self.circuit.ramp_from
        if since is None or not self.ramping(policy, now):
            return 1.0
        return 2.0 - math.floor(now - since) / policy.circuit.ramp_seconds

    @property
    def timeless(self) -> bool:
        """Whether time alone changes nothing about it, but for evidence that fades."""
        circuit = self.circuit
        waits = circuit.owner is not None or (circuit.state is CircuitState.OPEN and not circuit.manual)
        return not waits and circuit.ramp_from is None and not self.overrides and self.pressure.untouched

    def why(self, now: float) -> str:
        """Why it cannot be used, or why it is dearer; empty when nothing is wrong."""
        forbidden = self.forbidden(now)
        if forbidden:
            return forbidden
        if self.circuit.state is not CircuitState.CLOSED:
            return self.circuit.reason
        active = [f"{by}: {o.reason}" for by, o in sorted(self.overrides.items()) if now < o.until and o.reason]
        return "; ".join(active)

    def status(self, name: str, policy: Policy, now: float, epoch: float) -> ToolHealth:
        """What people and monitors read; `epoch` is `now` in seconds since the epoch."""
        circuit = self.circuit.ticked(now)
        opened = circuit.opened_at if circuit.state is not CircuitState.CLOSED else None
        waiting = circuit.state is CircuitState.OPEN and not circuit.manual and circuit.probe_at is not None
        return ToolHealth(
            name=name,
            circuit=circuit.state,
            success=self.mean(policy, now),
            calls=self.calls,
            failures=self.failures,
            p50=self.latency.percentile(0.5),
            p90=self.latency.percentile(0.9),
            p99=self.latency.percentile(0.99),
            pressure=self.factor(policy, now),
            last_failure=self.last_failure,
            opened_at=None if opened is None else epoch - (now - opened),
            next_probe_in=(circuit.probe_at or now) - now if waiting else None,
            reason=self.why(now),
            manual=circuit.manual,
        )

    def to_json(self, now: float) -> dict[str, Any]:
        """Plain data; signals and calls in flight are not kept."""
        return {
            "evidence": self.evidence.to_json(now),
            "latency": self.latency.to_json(now),
            "cost": self.cost.to_json(now),
            "circuit": self.circuit.to_json(now),
            "pressure": self.pressure.to_json(now),
            "calls": self.calls,
            "failures": self.failures,
            "last_failure": self.last_failure,
            "turned_at": self.turned_at,
            "hand_at": self.hand_at,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any], now: float, half_life: float) -> "Entry":
        """What `to_json` wrote, `now` being the same instant on this process's clock."""
        return cls(
            latency=LatencyBuckets.from_json(data["latency"], now, half_life),
            evidence=Evidence.from_json(data["evidence"], now),
            cost=Mean.from_json(data["cost"], now),
            circuit=Circuit.from_json(data["circuit"], now),
            pressure=Pressure.from_json(data["pressure"], now),
            calls=int(data["calls"]),
            failures=int(data["failures"]),
            last_failure=str(data["last_failure"]),
            turned_at=float(data.get("turned_at", 0.0)),
            hand_at=float(data.get("hand_at", 0.0)),
            writes=int(data.get("writes", 0)),
        )
