"""The registry: facts for prices, one probe for everybody, people's word, signals, restarts."""

import itertools
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.enums import CircuitState, FailureKind
from orchestrator.core.policy import CircuitPolicy, Policy
from orchestrator.errors import InputError
from orchestrator.health import HealthRegistry, Target
from tests.health.clocks import StillClock

TRANSIENT, REFUSAL, CALLER = FailureKind.TRANSIENT, FailureKind.REFUSAL, FailureKind.CALLER_ERROR


class World:
    """A registry with its clock, and everything it told its subscribers."""

    def __init__(self, policy: Policy | None = None, seed: int = 0) -> None:
        self.clock = StillClock()
        self.health = HealthRegistry(policy or Policy(), self.clock, seed)
        self.told: list[frozenset[Target]] = []
        self.health.subscribe(self.told.append)

    def fail(self, name: str = "a", times: int = 5, kind: FailureKind = TRANSIENT) -> None:
        """Some failures."""
        for _ in range(times):
            self.health.record(name, False, kind, 0.1, message="boom")

    def wait(self, seconds: float) -> None:
        """Time passes and is noticed."""
        self.clock.now += seconds
        self.health.poll()

    def state(self, name: str = "a") -> CircuitState:
        """The state of a circuit."""
        return self.health.status(name).circuit


@pytest.fixture
def world() -> World:
    """A fresh one."""
    return World()


def test_nothing_is_known_at_first(world: World) -> None:
    health = world.health
    assert (health.success("a"), health.pressure("a"), health.competence("a")) == (0.9, 1.0, 1.0)
    assert (health.latency("a", 0.3), health.money("a", 0.01), health.transition_success("a", "b")) == (0.3, 0.01, 1.0)
    assert health.touched() == ()
    assert health.status("a").calls == 0


def test_evidence_moves_the_facts(world: World) -> None:
    world.health.record("a", True, seconds=2.0, cost=0.5)
    assert world.health.success("a") == pytest.approx(10 / 11)
    assert world.health.latency("a", 0.0) == pytest.approx(2.0, rel=0.06)
    world.fail(times=1)
    assert world.health.success("a") == pytest.approx(10 / 12)
    assert world.health.latency("a", 0.0) == pytest.approx(1.05, rel=0.1), "lost time counts"
    assert world.health.money("a", 0.1) == 0.5, "an attempt without a report says nothing about money"
    assert world.health.status("a").last_failure == "boom"


def test_a_tool_that_hangs_in_a_tenth_of_its_calls_is_slow(world: World) -> None:
    for number in range(40):
        world.health.record(
            "a", number % 10 > 0, TRANSIENT if number % 10 == 0 else None, 30 if number % 10 == 0 else 0.1
        )
    assert world.health.latency("a", 0.1) == pytest.approx(3.0, rel=0.15)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -5.0, 1e300])
def test_a_cost_that_is_no_amount_is_reported_and_left_out(world: World, bad: float) -> None:
    problems: list[str] = []
    world.health.entries.on_problem = problems.append
    world.health.record("a", True, seconds=1.0, cost=bad)
    assert world.health.money("a", 0.25) == 0.25
    assert len(problems) == 1 and "'a'" in problems[0]


def test_nothing_is_learned_where_the_policy_says_so() -> None:
    world = World(Policy(learn=False))
    for _ in range(4):
        world.health.record("a", False, TRANSIENT, 30.0, cost=5.0, rate_limited=True)
    assert world.health.reading("a", 0.1, 0.2) == (0.1, 0.2, 1.0, 1.0, 0.9)
    world.fail(times=1)
    assert world.health.success("a") == 0, "an open circuit is a fact of now"


def test_a_cost_that_is_as_declared_stays_exactly_so(world: World) -> None:
    for _ in range(50):
        world.clock.now += 7.3
        world.health.record("a", True, cost=0.1)
    assert world.health.money("a", 0.1) == 0.1


def test_facts_stand_still_between_two_looks(world: World) -> None:
    world.fail(times=2)
    world.clock.now = 1005.0
    before = world.health.success("a"), world.health.pressure("a")
    world.clock.now += 4.0
    assert (world.health.success("a"), world.health.pressure("a")) == before


@pytest.mark.parametrize("kind", [REFUSAL, CALLER])
def test_a_business_no_and_a_wrong_call_say_nothing_about_health(world: World, kind: FailureKind) -> None:
    world.fail(times=1000, kind=kind)
    status = world.health.status("a")
    assert (status.circuit, status.success, status.calls, status.failures) == (CircuitState.CLOSED, 0.9, 1000, 0)


@pytest.mark.parametrize("kind", [k for k in FailureKind if k not in (REFUSAL, CALLER, FailureKind.ACCOUNT)])
def test_every_other_failure_does(world: World, kind: FailureKind) -> None:
    world.fail(times=4, kind=kind)
    assert world.state() is CircuitState.CLOSED
    world.fail(times=1, kind=kind)
    assert world.state() is CircuitState.OPEN
    assert world.health.success("a") == 0
    assert not world.health.usable("a")


def test_the_last_alternative_stays_usable_unless_the_policy_fails_fast() -> None:
    for fail_fast in (False, True):
        world = World(Policy(fail_fast=fail_fast))
        world.fail()
        assert world.health.usable("a", last_resort=True) is not fail_fast
        assert world.health.admit("a", "me", last_resort=True).ok is not fail_fast
        assert not world.health.admit("a", "me").ok


def test_a_last_resort_that_works_closes_the_circuit(world: World) -> None:
    world.fail()
    assert world.health.admit("a", "me", last_resort=True).ok
    world.health.record("a", True, owner="me")
    assert world.state() is CircuitState.CLOSED


def test_recovery_goes_by_one_probe_and_a_ramp(world: World) -> None:
    world.fail()
    world.wait(10)
    assert world.state() is CircuitState.HALF_OPEN
    assert world.health.success("a") > 0
    first = world.health.admit("a", "one")
    assert (first.ok, first.probe) == (True, True)
    assert world.health.success("a") == 0
    second = world.health.admit("a", "two")
    assert (second.ok, second.reason) == (False, "another call is probing it")
    world.health.record("a", True, owner="one")
    assert world.state() is CircuitState.CLOSED
    assert world.health.pressure("a") == 2.0
    assert world.health.ramp_limit("a") == 2
    world.wait(5)
    assert world.health.pressure("a") == 1.5
    world.wait(5)
    assert (world.health.pressure("a"), world.health.ramp_limit("a")) == (1.0, None)


def test_a_probe_that_fails_waits_longer(world: World) -> None:
    world.fail()
    world.wait(10)
    assert world.health.admit("a", "one").probe
    world.health.record("a", False, TRANSIENT, owner="one")
    wait = world.health.status("a").next_probe_in
    assert wait is not None
    assert 16 <= wait <= 20


def test_a_probe_that_is_refused_proves_the_tool_reachable(world: World) -> None:
    world.fail()
    world.wait(10)
    assert world.health.admit("a", "one").probe
    world.health.record("a", False, REFUSAL, owner="one")
    assert world.state() is CircuitState.CLOSED


def test_a_probe_with_wrong_arguments_proves_nothing_and_is_given_back(world: World) -> None:
    world.fail()
    world.wait(10)
    assert world.health.admit("a", "one").probe
    world.health.record("a", False, CALLER, owner="one")
    assert world.state() is CircuitState.HALF_OPEN
    assert world.health.admit("a", "two").probe


def test_a_cancelled_probe_is_given_back(world: World) -> None:
    world.fail()
    world.wait(10)
    assert world.health.admit("a", "one").probe
    world.health.release("a", "two")
    assert not world.health.admit("a", "two").ok
    world.health.release("a", "one")
    world.health.release("a", "one")
    assert world.health.admit("a", "two").probe


def test_calls_that_began_before_it_opened_do_not_close_it(world: World) -> None:
    assert world.health.admit("a", "early").ok
    world.fail()
    world.health.record("a", True, owner="early")
    assert world.state() is CircuitState.OPEN


def test_sixteen_owners_one_probe() -> None:
    for _ in range(20):
        world = World()
        world.fail()
        world.wait(10)
        gate = threading.Barrier(16)

        def ask(owner: int, world: World = world, gate: threading.Barrier = gate) -> bool:
            gate.wait(10)
            return world.health.admit("a", str(owner)).ok

        with ThreadPoolExecutor(16) as pool:
            assert sum(pool.map(ask, range(16))) == 1


class Leases:
    """What processes share: who holds a probe, until when, and how often it was given."""

    def __init__(self, clock: StillClock) -> None:
        self.clock = clock
        self.held: dict[str, tuple[str, float]] = {}
        self.given = 0

    def take(self, name: str, owner: str, seconds: float) -> bool:
        """As a store does it: refused to everybody while it lives."""
        if self.held.get(name, ("", -1.0))[1] > self.clock.now:
            return False
        self.held[name] = (owner, self.clock.now + seconds)
        self.given += 1
        return True

    def give_back(self, name: str, owner: str) -> None:
        """Before its time."""
        if self.held.get(name, ("", 0.0))[0] == owner:
            del self.held[name]


def processes(count: int) -> tuple[StillClock, Leases, list[HealthRegistry]]:
    """Registries of as many processes, in each of which the circuit of `a` is open."""
    clock = StillClock()
    leases = Leases(clock)
    found = [HealthRegistry(Policy(), clock, seed, leases.take, leases.give_back) for seed in range(count)]
    for health in found:
        for _ in range(5):
            health.record("a", False, TRANSIENT)
    return clock, leases, found


def test_sixteen_processes_probe_a_dead_tool_once_per_window() -> None:
    clock, leases, registries = processes(16)
    clock.now += 10
    probes: list[float] = []
    for _ in range(60):
        for number, health in enumerate(registries):
            if health.admit("a", f"run {number}").ok:
                probes.append(clock.now)
                health.record("a", False, TRANSIENT, owner=f"run {number}")
        clock.now += 0.5
    assert len(probes) >= 3
    assert leases.given == len(probes)
    assert min(later - first for first, later in itertools.pairwise(probes)) >= 8


def test_processes_recover_soon_after_the_first_probe_succeeds() -> None:
    clock, _, registries = processes(16)
    clock.now += 10
    assert [health.admit("a", str(number)).ok for number, health in enumerate(registries)] == [True] + [False] * 15
    registries[0].record("a", True, owner="0")
    clock.now += 2
    for number, health in enumerate(registries[1:], 1):
        assert health.admit("a", str(number)).probe
        health.record("a", True, owner=str(number))
    assert {health.status("a").circuit for health in registries} == {CircuitState.CLOSED}


def test_a_cancelled_probe_is_given_back_to_all_processes() -> None:
    clock, leases, registries = processes(2)
    clock.now += 10
    assert registries[0].admit("a", "x").probe
    assert not registries[1].admit("a", "y").ok
    registries[0].release("a", "x")
    assert leases.held == {}
    clock.now += 2
    assert registries[1].admit("a", "y").probe


def test_a_lease_that_breaks_leaves_the_decision_here() -> None:
    def lease(name: str, owner: str, seconds: float) -> bool:
        raise OSError("the store is down")

    def unlease(name: str, owner: str) -> None:
        raise OSError("the store is down")

    clock = StillClock()
    health = HealthRegistry(Policy(), clock, lease=lease, unlease=unlease)
    for _ in range(5):
        health.record("a", False, TRANSIENT)
    clock.now += 10
    first = health.admit("a", "x")
    assert (first.ok, first.reason) == (False, "the store does not say whether another process is probing it")
    for _ in range(2):  # it may only be busy: all processes ask at once
        clock.now += 2
        assert not health.admit("a", "x").ok
    clock.now += 2
    assert [health.admit("a", owner).ok for owner in "xyz"] == [True, False, False]
    health.record("a", True, owner="x")
    assert health.status("a").circuit is CircuitState.CLOSED


def test_what_a_person_trips_stays_open(world: World) -> None:
    world.health.trip("a", "maintenance")
    world.health.record("a", True)
    world.wait(1e6)
    status = world.health.status("a")
    assert (status.circuit, status.reason, status.manual) == (CircuitState.OPEN, "maintenance", True)
    assert status.next_probe_in is None
    assert not world.health.usable("a", last_resort=True)
    assert world.health.admit("a", "me", last_resort=True).reason == "maintenance"
    world.health.restore("a")
    assert world.state() is CircuitState.CLOSED
    assert world.health.usable("a")


def test_transitions_are_tripped_by_two_names(world: World) -> None:
    world.health.trip("a", "b", "no route through customs")
    assert world.health.transition_success("a", "b") == 0
    assert world.health.transition_success("b", "a") == 1
    assert world.health.usable("b")
    assert world.health.status("a", "b").reason == "no route through customs"
    assert world.health.touched_transitions() == (("a", "b"),)
    world.health.restore("a", "b")
    assert world.health.transition_success("a", "b") == 1
    world.health.trip("a", to="b", reason="again")
    assert world.health.transition_success("a", "b") == 0


def test_a_transition_has_its_own_record_but_no_circuit_of_its_own(world: World) -> None:
    for _ in range(10):
        world.health.record("b", False, TRANSIENT, via="a")
    assert world.health.status("a", "b").failures == 10
    assert world.health.transition_success("a", "b") == 1
    assert not world.health.usable("b")


def test_wrong_names_are_clear_errors(world: World) -> None:
    world.health.known = lambda: ("carrier_api", "rate_table")
    with pytest.raises(InputError, match="Did you mean 'carrier_api'"):
        world.health.trip("carier_api", "x")
    with pytest.raises(InputError, match="no tool 'x'"):
        world.health.status("rate_table", "x")
    with pytest.raises(InputError, match="two tools"):
        world.health.trip("a", "b", "c", "d")


def test_rate_limits_raise_pressure_before_the_circuit_opens(world: World) -> None:
    world.health.record("a", False, TRANSIENT, rate_limited=True)
    once = world.health.pressure("a")
    assert once > 1
    world.health.record("a", False, TRANSIENT, retry_after=30)
    assert world.health.pressure("a") > once
    assert world.health.wait("a") == 30
    assert world.health.waits() == {"a": 30}
    refused = world.health.admit("a", "me", last_resort=True)
    assert (refused.ok, refused.wait, refused.reason) == (False, 30, "it asked not to be called for 30 s")
    world.wait(31)
    assert (world.health.wait("a"), world.health.waits()) == (0, {})
    assert world.health.admit("a", "me").ok


def test_quotas_raise_pressure_before_they_are_spent(world: World) -> None:
    world.health.note_quota("a", remaining=60, limit=100, reset_seconds=60)
    assert world.health.pressure("a") == 1
    world.health.note_quota("a", remaining=10, limit=100, reset_seconds=60)
    assert world.health.pressure("a") == 5
    world.wait(60)
    assert world.health.pressure("a") == 1


def test_signals_reweight_and_forbid_for_a_while(world: World) -> None:
    world.health.reweight("a", 3, seconds=60, reason="slow today", by="latency")
    world.health.reweight("a", 2, by="risk")
    assert world.health.pressure("a") == 6
    assert world.health.status("a").reason == "latency: slow today"
    world.health.forbid("a", seconds=30, reason="quota", by="quota")
    assert (world.health.success("a"), world.health.last_resort_success("a")) == (0, 0)
    assert world.health.admit("a", "me", last_resort=True).reason == "quota: quota"
    assert world.health.pressure("a") == 1
    world.wait(31)
    assert world.health.pressure("a") == 6
    world.health.lift("a", by="risk")
    assert world.health.pressure("a") == 3
    world.wait(30)
    assert world.health.pressure("a") == 1
    world.health.reweight(("a", "b"), 4)
    assert world.health.transition_success("a", "b") == 0.25
    world.health.forbid(("a", "b"))
    assert world.health.transition_success("a", "b") == 0


@pytest.mark.parametrize("factor", [0.5, -1, float("nan")])
def test_signals_only_make_dearer(world: World, factor: float) -> None:
    with pytest.raises(InputError, match="at least 1"):
        world.health.reweight("a", factor)


def test_background_checks(world: World) -> None:
    for _ in range(5):
        world.health.record_check("a", False, "no answer")
    assert world.state() is CircuitState.OPEN
    assert world.health.status("a").last_failure == "no answer"
    world.health.record_check("a", True)
    assert world.state() is CircuitState.HALF_OPEN
    world.health.trip("a", "by hand")
    world.health.record_check("a", True)
    assert world.state() is CircuitState.OPEN


def test_subscribers_hear_what_changed_and_nothing_else(world: World) -> None:
    world.health.record("b", True, via="a")
    assert world.told == [frozenset({"b", ("a", "b")})]
    world.told.clear()
    world.fail()
    assert world.told == [frozenset({"a"})] * 5
    world.told.clear()
    version = world.health.version
    world.clock.now += 10
    assert "a" in world.health.poll()
    assert world.health.version == version + 1
    world.told.clear()
    assert world.health.admit("b", "me").ok
    assert world.told == []


def test_a_subscription_ends() -> None:
    world, heard = World(), list[frozenset[Target]]()
    end = world.health.subscribe(heard.append)
    end()
    end()
    world.fail(times=1)
    assert heard == []


def test_jitter_differs_by_seed_and_is_the_same_for_one() -> None:
    def wait(seed: int) -> float | None:
        world = World(seed=seed)
        world.fail()
        return world.health.status("a").next_probe_in

    assert wait(1) == wait(1)
    assert len({wait(seed) for seed in range(8)}) == 8


def test_health_survives_a_restart(world: World) -> None:
    world.fail()
    world.health.record("b", True, seconds=1.0, cost=0.2, via="a")
    world.health.trip("c", "by hand")
    stored = json.loads(json.dumps(world.health.snapshot()))
    later = World()
    later.clock.now = world.clock.now + 3
    later.health.restore_snapshot(stored)
    assert later.health.touched() == ("a", "b", "c")
    assert later.state("a") is CircuitState.OPEN
    before, after = world.health.status("a").next_probe_in, later.health.status("a").next_probe_in
    assert before is not None
    assert after == pytest.approx(before - 3)
    assert later.health.status("c").manual
    assert later.health.money("b", 0.0) == 0.2
    assert later.health.status("a", "b").calls == 1
    later.wait(10)
    assert later.state("a") is CircuitState.HALF_OPEN


@pytest.mark.parametrize("broken", [{}, {"target": "a"}, {"target": "a", "time": "x"}, {"target": "a", "time": 1.0}])
def test_what_cannot_be_read_is_reported_and_left_out(world: World, broken: dict[str, object]) -> None:
    problems: list[str] = []
    world.health.entries.on_problem = problems.append
    world.fail("b")
    good = world.health.snapshot()
    later = World()
    later.health.entries.on_problem = problems.append
    later.health.restore_snapshot({"a": broken, **good})
    assert later.state("b") is CircuitState.OPEN
    assert [("'a'" in problem) for problem in problems] == [True]


@pytest.mark.parametrize("bad", ["NaN", "Infinity", "-5.0", "1e300"])
def test_a_stored_reading_that_is_no_amount_is_left_out(world: World, bad: str) -> None:
    world.health.record("a", True, seconds=1.0, cost=0.5)
    stored = json.loads(json.dumps(world.health.snapshot()).replace('"total": 0.5', f'"total": {bad}'))
    later, problems = World(), list[str]()
    later.health.entries.on_problem = problems.append
    later.health.restore_snapshot(stored)
    assert later.health.money("a", 0.25) == 0.25
    assert len(problems) == 1


events = st.lists(
    st.one_of(
        st.tuples(st.just("record"), st.sampled_from("ab"), st.booleans(), st.sampled_from(list(FailureKind))),
        st.tuples(st.just("call"), st.sampled_from("ab"), st.booleans(), st.sampled_from(list(FailureKind))),
        st.tuples(st.just("wait"), st.floats(0, 100), st.booleans(), st.just(TRANSIENT)),
        st.tuples(st.just("trip"), st.sampled_from("ab"), st.booleans(), st.just(TRANSIENT)),
    ),
    max_size=60,
)


@given(events)
def test_facts_stay_in_their_ranges_whatever_happens(events: list[tuple[str, Any, bool, FailureKind]]) -> None:
    world = World(Policy(circuit=CircuitPolicy(consecutive=2, evidence=4)))
    tripped: set[str] = set()
    for number, (what, value, flag, kind) in enumerate(events):
        if what == "wait":
            world.wait(value)
        elif what == "record":
            world.health.record(value, flag, None if flag else kind, 0.5, 0.1)
        elif what == "call" and world.health.admit(value, str(number)).ok:
            world.health.record(value, flag, None if flag else kind, 0.5, 0.1, owner=str(number))
        elif what == "trip":
            world.health.trip(value, "x") if flag else world.health.restore(value)
            tripped = tripped | {value} if flag else tripped - {value}
        for name in "ab":
            assert 0 <= world.health.success(name) < 1
            assert world.health.pressure(name) >= 1
            status = world.health.status(name)
            assert (world.health.success(name) > 0) == (status.circuit is not CircuitState.OPEN)
            assert status.manual == (name in tripped)
            assert world.health.usable(name, last_resort=True) == (name not in tripped)
    again = World()
    again.clock.now = world.clock.now
    again.health.restore_snapshot(world.health.snapshot())
    assert again.health.snapshot() == world.health.snapshot()
