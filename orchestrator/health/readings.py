"""`HealthReadings`: health as the facts that prices are made of. Reading changes nothing."""

import math

from orchestrator.core.enums import CircuitState

from .entries import HealthBook, label_of
from .entry import Entry
from .status import ToolHealth


class HealthReadings(HealthBook):
    """What is known of tools, by name."""

    def success(self, name: str) -> float:
        """Posterior mean probability of success; 0 when open, forbidden, or half open with its probe taken."""
        entry = self._entries.get(name)
        if entry is None:
            return Entry(self._buckets()).mean(self.policy, self._now())
        now = self._now()
        return 0.0 if _shut(entry, now) or entry.forbidden(now) else entry.mean(self.policy, now)

    def reading(self, name: str, cost: float, latency: float) -> tuple[float, float, float, float, float]:
        """Money, latency, competence, pressure and success of a tool with such a declared cost and latency, at once."""
        entry = self._entries.get(name)
        if entry is None:
            return cost, latency, 1.0, 1.0, self.success(name)
        now = self._now()
        forbidden = entry.forbidden(now)
        success = 0.0 if forbidden or _shut(entry, now) else entry.mean(self.policy, now)
        pressure = 1.0 if forbidden else entry.factor(self.policy, now)
        return self.money(name, cost), entry.latency.expected(latency), self.competence(name), pressure, success

    def last_resort_success(self, name: str) -> float:
        """As `success`, but an automatically opened circuit does not count, unless the policy fails fast.

        What was tripped by hand, or is forbidden, stays unusable.
        """
        entry = self._entries.get(name)
        if entry is None or self.policy.fail_fast:
            return self.success(name)
        now = self._now()
        return 0.0 if entry.circuit.manual or entry.forbidden(now) else entry.mean(self.policy, now)

    def usable(self, name: str, last_resort: bool = False) -> bool:
        """Whether a plan may use it now."""
        return (self.last_resort_success(name) if last_resort else self.success(name)) > 0

    def transition_success(self, source: str, target: str) -> float:
        """1 for a transition that nothing is wrong with, less when signals make it dearer, 0 when tripped or forbidden.

        Failures are the tool's, so a transition's own record does not lower this: it would be counted twice.
        """
        entry = self._entries.get((source, target))
        if entry is None:
            return 1.0
        now = self._now()
        return 0.0 if entry.circuit.manual or entry.forbidden(now) else 1.0 / entry.factor(self.policy, now)

    def latency(self, name: str, declared: float) -> float:
        """Expected seconds: learned, blended with the declared ones; differences that are noise are ignored."""
        entry = self._entries.get(name)
        return declared if entry is None else entry.latency.expected(declared)

    def pressure(self, name: str) -> float:
        """At least 1: grows near a quota or rate limit, while recovering, and by signals."""
        entry = self._entries.get(name)
        if entry is None:
            return 1.0
        now = self._now()
        return 1.0 if entry.forbidden(now) else entry.factor(self.policy, now)

    def money(self, name: str, declared: float) -> float:
        """US dollars per call: the mean of what calls really cost, where that is known."""
        entry = self._entries.get(name)
        learned = entry.cost.value if entry is not None else None
        if learned is None or math.isclose(learned, declared, rel_tol=1e-9, abs_tol=1e-12):
            return declared
        return learned

    def competence(self, name: str) -> float:
        """1: agents bring their own."""
        del name
        return 1.0

    def ramp_limit(self, name: str) -> int | None:
        """Calls at one time that a recovering tool should get: twice its successes since; `None` for no limit."""
        entry = self._entries.get(name)
        if entry is None or not entry.ramping(self.policy, self._now()):
            return None
        return max(1, int(2 * entry.circuit.window.successes))

    def status(self, name: str, to: str | None = None) -> ToolHealth:
        """The health of a tool, or with two names of a transition. Raises `InputError` for an unknown tool."""
        target = self._target(name, to)
        entry = self._entries.get(target) or Entry(self._buckets())
        return entry.status(label_of(target), self.policy, self._now(), self._clock.time())

    def next_change_in(self) -> float | None:
        """Seconds until the earliest probe of an open circuit; `None` when none waits."""
        with self._lock:
            now = self._now()
            due = [
                entry.circuit.probe_at - now
                for entry in self._entries.values()
                if entry.circuit.state is CircuitState.OPEN
                and not entry.circuit.manual
                and entry.circuit.probe_at is not None
            ]
        return max(0.0, min(due)) if due else None


def _shut(entry: Entry, now: float) -> bool:
    """Whether its circuit lets nobody through: open, or half open with its probe taken."""
    circuit = entry.circuit.ticked(now)
    return circuit.state is CircuitState.OPEN or circuit.owner is not None
