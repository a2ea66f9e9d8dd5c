"""Whether a call may go through the circuits of its tool and its credential, and which process may probe."""

from collections.abc import Callable, Iterable
from typing import Final

from orchestrator.core.enums import CircuitState
from orchestrator.core.policy import Policy

from .entry import Entry
from .status import Admission

Lease = Callable[[str, str, float], bool]
"""(tool, owner, seconds) -> whether `owner` now holds the only probe lease of all processes."""
Unlease = Callable[[str, str], None]
"""(tool, owner): releases that lease."""
ASK_AGAIN: Final = 2.0
"""Seconds after which a process that did not get the lease requests it again."""
_ALONE_AFTER: Final = 5.0
"""Seconds without an answer of the store after which a process probes without asking."""


class ProbeLeases:
    """One process per probe window holds a lease in the store.

    If the store is unreachable for some seconds, each process probes on its own, so a store that is down never keeps
    a tool excluded.
    """

    def __init__(self, lease: Lease | None, unlease: Unlease | None) -> None:
        self._lease = lease
        self._unlease = unlease
        self._answers: dict[tuple[str, str], bool | None] = {}

    @property
    def shared(self) -> bool:
        """Whether other processes share the probe."""
        return self._lease is not None

    def ask(self, label: str, owner: str, seconds: float) -> None:
        """Request a lease from the store, which may take long, and keep the result for `refused`."""
        self._answers[label, owner] = self._ask(label, owner, seconds)

    def give_back_unused(self, label: str, owner: str) -> None:
        """Release a lease that `ask` took and no call used."""
        if self._answers.pop((label, owner), False):
            self.give_back(label, owner)

    def _ask(self, label: str, owner: str, seconds: float) -> bool | None:
        """Whether this process got the lease; `None` if the store does not respond."""
        if self._lease is None:
            return True
        try:
            return self._lease(label, owner, seconds)
        except Exception:
            return None

    def refused(self, label: str, entry: Entry, owner: str, seconds: float, now: float) -> str:
        """Why this process does not get the probe; empty when it does."""
        asked = (label, owner)
        leased = self._answers.pop(asked) if asked in self._answers else self._ask(label, owner, seconds)
        if leased is None:  # all processes may ask at the same moment: ask again before deciding alone
            entry.unanswered_since = now if entry.unanswered_since is None else entry.unanswered_since
            alone = now - entry.unanswered_since >= _ALONE_AFTER
            return "" if alone else "the store does not say whether another process is probing it"
        entry.unanswered_since = None
        return "" if leased else "another process is probing it"

    def give_back(self, label: str, owner: str) -> None:
        """End a lease early."""
        if self._unlease is None:
            return
        try:
            self._unlease(label, owner)
        except Exception:  # the lease expires by itself
            return


def admit_through(
    gates: Iterable[Entry], owner: str, now: float, policy: Policy, probes: ProbeLeases, *, last_resort: bool
) -> Admission:
    """The admission of `owner` by all entries, taking the probe of each half-open one; stops at the first refusal.

    `now` is in monotonic seconds. Changes the entries: call it under the registry's lock.
    """
    probe, reason = False, ""
    for entry in gates:
        entry.circuit = entry.circuit.ticked(now)
        admission = _admitted(entry, owner, now, policy, probes, last_resort=last_resort)
        if not admission.ok:
            return admission
        entry.verdicts[owner] = admission.probe or entry.circuit.state is not CircuitState.CLOSED
        probe, reason = probe or admission.probe, reason or admission.reason
    return Admission(True, probe, reason, anyway=bool(reason) and not probe)


def _admitted(
    entry: Entry, owner: str, now: float, policy: Policy, probes: ProbeLeases, *, last_resort: bool
) -> Admission:
    forbidden, circuit = entry.forbidden(now), entry.circuit
    if forbidden or circuit.manual:
        return Admission(False, reason=forbidden or circuit.reason)
    if circuit.state is CircuitState.CLOSED:
        return Admission(True)
    anyway = last_resort and not policy.fail_fast and not circuit.account
    if circuit.state is CircuitState.OPEN:
        return Admission(anyway, reason=circuit.reason, wait=entry.probe_wait(now) or 0.0)
    if circuit.owner is not None and circuit.owner != owner:
        return Admission(anyway, reason="another call is probing it")
    window = circuit.window_seconds(policy.circuit)
    refused = probes.refused(entry.lease_label, entry, owner, window, now)
    if refused:
        entry.circuit = circuit.leased("another process", now + min(window, ASK_AGAIN))
        return Admission(anyway, reason=refused)
    entry.lease = owner
    entry.circuit = circuit.leased(owner, now + max(2 * policy.timeout, window))
    return Admission(True, probe=True)
