"""A run read from its records: the state at a decision, the lines of the timeline, what is kept."""

import pytest

from orchestrator import DecisionKind, Orchestrator, tool
from orchestrator.engine.lifecycle.recovery import fold
from orchestrator.testing import fail
from orchestrator.ui import run_history
from orchestrator.ui.decision_view import snapshot_of
from orchestrator.ui.drawing import draw
from orchestrator.ui.run_history import Library, read_history
from tests.ui.worlds import World


@pytest.mark.parametrize("between", [1, 2, 3, 1000])
def test_the_state_at_a_decision_is_the_fold_of_the_records_before(
    runs: World, monkeypatch: pytest.MonkeyPatch, between: int
) -> None:
    monkeypatch.setattr(run_history, "BETWEEN", between)
    store = runs.orc.store
    for run_id in (runs.healed, runs.waiting, runs.parent):
        row, records = store.run(run_id), store.records(run_id)
        assert row is not None
        made = read_history(row, records)
        for position, (index, _) in enumerate(made.decisions):
            assert made.state_before(position) == fold(run_id, records[:index])
            assert made.state_before(position) == fold(run_id, records[:index])  # looking changes nothing


def test_calls_have_bars_and_failures_their_answers(runs: World) -> None:
    row = runs.orc.store.run(runs.healed)
    assert row is not None
    made = read_history(row, runs.orc.store.records(runs.healed))
    calls = [(line.tool, line.state) for line in made.rows if line.kind == "call"]
    assert calls == [("carrier_api", "failed"), ("rate_table", "ok"), ("buy_label", "ok")]
    assert {failure: answer.decision for failure, answer in made.answers.items()} == {"f1": "d2"}
    assert [line.decision for line in made.rows if line.decision] == ["d1", "d2"]
    assert all(line.until is not None and line.until >= line.at for line in made.rows if line.kind == "call")


def test_a_history_is_read_once_until_its_run_goes_on(runs: World) -> None:
    library = Library(runs.orc.store)
    row = runs.orc.store.run(runs.waiting)
    assert row is not None
    first = library.history(row)
    assert library.history(row).events is first.events
    runs.orc.run_sync("refund", {"label": "l-1"}, run_id="another")
    again = runs.orc.store.run("another")
    assert again is not None and library.history(again).row.run_id == "another"


def test_prices_are_those_that_were_recorded(runs: World) -> None:
    store = runs.orc.store
    row = store.run(runs.healed)
    assert row is not None
    made = read_history(row, store.records(runs.healed))
    first, second = (snapshot_of(made, position, store) for position in (0, 1))
    assert first.prices["carrier_api"].chosen and first.prices["carrier_api"].price is not None
    assert second.prices["carrier_api"].price is None and second.prices["carrier_api"].why
    for snapshot in (first, second):
        priced = [snapshot.prices[name] for name in snapshot.route]
        assert snapshot.decision.price == pytest.approx(sum(each.price or 0 for each in priced), abs=1e-9)
        for each in snapshot.prices.values():
            assert each.price is None or each.price == pytest.approx(
                sum(part.usd for part in each.parts[:-1]) * each.facts.pressure / each.facts.success
                + each.parts[-1].usd
            )
    assert first.runner_up is not None and first.runner_up.tools == ("rate_table", "buy_label")


async def test_a_retry_goes_on_with_the_route_that_holds() -> None:
    @tool(gives="quote", retries=1)
    def quote(parcel: str) -> float:
        return 4.2

    async with Orchestrator([fail(quote, times=1, error=TimeoutError("slow"))]) as orc:
        outcome = await orc.run("quote", {"parcel": "p-1"})
        row = orc.store.run(outcome.run_id)
        assert row is not None
        made = read_history(row, orc.store.records(outcome.run_id))
        moments = [snapshot_of(made, position, orc.store) for position in range(len(made.decisions))]
        assert [snapshot.decision.kind for snapshot in moments] == [DecisionKind.ROUTE, DecisionKind.RETRY]
        assert [snapshot.route_after for snapshot in moments] == [("quote",), ("quote",)]
        drawings = [draw(snapshot) for snapshot in moments]
        assert all(drawing is not None and drawing.title.startswith("Chosen: quote.") for drawing in drawings)
