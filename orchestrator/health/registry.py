"""`HealthRegistry`: what is known about every tool, as facts for prices and as a gate for calls."""

import math
import random
from collections.abc import Callable
from dataclasses import replace

from orchestrator.core.clock import Clock
from orchestrator.core.enums import CircuitState, FailureKind
from orchestrator.core.errors import InputError
from orchestrator.core.policy import Policy
from orchestrator.health.failures.classify import counts

from .circuit import Circuit
from .entries import label_of
from .entry import Entry, Override
from .readings import HealthReadings
from .status import Admission, Target

Lease = Callable[[str, str, float], bool]
"""(tool, owner, seconds) -> whether `owner` now holds the one probe among all processes."""
Unlease = Callable[[str, str], None]
"""(tool, owner): gives that probe back."""
_ASK_AGAIN = 2.0
"""Seconds after which a process that did not get the probe asks for it again."""
_ALONE_AFTER = 5.0
"""Seconds without an answer of the store after which a process probes without asking."""
FOREVER = math.inf


class HealthRegistry(HealthReadings):
    """Health of tools and transitions, in memory; safe to use from several threads.

    Reads (`success`, `pressure`, `latency`, `money`, `status`) change nothing. `record` takes in what happened,
    `poll` what time alone changes; both call the subscribers with the names whose prices changed. `lease` lets
    processes share the probe, once per window, and `unlease` gives it back when a probe did not fail; when they raise
    for some seconds, this process decides alone.
    """

    def __init__(
        self, policy: Policy, clock: Clock, seed: int = 0, lease: Lease | None = None, unlease: Unlease | None = None
    ) -> None:
        super().__init__(policy, clock)
        self._seed = seed
        self._lease = lease
        self._unlease = unlease
        self._grain = self._grain_of(self._now())

    def trip(self, name: str, *rest: str, to: str | None = None, reason: str | None = None) -> None:
        """Open a circuit by hand, until `restore`: `trip(tool, reason)` or `trip(a, b, reason)`, the transition."""
        if len(rest) > 2 or (to is not None and len(rest) > 1):
            raise InputError("trip takes a tool and a reason, or two tools and a reason.")
        if len(rest) == 2:
            to, reason = rest
        elif rest:
            reason = rest[0]
        target = self._target(name, to)
        with self._lock:
            entry = self._entry(target)
            entry.circuit = entry.circuit.tripped(self._now(), reason or "tripped by hand")
            entry.hand_at = entry.turned_at = self._clock.time()
        self._notify(target)

    def restore(self, name: str, to: str | None = None) -> None:
        """Close a circuit by hand and lift what signals did to it. Its statistics stay."""
        target = self._target(name, to)
        with self._lock:
            entry = self._entry(target)
            entry.circuit = Circuit()
            entry.hand_at = entry.turned_at = self._clock.time()
            entry.overrides.clear()
        self._notify(target)

    # ------------------------------------------------------------------ the gate

    def admit(self, name: str, owner: str, last_resort: bool = False) -> Admission:
        """Whether `owner` may call the tool now; takes the one probe when the circuit is half open.

        Follow it with `record(..., owner=owner)`, or with `release(name, owner)` when there is no verdict.
        """
        with self._lock:
            entry = self._entry(name)
            now = self._now()
            before = entry.circuit
            entry.circuit = before.ticked(now)
            admission = self._admitted(name, entry, owner, last_resort, now)
            if admission.ok:
                entry.verdicts[owner] = admission.probe or entry.circuit.state is not CircuitState.CLOSED
            changed = entry.circuit != before
        if changed:
            self._notify(name)
        return admission

    def _admitted(self, name: str, entry: Entry, owner: str, last_resort: bool, now: float) -> Admission:
        forbidden = entry.forbidden(now)
        circuit = entry.circuit
        if forbidden or circuit.manual:
            return Admission(False, reason=forbidden or circuit.reason)
        if circuit.state is CircuitState.CLOSED:
            return Admission(True)
        anyway = last_resort and not self.policy.fail_fast
        if circuit.state is CircuitState.OPEN:
            return Admission(anyway, reason=circuit.reason)
        if circuit.owner is not None and circuit.owner != owner:
            return Admission(anyway, reason="another call is probing it")
        window = circuit.window_seconds(self.policy.circuit)
        refused = self._refused(name, entry, owner, window, now)
        if refused:
            entry.circuit = circuit.leased("another process", now + min(window, _ASK_AGAIN))
            return Admission(anyway, reason=refused)
        entry.lease = owner
        entry.circuit = circuit.leased(owner, now + max(2 * self.policy.timeout, window))
        return Admission(True, probe=True)

    def _refused(self, name: str, entry: Entry, owner: str, seconds: float, now: float) -> str:
        """Why this process does not get the probe; empty when it does.

        Where nobody answers, that may be because all processes ask at once, so it asks again; but a store that is down
        keeps nothing closed: soon this process decides alone.
        """
        if self._lease is None:
            return ""
        try:
            leased = self._lease(name, owner, seconds)
        except Exception:
            entry.unanswered_since = now if entry.unanswered_since is None else entry.unanswered_since
            alone = now - entry.unanswered_since >= _ALONE_AFTER
            return "" if alone else "the store does not say whether another process is probing it"
        entry.unanswered_since = None
        return "" if leased else "another process is probing it"

    def _give_back(self, name: str, owner: str) -> None:
        if self._unlease is None:
            return
        try:
            self._unlease(name, owner)
        except Exception:  # it ends by itself
            return

    def release(self, name: str, owner: str) -> None:
        """Give back an admission without a verdict (a cancelled call). Safe to repeat."""
        with self._lock:
            entry = self._entries.get(name)
            if entry is None:
                return
            entry.verdicts.pop(owner, None)
            before = entry.circuit
            entry.circuit = before.released(owner)
            changed = entry.circuit != before
            lease, entry.lease = entry.lease == owner, None if entry.lease == owner else entry.lease
        if lease:
            self._give_back(name, owner)
        if changed:
            self._notify(name)

    # ------------------------------------------------------------------ what happened

    def record(
        self,
        name: str,
        ok: bool,
        kind: FailureKind | None = None,
        seconds: float | None = None,
        cost: float | None = None,
        retry_after: float | None = None,
        via: str | None = None,
        message: str = "",
        owner: str = "",
        rate_limited: bool = False,
    ) -> None:
        """Take in one attempt that ended after `seconds`, at `cost` US dollars (`None`: not known).

        Refusals and caller errors leave health as it is, except that a probe which got an answer proves the tool
        reachable. `via` is the tool whose transition led here.
        """
        targets: list[Target] = [name] if via is None else [name, (via, name)]
        with self._lock:
            now = self._now()
            for target in targets:
                entry = self._entry(target)
                before = entry.circuit
                self._observe(target, entry, ok, kind, now, message, owner)
                if entry.circuit.turned_from(before):
                    entry.turned_at, entry.unanswered_since = self._clock.time(), None
            entry = self._entry(name)
            for each in entry.both():
                if ok and seconds is not None:
                    each.latency.observe(max(0.0, seconds), now)
                if cost is not None and (ok or cost > 0):  # a failure that was free says nothing of what the work costs
                    each.cost = each.cost.observed(cost, now, self.policy.circuit.half_life)
            if rate_limited or retry_after is not None:
                entry.pressure = entry.pressure.rate_limited(now, retry_after)
            lease, entry.lease = entry.lease == owner, None if entry.lease == owner else entry.lease
        if lease and entry.circuit.state is not CircuitState.OPEN:  # a probe that failed keeps others from trying too
            self._give_back(name, owner)
        self._notify(*targets)

    def _observe(
        self, target: Target, entry: Entry, ok: bool, kind: FailureKind | None, now: float, message: str, owner: str
    ) -> None:
        verdict = entry.verdicts.pop(owner, True)
        for each in entry.both():
            each.calls += 1
        entry.circuit = entry.circuit.ticked(now)
        if not ok:
            entry.last_failure = message or (str(kind) if kind else "failed")
        if not ok and kind is not None and not counts(kind):
            reachable = kind is FailureKind.REFUSAL and entry.circuit.state is CircuitState.HALF_OPEN and verdict
            changed = entry.circuit.succeeded(self.policy.circuit, now) if reachable else entry.circuit
            entry.circuit = changed.released(owner)
            return
        for each in entry.both():
            each.evidence = each.evidence.observed(ok, now, self.policy.circuit.half_life)
            each.failures += not ok
        if ok:
            entry.last_ok = now
            entry.circuit = entry.circuit.succeeded(self.policy.circuit, now, late=not verdict).released(owner)
            return
        if isinstance(target, str):  # a transition opens only by hand or by a signal
            draw = random.Random(f"{self._seed}:{target}:{entry.circuit.openings}").random()
            reason = entry.last_failure
            entry.circuit = entry.circuit.failed(self.policy.circuit, now, draw, reason, owner if verdict else "late")

    def shut(self, name: str, reason: str) -> None:
        """Open a tool's circuit at once; it is probed again as after failures."""
        with self._lock:
            entry = self._entry(name)
            now, before = self._now(), entry.circuit
            draw = random.Random(f"{self._seed}:{name}:{before.openings}").random()
            entry.circuit = before.shut(self.policy.circuit, now, draw, reason)
            if entry.circuit.turned_from(before):
                entry.turned_at, entry.unanswered_since = self._clock.time(), None
        self._notify(name)

    def checked(self, name: str, ok: bool, message: str = "") -> None:
        """Take in a background check. One that passes lets an open circuit probe at once; one that fails counts."""
        if not ok:
            self.record(name, False, FailureKind.OUTAGE, message=message or "its health check failed")
            return
        with self._lock:
            entry = self._entry(name)
            waiting = entry.circuit.state is CircuitState.OPEN and not entry.circuit.manual
            if waiting:
                entry.circuit = replace(entry.circuit, probe_at=self._now())
        if waiting:
            self._notify(name)

    def note_quota(self, name: str, remaining: float, limit: float, reset_seconds: float) -> None:
        """Take in what an answer said of a quota, so that pressure rises before the limit is hit."""
        with self._lock:
            entry = self._entry(name)
            entry.pressure = entry.pressure.quota(self._now(), remaining, limit, reset_seconds)
        self._notify(name)

    # ------------------------------------------------------------------ signals

    def reweight(
        self, target: Target, factor: float, seconds: float = FOREVER, reason: str = "", by: str = "signal"
    ) -> None:
        """Multiply the price of a tool or transition for a while. Raises `InputError` for a factor below 1."""
        if not factor >= 1:
            raise InputError(f"A factor of at least 1 makes {label_of(target)} dearer; it was {factor!r}.")
        with self._lock:
            self._entry(target).overrides[by] = Override(factor, self._now() + seconds, reason)
        self._notify(target)

    def forbid(self, target: Target, seconds: float = FOREVER, reason: str = "", by: str = "signal") -> None:
        """Make a tool or transition unusable for a while."""
        self.reweight(target, math.inf, seconds, reason, by)

    def lift(self, target: Target, by: str = "signal") -> None:
        """Take back what `by` did to a target."""
        with self._lock:
            lifted = self._entry(target).overrides.pop(by, None)
        if lifted is not None:
            self._notify(target)

    # ------------------------------------------------------------------ time, changes, persistence

    def poll(self) -> frozenset[Target]:
        """What time alone changed (circuits due for a probe, signals and quotas that ended, evidence that faded).

        Cheap: what stands still is not looked at. Call it before planning. Returns the changed targets, after telling
        the subscribers.
        """
        changed: set[Target] = set()
        with self._lock:
            now = self._now()
            grain = self._grain_of(now)
            everything, self._grain = grain != self._grain, grain
            if not (everything or self._restless):
                return frozenset()
            for target in list(self._entries if everything else self._restless):
                entry = self._entries[target]
                if entry.timeless and not everything:
                    self._restless.discard(target)
                    continue
                ticked = entry.circuit.ticked(now)
                over = [by for by, override in entry.overrides.items() if now >= override.until]
                ramped = entry.circuit.ramp_from is not None
                if everything or ramped or over or ticked is not entry.circuit or not entry.pressure.idle(now):
                    changed.add(target)
                entry.circuit = ticked
                if ramped and not entry.ramping(self.policy, now):
                    entry.circuit = replace(ticked, ramp_from=None)
                for by in over:
                    del entry.overrides[by]
        if changed:
            self._notify(*changed)
        return frozenset(changed)
