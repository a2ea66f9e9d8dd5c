"""Each planted fault is named by its decision; another policy shows what it would have decided."""

from collections.abc import Callable
from typing import Any

import pytest

from orchestrator import (
    NOT_DONE,
    DecisionKind,
    Demote,
    Orchestrator,
    Policy,
    Refused,
    Tool,
)
from orchestrator.core.policy import Retries
from orchestrator.engine.steps import retry as retrying
from orchestrator.observability.replay import retries as answers
from orchestrator.observability.replay.replay import replay_run
from orchestrator.routing.paths import ties
from orchestrator.testing import FakeClock, fail
from tests.observability.replay.shop import Altered, find, shipped, shop

# -- planted faults --------------------------------------------------------------------------------------------------


def _dearer(decision: dict[str, Any]) -> None:
    decision["facts"]["prices"]["carrier"][0] = 1.0


def _other_price(decision: dict[str, Any]) -> None:
    decision["price"] += 0.001


def _other_pico(decision: dict[str, Any]) -> None:
    decision["facts"]["price"] += 1


def _other_candidate(decision: dict[str, Any]) -> None:
    decision["candidates"][1]["price"] += 0.5


def _other_route(decision: dict[str, Any]) -> None:
    decision["chosen"], decision["facts"]["tools"] = "table > buy > ship", ["table", "buy", "ship"]


def _other_answer(decision: dict[str, Any]) -> None:
    decision["answers"] = []


def _no_retries(decision: dict[str, Any]) -> None:
    decision["facts"]["retries"] = 0


def _other_reason(decision: dict[str, Any]) -> None:
    decision["reason"] = "because"


def _retry_it(decision: dict[str, Any]) -> None:
    for facts in decision["facts"]["not_retried"].values():
        facts["retries"] = 10


def _cheaper_offer(decision: dict[str, Any]) -> None:
    decision["facts"]["met"]["offers"][0]["price"] = 5.0


def _another_goal(decision: dict[str, Any]) -> None:
    decision["chosen"] = "parcel"


def _undo_another(decision: dict[str, Any]) -> None:
    decision["subject"] = "carrier"


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("route", _dearer),
        ("route", _other_price),
        ("route", _other_pico),
        ("route", _other_candidate),
        ("route", _other_route),
        ("reroute", _other_answer),
        ("reroute", _retry_it),
        ("retry", _no_retries),
        ("retry", _other_reason),
        ("demote", _cheaper_offer),
        ("demote", _another_goal),
        ("demote", _other_answer),
        ("compensate", _undo_another),
        ("compensate", _other_price),
    ],
)
async def test_a_changed_record_is_named(kind: str, change: Callable[[dict[str, Any]], None]) -> None:
    async with shop() as orchestrator:
        run_id = await shipped(orchestrator)
        replay = orchestrator.replay(run_id)
        assert replay.agrees
        changed = find(replay, kind).id
        again = replay_run(Altered(orchestrator.store, changed, change), run_id)
    assert not again.agrees
    difference = again.differences[0]
    assert difference.decision == changed
    assert difference.recorded != difference.recomputed
    assert changed in str(difference)
    assert difference.to_json()["decision"] == changed


def the_last_of(ways: list[Any]) -> Any:
    """A tie rule that is broken: of equal ways the one that comes last by name."""
    return ways[-1]


async def test_a_broken_tie_rule_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    twins = [Tool(lambda p: p, name=name, needs={"p": "a"}, gives="b", cost=0.01) for name in ("x", "y")]
    async with Orchestrator(twins) as orchestrator:
        outcome = await orchestrator.run("b", {"a": 1})
        assert outcome.decisions[0].chosen == "x"
        assert orchestrator.replay(outcome.run_id).agrees
        monkeypatch.setattr(ties, "_first_of", the_last_of)
        difference = orchestrator.replay(outcome.run_id).differences[0]
    assert (difference.decision, difference.recorded, difference.recomputed) == ("d1", "x", "y")
    assert "ties break" in difference.why


async def test_a_broken_tie_rule_names_the_decision_in_which_there_was_a_tie(monkeypatch: pytest.MonkeyPatch) -> None:
    twins = [Tool(lambda p: p, name=name, needs={"p": "a"}, gives="b", cost=0.01) for name in ("x", "y")]
    cheap = Tool(lambda p: p, name="cheap", needs={"p": "a"}, gives="b", cost=0.001)
    async with Orchestrator([*twins, fail(cheap, error=Refused("no"))]) as orchestrator:
        outcome = await orchestrator.run("b", {"a": 1})
        assert [(d.id, d.chosen) for d in outcome.decisions] == [("d1", "cheap"), ("d2", "x")]
        monkeypatch.setattr(ties, "_first_of", the_last_of)
        differences = orchestrator.replay(outcome.run_id).differences
    assert {difference.decision for difference in differences} == {"d2"}
    assert (differences[0].what, differences[0].recorded, differences[0].recomputed) == ("route", "x", "y")


async def test_a_changed_retry_rule_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async with shop() as orchestrator:
        run_id = await shipped(orchestrator)

        def never(facts: retrying.RetryFacts) -> tuple[bool, str]:
            return False, f"attempt {facts.attempt} was the last"

        monkeypatch.setattr(answers, "decide_retry", never)
        replay = orchestrator.replay(run_id)
    assert {difference.kind for difference in replay.differences} == {DecisionKind.RETRY}


async def test_a_lost_rung_rule_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async with shop() as orchestrator:
        run_id = await shipped(orchestrator)

        async def passes(self: Demote, impasse: Any) -> None:
            del self, impasse

        monkeypatch.setattr(Demote, "__call__", passes)
        replay = orchestrator.replay(run_id)
    assert [(each.decision, each.what) for each in replay.differences] == [
        (find(replay, "demote").id, "best lesser goal")
    ]


# -- other policies --------------------------------------------------------------------------------------------------


async def test_another_policy_says_what_would_have_been_decided() -> None:
    fast = Tool(lambda p: p, name="fast", needs={"p": "a"}, gives="b", cost=0.01, latency=0.1)
    slow = Tool(lambda p: p, name="slow", needs={"p": "a"}, gives="b", cost=0.001, latency=5.0)
    async with Orchestrator([fast, slow], policy=Policy(time_value=0.0001)) as orchestrator:
        outcome = await orchestrator.run("b", {"a": 1})
        assert outcome.decisions[0].chosen == "slow"
        assert orchestrator.replay(outcome.run_id, Policy(time_value=0.0002)).agrees
        hurried = orchestrator.replay(outcome.run_id, Policy(name="hurried", time_value=0.1))
    assert (hurried.policy, hurried.other, hurried.agrees) == ("hurried", True, False)
    assert [(each.decision, each.recorded, each.recomputed) for each in hurried.differences] == [("d1", "slow", "fast")]


async def test_another_policy_may_retry_where_this_one_gave_up() -> None:
    async with shop(policy=Policy(retries=Retries(attempts=1))) as orchestrator:
        run_id = await shipped(orchestrator)
        assert orchestrator.replay(run_id).agrees
        patient = orchestrator.replay(run_id, Policy(retries=Retries(attempts=9)))
        hasty = orchestrator.replay(run_id, Policy(retries=Retries(attempts=0)))
    assert {(each.what, each.recomputed) for each in patient.differences} == {("retry after f2", "retry")}
    assert {(each.kind, each.recomputed) for each in hasty.differences} == {(DecisionKind.RETRY, "no retry")}


async def test_a_reconciled_effect_is_decided_again() -> None:
    lost = Tool(
        lambda quote: f"label for {quote}",
        name="buy",
        needs={"quote": "quote"},
        gives="label",
        effect="write",
        reconcile=lambda quote: NOT_DONE,
    )
    async with Orchestrator([fail(lost, times=1, error=TimeoutError("?"))], clock=FakeClock()) as orchestrator:
        outcome = await orchestrator.run("label", {"quote": 1.0})
        replay = orchestrator.replay(outcome.run_id)
        assert replay.agrees
        decision = find(replay, "reconcile")
        assert decision.chosen == "retry"

        def exhausted(decision: dict[str, Any]) -> None:
            decision["facts"]["retry"]["retries"] = 0

        again = replay_run(Altered(orchestrator.store, decision.id, exhausted), outcome.run_id)
    assert [each.decision for each in again.differences if each.what == "answer"] == [decision.id]
