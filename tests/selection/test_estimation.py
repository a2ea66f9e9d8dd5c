"""Beta posteriors from what agents declare and what they have shown."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.selection import NEUTRAL, Demand, Evidence, Handbook, Profile, Skill, competence
from orchestrator.selection.competence.priors import prior
from orchestrator.selection.competence.table import CompetenceTable


def book(**profiles: dict[str, tuple[float, float]]) -> Handbook:
    """A handbook with these counts: agent=skill -> (successes, failures)."""
    skills = sorted({skill for counts in profiles.values() for skill in counts})
    made: dict[str, Profile] = {}
    for agent, counts in profiles.items():
        evidence = {s: Evidence(successes=a, failures=b) for s, (a, b) in counts.items()}
        total = Evidence()
        for seen in evidence.values():
            total = total.plus(seen)
        made[agent] = Profile(skills=evidence, general=total)
    return Handbook(skills={s: Skill(id=s) for s in skills}, profiles=made)


def test_a_declaration_is_a_prior_of_five_calls() -> None:
    assert prior(1.0) == (4.0, 1.0)
    assert prior(0.0) == (0.5, 4.5)
    assert competence("a", {"x": 1.0}, Demand("x"), Handbook()).mean == 0.8


def test_evidence_outweighs_a_declaration() -> None:
    seen = competence("a", {"x": 1.0}, Demand("x"), book(a={"x": (0, 15)}))
    assert seen.mean == pytest.approx(4 / 20)
    assert seen.evidence == 15
    assert seen.high < 0.4


def test_an_undeclared_skill_is_doubted_but_not_ruled_out() -> None:
    claims = {"y": 1.0}
    nothing = competence("a", claims, Demand("x"), Handbook())
    elsewhere = competence("a", claims, Demand("x"), book(a={"y": (90, 10)}))
    assert nothing.mean == 0.25
    assert 0.25 < elsewhere.mean < 0.75  # a good record elsewhere says something, and no more than eight calls' worth


def test_an_agent_that_declares_nothing_is_known_by_its_record() -> None:
    assert competence("a", {}, Demand("x"), Handbook()).mean == 0.5
    assert competence("a", {}, Demand("x"), book(a={"y": (90, 10)})).mean == pytest.approx(0.9, abs=0.03)


def test_nobody_passes_over_a_skill_that_was_only_found_later() -> None:
    handbook = Handbook.of([Skill(id="skill-01", provenance="discovered")])
    assert competence("a", {"y": 1.0}, Demand("skill-01"), handbook).mean == 0.5


def test_a_neutral_demand_takes_the_whole_record() -> None:
    assert competence("a", {}, NEUTRAL, Handbook()).mean == 0.8
    assert competence("a", {"x": 1.0, "y": 0.0}, NEUTRAL, Handbook()).mean == pytest.approx(2.25 / 5)
    assert competence("a", {"x": 1.0}, NEUTRAL, book(a={"x": (0, 5)})).mean == pytest.approx(0.4)


def test_a_part_is_declared_by_the_whole() -> None:
    handbook = Handbook.of([Skill(id="x"), Skill(id="x/1", parent="x")])
    assert competence("a", {"x": 1.0}, Demand("x/1"), handbook).mean == 0.8


def test_more_evidence_narrows_the_interval() -> None:
    few = competence("a", {}, Demand("x"), book(a={"x": (8, 2)}))
    many = competence("a", {}, Demand("x"), book(a={"x": (80, 20)}))
    assert many.high - many.low < few.high - few.low


counts = st.tuples(st.floats(0, 200), st.floats(0, 200))


@given(
    st.dictionaries(st.sampled_from("xyz"), counts, max_size=3),
    st.dictionaries(st.sampled_from("xyz"), st.floats(0, 1), max_size=3),
    st.dictionaries(st.sampled_from("xyz"), st.floats(0.01, 5), max_size=3),
)
def test_the_table_gives_the_same_numbers(
    seen: dict[str, tuple[float, float]], declared: dict[str, float], weights: dict[str, float]
) -> None:
    handbook = book(a=seen, b={"x": (3, 1), "y": (0, 2), "z": (1, 0)})
    demand = Demand(weights)
    table = CompetenceTable({"a": declared, "b": {}}, handbook)
    columns, shares = table.columns(demand)
    for name, skills in (("a", declared), ("b", dict[str, float]())):
        one = competence(name, skills, demand, handbook)
        row = table.rows[name]
        assert table.means(columns, shares)[row] == one.mean
        assert table.evidence(columns, shares)[row] == pytest.approx(one.evidence)
        spread = 1.6449 * math.sqrt(float(table.variances(columns, shares)[row]))
        assert max(0.0, one.mean - spread) == pytest.approx(one.low)
        assert 0 <= one.low <= one.mean <= one.high <= 1


def test_wide_demands_give_the_same_numbers_too() -> None:
    skills = [f"s{i:02d}" for i in range(30)]
    handbook = book(a={s: (i, 30 - i) for i, s in enumerate(skills)})
    demand = Demand({s: i + 1 for i, s in enumerate(skills)})
    table = CompetenceTable({"a": {}}, handbook)
    columns, shares = table.columns(demand)
    assert np.allclose(table.means(columns, shares)[0], competence("a", {}, demand, handbook).mean, rtol=0, atol=1e-14)
