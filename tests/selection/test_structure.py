"""Skills split where agents differ, merged where nobody tells them apart; decided by evidence, which stays."""

import random

import pytest

from orchestrator.selection import (
    Demand,
    Evidence,
    Handbook,
    Observation,
    Profile,
    Selector,
    Skill,
    SkillIndex,
    merge_alike,
    restructure,
    split,
)
from orchestrator.selection.competence.sampling import STRONG, separation
from tests.selection.workers import worker

PAINT = ["paint the {} fence green", "a fresh coat of paint for the {} door", "brush and varnish the {} table"]
SUMS = ["add up the {} invoice totals", "what percent of the {} budget is left", "multiply the {} price by twelve"]
WORDS = [f"{a}{b}" for a in ("red", "old", "new", "big", "low") for b in ("ish", "er", "est", "most", "like")]


def outcomes(rates: dict[str, tuple[float, float]], *, steps: int = 240, seed: int = 1) -> list[Observation]:
    """Work under one declared skill that is two: agent -> (chance with paint, chance with sums)."""
    rng = random.Random(seed)
    seen: list[Observation] = []
    for number in range(steps):
        side = number % 2
        text = rng.choice((PAINT, SUMS)[side]).format(rng.choice(WORDS))
        agent = rng.choice(sorted(rates))
        seen.append(Observation(agent, Demand("work"), rng.random() < rates[agent][side], text=text))
    return seen


def test_a_skill_is_split_where_agents_differ() -> None:
    seen = outcomes({"painter": (0.9, 0.2), "clerk": (0.2, 0.9)})
    handbook = split(Handbook.of(["work"]), "work", seen)
    assert set(handbook.skills) == {"work", "work/1", "work/2"}
    assert handbook.skills["work/1"].parent == "work"
    assert handbook.skills["work/1"].provenance == "split"
    assert "log Bayes factor" in handbook.insights["split work"].text
    index = SkillIndex(handbook)
    paint = index.demand("paint the garden fence", ["work/1", "work/2"]).skills
    sums = index.demand("add up the totals of the invoice", ["work/1", "work/2"]).skills
    assert len(paint) == len(sums) == 1
    assert paint != sums
    for agent, good, bad in (("painter", paint, sums), ("clerk", sums, paint)):
        profile = handbook.profile(agent)
        assert profile.evidence(good[0]).successes > 3 * profile.evidence(good[0]).failures
        assert profile.evidence(bad[0]).failures > 2 * profile.evidence(bad[0]).successes


def test_a_split_makes_the_choice_better() -> None:
    agents = [worker("painter", skills={"work": 0.8}), worker("clerk", skills={"work": 0.8})]
    handbook = restructure(Handbook.of(["work"]), outcomes({"painter": (0.9, 0.2), "clerk": (0.2, 0.9)}))
    selector = Selector(agents, handbook=handbook)
    assert selector.select(selector.demand("paint the old shed", "work")).agent == "painter"
    assert selector.select(selector.demand("add up the totals", "work")).agent == "clerk"


@pytest.mark.parametrize("rates", [{"a": (0.8, 0.8), "b": (0.3, 0.3)}, {"a": (0.5, 0.5), "b": (0.5, 0.5)}])
def test_a_skill_is_not_split_by_chance(rates: dict[str, tuple[float, float]]) -> None:
    for seed in range(8):
        handbook = Handbook.of(["work"])
        assert split(handbook, "work", outcomes(rates, seed=seed)) is handbook


def test_too_little_is_no_reason_to_split() -> None:
    handbook = Handbook.of(["work"])
    assert split(handbook, "work", outcomes({"a": (1.0, 0.0)}, steps=40)) is handbook


def test_the_words_of_the_work_stay_out_unless_wanted() -> None:
    seen = outcomes({"painter": (0.9, 0.1)})
    assert "fence" not in split(Handbook.of(["work"]), "work", seen).to_json()
    assert "fence" in split(Handbook.of(["work"]), "work", seen, keep_texts=True).to_json()


def counted(handbook: Handbook, **counts: dict[str, tuple[float, float]]) -> Handbook:
    for agent, skills in counts.items():
        seen = {s: Evidence(successes=a, failures=b) for s, (a, b) in skills.items()}
        handbook = handbook.next(agent, {"profiles": {**handbook.profiles, agent: Profile(skills=seen)}})
    return handbook


def test_skills_that_nobody_tells_apart_are_merged() -> None:
    handbook = counted(
        Handbook.of(["x", "y", "z"]),
        a={"x": (80, 20), "y": (160, 40), "z": (10, 90)},
        b={"x": (30, 70), "y": (60, 140), "z": (95, 5)},
    )
    merged = merge_alike(handbook)
    assert merged.skills["y"].merged_into == "x"
    assert merged.skills["z"].merged_into is None
    assert merged.profile("a").evidence("x") == Evidence(successes=240, failures=60)
    assert "merged into x" in merged.insights["merge y"].text
    assert Handbook.from_json(merged.to_json()) == merged


def test_what_names_a_merged_skill_still_works() -> None:
    handbook = merge_alike(counted(Handbook.of(["x", "y"]), a={"x": (800, 200), "y": (1600, 400)}))
    agents = [worker("a", skills={"y": 0.5}), worker("b", skills={"x": 0.3})]
    selector = Selector(agents, handbook=handbook)
    assert selector.select("y").demand == Demand("x")
    assert selector.estimate(agents[0], "y").mean == pytest.approx((2400 + 2.25) / (3000 + 5))
    selector.learn("a", {"y": 1}, True)
    selector.apply_pending()
    assert selector.handbook.profile("a").evidence("y").total == 0
    assert selector.handbook.profile("a").evidence("x").total > 2990


def test_skills_of_different_parents_or_without_evidence_stay() -> None:
    apart = Handbook.of([Skill(id="p"), Skill(id="x", parent="p"), Skill(id="y")])
    apart = counted(apart, a={"x": (800, 200), "y": (1600, 400)})
    assert merge_alike(apart) is apart
    unknown = Handbook.of(["x", "y"])
    assert merge_alike(unknown) is unknown


def test_the_bayes_factor_tells_alike_from_different() -> None:
    def counts(won: float, lost: float) -> dict[str, Evidence]:
        return {"a": Evidence(successes=won, failures=lost)}

    assert separation(counts(90, 10), counts(10, 90)) > 50
    assert separation(counts(200, 200), counts(200, 200)) < -2
    assert abs(separation(counts(1, 0), counts(0, 1))) < STRONG
    assert separation(counts(5, 5), {}) == 0
