"""Backtest: the sums over many recorded runs."""

from orchestrator import AskHuman, Orchestrator, Resolution, Status, tool
from orchestrator.core.policy import Policy
from orchestrator.observability.replay.backtest import backtest


@tool(gives="refund", effect="irreversible", approval=True)
def pay_back(label: str) -> str:
    return f"paid for {label}"


async def test_the_first_route_of_a_run_counts_once_however_often_it_was_planned() -> None:
    async with Orchestrator([pay_back], escalation=[AskHuman()]) as orc:
        asked = await orc.run("refund", {"label": "l-1"}, run_id="r")
        assert asked.status is Status.WAITING
        ended = await orc.resume("r", Resolution.approve("pay_back"))
        assert [str(each.kind) for each in ended.decisions].count("route") == 2
        found = backtest(orc.store, orc.store.runs(), Policy.load("fastest"))
    assert (found.runs, found.routes) == (1, 1)
