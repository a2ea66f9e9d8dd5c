"""The circuit as a state machine: what opens it, who may probe, what closes it."""

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from orchestrator.core.enums import CircuitState
from orchestrator.core.policy import CircuitPolicy as CircuitPolicy
from orchestrator.health.circuit import Circuit

POLICY = CircuitPolicy(consecutive=3, rate=0.5, evidence=10, open_seconds=10, max_open_seconds=60, jitter=0.2)
CLOSED, OPEN, HALF_OPEN = CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN


def failed(circuit: Circuit, now: float, draw: float = 0.0, owner: str = "") -> Circuit:
    """After one failure."""
    return circuit.failed(POLICY, now, draw, "boom", owner)


def opened(now: float = 0.0) -> Circuit:
    """A circuit that three failures have opened."""
    circuit = Circuit()
    for _ in range(3):
        circuit = failed(circuit, now)
    return circuit


def test_failures_in_a_row_open_it() -> None:
    assert failed(failed(Circuit(), 0), 0).state is CLOSED
    circuit = opened()
    assert (circuit.state, circuit.probe_at) == (OPEN, 10)
    assert circuit.reason == "3 failures in a row, the last: boom"


def test_a_success_in_between_starts_the_count_anew() -> None:
    circuit = failed(failed(Circuit(), 0), 0).succeeded(POLICY, 0)
    assert failed(failed(circuit, 0), 0).state is CLOSED


def test_a_rate_opens_it_only_with_enough_evidence() -> None:
    circuit = Circuit()
    for turn in range(9):
        circuit = failed(circuit, 0) if turn % 2 == 0 else circuit.succeeded(POLICY, 0)
    assert circuit.state is CLOSED
    circuit = failed(circuit, 0)
    assert circuit.state is OPEN
    assert "60 %" in circuit.reason


def test_old_failures_are_no_evidence() -> None:
    circuit = Circuit()
    for turn in range(100):
        now = turn * 600.0
        circuit = failed(circuit, now) if turn % 2 == 0 else circuit.succeeded(POLICY, now)
    assert circuit.state is CLOSED


def test_each_failed_probe_doubles_the_wait_up_to_its_limit() -> None:
    circuit, now, waits = opened(), 0.0, list[float]()
    for _ in range(5):
        assert circuit.probe_at is not None
        waits.append(circuit.probe_at - now)
        now = circuit.probe_at
        circuit = failed(circuit.ticked(now).leased("me", now + 99), now, owner="me")
    assert waits == [10, 20, 40, 60, 60]


@pytest.mark.parametrize(("draw", "wait"), [(0.0, 10.0), (0.5, 9.0), (1.0, 8.0)])
def test_the_wait_is_jittered(draw: float, wait: float) -> None:
    circuit = failed(failed(failed(Circuit(), 0), 0), 0, draw)
    assert circuit.probe_at == pytest.approx(wait)


def test_it_opens_halfway_when_its_time_is_over() -> None:
    assert opened().ticked(9.9).state is OPEN
    assert opened().ticked(10).state is HALF_OPEN


def test_a_probe_decides_and_others_do_not() -> None:
    half = opened().ticked(10).leased("me", 99)
    assert failed(half, 11, owner="late").state is HALF_OPEN
    assert half.succeeded(POLICY, 11, late=True).state is HALF_OPEN
    assert failed(half, 11, owner="me").state is OPEN
    closed = half.succeeded(POLICY, 11)
    assert (closed.state, closed.ramp_from, closed.openings, closed.consecutive) == (CLOSED, 11, 0, 0)


def test_a_lease_that_nobody_comes_back_from_ends() -> None:
    half = opened().ticked(10).leased("gone", 40)
    assert half.ticked(39).owner == "gone"
    assert half.ticked(40).owner is None


def test_what_a_person_opened_only_a_person_closes() -> None:
    circuit = Circuit().tripped(0, "maintenance")
    for now in range(1, 100_000, 9999):
        circuit = circuit.ticked(now).succeeded(POLICY, now)
        assert (circuit.state, circuit.reason) == (OPEN, "maintenance")
    assert failed(circuit, 1).reason == "maintenance"


def test_a_circuit_survives_a_restart_exactly() -> None:
    for circuit in (opened(), Circuit().tripped(3, "x"), opened().ticked(10).succeeded(POLICY, 11)):
        assert Circuit.from_json(circuit.to_json(12), 12) == circuit
    half = opened().ticked(10).leased("me", 99)
    assert Circuit.from_json(half.to_json(12), 12) == replace(half, owner=None, owner_until=0.0)


class CircuitMachine(RuleBasedStateMachine):
    """Any order of calls, probes, waiting and people; the invariants hold after each."""

    def __init__(self) -> None:
        super().__init__()
        self.circuit = Circuit()
        self.now = 0.0
        self.row = 0

    @rule(seconds=st.floats(0, 400))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        before = self.circuit
        self.now += seconds
        self.circuit = self.circuit.ticked(self.now)
        assert (self.circuit.state is before.state) or (before.state is OPEN and self.circuit.state is HALF_OPEN)

    @precondition(lambda self: self.circuit.state is CLOSED)
    @rule(ok=st.booleans(), draw=st.floats(0, 0.999))
    def call(self, ok: bool, draw: float) -> None:
        """An ordinary call ends."""
        before = self.circuit.window.decayed(self.now, POLICY.half_life)
        if ok:
            self.circuit, self.row = self.circuit.succeeded(POLICY, self.now), 0
            assert self.circuit.state is CLOSED
            return
        self.circuit, self.row = failed(self.circuit, self.now, draw), self.row + 1
        enough = before.total + 1 >= POLICY.evidence and (before.failures + 1) / (before.total + 1) >= POLICY.rate
        assert (self.circuit.state is OPEN) == (self.row >= POLICY.consecutive or enough)
        if self.circuit.state is OPEN:
            assert self.circuit.probe_at is not None
            assert 8 - 1e-6 <= self.circuit.probe_at - self.now <= 60
            self.row = 0

    @precondition(lambda self: self.circuit.state is HALF_OPEN)
    @rule(ok=st.booleans(), draw=st.floats(0, 0.999))
    def probe(self, ok: bool, draw: float) -> None:
        """The probe ends."""
        self.circuit = self.circuit.leased("me", self.now + 60)
        self.circuit = (
            self.circuit.succeeded(POLICY, self.now) if ok else failed(self.circuit, self.now, draw, owner="me")
        )
        assert self.circuit.state is (CLOSED if ok else OPEN)
        self.row = 0

    @precondition(lambda self: self.circuit.state is not CLOSED)
    @rule(ok=st.booleans())
    def straggler(self, ok: bool) -> None:
        """A call that began before the circuit opened ends: it decides nothing."""
        state, probe_at = self.circuit.state, self.circuit.probe_at
        self.circuit = self.circuit.leased("me", self.now + 60) if state is HALF_OPEN else self.circuit
        if ok:
            self.circuit = self.circuit.succeeded(POLICY, self.now, late=True)
        else:
            self.circuit = failed(self.circuit, self.now, owner="late")
        assert (self.circuit.state, self.circuit.probe_at) == (state, probe_at)
        self.circuit = self.circuit.released("me")

    @rule()
    def trip(self) -> None:
        """A person opens it, and closes it again."""
        tripped = self.circuit.tripped(self.now, "by hand")
        assert tripped.ticked(self.now + 1e9).state is OPEN
        assert tripped.succeeded(POLICY, self.now).state is OPEN

    @invariant()
    def an_open_circuit_has_a_reason_and_an_end(self) -> None:
        """It says why, and when it will be probed."""
        if self.circuit.state is not CLOSED:
            assert self.circuit.reason
            assert self.circuit.probe_at is not None


CircuitMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestCircuitMachine = CircuitMachine.TestCase
