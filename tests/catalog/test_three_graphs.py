"""The three published graphs as workflows: every set of failures ends as brute force says, with nothing left over."""

from collections.abc import Callable, Iterator
from itertools import combinations
from types import ModuleType
from typing import Any

import pytest

from examples import content_moderation, customer_support, travel_booking
from orchestrator import START, Status
from orchestrator.testing import lose_answer

MODULES = (customer_support, travel_booking, content_moderation)
modules = pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rpartition(".")[2])


def edges(module: ModuleType) -> list[tuple[str, str, float]]:
    """The edges of an example, by names."""
    name: Callable[[Any], str] = lambda tool: tool if isinstance(tool, str) else tool.name  # noqa: E731
    return [(name(source), name(target), cost) for source, target, cost in module.EDGES]


def fallible(module: ModuleType) -> list[str]:
    """The tools that may fail: all but the last, in the order of the stages."""
    targets = list(dict.fromkeys(target for _, target, _ in edges(module)))
    last = {target for target in targets if not any(source == target for source, _, _ in edges(module))}
    return [target for target in targets if target not in last]


def failure_sets(module: ModuleType) -> Iterator[tuple[str, ...]]:
    """Every set of tools that may be down at once."""
    for size in range(len(fallible(module)) + 1):
        yield from combinations(fallible(module), size)


def feasible(module: ModuleType, down: tuple[str, ...]) -> bool:
    """Whether a path is left, by plain search."""
    found = {START}
    while True:
        more = {b for a, b, _ in edges(module) if a in found and b not in found and b not in down}
        if not more:
            return len(found - {START} - set(fallible(module))) == 1
        found |= more


PUBLISHED = (
    "start-crm .1 crm-stripe .3 crm-razorpay .5 stripe-email .3 stripe-sms .4 razorpay-email .3 razorpay-sms .4"
    " email-complete .1 sms-complete .1",
    "start-flight .3 start-train .5 flight-hotel .3 flight-hostel .4 train-hotel .3 train-hostel .4 hotel-car .3"
    " hotel-bus .4 hostel-car .4 hostel-bus .3 car-payment .2 bus-payment .2 payment-confirm .1",
    "start-text .2 start-image .3 start-video .5 text-toxicity .2 image-toxicity .3 video-toxicity .4"
    " toxicity-human_review .5 toxicity-auto_approve .2 human_review-complete .1 auto_approve-complete .1",
)
"""Edges and costs of arXiv 2603.01548, in the order of `MODULES`."""


@modules
def test_the_edges_are_the_published_ones(module: ModuleType) -> None:
    words = PUBLISHED[MODULES.index(module)].split()
    published = dict(zip(words[::2], map(float, words[1::2]), strict=True))
    assert {f"{a.lower()}-{b}": cost for a, b, cost in edges(module)} == published


@modules
async def test_the_example_runs(module: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    await module.main()
    shown = capsys.readouterr().out
    assert "✗" in shown
    assert "model calls: 0" in shown
    assert "model calls: 1" not in shown


async def test_support_over_all_failure_sets() -> None:
    for down in failure_sets(customer_support):
        firm = customer_support.Firm()
        outcome = await customer_support.handle(firm, *down)
        assert outcome.llm_calls == 0
        if feasible(customer_support, down):
            assert outcome.status is Status.REACHED, down
            assert (len(firm.refunds), len(firm.messages)) == (1, 1), down
        else:
            assert outcome.status is (Status.ESCALATED if "crm" in down else Status.DEMOTED), down
            assert (firm.refunds, firm.messages) == ([], []), down


async def test_travel_over_all_failure_sets() -> None:
    for down in failure_sets(travel_booking):
        agency = travel_booking.Agency()
        outcome = await travel_booking.travel(agency, *down)
        assert outcome.llm_calls == 0
        for stage in (("flight", "train"), ("hotel", "hostel"), ("car", "bus")):
            assert sum(agency.ever_booked.count(name) for name in stage) <= 1, (down, agency.ever_booked)
        if feasible(travel_booking, down):
            assert (outcome.status, len(agency.booked), agency.paid) == (Status.REACHED, 3, 1), down
        else:
            assert (outcome.status, agency.booked, agency.paid) == (Status.ESCALATED, [], 0), down
            assert sorted(outcome.compensated) == sorted(agency.ever_booked), down


async def test_moderation_over_all_failure_sets(capsys: pytest.CaptureFixture[str]) -> None:
    for down in failure_sets(content_moderation):
        outcome = await content_moderation.moderate(content_moderation.POLITE, *down)
        expected = Status.REACHED if feasible(content_moderation, down) else Status.ESCALATED
        assert (outcome.status, outcome.llm_calls) == (expected, 0), down
    assert "asked:" in capsys.readouterr().out


def test_there_are_224_sets_of_which_57_leave_a_way() -> None:
    sets = [(module, down) for module in MODULES for down in failure_sets(module)]
    assert (len(sets), sum(feasible(module, down) for module, down in sets)) == (224, 57)


@pytest.mark.parametrize("says", [True, False])
async def test_a_rude_post_is_shown_only_when_a_person_says_so(says: bool) -> None:
    outcome = await content_moderation.moderate(content_moderation.RUDE_POST, says=says)
    assert outcome.value.startswith("approved" if says else "rejected")
    assert not outcome.failures


async def test_a_post_without_words_is_read_by_the_next_reader() -> None:
    outcome = await content_moderation.moderate(content_moderation.Post(text="...", caption="SEAL", speech="seal"))
    assert [call.tool for call in outcome.calls][:2] == ["text", "image"]
    assert outcome.status is Status.REACHED


async def test_a_refund_whose_answer_is_lost_is_not_made_twice() -> None:
    firm = customer_support.Firm()
    async with customer_support.build(firm) as orc:
        with orc.override(lose_answer(orc.graph["stripe"], times=1)):
            outcome = await orc.run(customer_support.GOAL, customer_support.INPUTS)
    assert (outcome.status, firm.refunds) == (Status.REACHED, ["stripe:T-7"])


async def test_an_unknown_ticket_is_refused_and_no_outage() -> None:
    async with customer_support.build(customer_support.Firm()) as orc:
        outcome = await orc.run(customer_support.GOAL, {"ticket": "T-8", "usd": 1.0})
        assert outcome.status is Status.ESCALATED
        assert orc.health.status("crm").circuit == "closed"
