"""How many statements a queued run costs on PostgreSQL, from its claim to its end."""

from typing import Any

import pytest
from sqlalchemy import event

from orchestrator import Orchestrator, tool
from orchestrator.store import SqlStore


@tool(gives="seen")
def look(n: int) -> int:
    return n


@tool(gives="sent", effect="write", idempotency_key="key")
def send(n: int, key: str = "") -> int:
    return n


async def statements_per_run(url: str, goal: str, runs: int) -> float:
    """Statements that a worker and its store send for runs with one call each, over the number of runs."""
    sent: list[str] = []

    def count(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        sent.append(statement)

    async with Orchestrator([look, send], store=url, monitors=()) as orc:
        assert isinstance(orc.store, SqlStore)
        await orc.submit(goal, {"n": -1}, work_here=False)
        await orc.worker().until_idle()  # keys, graph and policy are on record now
        for number in range(runs):
            await orc.submit(goal, {"n": number}, work_here=False)
        orc.store.flush()
        for engine in (orc.store.engine, orc.store.reader):
            event.listen(engine, "before_cursor_execute", count)
        assert await orc.worker().until_idle() == runs
        orc.store.flush()
        for engine in (orc.store.engine, orc.store.reader):
            event.remove(engine, "before_cursor_execute", count)
    return len(sent) / runs


@pytest.mark.parametrize("goal", ["seen", "sent"])
async def test_runs_share_their_statements(postgres: str, goal: str) -> None:
    alone = await statements_per_run(postgres, goal, 1)
    together = await statements_per_run(postgres, goal, 50)
    print(f"{goal}: {alone:.0f} statements for a run alone, {together:.1f} per run of 50 at once")
    assert alone <= 70
    assert together <= 10
