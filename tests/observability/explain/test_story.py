"""The story of a run: told from its record alone, complete, and the same for every process."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator import (
    Goal,
    InputError,
    Orchestrator,
    Policy,
    Refused,
    Resolution,
    RunContext,
    Tool,
    Unavailable,
    tool,
)
from orchestrator.core.enums import DecisionKind, Status
from orchestrator.core.outcome import Call
from orchestrator.escalation import AskHuman
from orchestrator.observability.explain.story import EntryKind, Story, read_story, story_of
from orchestrator.observability.explain.summary import healed, trail
from orchestrator.store import open_store
from orchestrator.testing import FakeClock, fail


@tool(gives="text", cost=0.001)
def quick(document: str) -> str:
    """An unreliable reader."""
    raise Unavailable("the reader is down")


@tool(gives="text", cost=0.002)
def thorough(document: str) -> str:
    """A reliable reader."""
    return document


@tool(gives="title")
def headline(text: str) -> str:
    """The first word."""
    return text.split()[0]


def orchestrator(*tools: Tool, **options: Any) -> Orchestrator:
    """An orchestrator in memory on a fake clock."""
    return Orchestrator(tools or (quick, thorough, headline), clock=FakeClock(start=1_700_000_000.0), **options)


def told(orc: Orchestrator, run_id: str) -> Story:
    """Its story; it must be possible as JSON too."""
    story = read_story(orc.store, run_id)
    json.dumps(story.to_json(), allow_nan=False)
    return story


def test_a_healed_run() -> None:
    orc = orchestrator()
    outcome = orc.run_sync("title", {"document": "long words"})
    story = told(orc, outcome.run_id)
    assert (story.status, story.wanted, story.inputs) == (Status.REACHED, ("title",), ("document",))
    assert story.route is not None
    assert story.route.tools == ("quick", "headline")
    assert story.route.runner_up is not None
    assert story.route.runner_up.tools == ("thorough", "headline")
    assert story.route.runner_up.without == "quick"
    assert story.route.runner_up.more == pytest.approx(story.route.runner_up.price - (story.route.price or 0))
    assert [entry.kind for entry in story.entries] == [
        EntryKind.DECISION,
        EntryKind.FAILURE,
        EntryKind.DECISION,
        EntryKind.CALL,
        EntryKind.CALL,
    ]
    failure = story.failures[0]
    assert (failure.tool, failure.kind, failure.message) == ("quick", "outage", "the reader is down")
    assert failure.answer is not None
    assert failure.answer.kind is DecisionKind.REROUTE
    assert (story.cost, story.price, story.llm_calls) == (outcome.cost, outcome.price, 0)


def test_every_failure_is_told_with_its_answer() -> None:
    orc = orchestrator(quick, fail(thorough, times=1, error="transient"), headline)
    outcome = orc.run_sync("title", {"document": "long words"})
    story = told(orc, outcome.run_id)
    assert {failure.id for failure in story.failures} == {failure.id for failure in outcome.failures}
    assert all(failure.answer is not None for failure in story.failures)
    assert "thorough is tried again" in " ".join(entry.text for entry in story.entries)


def test_no_rival_where_there_is_none() -> None:
    orc = orchestrator(thorough, headline)
    story = told(orc, orc.run_sync("title", {"document": "x"}).run_id)
    assert story.route is not None
    assert story.route.runner_up is None


def test_no_rival_is_made_up_under_a_pricing_of_the_users_own() -> None:
    orc = orchestrator(pricing=lambda facts: 1.0 if facts.tool == "quick" else 5.0)
    story = told(orc, orc.run_sync("title", {"document": "x"}).run_id)
    assert story.route is not None
    assert story.route.runner_up is None


def test_the_rival_in_a_large_graph_whose_record_leaves_out_what_is_as_declared() -> None:
    orc = orchestrator(thorough, headline)
    for number in range(100):
        orc.add(Tool(lambda p: p, name=f"t{number:03}", needs={"p": "document"}, gives="text", cost=1 + number))
    outcome = orc.run_sync("title", {"document": "x"})
    assert not outcome.decisions[0].facts["prices"]
    story = told(orc, outcome.run_id)
    assert story.route is not None
    assert story.route.runner_up is not None
    assert story.route.runner_up.tools == ("t000", "headline")


def test_the_rival_of_a_join_is_the_next_best_whole_route() -> None:
    @tool(gives="a", cost=0.01)
    def a_cheap() -> int:
        return 1

    @tool(gives="a", cost=0.05)
    def a_dear() -> int:
        return 1

    @tool(gives="b", cost=0.01)
    def b_cheap() -> int:
        return 1

    @tool(gives="b", cost=0.02)
    def b_dear() -> int:
        return 1

    @tool(gives="c")
    def join(a: int, b: int) -> int:
        return a + b

    orc = orchestrator(a_cheap, a_dear, b_cheap, b_dear, join)
    story = told(orc, orc.run_sync("c").run_id)
    assert story.route is not None
    assert story.route.runner_up is not None
    assert set(story.route.runner_up.tools) == {"a_cheap", "b_dear", "join"}
    assert story.route.runner_up.without == "b_cheap"


def test_a_demotion() -> None:
    @tool(gives="poem")
    def poet(title: str) -> str:
        raise Refused("not today")

    orc = orchestrator(thorough, headline, poet)
    outcome = orc.run_sync(Goal("poem", demotions=["title"]), {"document": "x y"})
    story = told(orc, outcome.run_id)
    assert story.status is Status.DEMOTED
    assert (story.wanted, story.lesser, story.goal) == (("poem",), (("title",),), ("title",))
    escalation = story.escalations[0]
    assert escalation.resolution == "title"
    assert escalation.question is None
    assert any("Lowered the goal to title" in entry.text for entry in story.entries)


def test_a_question_with_its_reply() -> None:
    @tool(gives="letter", effect="write", approval=True, compensate=lambda output: None)
    def post(title: str) -> str:
        return title

    orc = orchestrator(thorough, headline, post, escalation=[AskHuman()])
    waiting = orc.run_sync("letter", {"document": "x y"})
    before = told(orc, waiting.run_id)
    assert before.status is Status.WAITING
    assert before.escalations[0].question
    assert before.escalations[0].reply is None
    asyncio.run(orc.resume(waiting.run_id, Resolution.approve("post"), by="Ada"))
    after = told(orc, waiting.run_id)
    assert after.status is Status.REACHED
    assert after.escalations[0].reply == "approve post"
    assert after.escalations[0].by == "Ada"
    assert any(entry.kind is EntryKind.PERSON and "Ada" in entry.text for entry in after.entries)


def test_what_was_undone() -> None:
    undone: list[str] = []

    @tool(gives="booking", effect="write", compensate=undone.append)
    def book(title: str) -> str:
        return title

    @tool(gives="trip")
    def travel(booking: str) -> str:
        raise Refused("no train")

    orc = orchestrator(thorough, headline, book, travel)
    story = told(orc, orc.run_sync("trip", {"document": "x y"}).run_id)
    assert undone == ["x"]
    assert story.status is Status.ESCALATED
    assert story.compensated == ("book",)
    assert story.impasse
    assert any(entry.kind is EntryKind.UNDOING and "was undone" in entry.text for entry in story.entries)


def test_a_branch_is_told_as_one() -> None:
    @tool(gives="kind")
    def look(document: str) -> str:
        return "prose"

    def is_verse(kind: str) -> bool:
        return kind == "verse"

    def is_prose(kind: str) -> bool:
        return kind == "prose"

    @tool(gives="result", when=is_verse)
    def scan(kind: str) -> str:
        return "verse"

    @tool(gives="result", when=is_prose, cost=0.1)
    def parse(kind: str) -> str:
        return "prose"

    orc = orchestrator(look, scan, parse)
    story = told(orc, orc.run_sync("result", {"document": "x"}).run_id)
    texts = [entry.text for entry in story.entries]
    assert any(text.startswith("Branch: by their conditions parse may be used, scan may not; on to") for text in texts)
    assert story.failures == ()


def test_children_are_named() -> None:
    @tool(gives="both")
    async def both(document: str, ctx: RunContext) -> str:
        outcome = await ctx.reach("title", {"document": document})
        return str(outcome.value)

    orc = orchestrator(thorough, headline, both)
    story = told(orc, orc.run_sync("both", {"document": "x y"}).run_id)
    assert len(story.children) == 1
    assert told(orc, story.children[0]).parent == story.run_id


def test_the_same_story_in_a_later_process(tmp_path: Path) -> None:
    orc = Orchestrator([quick, thorough, headline], store=tmp_path / "runs.db")
    run_id = orc.run_sync("title", {"document": "x y"}).run_id
    first = read_story(orc.store, run_id)
    orc.close()
    store = open_store(tmp_path / "runs.db")
    assert read_story(store, run_id).to_json() == first.to_json()
    store.close()


def test_a_story_of_half_a_record_can_be_told() -> None:
    orc = orchestrator()
    run_id = orc.run_sync("title", {"document": "x y"}).run_id
    row, records = orc.store.run(run_id), orc.store.records(run_id)
    assert row is not None
    for length in range(len(records) + 1):
        assert story_of(row, records[:length]).run_id == run_id


@settings(max_examples=50)
@given(st.data())
def test_a_damaged_record_never_breaks_the_telling(data: st.DataObject) -> None:
    orc = orchestrator()
    run_id = orc.run_sync("title", {"document": "x y"}).run_id
    row, records = orc.store.run(run_id), list(orc.store.records(run_id))
    assert row is not None
    index = data.draw(st.integers(0, len(records) - 1))
    garbage: Any = data.draw(
        st.sampled_from([{}, {"decision": 1}, {"tool": None}, {"_unreadable": "x"}, {"failure": {"id": 3}}])
    )
    records[index] = replace(records[index], body=garbage)
    json.dumps(story_of(row, records, orc.store).to_json(), allow_nan=False)


def test_an_unknown_run() -> None:
    with pytest.raises(InputError, match="no run 'nix'"):
        read_story(orchestrator().store, "nix")


def test_a_trail_joins_the_attempts_of_a_tool() -> None:
    calls = [
        Call("a", 1, 0.5, "reset"),
        Call("a", 2, 0.5, None),
        Call("b", 1, 1.0, "no"),
        Call("c", 1, 1.0, None),
    ]
    tried = trail(calls)
    assert [(t.tool, t.ok, t.attempts, t.error, t.seconds) for t in tried] == [
        ("a", True, 2, "reset", 1.0),
        ("b", False, 1, "no", 1.0),
        ("c", True, 1, "", 1.0),
    ]
    assert healed(tried)
    assert not healed(trail(calls[3:]))


def test_the_policy_of_the_record_decides_the_rival() -> None:
    orc = orchestrator(policy=Policy(step_cost=1.0))
    story = told(orc, orc.run_sync("title", {"document": "x"}).run_id)
    assert story.route is not None
    assert story.route.runner_up is not None
    assert story.route.runner_up.more == pytest.approx(0.001 / 0.9, rel=1e-3)
