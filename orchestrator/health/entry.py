"""`Entry`: the health state of one target (tool, transition, model or credential), and its factors in prices."""

import math
from dataclasses import dataclass, field, replace
from typing import Any

from orchestrator.core.enums import CircuitState
from orchestrator.core.policy import Policy

from .circuit import OWN_WORD_SECONDS, Circuit, Voices
from .declaration import CREDENTIAL
from .evidence import LatencyBuckets, Mean, SuccessCounts
from .pressure import Pressure
from .status import Target, ToolHealth, seconds

MIN_WAIT = 1e-3
"""Seconds; a shorter wait is none: plans and admission must agree on that."""
GRAINS = 20
"""Evidence decays in steps of a twentieth of its half-life, so that prices are constant within a step."""
KEPT_READINGS = 8
"""Declared costs for which readings are kept; the least recently updated ones are dropped."""

LATER_WAIT = 1.0
"""Seconds; a wait that grows by less than this is published with the statistics."""
RESTORED = "restored: "
"""Prefix of the reason of a circuit that was closed by hand."""


@dataclass(frozen=True, slots=True)
class Override:
    """A temporary effect of a monitor's signal, or of a person, on a target."""

    factor: float
    """Multiplies the price; infinite for a forbidden target."""
    until: float
    """Monotonic seconds."""
    reason: str = ""


@dataclass(slots=True)
class Readings:
    """Latency and money of attempts, under one declared cost."""

    latency: LatencyBuckets
    money: Mean = field(default_factory=Mean)

    def merge(self, other: "Readings", half_life: float) -> None:
        """Add another's counts."""
        self.latency.merge(other.latency)
        self.money = self.money.merged(other.money, half_life)

    @property
    def at(self) -> float:
        """Monotonic seconds of the last observation."""
        return max(self.latency.at, self.money.at)

    def expected_money(self, declared: float) -> float:
        """US dollars of an attempt: the mean of the reported costs, or the declared cost if the difference is small."""
        learned = self.money.value
        if learned is None or math.isclose(learned, declared, rel_tol=1e-9, abs_tol=1e-12):
            return declared
        return learned


@dataclass(slots=True)
class Entry:
    """Mutable state of one target; times are monotonic seconds."""

    half_life: float
    target: Target = ""
    """The tool or transition by name."""
    declaration: str = ""
    """Digest of the declaration; empty for a transition, a model, a credential."""
    evidence: SuccessCounts = field(default_factory=SuccessCounts)
    readings: dict[str, Readings] = field(default_factory=dict[str, Readings])
    """Readings by declared cost."""
    circuit: Circuit = field(default_factory=Circuit)
    pressure: Pressure = field(default_factory=Pressure)
    calls: int = 0
    failures: int = 0
    last_failure: str = ""
    overrides: dict[str, Override] = field(default_factory=dict[str, Override])
    """Overrides by their origin."""
    verdicts: dict[str, bool] = field(default_factory=dict[str, bool])
    """Owners of admitted calls in flight -> whether the call decides about an open circuit."""
    lease: str | None = None
    """The owner for whom this process holds the probe lease."""
    unanswered_since: float | None = None
    """When the store first did not respond to a request for the probe; `None` when it does."""
    turned_at: float = 0.0
    """When the circuit last opened or closed, in seconds since the epoch."""
    hand_at: float = 0.0
    """When it was last changed by hand, in seconds since the epoch; calls do not undo that."""
    last_ok: float = -math.inf
    """When a call of this process last succeeded."""
    opened_here: float = 0.0
    """When calls of this process opened the current open circuit, in seconds since the epoch; 0: other processes
    did.
    """
    voices: Voices = field(default_factory=Voices)
    """The reports of the other processes about the circuit, as last read."""
    delta: "Entry | None" = None
    """The observations of this process since it last published, if it publishes."""
    published: tuple[float, float] = (0.0, 0.0)
    """The state change of the circuit that the store has."""
    published_wait: float = 0.0
    """The end of the requested wait that the store has."""
    writes: int = 0
    """Version of the stored entry, as known to this process."""

    def empty(self) -> "Entry":
        """An entry of the same target without observations."""
        return Entry(self.half_life, self.target, self.declaration)

    @property
    def is_credential(self) -> bool:
        """Whether it is of a credential, which several tools may share."""
        return isinstance(self.target, str) and self.target.startswith(CREDENTIAL)

    @property
    def lease_label(self) -> str:
        """The name of its probe lease and of its random draws."""
        return f"{target_name(self.target)}#{self.declaration}" if self.declaration else target_name(self.target)

    @property
    def turn(self) -> tuple[float, float]:
        """Order of the reports about the circuit: the later change wins, and a change by hand wins over any other."""
        return (self.hand_at, self.turned_at)

    def both(self) -> "tuple[Entry, ...]":
        """The entry and its delta: an observation is counted in both."""
        return (self,) if self.delta is None else (self, self.delta)

    def readings_of(self, cost: str) -> Readings:
        """The mutable readings under a declared cost."""
        found = self.readings.get(cost)
        if found is None:
            found = self.readings[cost] = Readings(LatencyBuckets(self.half_life))
            while len(self.readings) > KEPT_READINGS:
                del self.readings[min((c for c in self.readings if c != cost), key=lambda c: self.readings[c].at)]
        return found

    # -- sharing -----------------------------------------------------------------------------------------------------

    def add(self, other: "Entry") -> None:
        """Add another entry's counts, without its circuit; pressures are combined."""
        self.evidence = self.evidence.merged(other.evidence, self.half_life)
        for cost in sorted(other.readings):
            self.readings_of(cost).merge(other.readings[cost], self.half_life)
        self.calls += other.calls
        self.failures += other.failures
        self.pressure = self.pressure.merged(other.pressure)
        self.last_failure = other.last_failure or self.last_failure

    @property
    def is_urgent(self) -> bool:
        """Whether its circuit changed, or a wait was requested, and the store does not have that yet."""
        return self.turn != self.published or self.pressure.wait_until > self.published_wait + LATER_WAIT

    def start_delta(self) -> None:
        """Start to collect the observations of this process; earlier ones are in the store."""
        self.delta, self.published, self.published_wait = self.empty(), self.turn, self.pressure.wait_until

    def has_pressure(self, now: float) -> bool:
        """Whether a quota, a rate limit or a wait makes it more expensive."""
        return not self.pressure.idle(now)

    def delta_to_json(self, now: float) -> dict[str, Any]:
        """The delta, with the current circuit and pressure."""
        delta = self.delta or self.empty()
        whole, counts = self.to_json(now), delta.to_json(now)
        return {**whole, **{name: counts[name] for name in ("evidence", "readings", "calls", "failures")}}

    def merge_remote(self, stored: "Entry") -> None:
        """Replace the counts by the stored ones plus the delta, and the circuit if the stored one is newer."""
        mine = self.delta or self.empty()
        self.evidence = stored.evidence.merged(mine.evidence, self.half_life)
        self.readings = stored.readings
        for cost in sorted(mine.readings):
            self.readings_of(cost).merge(mine.readings[cost], self.half_life)
        self.calls, self.failures = stored.calls + mine.calls, stored.failures + mine.failures
        self.pressure = self.pressure.merged(stored.pressure)
        self.published_wait = max(self.published_wait, stored.pressure.wait_until)
        self.last_failure = self.last_failure if mine.failures else stored.last_failure or self.last_failure
        self.writes, self.voices = stored.writes, stored.voices
        self.merge_circuit(stored)

    def merge_circuit(self, stored: "Entry") -> None:
        """Apply a later change of the circuit by another process: a change by hand always, others as hints."""
        by_hand = stored.hand_at > self.hand_at
        if stored.turn <= self.turn or (self.lease is not None and not by_hand):
            return  # known already; or this process holds the probe, whose result is newer
        opened = stored.circuit.opened_at if stored.circuit.state is not CircuitState.CLOSED else None
        if opened is not None and not by_hand and self._knows_better(stored, opened):
            return
        self.circuit = stored.circuit
        self.opened_here = 0.0
        self.hand_at, self.turned_at = self.published = stored.turn

    def _knows_better(self, stored: "Entry", opened: float) -> bool:
        """Whether own calls show that the tool works, and there is no quorum against it."""
        alone = not stored.voices.quorum and not stored.circuit.account
        return self.last_ok > opened - (OWN_WORD_SECONDS if alone else 0.0)

    # -- prices ------------------------------------------------------------------------------------------------------

    def mean(self, policy: Policy, now: float) -> float:
        """Posterior mean probability of success, constant within a grain of time."""
        if not policy.learn:
            return SuccessCounts().mean()
        half_life = policy.circuit.half_life
        grain = half_life / GRAINS
        return self.evidence.mean(math.floor(now / grain) * grain, half_life)

    def factor(self, policy: Policy, now: float) -> float:
        """Pressure: quota, rate limits, recovery, and signals; at least 1, infinite when forbidden."""
        if not self.overrides and self.circuit.ramp_from is None and self.pressure.untouched:
            return 1.0
        if not policy.learn:
            return math.inf if self.forbidden(now) else 1.0
        value = self.pressure.value(math.floor(now)) * self._ramp(policy, now)
        for override in self.overrides.values():
            if now < override.until:
                value *= override.factor
        return max(1.0, value)

    @property
    def untroubled(self) -> bool:
        """Whether its circuit is closed and it has no pressure, no override and no wait."""
        circuit, pressure = self.circuit, self.pressure
        return (
            circuit.state is CircuitState.CLOSED
            and circuit.owner is None
            and circuit.ramp_from is None
            and not circuit.manual
            and not (self.overrides or pressure.limited or pressure.used or pressure.wait_until)
        )

    def shut(self, now: float) -> bool:
        """Whether the circuit admits no call: open, or half open with its probe taken."""
        circuit = self.circuit.ticked(now)
        return circuit.state is CircuitState.OPEN or circuit.owner is not None

    def forbidden(self, now: float) -> str | None:
        """Why a signal forbids it now; `None` when none does."""
        for by in sorted(self.overrides):
            override = self.overrides[by]
            if math.isinf(override.factor) and now < override.until:
                return f"{by}: {override.reason}" if override.reason else f"forbidden by {by}"
        return None

    def wait(self, now: float) -> float:
        """Seconds until the server accepts calls again."""
        left = self.pressure.wait_until - now
        return left if left >= MIN_WAIT else 0.0

    def probe_wait(self, now: float) -> float | None:
        """Seconds until an open circuit may be probed; 0 when it may, `None` for one opened by hand."""
        circuit = self.circuit.ticked(now)
        if circuit.state is CircuitState.OPEN:
            return None if circuit.manual or circuit.probe_at is None else max(0.0, circuit.probe_at - now)
        return 0.0

    def advance(self, policy: Policy, now: float) -> bool:
        """Advance to `now`; returns whether that changed a price."""
        ticked = self.circuit.ticked(now)
        over = [by for by, override in self.overrides.items() if now >= override.until]
        ramped = self.circuit.ramp_from is not None
        changed = ramped or bool(over) or ticked is not self.circuit or not self.pressure.idle(now)
        ended = ramped and not self.ramping(policy, now)
        self.circuit = replace(ticked, ramp_from=None) if ended else ticked
        for by in over:
            del self.overrides[by]
        return changed

    def ramping(self, policy: Policy, now: float) -> bool:
        """Whether it recovered recently and still has a raised price."""
        since = self.circuit.ramp_from
        return since is not None and now < since + policy.circuit.ramp_seconds

    def _ramp(self, policy: Policy, now: float) -> float:
        since = self.circuit.ramp_from
        if since is None or not self.ramping(policy, now):
            return 1.0
        return 2.0 - math.floor(now - since) / policy.circuit.ramp_seconds

    @property
    def timeless(self) -> bool:
        """Whether time alone changes nothing about it, except the decay of evidence."""
        circuit = self.circuit
        waits = circuit.owner is not None or (circuit.state is CircuitState.OPEN and not circuit.manual)
        return not waits and circuit.ramp_from is None and not self.overrides and self.pressure.untouched

    def why(self, now: float) -> str:
        """Why it cannot be used, or why it is more expensive; empty if neither."""
        forbidden = self.forbidden(now)
        if forbidden:
            return forbidden
        if self.circuit.state is not CircuitState.CLOSED:
            return self.circuit.reason
        active = [f"{by}: {o.reason}" for by, o in sorted(self.overrides.items()) if now < o.until and o.reason]
        wait = self.wait(now)
        if wait > 0:
            active.insert(0, f"it asked not to be called for {seconds(wait)}")
        return "; ".join(active)

    def status(self, policy: Policy, now: float, epoch: float, cost: str) -> ToolHealth:
        """The health for people and monitors; `epoch` is `now` in seconds since the epoch."""
        circuit = self.circuit.ticked(now)
        opened = circuit.opened_at if circuit.state is not CircuitState.CLOSED else None
        probe = self.probe_wait(now) if circuit.state is CircuitState.OPEN else None
        latency = self._latency(cost)
        return ToolHealth(
            name=target_name(self.target),
            circuit=circuit.state,
            success=self.mean(policy, now),
            calls=self.calls,
            failures=self.failures,
            p50=latency.percentile(0.5),
            p90=latency.percentile(0.9),
            p99=latency.percentile(0.99),
            pressure=self.factor(policy, now),
            last_failure=self.last_failure,
            opened_at=None if opened is None else epoch - (now - opened),
            next_probe_in=probe,
            wait=self.wait(now),
            reason=self.why(now) or (circuit.reason if circuit.reason.startswith(RESTORED) else ""),
            manual=circuit.manual,
        )

    def _latency(self, cost: str) -> LatencyBuckets:
        """The latency of the readings under a declared cost; of the latest ones if the declared cost is unknown."""
        found = self.readings.get(cost)
        if found is None and not cost and self.readings:
            found = max(self.readings.values(), key=lambda readings: readings.at)
        return found.latency if found else LatencyBuckets(self.half_life)

    # -- records -----------------------------------------------------------------------------------------------------

    def to_json(self, now: float) -> dict[str, Any]:
        """Plain data, without signals and calls in flight."""
        return {
            "declaration": self.declaration,
            "evidence": self.evidence.to_json(now),
            "readings": {
                cost: {"latency": each.latency.to_json(now), "money": each.money.to_json(now)}
                for cost, each in sorted(self.readings.items())
            },
            "circuit": self.circuit.to_json(now),
            "pressure": self.pressure.to_json(now),
            "calls": self.calls,
            "failures": self.failures,
            "last_failure": self.last_failure,
            "turned_at": self.turned_at,
            "hand_at": self.hand_at,
            "voices": self.voices.to_json(),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any], now: float, half_life: float) -> "Entry":
        """What `to_json` wrote, `now` being the same instant on this process's clock. Raises `ValueError`.

        Version 1 had one latency and one cost, independent of the declaration; they are ignored.
        """
        readings = {
            str(cost): Readings(
                LatencyBuckets.from_json(each["latency"], now, half_life), Mean.from_json(each["money"], now)
            )
            for cost, each in sorted(data.get("readings", {}).items())
        }
        return cls(
            half_life,
            target=target_of(data),
            declaration=str(data.get("declaration", "")),
            evidence=SuccessCounts.from_json(data["evidence"], now),
            readings=readings,
            circuit=Circuit.from_json(data["circuit"], now),
            pressure=Pressure.from_json(data["pressure"], now),
            calls=int(data["calls"]),
            failures=int(data["failures"]),
            last_failure=str(data["last_failure"]),
            turned_at=float(data.get("turned_at", 0.0)),
            hand_at=float(data.get("hand_at", 0.0)),
            writes=int(data.get("writes", 0)),
            voices=Voices.from_json(data.get("voices", {})),
        )


def target_of(item: Any) -> Target:
    """The target of a stored item."""
    target: Any = item["target"]
    return target if isinstance(target, str) else (str(target[0]), str(target[1]))


def target_name(target: Target) -> str:
    """The name of a target for people."""
    return target if isinstance(target, str) else " -> ".join(target)
