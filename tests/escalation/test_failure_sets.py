"""Every set of failures of three published graphs, run: when is a model asked, and how often?"""

from collections import Counter

import pytest
from langchain_core.messages import AIMessage, BaseMessage

from benchmarks.published_graphs import CASES, Case
from orchestrator import AskModel, Demote, Status
from orchestrator.testing import FakeClock
from tests.escalation.adversary import Obeys


def stop(messages: list[BaseMessage]) -> AIMessage:
    """The last option of the list, which is to stop."""
    number = str(messages[-1].content).rstrip().splitlines()[-1].partition(".")[0]
    return AIMessage(f'{{"choice": {number}, "message": "nothing helps"}}')


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_no_model_while_a_route_exists_and_one_call_where_none_does(case: Case) -> None:
    counted: Counter[bool] = Counter()
    for down in case.failure_sets():
        model = Obeys(reply=stop)
        ran: list[str] = []
        async with case.orchestrator(down, ran, escalation=[Demote(), AskModel(model)], clock=FakeClock()) as orc:
            outcome = await orc.run(case.goal)
        feasible = case.goal in case.reachable(down)
        counted[feasible] += 1
        assert outcome.status is (Status.REACHED if feasible else Status.ESCALATED), down
        assert (outcome.llm_calls, model.asked) == ((0, 0) if feasible else (1, 1)), down
        assert max(Counter(ran).values(), default=1) == 1  # no tool ran twice
    assert (counted[True], counted[False]) == EXPECTED[case.name]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_lesser_goals_at_each_stage_leave_the_model_only_what_cannot_begin(case: Case) -> None:
    asked = demoted = 0
    for down in case.failure_sets():
        reachable = case.reachable(down)
        if case.goal in reachable:
            continue
        model = Obeys(reply=stop)
        async with case.orchestrator(down, [], escalation=[Demote(), AskModel(model)], clock=FakeClock()) as orc:
            outcome = await orc.run(case.with_lesser_goals())
        assert outcome.status is (Status.DEMOTED if reachable else Status.ESCALATED), down
        assert (outcome.llm_calls, model.asked) == ((0, 0) if reachable else (1, 1)), down
        if reachable:
            demoted += 1
            best = next(name for name in reversed(case.tools) if name in reachable)
            assert outcome.goal is not None
            assert outcome.goal.name == best
        else:
            asked += 1
    assert (demoted, asked) == LESSER[case.name]


EXPECTED = {"customer support": (9, 23), "travel booking": (27, 101), "content moderation": (21, 43)}
"""Sets with a path, and without: 57 and 167 in all, of 224."""
LESSER = {"customer support": (7, 16), "travel booking": (69, 32), "content moderation": (35, 8)}
"""Sets without a path where a lesser goal is within reach, and where none is: 111 and 56 in all."""


def test_the_totals_are_the_published_ones() -> None:
    assert [sum(pair[n] for pair in EXPECTED.values()) for n in (0, 1)] == [57, 167]
    assert [sum(pair[n] for pair in LESSER.values()) for n in (0, 1)] == [111, 56]
