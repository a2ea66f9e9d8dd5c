"""Tools come, go and change their price while runs go on: each plan is of one revision, which its decision records."""

import asyncio
from collections.abc import Callable
from random import Random

from orchestrator import Decision, DecisionKind, Orchestrator, Outcome, Status, Tool, Unavailable

PLANNED = (DecisionKind.ROUTE, DecisionKind.REROUTE)


def chain(orc: Orchestrator, change: Callable[[], object]) -> None:
    """A page, then words of it by a tool that fails once the world has changed."""

    async def fetch(url: str) -> str:
        change()
        return url

    def parse(page: str) -> int:
        raise Unavailable("down")

    orc.add(Tool(fetch, gives="page", cost=0.01))
    orc.add(Tool(parse, gives="words", cost=0.01, retries=0))


def plans(outcome: Outcome[int]) -> list[Decision]:
    """The decisions that chose a route."""
    return [d for d in outcome.decisions if d.kind in PLANNED]


def count(page: str) -> int:
    """A tool's function."""
    return len(page)


async def test_a_tool_that_comes_during_a_run_is_planned_on() -> None:
    async with Orchestrator() as orc:
        chain(orc, lambda: orc.add(Tool(count, gives="words", cost=9.0)))
        outcome = await orc.run("words", {"url": "abc"})
        first, second = plans(outcome)
        assert (outcome.status, outcome.value) == (Status.REACHED, 3)
        assert (first.chosen, second.chosen) == ("fetch > parse", "count")
        assert second.facts["revision"] == first.facts["revision"] + 1 == orc.graph.revision
        assert orc.replay(outcome.run_id).agrees


async def test_a_tool_that_goes_during_a_run_is_not_planned_on() -> None:
    async with Orchestrator() as orc:
        chain(orc, lambda: orc.remove("spare"))
        orc.add(Tool(count, name="spare", gives="words", cost=0.02))
        orc.add(Tool(count, name="dear", gives="words", cost=0.5))
        outcome = await orc.run("words", {"url": "abc"})
        first, second = plans(outcome)
        assert second.chosen == "dear"
        assert second.facts["revision"] == first.facts["revision"] + 1
        assert orc.replay(outcome.run_id).agrees


async def test_a_price_that_changes_during_a_run_counts_at_the_next_plan() -> None:
    async with Orchestrator() as orc:
        chain(orc, lambda: orc.health.reweight("spare", 1000.0, reason="busy"))
        orc.add(Tool(count, name="spare", gives="words", cost=0.02))
        orc.add(Tool(count, name="dear", gives="words", cost=0.5))
        outcome = await orc.run("words", {"url": "abc"})
        first, second = plans(outcome)
        assert second.chosen == "dear"
        assert second.facts["revision"] == first.facts["revision"]
        assert orc.replay(outcome.run_id).agrees


async def test_many_runs_while_the_graph_changes() -> None:
    random = Random(4)
    async with Orchestrator() as orc:

        async def slow(page: str) -> int:
            await asyncio.sleep(0)
            if random.random() < 0.3:
                raise Unavailable("down")
            return len(page)

        async def change() -> None:
            for i in range(30):
                orc.add(Tool(slow, name=f"extra{i}", gives="words", cost=random.random() / 100, retries=0))
                await asyncio.sleep(0)
                if i % 3 == 0:
                    orc.remove(f"extra{i}")
                else:
                    orc.health.reweight(f"extra{i}", random.choice([1.0, 5.0]))

        orc.add(Tool(lambda url: url, name="fetch", gives="page"))
        orc.add(Tool(count, name="last", gives="words", cost=1.0))
        changes = asyncio.create_task(change())
        outcomes = await asyncio.gather(*[orc.run("words", {"url": "abc"}) for _ in range(20)])
        await changes
        for outcome in outcomes:
            assert outcome.value == 3
            revisions = [d.facts["revision"] for d in plans(outcome)]
            assert revisions == sorted(revisions)
            assert [str(each) for each in orc.replay(outcome.run_id).differences] == []
