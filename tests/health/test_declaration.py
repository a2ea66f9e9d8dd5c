"""What is learned belongs to a declaration; limits and accounts to a credential."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator import Orchestrator, RunContext, Tool
from orchestrator.core.enums import CircuitState, FailureKind
from orchestrator.core.policy import Policy
from orchestrator.health import Declaration, HealthRegistry
from tests.health.clocks import StillClock

ACCOUNT, TRANSIENT = FailureKind.ACCOUNT, FailureKind.TRANSIENT
OPEN, CLOSED, HALF_OPEN = CircuitState.OPEN, CircuitState.CLOSED, CircuitState.HALF_OPEN


class Project:
    """A registry that knows the tools of a graph."""

    def __init__(self, *tools: Tool) -> None:
        self.clock = StillClock()
        self.tools = {tool.name: tool for tool in tools}
        self.health = HealthRegistry(Policy(), self.clock)
        self.health.use_tools(
            self.tools.get, lambda credential: [t.name for t in self.tools.values() if t.credential == credential]
        )

    def state(self, name: str) -> CircuitState:
        """Of the circuit of a tool."""
        return self.health.status(name).circuit


def made(name: str = "api", call: Any = lambda **_: 1, **options: Any) -> Tool:
    given: dict[str, Any] = {"name": name, "needs": ["x"], "gives": "y", **options}
    return Tool(call, **given)


def test_code_docstring_timeout_and_functions_are_no_part_of_it() -> None:
    def other(**_: Any) -> int:
        """Written anew."""
        return 2

    first = Declaration.of(made())
    same = [made(call=other), made(timeout=3), made(retries=9, ensure=lambda y: True), made(latency=4), made(risk=0.5)]
    assert {Declaration.of(tool).label for tool in same} == {first.label}
    others = [made(needs=["z"]), made(gives="z"), made(effect="write"), made("other")]
    assert len({Declaration.of(tool).label for tool in others} | {first.label}) == 5
    assert Declaration.of(made(cost=1)).label == first.label
    assert Declaration.of(made(cost=1)).cost != first.cost == Declaration.of(made(cost=0)).cost


def test_money_and_latency_belong_to_the_declared_cost_too() -> None:
    project = Project(made(cost=0.004))
    for _ in range(5):
        project.health.record("api", True, seconds=2.0, cost=0.006)
    assert project.health.money("api", 0.004) == pytest.approx(0.006)
    project.tools["api"] = made(cost=0.02)
    assert (project.health.money("api", 0.02), project.health.latency("api", 0.0)) == (0.02, 0.0)
    assert project.health.success("api") > 0.9, "how often it succeeds does not depend on what it costs"
    project.tools["api"] = made(cost=0.004)
    assert project.health.money("api", 0.004) == pytest.approx(0.006)


def test_two_programs_that_share_a_name_do_not_mix_but_a_trip_means_both() -> None:
    one, two = Project(made(needs=["x"])), Project(made(needs=["z"]))
    for _ in range(5):
        one.health.record("api", False, TRANSIENT, 1.0)
    two.health.restore_snapshot(one.health.snapshot())
    assert (one.state("api"), two.state("api")) == (OPEN, CLOSED)
    assert two.health.status("api").calls == 0
    one.health.trip("api", "repairs")
    two.health.restore_snapshot(one.health.snapshot())
    assert two.health.status("api").reason == "repairs"
    two.health.record("api", True, seconds=0.1)
    assert two.health.status("api").manual


def test_a_trip_means_a_declaration_too_that_was_stored_without_it() -> None:
    one, two = Project(made(needs=["x"])), Project(made(needs=["z"]))
    one.health.trip("api", "repairs")
    two.health.record("api", True, seconds=0.1)  # by a process that has not read of the trip
    stored = {**two.health.snapshot(), **one.health.snapshot()}
    later = Project(made(needs=["z"]))
    later.health.restore_snapshot(stored)
    assert later.health.status("api").reason == "repairs"
    one.clock.now += 1
    one.health.restore("api")
    later.health.restore_snapshot({**stored, **one.health.snapshot()})
    assert later.state("api") is CLOSED


def test_a_store_that_is_looked_at_without_a_project_shows_the_tool() -> None:
    one = Project(made())
    for _ in range(5):
        one.health.record("api", False, TRANSIENT, 1.0)
    viewer = HealthRegistry(Policy(), StillClock())
    viewer.restore_snapshot(one.health.snapshot())
    assert viewer.touched() == ("api",)
    assert (viewer.status("api").circuit, viewer.status("api").failures) == (OPEN, 5)
    viewer.restore("api")
    one.health.restore_snapshot(viewer.snapshot())
    assert one.state("api") is CLOSED


def test_a_refused_account_closes_its_credential_and_nothing_else() -> None:
    acme = [made(name, credential="acme") for name in ("search", "fetch")]
    project = Project(*acme, made("beta", credential="beta"), made("plain"))
    told: list[Any] = []
    project.health.subscribe(told.append)
    project.health.record("search", False, ACCOUNT, 0.1, message="401: key revoked")
    assert [project.state(n) for n in ("search", "fetch", "beta", "plain")] == [OPEN, OPEN, CLOSED, CLOSED]
    assert told[-1] == {"search", "fetch"}
    assert project.health.status("fetch").reason == "account: 401: key revoked"
    assert not project.health.admit("fetch", "r", last_resort=True).ok
    project.clock.now += 301
    project.health.poll()
    assert project.state("search") is HALF_OPEN
    assert project.health.admit("fetch", "r").probe
    assert not project.health.admit("search", "s").ok
    project.health.record("fetch", True, owner="r")
    assert [project.state(n) for n in ("search", "fetch")] == [CLOSED, CLOSED]


def test_an_account_is_probed_rarely_and_at_once_when_restored() -> None:
    project = Project(made())
    project.health.record("api", False, ACCOUNT, 0.1, message="402: no credit")
    wait = project.health.status("api").next_probe_in
    assert wait is not None and 240 <= wait <= 300
    project.health.restore("api")
    assert project.health.admit("api", "me").ok


def test_a_wait_is_known_to_every_tool_with_the_credential() -> None:
    project = Project(made("search", credential="acme"), made("fetch", credential="acme"), made("other"))
    project.health.record("search", False, TRANSIENT, 0.1, retry_after=20, rate_limited=True)
    assert project.health.waits() == {"fetch": 20, "search": 20}
    assert project.health.pressure("fetch") == 1
    project.clock.now += 20
    assert project.health.waits() == {}


async def test_a_changed_price_is_believed_and_reports_are_learned(tmp_path: Path) -> None:
    def tools(cost: float) -> list[Tool]:
        return [made("a", lambda x: 1, cost=cost), made("b", lambda x: 2, cost=0.005)]

    async with Orchestrator(tools(0.004), store=tmp_path / "s.db") as orc:
        for _ in range(3):
            assert (await orc.run("y", {"x": 1})).value == 1
        assert orc.price_facts("a").money == 0.004, "a declared constant is taken at its word"
    async with Orchestrator(tools(0.02), store=tmp_path / "s.db") as orc:
        assert orc.price_facts("a").money == 0.02
        assert orc.plan("y", {"x": 1}).tools == ("b",)

    async def charging(x: int, ctx: RunContext) -> int:
        ctx.charge(0.5)
        return x

    async with Orchestrator([made("c", charging, cost=0.1)], store=tmp_path / "s.db") as orc:
        await orc.run("y", {"x": 1})
        assert orc.price_facts("c").money == pytest.approx(0.6)


def test_a_success_that_began_before_the_account_was_refused_opens_nothing() -> None:
    project = Project(made("search", credential="acme"), made("fetch", credential="acme"))
    for owner in ("a", "b", "c"):
        assert project.health.admit("search", owner).ok
    project.health.record("search", False, ACCOUNT, 0.1, message="401: key revoked", owner="a")
    project.health.record("search", True, seconds=0.2, owner="b")
    assert [project.state(n) for n in ("search", "fetch")] == [OPEN, OPEN]
    assert not project.health.admit("fetch", "d").ok
    project.clock.now += 301
    project.health.poll()
    project.health.record("search", True, seconds=301, owner="c")
    assert project.state("fetch") is HALF_OPEN, "its probe decides"
    assert project.health.admit("fetch", "d").probe
    project.health.record("fetch", True, owner="d")
    assert project.state("search") is CLOSED
