"""As many agents as disagreement is worth: ACAR's arithmetic, its blind spot, and what catches it."""

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import BaseModel

from orchestrator.agents.agent import Agent
from orchestrator.errors import DefinitionError, InvalidOutput
from orchestrator.selection import Consensus, ConsensusVerdict, EnsembleMode, Panel, agreement
from orchestrator.selection.ensembles.disagreement import plain_answer, same_answer
from tests.selection.workers import Alone


def saying(name: str, answers: Sequence[Any], cost: float = 0.01) -> Agent:
    """An agent that gives these answers, one per call, the last for ever; an exception is raised."""
    script = itertools.chain(answers, itertools.repeat(answers[-1]))

    def work(question: str) -> Any:
        answer = next(script)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return Agent(work, name=name, gives="answer", cost=cost, skills={"x": 0.5})


@pytest.mark.parametrize(
    ("answers", "sigma", "mode"),
    [
        ("AAA", 0.0, EnsembleMode.ONE),
        ("AAB", 0.5, EnsembleMode.TWO),
        ("ABA", 0.5, EnsembleMode.TWO),
        ("BAA", 0.5, EnsembleMode.TWO),
        ("ABC", 1.0, EnsembleMode.ALL),
        ("AAAA", 0.0, EnsembleMode.ONE),
        ("ABCA", 2 / 3, EnsembleMode.TWO),
        ("ABCD", 1.0, EnsembleMode.ALL),
        ("A", 1.0, EnsembleMode.ALL),
        ("", 1.0, EnsembleMode.ALL),
    ],
)
def test_sigma_is_the_share_of_distinct_answers(answers: str, sigma: float, mode: EnsembleMode) -> None:
    found = agreement(answers, same_answer)
    assert found.sigma == pytest.approx(sigma)
    assert found.mode is mode
    assert found.total == len(answers)


def test_sigma_of_three_over_all_answers() -> None:
    """Of the 27 triples over three answers 3 agree, 18 half agree and 6 do not: sigma is 0, 0.5 or 1, nothing else."""
    seen = [agreement(triple, same_answer).sigma for triple in itertools.product("ABC", repeat=3)]
    assert [seen.count(value) for value in (0.0, 0.5, 1.0)] == [3, 18, 6]


def test_the_majority_is_the_one_largest_group() -> None:
    assert agreement("BAA", same_answer).majority == 1
    assert agreement("AB", same_answer).majority is None
    assert agreement("", same_answer).majority is None


def test_plain_answers_and_sameness() -> None:
    class Point(BaseModel):
        x: int

    assert plain_answer("  Forty\n two. ") == plain_answer("forty two")
    assert same_answer(plain_answer(Point(x=1)), {"x": 1})
    assert same_answer(0.1 + 0.2, 0.3)
    assert not same_answer("1", 1)


@pytest.mark.parametrize(
    ("probes", "mode", "sigma", "calls", "usd", "answer"),
    [
        (["yes", "yes", "Yes."], EnsembleMode.ONE, 0.0, 0, 0.03, "yes"),
        (["yes", "no", "yes"], EnsembleMode.TWO, 0.5, 2, 0.03 + 0.2, "no"),
        (["yes", "no", "perhaps"], EnsembleMode.ALL, 1.0, 3, 0.03 + 0.3, "no"),
    ],
)
async def test_modes_agents_and_costs(
    probes: list[str], mode: EnsembleMode, sigma: float, calls: int, usd: float, answer: str
) -> None:
    verdicts: list[ConsensusVerdict] = []
    agents = [saying(name, ["no"], cost=0.1) for name in "abc"]
    panel = Consensus(saying("probe", probes), agents, on_verdict=verdicts.append)
    ctx = Alone()
    assert await panel(ctx, question="?") == answer
    (verdict,) = verdicts
    assert (verdict.mode, verdict.sigma, len(verdict.answers)) == (mode, sigma, calls)
    assert verdict.usd == pytest.approx(usd)
    assert ctx.charged == pytest.approx(usd)
    assert ctx.usage["probes"] == 3
    assert ctx.usage[f"mode_{mode}"] == 1
    assert verdict.to_json()["mode"] == str(mode)


async def test_two_that_differ_are_told_apart_by_the_probes() -> None:
    agents = [saying("a", ["no"]), saying("b", ["yes"]), saying("c", ["never asked"])]
    assert await Consensus(saying("probe", ["yes", "no", "yes"]), agents)(Alone(), question="?") == "yes"


async def test_a_judge_decides_where_there_is_no_majority() -> None:
    seen: list[list[str]] = []

    def judge(answers: list[str], inputs: dict[str, str]) -> str:
        seen.append(answers)
        return max(answers, key=len)

    agents = [saying("a", ["one"]), saying("b", ["three"]), saying("c", ["six"])]
    consensus = Consensus(saying("probe", ["x", "y", "z"]), agents, judge=judge)
    assert await consensus(Alone(), question="?") == "three"
    assert seen == [["one", "three", "six"]]


async def test_a_judge_may_be_an_agent_whose_cost_counts() -> None:
    def judge(answers: list[str], question: str) -> str:
        return f"{question} {answers[-1]}"

    agents = [saying("a", ["one"]), saying("b", ["two"])]
    by = Agent(judge, gives="answer", cost=0.5)
    ctx = Alone()
    verdict = await Consensus(saying("p", ["x", "y"]), agents, n=2, judge=by).verdict(ctx, {"question": "?"})
    assert (verdict.output, verdict.decided_by, verdict.winner) == ("? two", "judge", "judge")
    assert verdict.usd == pytest.approx(0.54)
    assert ctx.charged == pytest.approx(0.54)


async def test_agreement_on_a_wrong_answer_stands_unless_it_is_checked() -> None:
    """ACAR cannot recover from probes that agree on a wrong answer; a check of the output can."""
    wrong = saying("probe", ["41"])
    agents = [saying(name, ["42"]) for name in "abc"]
    blind = Consensus(wrong, agents)
    ctx = Alone()
    assert await blind(ctx, question="6 x 7?") == "41"
    # the engine rejects it by `ensure` and asks again with the error: then every agent works on it
    assert await blind(ctx, feedback="rejected by its check", question="6 x 7?") == "42"
    assert ctx.usage[f"mode_{EnsembleMode.ONE}"] == 1
    assert ctx.usage[f"mode_{EnsembleMode.ALL}"] == 1


async def test_members_check_their_own_answers() -> None:
    def ensure(answer: str) -> bool:
        return answer != "41"

    probe = Agent(lambda question: "41", name="probe", gives="answer", ensure=ensure)  # pyright: ignore[reportUnknownLambdaType]
    verdict = await Consensus(probe, [saying(n, ["42"]) for n in "ab"]).verdict(Alone(), {"question": "?"})
    assert verdict.mode is EnsembleMode.ALL
    assert verdict.output == "42"
    assert all("rejected" in (probe.error or "") for probe in verdict.probes)


async def test_failing_members_are_left_out() -> None:
    agents = [saying("a", [ValueError("broken")]), saying("b", ["no"]), saying("c", ["no"])]
    consensus = Consensus(saying("probe", ["x", "y", "z"]), agents)
    verdict = await consensus.verdict(Alone(), {"question": "?"})
    assert (verdict.output, verdict.decided_by) == ("no", "majority")
    assert verdict.to_json()["errors"] == ["ValueError: broken"]
    nobody = Consensus(saying("probe", [ValueError()]), [saying(n, [ValueError()]) for n in "ab"])
    with pytest.raises(InvalidOutput, match="No agent"):
        await nobody(Alone(), question="?")


def test_a_consensus_makes_an_agent() -> None:
    consensus = Consensus(saying("probe", ["x"]), [saying(n, ["x"], cost=0.1) for n in "ab"])
    agent = Agent(consensus, name="panel")
    assert agent.needs == {"question": "question"}
    assert list(agent.gives) == ["answer"]
    assert agent.skills == {"x": 0.5}
    assert agent.accepts_feedback == "feedback"
    assert agent.planned_cost() == pytest.approx(0.03 + 0.1)
    assert callable(agent.cost)
    assert agent.cost({"probes": 3}) == 0.0  # every call was charged


def test_a_wrong_consensus_is_refused() -> None:
    probe, other = saying("probe", ["x"]), Agent(lambda question: 1, name="other", gives="else")  # pyright: ignore[reportUnknownLambdaType]
    with pytest.raises(DefinitionError, match="at least two probes"):
        Consensus(probe, [probe, probe], n=1)
    with pytest.raises(DefinitionError, match="at least two agents"):
        Consensus(probe, [probe])
    with pytest.raises(DefinitionError, match="'other' gives"):
        Consensus(probe, [probe, other])
    with pytest.raises(DefinitionError, match="must need the key 'answers'"):
        Consensus(probe, [probe, probe], judge=probe)


async def test_a_panel_merges_what_its_members_say() -> None:
    def merge(answers: dict[str, str], inputs: dict[str, str]) -> str:
        return inputs["question"] + " " + " and ".join(answers[name] for name in sorted(answers))

    members = [saying("a", ["tea"]), saying("b", ["milk"]), saying("c", [ValueError("off")])]
    ctx = Alone()
    panel = Panel(members, merge, least=2)
    assert await panel(ctx, question="What?") == "What? tea and milk"
    assert ctx.charged == pytest.approx(0.03)
    with pytest.raises(InvalidOutput, match=r"2 of 3 agents answered, 3 are needed\. c: ValueError: off"):
        await Panel(members, merge, least=3)(Alone(), question="What?")


async def test_a_refiner_may_be_an_agent() -> None:
    def refine(answers: dict[str, str]) -> dict[str, int]:
        return {name: len(text) for name, text in answers.items()}

    panel = Panel([saying("a", ["tea"]), saying("b", ["milk"])], Agent(refine, gives="lengths", cost=0.5))
    agent = Agent(panel, name="both")
    assert list(agent.gives) == ["lengths"]
    assert agent.planned_cost() == pytest.approx(0.52)
    ctx = Alone()
    assert await agent(ctx=ctx, question="?") == {"a": 3, "b": 4}
    assert ctx.charged == pytest.approx(0.52)


def test_a_wrong_panel_is_refused() -> None:
    with pytest.raises(DefinitionError, match="cannot need 2"):
        Panel([saying("a", ["x"])], lambda answers, inputs: answers, least=2)  # pyright: ignore[reportUnknownLambdaType]
    with pytest.raises(DefinitionError, match="must need the key 'answers'"):
        Panel([saying("a", ["x"])], saying("b", ["x"]))
