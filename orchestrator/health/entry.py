"""Everything remembered about one tool or transition, and how it becomes prices."""

import math
from dataclasses import dataclass, field
from typing import Any

from orchestrator.policy import Policy
from orchestrator.types import CircuitState

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

    def mean(self, policy: Policy, now: float) -> float:
        """Posterior mean probability of success, standing still within a grain of time."""
        half_life = policy.circuit.half_life
        grain = half_life / GRAINS
        return self.evidence.decayed(math.floor(now / grain) * grain, half_life).mean()

    def factor(self, policy: Policy, now: float) -> float:
        """Pressure: quota, rate limits, recovery, and what signals ask for; at least 1, infinite when forbidden."""
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
        )
