"""Replay: random runs, and runs of many kinds, come out again as they were recorded."""

import asyncio
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator import (
    NOT_DONE,
    AskHuman,
    DecisionKind,
    InputError,
    Orchestrator,
    Policy,
    PriceFacts,
    Refused,
    Resolution,
    RunContext,
    Status,
    Tool,
    Unavailable,
    tool,
)
from orchestrator.core.process.installation import catalog_root
from orchestrator.observability.replay.replay import Replay, replay_run
from orchestrator.testing import fail
from tests.observability.replay.shop import Altered, buy, find, shipped, shop
from tests.observability.tracing.shop import carrier, table
from tests.support.random_runs import random_orchestrator, random_policy, random_run
from tests.support.random_teams import random_job, random_team

# -- agreement -------------------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=80)
def test_random_runs_come_out_again(seed: int) -> None:
    async def run() -> None:
        random = Random(seed)
        async with random_orchestrator(random) as orchestrator:
            outcome = await random_run(random, orchestrator)
            if outcome is None:
                return
            replay = orchestrator.replay(outcome.run_id)
            assert [str(difference) for difference in replay.differences] == []
            assert [each.decision for each in replay.decisions] == list(outcome.decisions)
            assert orchestrator.verify(outcome.run_id).ok
            other = orchestrator.replay(outcome.run_id, random_policy(random))
            assert other.other
            assert len(other.decisions) == len(replay.decisions)

    asyncio.run(run())


async def two_runs(seed: int) -> None:
    """Two runs on one random graph, each of which agrees with its replay."""
    random = Random(seed)
    async with random_orchestrator(random, tools=random.choice([5, 7, 12])) as orchestrator:
        for _ in range(2):
            outcome = await random_run(random, orchestrator)
            if outcome is not None:
                replay = orchestrator.replay(outcome.run_id)
                assert [str(difference) for difference in replay.differences] == [], seed


@pytest.mark.campaign
@pytest.mark.parametrize("part", range(20))
def test_ten_thousand_random_runs_come_out_again(part: int) -> None:
    for seed in range(part * 300, part * 300 + 300):
        asyncio.run(two_runs(seed))


@pytest.mark.parametrize(
    "seed",
    [
        pytest.param(1295, id="an agent that leads on by a transition alone has only rivals that matter"),
        pytest.param(4128, id="an effect that turns out to have taken place opens a way"),
        pytest.param(21237, id="an effect that is being settled is answered by that, and by no reroute beside it"),
        pytest.param(5830, id="a tool that a plan needs for its effects alone stays in it"),
    ],
)
async def test_runs_that_once_did_not_come_out_again(seed: int) -> None:
    await two_runs(seed)


async def team_runs(seed: int) -> list[Replay]:
    """The replays of three runs of a random team, each of which agrees."""
    random, replays = Random(seed), list[Replay]()
    async with random_team(random) as orchestrator:
        for outcome in [await random_job(random, orchestrator) for _ in range(3)]:
            if outcome is not None:
                replays.append(orchestrator.replay(outcome.run_id))
                assert [str(each) for each in replays[-1].differences] == [], seed
                assert orchestrator.verify(outcome.run_id).ok
    return replays


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_runs_of_teams_come_out_again(seed: int) -> None:
    asyncio.run(team_runs(seed))


async def test_runs_of_a_team_whose_agents_tie_from_two_places_come_out_again() -> None:
    await team_runs(425994)


@pytest.mark.campaign
@pytest.mark.parametrize("part", range(10))
def test_three_thousand_runs_of_teams_come_out_again(part: int) -> None:
    for seed in range(part * 100, part * 100 + 100):
        asyncio.run(team_runs(seed))


def test_teams_meet_what_choices_are_made_of() -> None:
    replays = [replay for seed in range(25) for replay in asyncio.run(team_runs(seed))]
    decisions = [each.decision for replay in replays for each in replay.decisions]
    assert {str(decision.kind) for decision in decisions} >= {"route", "reroute", "select", "branch", "escalate"}
    selects = [decision for decision in decisions if decision.kind is DecisionKind.SELECT]
    assert {decision.facts["source"] for decision in selects} >= {"declared", "inferred", "neutral"}
    assert {decision.facts["exploration"]["strategy"] for decision in selects if decision.facts.get("exploration")} == {
        "ucb",
    }


async def test_a_run_comes_out_again_in_a_later_process(tmp_path: Path) -> None:
    async with shop(store=tmp_path / "runs.db") as orchestrator:
        run_id = await shipped(orchestrator)
    async with Orchestrator(store=tmp_path / "runs.db") as later:
        replay = later.replay(run_id)
        assert replay.agrees
        assert replay.policy == "balanced"
        assert not replay.other


async def test_replay_calls_nothing_of_the_users(tmp_path: Path) -> None:
    async with shop(store=tmp_path / "runs.db") as orchestrator:
        run_id = await shipped(orchestrator)

    def forbidden(*_: Any, **__: Any) -> Any:
        raise AssertionError("replay called a tool")

    broken = [
        Tool(forbidden, name="carrier", needs=["parcel"], gives="quote", when=forbidden, ensure=forbidden),
        Tool(forbidden, name="buy", needs=["quote"], gives="label"),
    ]
    async with Orchestrator(broken, store=tmp_path / "runs.db", pricing=forbidden) as later:
        assert later.replay(run_id).agrees


async def test_own_pricing_is_recorded_not_called() -> None:
    calls: list[str] = []

    def dear_when_long(facts: PriceFacts) -> float:
        calls.append(facts.tool)
        return 0.0001 * len(facts.tool) + facts.money / facts.success

    async with shop(pricing=dear_when_long) as orchestrator:
        orchestrator.connect("table", "buy", cost=0.01)
        orchestrator.connect("carrier", "buy", cost=0.001)
        run_id = await shipped(orchestrator)
        before = len(calls)
        assert orchestrator.replay(run_id).agrees
        assert len(calls) == before


async def test_an_answered_run_comes_out_again() -> None:
    async with Orchestrator([fail(buy, times=1, error=TimeoutError("?"))], escalation=[AskHuman()]) as orchestrator:
        waiting = await orchestrator.run("label", {"quote": 1.0})
        assert waiting.status is Status.WAITING
        assert orchestrator.replay(waiting.run_id).agrees
        outcome = await orchestrator.resume(waiting.run_id, Resolution.provide("label", "bought"), by="ann")
        assert outcome.status is Status.REACHED
        replay = orchestrator.replay(waiting.run_id)
        assert replay.agrees
        assert find(replay, "resume").chosen


async def test_a_tool_with_an_open_circuit_is_planned_again_as_a_last_resort() -> None:
    policy = Policy.model_validate({"circuit": {"consecutive": 1}, "retries": {"attempts": 0}})
    async with Orchestrator([fail(carrier, times=1, error=Unavailable("x"))], policy=policy) as orchestrator:
        await orchestrator.run("quote", {"parcel": "p"})
        outcome = await orchestrator.run("quote", {"parcel": "p"})
        assert "revived" in outcome.decisions[0].facts
        assert orchestrator.replay(outcome.run_id).agrees
        strict = Policy.model_validate({"fail_fast": True})
        differences = orchestrator.replay(outcome.run_id, strict).differences
        assert [(each.decision, each.recomputed) for each in differences] == [("d1", "no route")]


async def test_equal_graphs_of_other_revisions_come_out_again(tmp_path: Path) -> None:
    def one() -> int:
        return 1

    for extra in (0, 3):
        async with Orchestrator([Tool(one, gives="x")], store=tmp_path / "runs.db") as orc:
            for n in range(extra):
                orc.add(Tool(one, name=f"more{n}", gives="y"))
                orc.remove(f"more{n}")
            for _ in range(2):
                outcome = await orc.run("x")
                assert orc.replay(outcome.run_id).differences == ()
                orc.add(Tool(one, name="again", gives="z"))
                orc.remove("again")


async def test_a_run_taken_over_on_another_revision_of_an_equal_graph_comes_out_again(tmp_path: Path) -> None:
    @tool(gives="ready")
    async def ask(ctx: RunContext) -> bool:
        return bool(await ctx.wait("Go on?", bool))

    @tool(gives="x")
    def fails(ready: bool) -> int:
        raise Unavailable("down")

    @tool(gives="x", cost=1)
    def works(ready: bool) -> int:
        return 1

    async with Orchestrator([ask, fails, works], store=tmp_path / "runs.db") as first:
        await first.run("x", run_id="r")
    async with Orchestrator([ask, fails, works], store=tmp_path / "runs.db") as second:
        second.add(Tool(int, name="more", gives="y", needs=[]))
        second.remove("more")
        outcome = await second.resume("r", True)
        assert outcome.status is Status.REACHED
        assert second.replay("r").differences == ()


async def test_transitions_with_health_are_part_of_the_record() -> None:
    async with shop() as orchestrator:
        orchestrator.connect("carrier", "buy")
        orchestrator.connect("table", "buy")
        orchestrator.health.reweight(("carrier", "buy"), 500.0)
        outcome = await orchestrator.run("label", {"parcel": "p"})
        assert outcome.decisions[0].chosen == "table > buy"
        assert orchestrator.replay(outcome.run_id).agrees


async def test_a_large_graph_records_what_is_not_as_declared() -> None:
    async with Orchestrator() as orchestrator:
        for number in range(300):
            orchestrator.add(Tool(lambda p: p, name=f"t{number:03}", needs={"p": "a"}, gives="b", cost=number / 1e4))
        orchestrator.health.reweight("t000", 1000.0)
        outcome = await orchestrator.run("b", {"a": 1})
        assert outcome.decisions[0].chosen == "t001"
        assert len(outcome.decisions[0].facts["prices"]) < 10
        assert orchestrator.replay(outcome.run_id).agrees


async def test_runs_at_the_same_time_that_share_their_health_come_out_again() -> None:
    random = Random(7)
    for _ in range(3):
        async with random_orchestrator(random, tools=9) as orchestrator:
            outcomes = await asyncio.gather(*(random_run(random, orchestrator) for _ in range(12)))
            for outcome in filter(None, outcomes):
                assert [str(each) for each in orchestrator.replay(outcome.run_id).differences] == []


def test_runs_of_many_threads_come_out_again() -> None:
    draws = Random(3)

    def shaky(parcel: str) -> float:
        if draws.random() < 0.3:
            raise ConnectionResetError("reset")
        return float(len(parcel))

    policy = Policy.model_validate(
        {"circuit": {"consecutive": 2, "open_seconds": 0.01}, "retries": {"base_seconds": 0, "floor": 100}}
    )
    alternatives = [Tool(shaky, name=f"s{n}", gives="quote", cost=n / 1000) for n in range(3)]
    orchestrator = Orchestrator([*alternatives, buy], policy=policy)

    def work() -> list[str]:
        return [orchestrator.run_sync("label", {"parcel": "p"}).run_id for _ in range(15)]

    with ThreadPoolExecutor(4) as pool:
        ids = [run_id for each in [pool.submit(work) for _ in range(4)] for run_id in each.result()]
    replays = [orchestrator.replay(run_id) for run_id in ids]
    orchestrator.close()
    assert [str(each) for replay in replays for each in replay.differences] == []
    assert any(each.decision.kind is DecisionKind.REROUTE for replay in replays for each in replay.decisions)


async def test_children_come_out_again() -> None:
    async def all_of(parcels: list[str], ctx: RunContext) -> list[float]:
        return [(await ctx.reach("quote", {"parcel": parcel})).value for parcel in parcels]

    flaky = fail(carrier, times=1, error=Unavailable("x"))
    async with Orchestrator([flaky, table, Tool(all_of, gives="quotes")]) as orchestrator:
        await orchestrator.run("quotes", {"parcels": ["a", "bb", "c"]})
        rows = orchestrator.store.runs()
        assert len(rows) == 4
        for row in rows:
            assert orchestrator.replay(row.run_id).agrees


async def test_a_run_resumed_under_another_policy_comes_out_again(tmp_path: Path) -> None:
    ladder, store = [AskHuman()], tmp_path / "runs.db"
    tools = [fail(carrier, error=Refused("no")), table]
    first = Orchestrator([tools[0]], escalation=ladder, store=store, policy=Policy(name="first"))
    async with first:
        waiting = await first.run("quote", {"parcel": "p"})
        assert waiting.status is Status.WAITING
    later = Orchestrator(tools, escalation=ladder, store=store, policy=Policy(name="later", step_cost=0.5))
    async with later:
        outcome = await later.resume(waiting.run_id, Resolution.allow("carrier"))
        assert outcome.status is Status.REACHED
        replay = later.replay(waiting.run_id)
    assert [str(each) for each in replay.differences] == []
    assert replay.policy == "later"
    assert (find(replay, "route").price or 0) < 0.5 < (replay.decisions[-1].decision.price or 0)


async def test_a_run_recovered_after_a_crash_comes_out_again(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    script = f"""
import os
from orchestrator import Orchestrator, tool

@tool(gives="a")
def first() -> int:
    return 1

@tool(gives="b", effect="write")
def second(a: int) -> int:
    orchestrator.store.flush()
    os._exit(9)

orchestrator = Orchestrator([first, second], store={str(store)!r})
orchestrator.run_sync("b", run_id="r")
"""
    died = await asyncio.create_subprocess_exec(sys.executable, "-c", script)
    assert await died.wait() == 9
    tools = [
        Tool(lambda: 1, name="first", gives="a"),
        Tool(lambda a: a, name="second", needs={"a": "a"}, gives="b", effect="write", reconcile=lambda a: NOT_DONE),
    ]
    async with Orchestrator(tools, store=store) as orchestrator:
        outcome = await orchestrator.resume("r")
        assert outcome.status is Status.REACHED
        replay = orchestrator.replay("r")
    assert [str(each) for each in replay.differences] == []
    assert [each.decision.kind for each in replay.decisions][1:3] == ["resume", "reconcile"]


# -- what cannot be replayed -----------------------------------------------------------------------------------------


async def test_an_unknown_run_is_an_error() -> None:
    async with Orchestrator([carrier]) as orchestrator:
        with pytest.raises(InputError, match="no run 'nope'"):
            orchestrator.replay("nope")


async def test_a_record_that_cannot_be_read_is_an_error() -> None:
    async with shop() as orchestrator:
        run_id = await shipped(orchestrator)

        def nonsense(decision: dict[str, Any]) -> None:
            decision["kind"] = "guess"

        with pytest.raises(InputError, match=r"Record \d+ of run .* cannot be read .*verify"):
            replay_run(Altered(orchestrator.store, "d1", nonsense), run_id)


async def test_missing_facts_are_a_difference_not_a_crash() -> None:
    async with shop() as orchestrator:
        run_id = await shipped(orchestrator)

        def forgotten(decision: dict[str, Any]) -> None:
            del decision["facts"]["attempt"]

        replay = replay_run(Altered(orchestrator.store, "d2", forgotten), run_id)
    assert [(each.decision, each.what) for each in replay.differences] == [("d2", "facts")]


# -- the how-to ------------------------------------------------------------------------------------------------------

HOW_TO = catalog_root() / "docs" / "how-to" / "replay.md"


@pytest.mark.skipif(not HOW_TO.is_file(), reason="the documentation is not installed with the package")
def test_the_program_of_the_how_to_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    text = HOW_TO.read_text()
    program, printed = (re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)[0] for kind in ("python", "text"))
    exec(compile(program, str(HOW_TO), "exec"), {})
    assert capsys.readouterr().out == printed
