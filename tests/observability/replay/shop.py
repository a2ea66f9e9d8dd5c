"""A workflow that heals, is demoted and compensates, and a store that shows one of its decisions altered."""

import copy
from collections.abc import Callable
from typing import Any

from orchestrator import (
    Decision,
    Goal,
    Orchestrator,
    Refused,
    Status,
    tool,
)
from orchestrator.observability.replay.replay import Replay
from orchestrator.store.memory import MemoryStore
from orchestrator.store.rows import Record
from orchestrator.testing import FakeClock, fail
from tests.observability.tracing.shop import carrier, table


class Altered(MemoryStore):
    """A store that shows one decision otherwise than it was recorded."""

    def __init__(self, store: Any, decision: str, change: Callable[[dict[str, Any]], None]) -> None:
        super().__init__()
        self._store = store
        self._decision = decision
        self._change = change

    def records(self, run_id: str, after: int = 0) -> list[Record]:
        """The records, one of them changed."""
        found: list[Record] = self._store.records(run_id, after)
        for record in found:
            if record.kind == "Decided" and record.body["decision"]["id"] == self._decision:
                body = copy.deepcopy(record.body)
                self._change(body["decision"])
                object.__setattr__(record, "body", body)
        return found

    def graph(self, digest: str) -> dict[str, Any] | None:
        """The graph as it is."""
        data: dict[str, Any] | None = self._store.graph(digest)
        return data


def no_void(label: str) -> None:
    del label


@tool(gives="label", effect="write", compensate=no_void, undo_cost=0.1)
def buy(quote: float) -> str:
    return f"label for {quote}"


@tool(gives="shipped")
def ship(label: str) -> bool:
    raise Refused(f"no lorry for {label}")


def shop(**options: Any) -> Orchestrator:
    """A healing, retrying, demoting, compensating little workflow."""
    flaky = fail(carrier, times=4, error=ConnectionResetError("reset"))
    return Orchestrator([flaky, table, buy, ship], clock=FakeClock(), **options)


async def shipped(orchestrator: Orchestrator) -> str:
    """The id of a run that heals, is demoted and compensates."""
    outcome = await orchestrator.run(Goal("shipped", demotions=["quote"]), {"parcel": "p"})
    kinds = [decision.kind for decision in outcome.decisions]
    assert outcome.status is Status.DEMOTED
    assert {"route", "retry", "reroute", "demote", "compensate"} <= set(kinds)
    return outcome.run_id


def find(replay: Replay, kind: str) -> Decision:
    """The first decision of a kind."""
    return next(each.decision for each in replay.decisions if each.decision.kind == kind)
