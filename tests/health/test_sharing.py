"""Health shared by processes: nobody overwrites what another counted, circuits are hints, a word by hand holds."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.enums import CircuitState, FailureKind
from orchestrator.core.policy import CircuitPolicy, Policy
from orchestrator.errors import StoreError
from orchestrator.graph.tool import Tool
from orchestrator.health import HealthRegistry, sharing
from orchestrator.store.memory import MemoryStore
from tests.health.clocks import StillClock

CLOSED, OPEN, HALF_OPEN = CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN
POLICY = Policy(circuit=CircuitPolicy(consecutive=2, open_seconds=10, jitter=0))


class Town:
    """Processes that share a store."""

    def __init__(self, processes: int = 2) -> None:
        self.clocks = [StillClock() for _ in range(processes)]
        self.store = MemoryStore(clock=lambda: self.clocks[0].time())
        self.all = [self._begun(clock) for clock in self.clocks]

    def _begun(self, clock: StillClock) -> HealthRegistry:
        health = HealthRegistry(POLICY, clock, lease=self.store.try_lease, unlease=self.store.release_lease)
        health.restore_snapshot(self.store.load_health())
        health.entries.publish_deltas()
        return health

    def restarted(self) -> HealthRegistry:
        """One more process, begun now."""
        self.clocks.append(StillClock(self.clocks[0].now))
        return self._begun(self.clocks[-1])

    def wait(self, seconds: float) -> None:
        """Time passes for all."""
        for clock in self.clocks:
            clock.now += seconds

    def meet(self) -> None:
        """Everybody tells, then everybody learns."""
        for health in self.all:
            sharing.publish(health, self.store)
        for health in self.all:
            sharing.refresh(health, self.store)

    def states(self, name: str = "a") -> list[CircuitState]:
        """Of the circuit, by process."""
        return [health.status(name).circuit for health in self.all]


def fail(health: HealthRegistry, times: int = 2, owner: str = "") -> None:
    """Some failures of the tool `a`."""
    for _ in range(times):
        health.record("a", False, FailureKind.TRANSIENT, message="boom", owner=owner)


@pytest.fixture
def town() -> Town:
    """Two processes."""
    return Town()


def test_counts_of_all_processes_add_up_and_are_told_once(town: Town) -> None:
    one, two = town.all
    one.record("a", True, seconds=1.0, cost=0.5)
    two.record("a", False, FailureKind.TRANSIENT)
    two.record("b", True, via="a")
    for _ in range(3):
        town.meet()
    for health in (one, two, town.restarted()):
        status = health.status("a")
        assert (status.calls, status.failures) == (2, 1)
        assert health.success("a") == pytest.approx(10 / 12)
        assert health.money("a", 0.0) == 0.5
        assert status.p50 == pytest.approx(1.0, rel=0.05)
        assert health.status("a", "b").calls == 1
    assert one.entries.pending_deltas() == {}


def test_what_was_seen_since_it_was_loaded_is_not_lost(town: Town) -> None:
    one, two = town.all
    two.record("a", True)
    sharing.publish(two, town.store)
    one.record("a", True)
    count, loaded = one.entries.published, town.store.load_health()
    sharing.publish(one, town.store)
    one.merge_remote(loaded, count)
    assert one.status("a").calls == 1, "what was loaded before the news were told would have taken them away"
    one.record("a", True)
    sharing.refresh(one, town.store)
    assert one.status("a").calls == 3


def test_a_circuit_that_opened_elsewhere_is_open_here(town: Town) -> None:
    one, two = town.all
    fail(one)
    assert town.states() == [OPEN, CLOSED]
    told: list[Any] = []
    two.subscribe(told.append)
    town.meet()
    assert town.states() == [OPEN, OPEN]
    assert told == [frozenset({"a"})]
    assert two.status("a").reason == "2 failures in a row, the last: boom"
    town.wait(10)
    assert town.states() == [HALF_OPEN, HALF_OPEN]


def test_one_probe_in_each_window_though_its_length_doubles(town: Town) -> None:
    fail(town.all[0])
    town.meet()
    for window in (10, 20, 40):
        town.wait(window - 1)
        assert not any(health.admit("a", "r").ok for health in town.all)
        town.wait(1)
        probes = [health.admit("a", f"r{n}") for n, health in enumerate(town.all)]
        assert [admission.probe for admission in probes] == [True, False]
        fail(town.all[0], 1, "r0")
        town.meet()


def test_a_probe_that_succeeds_closes_it_for_all(town: Town) -> None:
    fail(town.all[0])
    town.meet()
    town.wait(10)
    assert town.all[1].admit("a", "r").probe
    town.all[1].record("a", True, owner="r")
    town.meet()
    assert town.states() == [CLOSED, CLOSED]
    assert all(health.pressure("a") == 2.0 for health in town.all), "both ramp up"


def test_it_is_a_hint_only_where_the_tool_was_seen_to_work_since(town: Town) -> None:
    one, two = town.all
    fail(one)
    town.wait(1)
    two.record("a", True)
    town.meet()
    assert town.states() == [OPEN, CLOSED]


def test_who_holds_the_probe_decides(town: Town) -> None:
    one, two = town.all
    fail(one)
    town.meet()
    town.wait(10)
    assert one.admit("a", "r").probe
    town.wait(1)
    assert two.admit("a", "late", last_resort=True).ok
    town.meet()
    one.record("a", True, owner="r")
    town.meet()
    assert town.states() == [CLOSED, CLOSED]


def test_a_trip_by_hand_reaches_all_and_only_a_hand_undoes_it(town: Town) -> None:
    one, two = town.all
    fail(two)
    town.wait(11)
    one.trip("a", "repairs")
    town.wait(1)
    assert two.admit("a", "r").probe
    two.record("a", True, owner="r")
    assert town.states() == [OPEN, CLOSED]
    town.meet()
    assert town.states() == [OPEN, OPEN]
    assert all(health.status("a").manual for health in (*town.all, town.restarted()))
    two.record("a", True)
    town.meet()
    assert town.states() == [OPEN, OPEN]
    town.wait(1)
    two.restore("a")
    town.meet()
    assert town.states() == [CLOSED, CLOSED]
    assert town.restarted().status("a").circuit is CLOSED


def test_a_rate_limit_presses_everybody(town: Town) -> None:
    one, two = town.all
    one.record("a", False, FailureKind.TRANSIENT, retry_after=30, rate_limited=True)
    one.note_quota("b", remaining=1, limit=100, reset_seconds=60)
    town.meet()
    assert two.pressure("a") == one.pressure("a") == 2.0
    assert two.wait("a") == one.wait("a") == 30
    assert two.pressure("b") == one.pressure("b") > 5


def test_a_wait_and_a_refused_credential_do_not_wait_to_be_published(town: Town) -> None:
    one, two = town.all
    known = Tool(lambda q: q, name="a", gives="x", credential="key")
    for health in town.all:
        health.use_tools({"a": known}.get, lambda _: ("a",))
    one.record("a", True)
    assert not one.entries.is_urgent(["a"])
    one.record("a", False, FailureKind.TRANSIENT, retry_after=30, rate_limited=True)
    assert one.entries.is_urgent(["a"])
    town.meet()
    assert two.wait("a") == 30
    assert not any(health.entries.is_urgent(["a"]) for health in town.all)
    one.record("a", False, FailureKind.ACCOUNT)
    assert one.entries.is_urgent(["a"])
    town.meet()
    assert two.status("a").circuit is CircuitState.OPEN
    assert not any(health.entries.is_urgent(["a"]) for health in town.all)


def test_a_store_that_is_down_opens_and_closes_nothing(town: Town) -> None:
    class Down(MemoryStore):
        def load_health(self) -> dict[str, dict[str, Any]]:
            raise StoreError("away")

    one, two = town.all
    fail(one)
    with pytest.raises(StoreError):
        sharing.refresh(two, Down())
    assert town.states() == [OPEN, CLOSED]


@pytest.mark.parametrize("stored", [None, {}, {"time": "x"}, {"version": 1, "target": "a", "time": 1.0}])
def test_what_is_stored_and_cannot_be_read_is_replaced(town: Town, stored: dict[str, Any] | None) -> None:
    fail(town.all[0])
    (news,) = town.all[0].entries.pending_deltas().values()
    assert sharing.merged(stored, news, 300) == {**news, "writes": 1}


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["ok", "fail", "meet", "wait"])), max_size=40))
def test_everybody_agrees_on_the_counts_whatever_happens(steps: list[tuple[int, str]]) -> None:
    town, calls = Town(3), 0
    for who, what in steps:
        if what == "meet":
            town.meet()
        elif what == "wait":
            town.wait(3)
        else:
            calls += 1
            town.all[who].record("a", what == "ok", None if what == "ok" else FailureKind.TRANSIENT)
    town.meet()
    found = [health.status("a") for health in town.all]
    assert [status.calls for status in found] == [calls] * 3
    assert found[0].success == pytest.approx(found[1].success)
    assert found[0].success == pytest.approx(found[2].success)
    assert json.dumps(town.store.load_health())


def test_one_process_with_a_bad_network_takes_a_tool_from_itself_alone() -> None:
    town = Town(4)
    bad, *good = town.all
    for health in good:
        health.record("a", True)
    town.meet()
    town.wait(1)
    fail(bad)
    town.meet()
    assert town.states() == [OPEN, CLOSED, CLOSED, CLOSED]
    assert town.restarted().status("a").circuit is OPEN  # who has no word of its own takes the others'


def test_a_quorum_takes_a_tool_from_all() -> None:
    town = Town(4)
    for health in town.all:
        health.record("a", True)
    town.meet()
    for number, health in enumerate(town.all[:3]):
        town.wait(1)
        fail(health)
        town.meet()
        opened = number + 1 if number < 2 else 4
        assert town.states() == [OPEN] * opened + [CLOSED] * (4 - opened)


def test_a_quorum_does_not_outweigh_a_success_that_came_later() -> None:
    town = Town(3)
    for health in town.all:
        health.record("a", True)
    for health in town.all[:2]:
        fail(health)
    town.wait(1)
    town.all[2].record("a", True)
    town.meet()
    assert town.states() == [OPEN, OPEN, CLOSED]
