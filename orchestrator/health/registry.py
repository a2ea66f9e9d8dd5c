"""`HealthRegistry`: the health of all tools: facts for prices, admission of calls, results of calls."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, TypeGuard

from orchestrator.core.calls.options import checked
from orchestrator.core.clock import Clock
from orchestrator.core.enums import START, CircuitState, FailureKind
from orchestrator.core.errors import InputError, nearest
from orchestrator.core.policy import Policy
from orchestrator.graph.tool import Tool
from orchestrator.health.failures.classify import counts_for_health

from .admission import Lease, ProbeLeases, Unlease, admit_through
from .attempts import AttemptCounter
from .circuit import Circuit
from .declaration import CREDENTIAL
from .entries import EntryTable
from .entry import GRAINS, RESTORED, Entry, Override, target_name
from .status import Admission, Target, ToolHealth
from .status import seconds as shown_seconds

FOREVER: Final = math.inf
FREE: Final = Admission(True, free=True)
"""The admission to an unrestricted tool."""


class HealthRegistry:
    """Health of tools and transitions, in memory; safe to use from several threads.

    Reads (`success`, `pressure`, `latency`, `money`, `status`) change nothing. `record` applies the result of an
    attempt, `poll` the changes by time alone; both call the subscribers with the targets whose prices changed, and a
    subscriber must not raise. `lease` lets processes share the probe, once per window, and `unlease` releases it.
    """

    def __init__(
        self, policy: Policy, clock: Clock, seed: int = 0, lease: Lease | None = None, unlease: Unlease | None = None
    ) -> None:
        self.policy = policy
        self.version = 0
        """Incremented with each change."""
        self.known: Callable[[], Iterable[str]] | None = None
        """Returns the names of all tools, if known: then an unknown name is an error."""
        self.is_known: Callable[[str], bool] | None = None
        """Whether one name is known, without listing all."""
        self.tools_with: Callable[[str], Iterable[str]] = lambda _: ()
        """The names of the tools with a credential."""
        self.entries = EntryTable(policy, clock)
        self._clock = clock
        self._attempts = AttemptCounter(policy, clock, seed, lambda problem: self.entries.on_problem(problem))
        self.probes = ProbeLeases(lease, unlease)
        """The leases by which one process may probe a half-open circuit."""
        self._lock = self.entries.lock
        self._now = clock.monotonic
        self._listeners: list[Callable[[frozenset[Target]], None]] = []
        self._grain_seconds = policy.circuit.half_life / GRAINS
        self._grain = math.floor(self._now() / self._grain_seconds)
        """The number of the current time step, within which evidence is constant."""
        self._unseen = Entry(policy.circuit.half_life)

    def __repr__(self) -> str:
        return f"<HealthRegistry of {len(self.touched())} tools>"

    def use_tools(self, tool_of: Callable[[str], Tool | None], tools_with: Callable[[str], Iterable[str]]) -> None:
        """Set the lookups of tools: learned numbers belong to their declarations, and waits to their credentials."""
        self.entries.tool_of, self.tools_with = tool_of, tools_with

    # -- facts for prices --------------------------------------------------------------------------------------------

    def success(self, name: str) -> float:
        """Posterior mean probability of success; 0 when open, forbidden, or half open with its probe taken."""
        entry, now = self.entries.find(name), self._now()
        if self._scope_shut(name, now):
            return 0.0
        if entry is None:
            return self._unseen.mean(self.policy, now)
        return 0.0 if entry.shut(now) or entry.forbidden(now) else entry.mean(self.policy, now)

    def reading(self, name: str, cost: float, latency: float) -> tuple[float, float, float, float, float]:
        """Money, latency, competence, pressure and success of a tool with this declared cost and latency."""
        declared, entry = self.entries.lookup(name)
        if entry is None:
            return cost, latency, 1.0, 1.0, self.success(name)
        readings = entry.readings.get(declared.cost) if self.policy.learn else None
        if readings is not None:
            cost = readings.expected_money(cost) if readings.money.weight else cost
            latency = readings.latency.expected(latency)
        now = self._now()
        scope = None if declared.scope is None else self.entries.scope(name)
        if entry.untroubled and scope is None:
            return cost, latency, 1.0, 1.0, entry.mean(self.policy, now)
        forbidden = entry.forbidden(now)
        shut = forbidden or entry.shut(now) or (scope is not None and scope.shut(now))
        pressure = 1.0 if forbidden else entry.factor(self.policy, now)
        return cost, latency, 1.0, pressure, 0.0 if shut else entry.mean(self.policy, now)

    def last_resort_success(self, name: str) -> float:
        """As `success`, but an automatically opened circuit does not count, unless the policy fails fast.

        A tool that was tripped by hand or is forbidden stays unusable. One with a refused account waits for its probe.
        """
        entry, now = self.entries.find(name), self._now()
        if self.policy.fail_fast:
            return self.success(name)
        if entry is None:
            return self._unseen.mean(self.policy, now)
        return 0.0 if entry.circuit.manual or entry.forbidden(now) else entry.mean(self.policy, now)

    def usable(self, name: str, last_resort: bool = False) -> bool:
        """Whether a plan may use it now."""
        return (self.last_resort_success(name) if last_resort else self.success(name)) > 0

    def usable_both(self, name: str) -> tuple[bool, bool]:
        """Whether a plan may use it now, and whether as a last resort."""
        declared, entry = self.entries.lookup(name)
        if entry is not None and entry.untroubled and declared.scope is None:
            return True, True
        return self.usable(name), self.usable(name, last_resort=True)

    def transition_success(self, source: str, target: str) -> float:
        """1 for an unrestricted transition, less when signals make it more expensive, 0 when tripped or forbidden.

        Failures count for the tool, so a transition's own record does not lower this: they would count twice.
        """
        entry = self.entries.find((source, target))
        if entry is None:
            return 1.0
        now = self._now()
        return 0.0 if entry.circuit.manual or entry.forbidden(now) else 1.0 / entry.factor(self.policy, now)

    def latency(self, name: str, declared: float) -> float:
        """Expected seconds of an attempt, failed ones included: learned, blended with the declared seconds."""
        entry = self.entries.find(name) if self.policy.learn else None
        readings = entry.readings.get(self.entries.declaration(name).cost) if entry is not None else None
        return declared if readings is None else readings.latency.expected(declared)

    def timed(self, name: str) -> bool:
        """Whether a latency was measured for the tool's current declaration."""
        entry = self.entries.find(name)
        readings = entry.readings.get(self.entries.declaration(name).cost) if entry is not None else None
        return readings is not None and readings.latency.weight > 0

    def pressure(self, name: str) -> float:
        """At least 1: higher near a quota or rate limit, during recovery, and by signals."""
        entry = self.entries.find(name)
        if entry is None:
            return 1.0
        now = self._now()
        return 1.0 if entry.forbidden(now) else entry.factor(self.policy, now)

    def money(self, name: str, declared: float) -> float:
        """US dollars of an attempt: the mean of the reported costs, else the declared cost."""
        entry = self.entries.find(name) if self.policy.learn else None
        readings = entry.readings.get(self.entries.declaration(name).cost) if entry is not None else None
        return declared if readings is None else readings.expected_money(declared)

    def competence(self, name: str) -> float:
        """1 for every tool; agents have a competence of their own."""
        del name
        return 1.0

    def wait(self, name: str) -> float:
        """Seconds until the tool, and any tool with its credential, may be called; 0 for now."""
        if not self.entries.restless:  # every tool with a wait is among them
            return 0.0
        declared, entry = self.entries.lookup(name)
        scope = None if declared.scope is None else self.entries.scope(name)
        wait = 0.0 if entry is None or entry.untroubled else entry.wait(self._now())
        return wait if scope is None else max(wait, scope.wait(self._now()))

    def is_calm(self, name: str) -> bool:
        """Whether certainly nothing restricts a tool or its credential; a fast check."""
        if not self.entries.restless:
            return True
        declared = self.entries.declaration(name)
        entry = self.entries.by_label.get(declared.label)
        return declared.scope is None and (entry is None or entry.untroubled)

    def waits(self) -> dict[str, float]:
        """The tools that may not be called now -> seconds until they may."""
        if not self.entries.restless:
            return {}
        with self._lock:
            now = self._now()
            waiting = self.entries.troubled()
            names = {name for entry in waiting if entry.wait(now) > 0 for name in self._names_in(entry)}
        return {name: wait for name in sorted(map(target_name, names)) if (wait := self.wait(name)) > 0}

    def probe_wait(self, name: str) -> float | None:
        """Seconds until its open circuit may be probed; 0 if none is open, `None` for one opened by hand."""
        now, found = self._now(), 0.0
        for entry in (self.entries.find(name), self.entries.scope(name)):
            wait = 0.0 if entry is None else entry.probe_wait(now)
            if wait is None:
                return None
            found = max(found, wait)
        return found

    @property
    def accounts_refused(self) -> bool:
        """Whether any account is refused now; a fast check before `account_refused`."""
        if not self.entries.restless:
            return False
        with self._lock:
            return any(e.circuit.account for e in self.entries.troubled())

    def account_refused(self, name: str) -> bool:
        """Whether its account, or the one that it shares, cannot be used now."""
        now = self._now()
        entries = [entry for entry in (self.entries.find(name), self.entries.scope(name)) if entry is not None]
        return any(e.circuit.account and e.circuit.ticked(now).state is CircuitState.OPEN for e in entries)

    def ramp_limit(self, name: str) -> int | None:
        """Maximum concurrent calls of a recovering tool: twice its successes since; `None` for no limit."""
        entry = self.entries.find(name)
        if entry is None or not entry.ramping(self.policy, self._now()):
            return None
        return max(1, int(2 * entry.circuit.window.successes))

    @checked(InputError)
    def status(self, name: str, to: str | None = None) -> ToolHealth:
        """The health of a tool, or with two names of a transition. Raises `InputError` for an unknown tool."""
        target = self._target(name, to)
        now, epoch = self._now(), self._clock.time()
        cost = self.entries.declaration(target).cost if isinstance(target, str) else ""
        status = (self.entries.find(target) or self._unseen).status(self.policy, now, epoch, cost)
        scope = self.entries.scope(target) if isinstance(target, str) else None
        if scope is not None:
            status = status.with_account(scope.status(self.policy, now, epoch, ""))
        return replace(status, name=target_name(target))

    def touched(self) -> tuple[str, ...]:
        """Names of the tools with observations, sorted."""
        with self._lock:
            scopes = [label[len(CREDENTIAL) :] for label, _ in self.entries.items() if _is_scope(label)]
            names = self.entries.names()
        return names if not scopes else tuple(sorted({*names, *(n for s in scopes for n in self.tools_with(s))}))

    def touched_transitions(self) -> tuple[tuple[str, str], ...]:
        """The transitions with observations, sorted."""
        with self._lock:
            return self.entries.transitions

    # -- by hand -----------------------------------------------------------------------------------------------------

    @checked(InputError)
    def trip(self, name: str, *rest: str, to: str | None = None, reason: str | None = None) -> None:
        """Open a circuit by hand, until `restore`: `trip(tool, reason)` or `trip(a, b, reason)`, the transition.

        It applies to every declaration of that name, in every process that shares the store.
        """
        if len(rest) > 2 or (to is not None and len(rest) > 1):
            raise InputError("trip takes a tool and a reason, or two tools and a reason.")
        if len(rest) == 2:
            to, reason = rest
        elif rest:
            reason = rest[0]
        target = self._target(name, to)
        with self._lock:
            for entry in self.entries.of_name(target):
                entry.circuit = entry.circuit.tripped(self._now(), reason or "tripped by hand")
                entry.hand_at = entry.turned_at = self._clock.time()
        self._notify(target)

    @checked(InputError)
    def restore(self, name: str, to: str | None = None, *, reason: str = "") -> None:
        """Close a circuit by hand and remove the effects of signals and waits. Its statistics are kept.

        `reason` (why, and by whom) is shown until the circuit changes again.
        """
        target = self._target(name, to)
        with self._lock:
            scope = self.entries.scope(target) if isinstance(target, str) else None
            for entry in (*self.entries.of_name(target), *((scope,) if scope is not None else ())):
                entry.circuit = Circuit(reason=RESTORED + reason if reason else "")
                entry.hand_at = entry.turned_at = self._clock.time()
                entry.overrides.clear()
                entry.pressure = replace(entry.pressure, wait_until=0.0)
        self._notify(*self._sharing(target))

    # -- admission ---------------------------------------------------------------------------------------------------

    def wanted_leases(self, name: str, owner: str) -> list[tuple[str, float]]:
        """The leases that `admit` would request: the label of each half-open circuit, and the seconds of its lease.

        If the store may be slow, `probes.ask` requests them in a thread before `admit` is called.
        """
        with self._lock:
            now = self._now()
            gates = [entry for entry in (self.entries.scope(name), self.entries.find(name)) if entry is not None]
            if not self.probes.shared or any(entry.wait(now) > 0 or entry.forbidden(now) for entry in gates):
                return []
            found: list[tuple[str, float]] = []
            for entry in gates:
                circuit = entry.circuit.ticked(now)
                if circuit.state is CircuitState.HALF_OPEN and not circuit.manual and circuit.owner in (None, owner):
                    found.append((entry.lease_label, circuit.window_seconds(self.policy.circuit)))
            return found

    def admit(self, name: str, owner: str, last_resort: bool = False) -> Admission:
        """Whether `owner` may call the tool now; takes the one probe when a circuit is half open.

        Follow it with `record(..., owner=owner)`, or with `release(name, owner)` when there is no result.
        """
        with self._lock:
            _, scope, entry = self.entries.gates(name)
            if scope is None and entry.untroubled:
                entry.verdicts[owner] = False
                return FREE
            now, gates = self._now(), [entry] if scope is None else [scope, entry]
            before = [entry.circuit for entry in gates]
            wait = max(entry.wait(now) for entry in gates)
            admission = Admission(False, reason=f"it asked not to be called for {shown_seconds(wait)}", wait=wait)
            if wait <= 0:
                admission = admit_through(gates, owner, now, self.policy, self.probes, last_resort=last_resort)
            changed = [entry.circuit for entry in gates] != before
        if changed:
            self._notify(name)
        return admission

    def release(self, name: str, owner: str) -> None:
        """Release an admission without a result (a cancelled call). Safe to repeat."""
        given_back: list[Entry] = []
        with self._lock:
            gates = [entry for entry in (self.entries.scope(name), self.entries.find(name)) if entry is not None]
            before = [entry.circuit for entry in gates]
            for entry in gates:
                entry.verdicts.pop(owner, None)
                entry.circuit = entry.circuit.released(owner)
                if entry.lease == owner:
                    entry.lease = None
                    given_back.append(entry)
            changed = [entry.circuit for entry in gates] != before
        for entry in given_back:
            self.probes.give_back(entry.lease_label, owner)
        if changed:
            self._notify(name)

    # -- what happened -----------------------------------------------------------------------------------------------

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
        """Count one attempt that ended after `seconds`.

        `cost` is the reported cost in US dollars; `None` if none was reported: then it counts for latency only.
        Refusals and caller errors do not change health, except that a probe with such a response proves that the tool
        can be reached. `via` is the tool whose transition led here.
        """
        with self._lock:
            now, (declared, scope, entry) = self._now(), self.entries.gates(name)
            if declared.scope is not None:
                scope = self.entries.scope_entry(name)
            # A credential's entry counts only account failures, and successes that prove that it works again.
            shared = scope is not None and (kind is FailureKind.ACCOUNT or (ok and scope.circuit != Circuit()))
            blamed = [scope] if scope is not None and kind is FailureKind.ACCOUNT else [entry]
            for each in (entry, *((scope,) if scope is not None and shared else ())):
                self._attempts.count(each, ok, kind, now, message, owner, blamed=each in blamed)
            if via is not None:
                self._attempts.count(self.entries.entry((via, name)), ok, kind, now, message, owner, blamed=False)
            self._attempts.measure(entry, declared, ok or kind is None or counts_for_health(kind), seconds, cost, now)
            if rate_limited or retry_after is not None:
                entry.pressure = entry.pressure.rate_limited(now, None)
                (scope or entry).pressure = (scope or entry).pressure.asked_to_wait(now, retry_after or 0.0)
            held = owner and (entry.lease == owner or (scope is not None and scope.lease == owner))
            passed = self._end_probe(owner, entry, scope) if held else []
        for each in passed:  # a failed probe keeps its lease, so that other processes do not probe
            self.probes.give_back(each.lease_label, owner)
        shared_too = kind is FailureKind.ACCOUNT or retry_after is not None or shared
        targets = self._sharing(name) if scope is not None and shared_too else (name,)
        self._notify(*targets, *(((via, name),) if via is not None else ()))

    @staticmethod
    def _end_probe(owner: str, *entries: Entry | None) -> list[Entry]:
        """End the probes of this owner; returns those that did not fail."""
        ended = [each for each in entries if each is not None and each.lease == owner]
        for each in ended:
            each.lease = None
        return [each for each in ended if each.circuit.state is not CircuitState.OPEN]

    @checked(InputError)
    def shut(self, name: str, reason: str) -> None:
        """Open a tool's circuit at once; it is probed again as after failures."""
        with self._lock:
            entry = self.entries.entry(name)
            before = entry.circuit
            entry.circuit = before.shut(self.policy.circuit, self._now(), self._attempts.draw(entry), reason)
            self._attempts.note_turn(entry, before)
        self._notify(name)

    def record_check(self, name: str, ok: bool, message: str = "") -> None:
        """Record a background check. One that passes allows a probe of an open circuit at once; one that fails
        counts."""
        if not ok:
            self.record(name, False, FailureKind.OUTAGE, message=message or "its health check failed")
            return
        with self._lock:
            entry = self.entries.entry(name)
            waiting = entry.circuit.state is CircuitState.OPEN and not entry.circuit.manual
            if waiting:
                entry.circuit = replace(entry.circuit, probe_at=self._now())
        if waiting:
            self._notify(name)

    @checked(InputError)
    def note_quota(self, name: str, remaining: float, limit: float, reset_seconds: float) -> None:
        """Record the quota that an answer reported, so that pressure rises before the limit is hit."""
        with self._lock:
            entry = self.entries.entry(name)
            entry.pressure = entry.pressure.quota(self._now(), remaining, limit, reset_seconds)
        self._notify(name)

    # -- signals -----------------------------------------------------------------------------------------------------

    @checked(InputError)
    def reweight(
        self, target: Target, factor: float, seconds: float = FOREVER, reason: str = "", by: str = "signal"
    ) -> None:
        """Multiply the price of a tool or transition for a while. Raises `InputError` for a factor below 1."""
        if not factor >= 1:
            raise InputError(f"A factor of at least 1 makes {target_name(target)} dearer; it was {factor!r}.")
        with self._lock:
            self.entries.entry(target).overrides[by] = Override(factor, self._now() + seconds, reason)
        self._notify(target)

    @checked(InputError)
    def forbid(self, target: Target, seconds: float = FOREVER, reason: str = "", by: str = "signal") -> None:
        """Make a tool or transition unusable for a while."""
        self.reweight(target, math.inf, seconds, reason, by)

    @checked(InputError)
    def lift(self, target: Target, by: str = "signal") -> None:
        """Remove the override of `by` from a target."""
        with self._lock:
            lifted = self.entries.entry(target).overrides.pop(by, None)
        if lifted is not None:
            self._notify(target)

    # -- time and subscribers ----------------------------------------------------------------------------------------

    def poll(self) -> frozenset[Target]:
        """What time alone changed (circuits due for a probe, signals and quotas that ended, evidence that faded).

        Cheap: entries that time cannot change are not looked at. Call it before planning. Returns the changed
        targets, after the subscribers were called.
        """
        changed: set[Target] = set()
        with self._lock:
            now, restless = self._now(), self.entries.restless
            grain = math.floor(now / self._grain_seconds)
            everything, self._grain = grain != self._grain, grain
            if not (everything or restless):
                return frozenset()
            entries = self.entries.by_label
            for label in list(entries) if everything else list(restless):
                entry = entries[label]
                if not everything and (entry.untroubled or entry.timeless):
                    restless.discard(label)
                elif entry.advance(self.policy, now) or everything:
                    changed.update(self._names_in(entry))
        if changed:
            self._notify(*changed)
        return frozenset(changed)

    def subscribe(self, listener: Callable[[frozenset[Target]], None]) -> Callable[[], None]:
        """Call `listener` with the targets whose prices changed; returns what ends it. A listener never raises."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    # -- stored and shared -------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, dict[str, Any]]:
        """Everything, as plain data by label for a store: statistics, and circuits exactly."""
        with self._lock:
            return self.entries.to_json()

    def restore_snapshot(self, data: Mapping[str, Mapping[str, Any]]) -> None:
        """Load what `snapshot` wrote; the time in between passes for it. What cannot be read is reported, not used."""
        with self._lock:
            targets = self.entries.restore(data)
        self._notify(*targets)

    def merge_remote(self, data: Mapping[str, Mapping[str, Any]], snapshot_count: int) -> None:
        """Merge what other processes stored. No-op if deltas were published after
        `entries.published` was read as `snapshot_count`.

        Their counts are added; of circuits the latest turn is taken as a hint: one that opened stays closed here if
        this process has seen the tool succeed since.
        """
        with self._lock:
            if snapshot_count != self.entries.published:
                return
            targets = self.entries.merge_remote(data)
            names = {each for target in targets for each in self._expanded(target)}
        if names:
            self._notify(*names)

    # -- helpers -----------------------------------------------------------------------------------------------------

    def _scope_shut(self, name: str, now: float) -> bool:
        scope = self.entries.scope(name)
        return scope is not None and scope.shut(now)

    def _expanded(self, target: Target) -> Iterable[Target]:
        """A target, or the tools that share the credential which it is."""
        return self.tools_with(target[len(CREDENTIAL) :]) if _is_scope(target) else (target,)

    def _names_in(self, entry: Entry) -> list[Target]:
        return list(self._expanded(entry.target))

    def _sharing(self, target: Target) -> tuple[Target, ...]:
        """The target, and the tools with its credential."""
        credential = self.entries.declaration(target).credential if isinstance(target, str) else None
        return (target,) if credential is None else tuple({target, *self.tools_with(credential)})

    def _target(self, name: str, to: str | None) -> Target:
        for each in (name, to):
            if (
                each is None
                or (each == START and to is not None)
                or (self.is_known is not None and self.is_known(each))
            ):
                continue
            names = tuple(self.known()) if self.known is not None else (each,)
            if each not in names:
                raise InputError(f"There is no tool {each!r}.{nearest(each, sorted(names))}")
        return name if to is None else (name, to)

    def _notify(self, *targets: Target) -> None:
        changed = frozenset(targets)
        with self._lock:
            self.version += 1
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener(changed)


def _is_scope(target: Target) -> TypeGuard[str]:
    return isinstance(target, str) and target.startswith(CREDENTIAL)


__all__ = ["HealthRegistry", "Lease", "Unlease"]
