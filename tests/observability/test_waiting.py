"""A list of runs says how long a run waits, for whom, and when no other process could go on with it."""

import threading
from pathlib import Path

from orchestrator import AskHuman, Orchestrator, Status, tool
from orchestrator.observability.run_status import only_here_text, waiting_text


class Connection:
    """What no store can keep."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


def undo(conn: Connection) -> None:
    del conn


@tool(gives="conn", effect="write", compensate=undo)
def connect(order: str) -> Connection:
    del order
    return Connection()


@tool(gives="label", effect="irreversible", approval=True)
def buy(conn: Connection) -> str:
    del conn
    return "label"


@tool(gives="paid", effect="irreversible", approval=True)
def pay(order: str) -> str:
    return order


async def test_how_long_for_whom_and_whether_only_here(tmp_path: Path) -> None:
    async with Orchestrator([connect, buy, pay], monitors=(), escalation=[AskHuman()], store=tmp_path / "r.db") as orc:
        assert (await orc.run("label", {"order": "1"}, run_id="bound")).status is Status.WAITING
        assert (await orc.run("paid", {"order": "1"}, run_id="free")).status is Status.WAITING
        await orc.store.settled()
        bound, free = orc.store.run("bound"), orc.store.run("free")
        assert bound is not None
        assert free is not None
        asked = bound.summary["waits"]["asked_at"]
        assert waiting_text(bound, asked + 125) == "for 2 min 5 s, on a person (ask_human)"
        assert only_here_text(bound) == "cannot be resumed elsewhere: conn cannot be stored"
        assert only_here_text(free) == ""
        await orc.resume("free", "yes")
        await orc.store.settled()
        ended = orc.store.run("free")
        assert ended is not None
        assert waiting_text(ended, asked) == ""


def test_what_people_print_is_one_line() -> None:
    @tool(gives="x")
    def broken(a: int) -> int:
        return {}[a]  # type: ignore[index]

    orc = Orchestrator([broken], monitors=())
    outcome = orc.run_sync("x", {"a": 1})
    orc.close()
    shown = [outcome, *outcome.failures, *outcome.decisions, outcome.impasse, orc.plan("x", {"a": 1})]
    for each in (*shown, orc, orc.health, orc.graph):
        assert "\n" not in repr(each)
        assert len(repr(each)) < 260, repr(each)
    assert str(outcome.failures[0]).startswith("bug: KeyError: 1 (test_waiting.py:")
    assert orc.health.status("broken").last_failure.startswith("bug: KeyError: 1 (test_waiting.py:")
