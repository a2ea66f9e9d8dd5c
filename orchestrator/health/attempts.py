"""`AttemptCounter`: applies one attempt to the entries of its tool, its credential and its transition."""

import math
import random
from collections.abc import Callable
from typing import Final

from orchestrator.core.clock import Clock
from orchestrator.core.enums import CircuitState, FailureKind
from orchestrator.core.policy import Policy
from orchestrator.graph.tool_options import MAX_COST
from orchestrator.health.failures.classify import counts_for_health

from .circuit import Circuit
from .declaration import Declaration
from .entry import Entry

LATE: Final = "late"
"""Stands for the owner of an attempt that was not admitted as the probe."""


class AttemptCounter:
    """Counts attempts and changes circuits. The caller holds the lock of the entries."""

    def __init__(self, policy: Policy, clock: Clock, seed: int, on_problem: Callable[[str], None]) -> None:
        self.policy = policy
        self._clock = clock
        self._seed = seed
        self._on_problem = on_problem

    def count(
        self, entry: Entry, ok: bool, kind: FailureKind | None, now: float, message: str, owner: str, *, blamed: bool
    ) -> None:
        """Count an attempt, and change the circuit of the entry if it is `blamed`."""
        # a call that was not admitted by the circuit of its credential began before that circuit opened
        verdict = entry.verdicts.pop(owner, not (owner and entry.is_credential))
        before, both = entry.circuit, entry.both()
        for each in both:
            each.calls += 1
        circuit = entry.circuit.ticked(now)
        if not ok:
            entry.last_failure = message or (str(kind) if kind else "failed")
            if kind is FailureKind.BUG and message:
                entry.last_failure = f"{kind}: {message}"
        if not ok and kind is not None and not counts_for_health(kind):
            reachable = kind is FailureKind.REFUSAL and circuit.state is CircuitState.HALF_OPEN and verdict
            entry.circuit = (circuit.succeeded(self.policy.circuit, now) if reachable else circuit).released(owner)
        else:
            for each in both:
                each.evidence = each.evidence.observed(ok, now, self.policy.circuit.half_life)
                each.failures += not ok
            entry.circuit = self._turned(entry, circuit, ok, kind, now, owner, blamed=blamed, verdict=verdict)
        if entry.circuit.state is not before.state or entry.circuit.openings != before.openings:
            self.note_turn(entry, before)

    def _turned(
        self,
        entry: Entry,
        circuit: Circuit,
        ok: bool,
        kind: FailureKind | None,
        now: float,
        owner: str,
        *,
        blamed: bool,
        verdict: bool,
    ) -> Circuit:
        policy = self.policy.circuit
        if ok:
            entry.last_ok, proven = now, circuit.succeeded(policy, now, late=not verdict)
            return proven if proven.owner is None else proven.released(owner)
        if blamed and kind is FailureKind.ACCOUNT:
            return circuit.account_failed(policy, now, self.draw(entry), f"account: {entry.last_failure}")
        if blamed:
            return circuit.failed(policy, now, self.draw(entry), entry.last_failure, owner if verdict else LATE)
        return circuit.released(owner) if kind is FailureKind.ACCOUNT else circuit

    def measure(
        self,
        entry: Entry,
        declared: Declaration,
        counted: bool,
        seconds: float | None,
        cost: float | None,
        now: float,
    ) -> None:
        """Add to the latency and money of attempts. An invalid cost is reported and ignored."""
        if cost is not None and not 0 <= cost <= MAX_COST:  # NaN included
            self._on_problem(
                f"The cost {cost!r} that {declared.tool!r} reported is ignored: it is no amount of dollars."
            )
            cost = None
        for each in entry.both():
            if counted and seconds is not None and math.isfinite(seconds):
                each.readings_of(declared.cost).latency.observe(max(0.0, seconds), now)
            if cost is not None:
                readings = each.readings_of(declared.cost)
                readings.money = readings.money.observed(cost, now, self.policy.circuit.half_life)

    def draw(self, entry: Entry) -> float:
        """The random number in [0, 1) for an entry's next opening; equal for the same seed, entry and opening."""
        return random.Random(f"{self._seed}:{entry.lease_label}:{entry.circuit.openings}").random()

    def note_turn(self, entry: Entry, before: Circuit) -> None:
        """Note when a circuit changed, and whether this process opened it."""
        if entry.circuit.turned_from(before):
            entry.turned_at, entry.unanswered_since = self._clock.time(), None
            entry.opened_here = entry.turned_at if entry.circuit.state is CircuitState.OPEN else 0.0
