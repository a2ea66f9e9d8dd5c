"""Whether a call may go through the circuits in its way: the tool's own, and that of its credential."""

from collections.abc import Iterable

from orchestrator.core.enums import CircuitState
from orchestrator.core.policy import Policy

from .entry import Entry
from .probes import ASK_AGAIN, ProbeLeases
from .status import Admission


def admit_through(
    gates: Iterable[Entry], owner: str, now: float, policy: Policy, probes: ProbeLeases, *, last_resort: bool
) -> Admission:
    """The admission of `owner` through all gates, with the probe of each that is half open; stops at a closed one.

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
