"""Who is chosen: by price, within constraints, explained, the same every time."""

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.agents.agent import Agent
from orchestrator.core.policy import Policy
from orchestrator.errors import DefinitionError, InputError
from orchestrator.graph.price_table import PICO, PriceFacts, standard
from orchestrator.selection import (
    Constraints,
    Demand,
    Exploration,
    ExplorationRound,
    Handbook,
    Onboarding,
    Selector,
    dialled,
)
from tests.selection.workers import worker


def three() -> list[Agent]:
    return [
        worker("cheap", skills={"x": 0.4}, cost=0.001),
        worker("fair", skills={"x": 0.8}, cost=0.01),
        worker("best", skills={"x": 1.0}, cost=0.2, trust="eu", data_leaves=True),
    ]


def test_the_price_decides_and_is_the_one_price() -> None:
    selection = Selector(three()).select({"x": 1})
    policy = Policy()
    for candidate in selection.candidates:
        assert candidate.price == pytest.approx(standard(policy)(candidate.facts), abs=1 / PICO)
        assert candidate.facts.competence == candidate.competence
    prices = [candidate.price for candidate in selection.candidates]
    assert prices == sorted(p for p in prices if p is not None)
    assert selection.agent == selection.candidates[0].name == "fair"
    assert "least price" in selection.reason
    assert "x 1.00" in selection.reason


def test_parts_add_up_to_the_price() -> None:
    for c in Selector(three()).select("x").candidates:
        parts = c.parts
        attempt = sum(parts[name] for name in ("step", "money", "time", "risk"))
        assert c.price == pytest.approx(attempt * parts["pressure"] / parts["success"] + parts["quality"])
        low, high = c.interval
        assert low <= c.competence <= high
        assert c.candidate.price == c.price


def test_the_order_of_agents_does_not_matter() -> None:
    chosen = {Selector(order).select("x").agent for order in itertools.permutations(three())}
    assert chosen == {"fair"}


def test_ties_go_to_the_first_name_and_are_told() -> None:
    selection = Selector([worker(name, skills="x") for name in ("c", "a", "b")]).select("x")
    assert (selection.agent, selection.ties) == ("a", ("b", "c"))


@pytest.mark.parametrize(("dial", "agent"), [(0, "cheap"), (0.5, "fair"), (None, "fair"), (1, "best")])
def test_the_dial_goes_from_cheapest_to_best(dial: float | None, agent: str) -> None:
    assert Selector(three()).select("x", dial=dial).agent == agent


def test_the_dial_ends_somewhere() -> None:
    with pytest.raises(InputError, match="from 0"):
        Selector(three()).select("x", dial=1.5)
    assert dialled(Policy(), 0.5) == Policy()
    assert dialled(Policy(), 0.75).quality_value == pytest.approx(3 * Policy().quality_value)


def test_constraints_leave_agents_out_and_say_why() -> None:
    selector = Selector(three())
    kept = selector.select("x", dial=1, constraints=Constraints(data_may_leave=False))
    assert kept.agent == "fair"
    assert kept.candidates[-1].reason == "data may not leave"
    assert kept.candidates[-1].price is None
    assert selector.select("x", constraints=Constraints(trust="eu")).agent == "best"
    assert selector.select("x", dial=1, constraints=Constraints(max_cost=0.005)).agent == "cheap"
    assert selector.select("x", agents=["best"]).agent == "best"
    assert selector.refuses(selector.agents["best"], 0.2, Constraints(max_cost=0.1)).startswith("costs 0.2")
    assert selector.refuses(selector.agents["best"], 0.2) == ""
    always = Selector(three(), constraints=Constraints(trust="local"))
    assert always.select("x", dial=1).agent == "fair"


def test_nobody_left_is_an_error_that_says_why() -> None:
    with pytest.raises(InputError, match=r"cheap \(its trust domain 'local' is not allowed\)"):
        Selector(three()).select("x", constraints=Constraints(trust="moon"))
    with pytest.raises(InputError, match="There is no agent to choose"):
        Selector().select()
    with pytest.raises(InputError, match="Did you mean 'cheap'"):
        Selector(three()).select("x", agents=["cheep"])


def test_an_unknown_skill_is_an_error_with_a_hint() -> None:
    with pytest.raises(InputError, match=r"declares the skill 'translat'.*Did you mean 'translate'"):
        Selector([worker("a", skills="translate")]).select("translat")


def test_wrong_options_and_agents_are_refused() -> None:
    with pytest.raises(DefinitionError, match=r"no option 'polcy'.*'policy'"):
        Selector(polcy=Policy())  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    with pytest.raises(DefinitionError, match="agent 'a' already"):
        Selector([worker("a"), worker("a")])
    with pytest.raises(DefinitionError, match="no agent 'b'"):
        Selector([worker("a")]).remove("b")


def test_what_is_down_is_not_chosen() -> None:
    def base(agent: Agent) -> PriceFacts:
        return PriceFacts(agent.name, agent.planned_cost(), 0.0, 0.0, 1.0, 1.0, 0.0 if agent.name == "fair" else 1.0)

    selection = Selector(three(), policy=Policy(quality_value=0.05), base=base).select("x")
    assert selection.agent == "cheap"
    assert selection.candidates[-1].reason == "cannot be used now"


def test_any_pricing_plugs_in() -> None:
    selector = Selector(three(), pricing=lambda facts: facts.money * 0 + (1 - facts.competence))
    assert selector.select("x").agent == "best"
    assert Selector(three(), policy=Policy(pricing="self_healing_router")).select("x").agent == "cheap"


def test_outcomes_change_the_choice_once_applied() -> None:
    selector = Selector(three())
    for _ in range(30):
        selector.learn("fair", "x", False)
    assert selector.select("x").agent == "fair"  # nothing is learned on the path of a call
    assert selector.apply_pending() == 30
    assert selector.apply_pending() == 0
    assert selector.select("x").agent != "fair"
    assert selector.handbook.profile("fair").general.total == pytest.approx(30, rel=0.02)


def test_what_calls_cost_is_learned() -> None:
    selector = Selector([worker("a", skills="x", cost=lambda usage: 0.0), worker("b", skills="x", cost=0.001)])
    assert selector.select("x").agent == "a"
    for _ in range(20):
        selector.learn("a", "x", True, usd=0.5, seconds=3.0, tokens=1000)
    selector.apply_pending()
    chosen = selector.select("x")
    assert chosen.agent == "b"
    assert chosen.candidates[1].cost == pytest.approx(0.4)
    facts = selector.facts(selector.agents["a"], Demand("x"), PriceFacts("a", 0.0, 0.0, 0.0, 1.0, 1.0, 1.0))
    assert facts.money == pytest.approx(0.4)


def test_an_explanation_is_of_the_moment_of_the_choice() -> None:
    selector = Selector(three())
    before = selector.select("x")
    for _ in range(30):
        selector.learn("fair", "x", False, usd=5.0)
    selector.apply_pending()
    assert before.candidates[0].name == "fair"
    assert before.candidates[0].cost == 0.01
    assert before.candidates[0].estimate.evidence == 0


def test_facts_are_what_select_uses() -> None:
    selector = Selector(three())
    for number in range(25):
        selector.learn("fair", {"x": 1}, number % 3 > 0)
    selector.apply_pending()
    turn = ExplorationRound(7)
    selection = selector.select("x", turn=turn)
    for candidate in selection.candidates:
        base = PriceFacts(candidate.name, candidate.cost, 0.0, 0.0, 1.0, 1.0, 1.0)
        agent = selector.agents[candidate.name]
        assert selector.facts(agent, Demand("x"), base, turn).competence == candidate.facts.competence


def test_facts_without_a_turn_are_the_plain_estimate() -> None:
    selector = Selector(three())
    base = PriceFacts("fair", 0.3, 2.0, 0.1, 1.0, 1.5, 0.9)
    facts = selector.facts(selector.agents["fair"], Demand("x"), base)
    assert facts == PriceFacts("fair", 0.3, 2.0, 0.1, selector.estimate(selector.agents["fair"], "x").mean, 1.5, 0.9)


def test_exploration_is_the_same_under_the_same_turn() -> None:
    explore = Exploration("ucb", seed=3)
    runs = [
        [Selector(three(), exploration=explore).select("x", turn=ExplorationRound(n)).agent for n in range(40)]
        for _ in range(2)
    ]
    assert runs[0] == runs[1]


def test_thompson_sampling_is_refused_with_what_to_use() -> None:
    with pytest.raises(DefinitionError, match=r"best estimate.*Exploration\('ucb'\)"):
        Exploration("thompson")


def test_records_are_plain_data() -> None:
    record = Selector(three()).select({"x": 2}).to_json()
    assert record["agent"] == "fair"
    assert record["demand"] == {"weights": {"x": 1.0}, "source": "declared"}
    assert {c["name"] for c in record["candidates"]} == {"cheap", "fair", "best"}
    assert math.isfinite(record["candidates"][0]["price"])


def newcomers(share: float) -> tuple[Selector, list[str]]:
    """A proven agent, and one that came later, claims more and costs less; who is chosen in 400 steps."""
    selector = Selector([worker("old", skills={"x": 0.9}, cost=0.01)], onboarding=Onboarding(share=share, budget=0))
    for _ in range(30):
        selector.learn("old", "x", True)
    selector.apply_pending()
    selector.add(worker("new", skills={"x": 1.0}))
    chosen: list[str] = []
    for _ in range(400):
        agent = selector.select("x").agent
        chosen.append(agent)
        selector.learn(agent, "x", agent == "old")
        selector.apply_pending()
    return selector, chosen


def test_a_worthless_newcomer_gets_no_more_than_its_share() -> None:
    for share in (0.0, 0.05, 0.2):
        _, chosen = newcomers(share)
        for end in range(1, len(chosen) + 1):
            assert chosen[:end].count("new") <= share * end + 1e-9
        assert chosen.count("new") <= 16  # ten trials are evidence enough for a while; then it is dropped


def test_a_good_newcomer_is_promoted() -> None:
    selector = Selector([worker("old", skills={"x": 0.9}, cost=0.01)], onboarding=Onboarding(share=0.1))
    for number in range(50):
        selector.learn("old", "x", number % 2 == 0)
    selector.apply_pending()
    selector.add(worker("new", skills={"x": 0.8}, cost=0.01))
    chosen: list[str] = []
    for _ in range(300):
        agent = selector.select("x").agent
        chosen.append(agent)
        selector.learn(agent, "x", agent == "new")
        selector.apply_pending()
    assert chosen[-100:].count("new") == 100


def test_a_newcomer_is_shown_as_one() -> None:
    selector = Selector([worker("old", skills="x")], onboarding=Onboarding(budget=0))
    for _ in range(20):
        selector.learn("old", "x", True)
    selector.apply_pending()
    selector.add(worker("new", skills="x"))
    steady = selector.select("x", turn=ExplorationRound(1, probe=False))
    probing = selector.select("x", turn=ExplorationRound(20, probe=True))
    assert (steady.agent, probing.agent) == ("old", "new")
    assert steady.candidates[1].reason == "a newcomer, counted at competence 0"
    assert "newcomer on trial" in probing.reason


def tried(rate: float, budget: float, *, steps: int = 400) -> tuple[list[str], int]:
    """The choices beside an agent that does well in 6 of 10 calls, and how often the newcomer did well."""
    draw = random.Random(5)
    selector = Selector([worker("old", skills="x")], onboarding=Onboarding(share=0.0, budget=budget))
    for number in range(50):
        selector.learn("old", "x", number % 10 < 6)
    selector.apply_pending()
    selector.add(worker("new", skills="x"))
    chosen: list[str] = []
    won = 0
    for _ in range(steps):
        agent = selector.select("x").agent
        chosen.append(agent)
        success = draw.random() < (rate if agent == "new" else 0.6)
        won += agent == "new" and success
        selector.learn(agent, "x", success)
        selector.apply_pending()
    return chosen, won


def test_a_better_newcomer_on_trial_gets_its_share_at_once() -> None:
    chosen, _ = tried(0.95, 20)
    assert chosen.count("new") > 0.9 * len(chosen)
    assert tried(0.95, 0)[0].count("new") == 0


@pytest.mark.parametrize("budget", [1.0, 10.0])
def test_a_worthless_newcomer_on_trial_costs_no_more_than_its_budget(budget: float) -> None:
    chosen, _ = tried(0.0, budget, steps=150)  # nothing of it is forgotten by then
    assert 0 < chosen.count("new") * 0.6 <= budget + 1
    assert chosen[-100:].count("new") == 0


def test_agents_that_start_together_are_no_newcomers() -> None:
    selector = Selector([worker("a", skills={"x": 0.9}), worker("b", skills={"x": 0.8})])
    for _ in range(20):
        selector.learn("a", "x", False)
    selector.apply_pending()
    assert selector.select("x", turn=ExplorationRound(1)).agent == "b"


def test_a_newcomer_that_cannot_win_is_not_tried() -> None:
    selector = Selector([worker("old", skills="x")])
    for _ in range(40):
        selector.learn("old", "x", True)
    selector.apply_pending()
    selector.add(worker("dear", skills="x", cost=5.0))
    assert selector.select("x", turn=ExplorationRound(20, probe=True)).agent == "old"


skill_names = st.sampled_from(["x", "y", "z"])


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 0.1), st.floats(0, 5), st.floats(0, 1)), min_size=1, max_size=6),
    st.dictionaries(skill_names, st.floats(0.01, 1), max_size=3),
    st.floats(0, 1),
)
def test_the_choice_is_the_least_price_of_all(
    agents: list[tuple[float, float, float, float]], weights: dict[str, float], dial: float
) -> None:
    made = [
        worker(f"a{n}", skills={"x": level, "y": 1 - level, "z": 0.5}, cost=cost, latency=latency, risk=risk)
        for n, (level, cost, latency, risk) in enumerate(agents)
    ]
    selector = Selector(made, handbook=Handbook.of(["x", "y", "z"]))
    selection = selector.select(weights, dial=dial)
    price = standard(dialled(Policy(), dial))
    pico = {c.name: round(price(c.facts) * PICO) for c in selection.candidates}
    best = min(sorted(pico), key=lambda name: pico[name])
    assert selection.agent == best
    assert set(selection.ties) == {name for name in pico if pico[name] == pico[best]} - {best}
