"""What recorded work shows of skills: discovered, merged, split, by evidence; the same for the same work."""

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from orchestrator.selection import NEUTRAL, Demand, Handbook, Observation, Selector
from orchestrator.selection.learning.proposal import LEAST_TEXTS, propose
from orchestrator.testing import ScriptedChatModel
from tests.selection.test_structure import PAINT, SUMS, outcomes
from tests.selection.test_with_model import PARTS
from tests.selection.workers import worker


def undeclared(rates: dict[str, tuple[float, float]], **options: int) -> list[Observation]:
    """Work of two kinds of which nobody said what it demands."""
    return [replace(seen, demand=NEUTRAL) for seen in outcomes(rates, **options)]


APART = {"painter": (0.95, 0.1), "clerk": (0.1, 0.95)}


async def test_skills_are_discovered_where_nobody_said_what_is_demanded() -> None:
    proposal = await propose(Handbook(), undeclared(APART))
    assert proposal.changed
    assert all(skill.provenance in ("discovered", "split") for skill in proposal.after.skills.values())
    assert len(proposal.after.skills) >= 2
    assert any("log Bayes factor" in text for _, text in proposal.evidence)
    assert proposal.after.sizes is not None
    told = {word for words in proposal.groups.values() for word in words}
    assert told & {"paint", "fence", "coat"}
    assert told & {"invoice", "budget", "percent", "multiply"}
    assert "fence" not in proposal.after.to_json()  # words of the work stay out
    selector = Selector([worker("painter"), worker("clerk")], handbook=proposal.after)
    assert selector.select(selector.demand("paint the lowish fence green")).agent == "painter"
    assert selector.select(selector.demand("add up the lowish invoice totals")).agent == "clerk"


async def test_the_same_work_gives_the_same_handbook_and_a_second_time_changes_nothing() -> None:
    seen = undeclared(APART)
    first, again = await propose(Handbook(), seen), await propose(Handbook(), list(seen))
    assert first.after == again.after
    assert [str(change) for change in first.changes] == [str(change) for change in again.changes]
    second = await propose(first.after, seen)
    assert not [key for key, _ in second.evidence if key.startswith("discovered")]


async def test_words_are_kept_where_that_is_wanted() -> None:
    proposal = await propose(Handbook(), undeclared(APART), keep_texts=True)
    assert "fence" in proposal.after.to_json()


async def test_groups_that_nobody_tells_apart_are_no_skills() -> None:
    rates = {"a": (0.5, 0.5), "b": (0.5, 0.5)}
    proposal = await propose(Handbook(), undeclared(rates, steps=2000))
    assert not proposal.changed
    assert "outcomes do not distinguish" in proposal.notes[0]


async def test_too_few_texts_are_said_to_be_too_few() -> None:
    proposal = await propose(Handbook(), undeclared(APART, steps=10))
    assert not proposal.changed
    assert f"skills are looked for in {LEAST_TEXTS} or more" in proposal.notes[0]
    assert not (await propose(Handbook(), [])).notes


async def test_a_declared_skill_is_split_and_what_was_demanded_stays() -> None:
    proposal = await propose(Handbook.of(["work"]), outcomes(APART))
    assert set(proposal.after.skills) == {"work", "work/1", "work/2"}
    assert [key for key, _ in proposal.evidence] == ["split work"]
    assert any(change.path[:2] == ("skills", "work/1") for change in proposal.changes)


async def test_discovered_skills_do_not_take_the_names_of_others() -> None:
    book = Handbook.of(["skill-01", "other"])
    proposal = await propose(book, undeclared(APART))
    assert proposal.after.skills["skill-01"] == book.skills["skill-01"]
    assert "skill-02" in proposal.after.skills


def _text(seen: Sequence[Observation]) -> str:
    return " ".join(o.text or "" for o in seen)


async def test_a_model_proposes_a_split_and_the_outcomes_decide() -> None:
    model = ScriptedChatModel([PARTS], repeat=True)
    proposal = await propose(Handbook.of(["work"]), outcomes(APART), model=model)
    assert proposal.after.skills["work/1"].provenance == "proposed"
    assert model.calls == 1
    alike = await propose(Handbook.of(["work"]), outcomes({"a": (0.6, 0.6), "b": (0.3, 0.3)}), model=model)
    assert not alike.changed
    few = await propose(Handbook.of(["work"]), outcomes(APART, steps=20), model=model)
    assert not few.changed
    assert few.notes == ("A split is looked for in 48 or more outcomes of one skill; the most there are is 20.",)
    assert model.calls == 2  # it was not asked where there are too few outcomes to decide


async def test_a_model_that_fails_leaves_the_statistics() -> None:
    problems: list[str] = []
    model = ScriptedChatModel([ConnectionError("no")])
    proposal = await propose(Handbook.of(["work"]), outcomes(APART), model=model, on_problem=problems.append)
    assert proposal.after.skills["work/1"].provenance == "split"
    assert problems == ["no split of work was proposed by the model: ConnectionError"]


@pytest.mark.parametrize("seed", range(5))
async def test_by_chance_nothing_is_split(seed: int) -> None:
    proposal = await propose(Handbook.of(["work"]), outcomes({"a": (0.7, 0.7), "b": (0.4, 0.4)}, seed=seed))
    assert not proposal.changed


async def test_the_order_of_skills_decides_nothing() -> None:
    seen = [
        replace(each, demand=Demand(skill))
        for skill in ("x", "y")
        for each in outcomes(APART, seed=1 if skill == "x" else 2)
    ]
    shuffled = list(seen)
    random.Random(4).shuffle(shuffled)
    one = await propose(Handbook.of(["x", "y"]), seen)
    other = await propose(Handbook.of(["y", "x"]), seen)
    assert one.after.skills == other.after.skills
    assert PAINT[0].split()[0] in _text(seen)
    assert SUMS[0].split()[0] in _text(seen)
