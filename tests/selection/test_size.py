"""The size of the work, and what a price tells, before and after there is evidence."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import Orchestrator
from orchestrator.errors import DefinitionError, InputError
from orchestrator.selection import (
    NEUTRAL,
    Demand,
    Evidence,
    Exploration,
    ExplorationRound,
    Handbook,
    Observation,
    Selector,
    Skill,
    SkillIndex,
    competence,
    discover,
)
from orchestrator.selection.choice.scoring import Judged, counted_again
from orchestrator.selection.competence.priors import TRANSFER, prior, relative_prices
from orchestrator.selection.competence.table import CompetenceTable
from orchestrator.selection.competence.task_size import measured, size_of, size_shift, size_shifts
from orchestrator.selection.learning.updates import expected_by_skill, forget, learn
from tests.selection.workers import worker

SHORT = Demand("s", size=0.0)
LONG = Demand("s", size=1.0)
BOOK = Handbook(skills={"s": Skill(id="s", provenance="discovered")}, sizes=(10, 1000))


def seen(agent: str, short: tuple[int, int], long: tuple[int, int]) -> Handbook:
    """After outcomes in short and in long work, done well and not, in no order."""
    outcomes: list[Observation] = []
    for demand, (good, bad) in ((SHORT, short), (LONG, long)):
        outcomes += [Observation(agent, demand, success) for success in [True] * good + [False] * bad]
    Random(1).shuffle(outcomes)
    return learn(BOOK, outcomes)


def test_texts_say_what_is_short_and_what_is_long() -> None:
    texts = ["x" * count for count in range(1, 102)]
    sizes = measured(texts)
    assert sizes == (11.0, 91.0)
    assert size_of("x" * 5, sizes) == 0
    assert size_of("x" * 11, sizes) == pytest.approx(0)
    assert 0.4 < (size_of("x" * 32, sizes) or 0) < 0.6  # the geometric middle
    assert size_of("x" * 5000, sizes) == 1
    assert [measured([]), measured(["same", "size"]), size_of("text", None)] == [None] * 3


def test_discovery_measures_texts_and_demands_have_a_size() -> None:
    texts = [f"count {n} apples " + "and some more pears " * (n % 20) for n in range(100)]
    index = SkillIndex(discover(texts))
    assert index.handbook.sizes is not None
    assert (index.demand("count 3 apples").size, index.demand(texts[19] * 3).size) == (0, 1)
    assert index.demand("zzzz").neutral
    assert index.refined(Demand("skill-01"), texts[19] * 3).size == 1
    assert SkillIndex(Handbook.of(["count"])).demand("count 3 apples").size is None


def test_an_agent_is_expected_to_do_where_it_did_well() -> None:
    handbook = seen("a", short=(40, 2), long=(20, 22))
    short, middle, long = (competence("a", {}, Demand("s", size=size), handbook).mean for size in (0, 0.5, 1))
    plain = competence("a", {}, Demand("s"), handbook).mean
    assert short > middle > long
    assert middle == pytest.approx(plain, abs=0.02)
    assert short - long > 0.3
    assert competence("a", {}, Demand(size=0.0), handbook).mean > competence("a", {}, NEUTRAL, handbook).mean


def test_a_rate_that_does_not_depend_on_size_is_not_moved() -> None:
    handbook = seen("a", short=(10, 10), long=(30, 30))
    assert size_shifts(*handbook.by_size("a"), 0.0) == pytest.approx((0, 0), abs=0.02)
    assert size_shifts(*Handbook().by_size("a"), 0.0) == (0, 0)


def test_what_the_skills_explain_is_not_counted_again() -> None:
    handbook = Handbook.of(["easy", "hard"]).model_copy(update={"sizes": (10, 1000)})
    outcomes = [Observation("a", Demand("easy", size=0.1), True) for _ in range(150)]
    outcomes += [Observation("a", Demand("hard", size=0.9), False) for _ in range(150)]
    Random(1).shuffle(outcomes)
    learned = learn(handbook, outcomes)
    assert max(map(abs, size_shifts(*learned.by_size("a"), 0.0))) < 0.12  # the rates themselves differ by 1
    assert expected_by_skill(learned.profile("a"), Demand("easy")) > 0.9
    assert expected_by_skill(learned.profile("a"), Demand("hard")) < 0.1
    assert expected_by_skill(learned.profile("a"), NEUTRAL) == pytest.approx(0.5, abs=0.02)


def test_a_faded_record_tells_less_of_sizes_too() -> None:
    handbook = seen("a", short=(100, 0), long=(0, 100))
    before, after = (size_shifts(*book.by_size("a"), 0.0)[0] for book in (handbook, forget(handbook, "a")))
    assert 0 < after < before


def test_sizes_survive_every_version() -> None:
    handbook = seen("a", (3, 1), (1, 3))
    after = handbook.with_skills(Skill(id="t"))
    assert after.sizes == (10.0, 1000.0)
    assert after.roll_back(handbook.version).by_size("a") == handbook.by_size("a")
    assert Handbook.from_json(after.to_json()) == after
    both = handbook.merge(seen("a", (1, 0), (0, 0)))
    assert both.by_size("a")[0].calls == pytest.approx(5, abs=0.02)
    with pytest.raises(DefinitionError, match="what a long text is"):
        handbook.merge(Handbook(sizes=(10, 20)))
    with pytest.raises(ValueError, match="short texts are shorter"):
        Handbook(sizes=(20, 10))


def test_a_demand_keeps_its_size() -> None:
    demand = Demand({"s": 1, "t": 3}, size=0.25)
    assert Demand.from_json(demand.to_json()) == demand
    assert Demand({"s": 1, "t": 3}) not in (demand,)
    assert str(demand) == "t 0.75, s 0.25, size 0.25"
    assert "size" not in Demand("s").to_json()
    merged = Handbook(skills={"s": Skill(id="s", merged_into="t"), "t": Skill(id="t")})
    assert merged.resolved(demand) == Demand("t", size=0.25)
    for size in (-0.1, 1.1, float("nan")):
        with pytest.raises(InputError, match="size"):
            Demand("s", size=size)


def test_the_price_stands_among_those_who_give_the_same() -> None:
    agents = [
        worker("cheap", cost=0.001),
        worker("dear", cost=0.1),
        worker("free"),
        worker("elsewhere", cost=5.0, gives="other"),
    ]
    assert relative_prices(agents) == pytest.approx({"cheap": -1, "dear": 1, "elsewhere": 0})
    assert relative_prices([worker("cheap", cost=0.001), worker("dear", cost=1e6)])["dear"] == 1
    assert relative_prices([worker("a", cost=0.1), worker("b", cost=0.1)]) == {"a": 0, "b": 0}


def test_a_dear_agent_is_believed_to_be_better_most_of_all_in_long_work() -> None:
    def gap(demand: Demand, handbook: Handbook = BOOK) -> float:
        dear, cheap = (competence(name, {}, demand, handbook, price).mean for name, price in (("d", 1), ("c", -1)))
        return dear - cheap

    assert gap(LONG) > gap(Demand("s")) > gap(SHORT) == pytest.approx(0)
    assert gap(LONG, seen("d", (0, 30), (0, 30))) < 0  # evidence outweighs the price
    declared = competence("d", {"s": 1.0}, Demand("s"), Handbook.of(["s"]), 1.0)
    assert declared.mean == 0.8  # what it declares says more


def test_a_price_counts_as_eight_calls_beside_a_record() -> None:
    a, b = prior(None, Evidence(successes=8, failures=0), passed_over=False, relative_price=1.0)
    assert a / (a + b) == pytest.approx((0.7 * 8 + 8) / 16)
    assert a + b == TRANSFER
    assert sum(prior(None, passed_over=False, relative_price=-1.0)) == 2


counts = st.tuples(st.integers(0, 8), st.integers(0, 8))


@given(counts, counts, st.floats(0, 1), st.floats(-1, 1))
def test_the_table_gives_the_same_numbers(
    short: tuple[int, int], long: tuple[int, int], size: float, relative_price: float
) -> None:
    handbook, demand = seen("a", short, long), Demand("s", size=size)
    table = CompetenceTable({"a": {}, "b": {"s": 1.0}}, handbook, {"a": relative_price})
    for name, declared, dear in (("a", dict[str, float](), relative_price), ("b", {"s": 1.0}, 0.0)):
        one = competence(name, declared, demand, handbook, dear)
        assert table.expected(demand)[table.rows[name]] == one.mean
        assert 0 <= one.low <= one.mean <= one.high <= 1
    shifts = size_shifts(*handbook.by_size("a"), relative_price)
    assert size_shift(shifts, size) == pytest.approx((1 - size) * shifts[0] + size * shifts[1])


@pytest.mark.parametrize("explore", [None, Exploration("ucb", seed=4), Exploration("ucb", width=2.0)])
def test_a_selector_counts_the_size_in_and_its_record_is_enough_to_count_again(explore: Exploration | None) -> None:
    agents = [worker("a", cost=0.01), worker("b", cost=0.1)]
    selector = Selector(agents, handbook=BOOK, exploration=explore)
    for success in (True, True, False):
        selector.learn("a", SHORT, success)
        selector.learn("a", LONG, not success)
    selector.apply_pending()
    for demand in (SHORT, LONG):
        for name, judged in selector.judge(["a", "b"], demand, ExplorationRound(3)).items():
            read = Judged.from_json(name, judged.to_json())
            assert read == judged
            assert counted_again(read, demand.weights, ExplorationRound(3), explore) == pytest.approx(
                judged.counted, abs=1e-9
            )
    assert selector.estimate(agents[0], SHORT).mean > selector.estimate(agents[0], LONG).mean
    chosen = selector.select(LONG, dial=1.0)
    if explore is None:
        assert chosen.agent == "b"
        assert {c.name: c.competence for c in chosen.candidates}["b"] == selector.estimate(agents[1], LONG).mean


@pytest.mark.parametrize("explore", [None, Exploration("ucb", seed=4)])
async def test_a_run_knows_the_size_of_its_steps(explore: Exploration | None) -> None:
    texts = [f"count {n} apples " + "and some more pears " * (n % 20) for n in range(100)]
    agents = [worker("a", cost=0.01), worker("b", cost=0.1)]
    selector = Selector(handbook=discover(texts), exploration=explore)
    async with Orchestrator(agents=agents, selector=selector) as orc:
        outcome = await orc.run("answer", {"question": texts[19] * 2})
        (select,) = [d for d in outcome.decisions if d.kind == "select"]
        assert select.facts["size"] == 1
        assert orc.replay(outcome.run_id).agrees
        orc.feedback(outcome.run_id, "answer", success=True)
        selector.apply_pending()
        short, long = selector.handbook.by_size(select.chosen)
        assert short.calls == 0
        assert long.calls == pytest.approx(1.25, abs=0.01)  # checked by the run, and judged by a person


def test_a_handbook_given_beside_a_store_keeps_what_its_skills_are_written_in() -> None:
    discovered = BOOK.model_copy(update={"embedding": "hashed-1"})
    kept = Handbook(skills={"own": Skill(id="own")}).with_missing(discovered)
    assert (kept.embedding, kept.sizes) == ("hashed-1", (10, 1000))
    assert kept.skills.keys() == {"own", "s"}
    mine = Handbook(skills={"own": Skill(id="own")}, sizes=(1, 2)).with_missing(discovered)
    assert mine.sizes == (1, 2)
