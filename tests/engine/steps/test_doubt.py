"""An attempt that may have taken place stays in doubt, whatever the attempts after it prove about themselves."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator import (
    NOT_DONE,
    AskHuman,
    Budget,
    CallerError,
    DecisionKind,
    FailureKind,
    Goal,
    Orchestrator,
    Policy,
    RateLimited,
    Refused,
    Resolution,
    RunContext,
    Status,
    Tool,
    Unavailable,
    tool,
)
from orchestrator.core.policy import Retries

QUICK = Policy(retries=Retries(base_seconds=0))
LOST = ConnectionResetError("connection lost")


def gateway(log: list[str], *errors: BaseException, **options: Any) -> Tool:
    """A payment under an idempotency key that raises these errors first, the first one after it charged."""
    left = list(errors)

    async def pay(key: str) -> str:
        log.append(f"pay {len(key)}")
        if left:
            raise left.pop(0)
        return "receipt"

    return Tool(pay, gives="receipt", effect="irreversible", idempotency_key="key", **options)


def other(log: list[str]) -> Tool:
    """Another way to pay."""
    return Tool(lambda: log.append("other") or "other", name="other", gives="receipt", effect="irreversible", cost=1)


@pytest.mark.parametrize(
    "after",
    [Unavailable("down"), ConnectionRefusedError("down"), Refused("no"), CallerError("who?"), RateLimited("slow")],
    ids=lambda error: type(error).__name__,
)
async def test_what_a_repetition_proves_about_itself_settles_nothing(after: Exception) -> None:
    log: list[str] = []
    outcome = await Orchestrator([gateway(log, LOST, after, after), other(log)], policy=QUICK).run("receipt")
    assert outcome.status is Status.ESCALATED
    assert log == ["pay 32"] * 3
    assert {failure.kind for failure in outcome.failures} == {FailureKind.AMBIGUOUS}
    assert outcome.uncompensated == ("pay",)
    assert outcome.impasse is not None
    assert outcome.impasse.kind == "ambiguous"


async def test_an_answer_under_the_same_key_settles_it() -> None:
    log: list[str] = []
    outcome = await Orchestrator([gateway(log, LOST, Unavailable("down")), other(log)], policy=QUICK).run("receipt")
    assert (outcome.value, outcome.uncompensated) == ("receipt", ())
    assert log == ["pay 32"] * 3


async def test_a_proof_before_any_doubt_still_reroutes() -> None:
    log: list[str] = []
    outcome = await Orchestrator([gateway(log, Unavailable("down")), other(log)], policy=QUICK).run("receipt")
    assert (outcome.value, log) == ("other", ["pay 32", "other"])


async def test_reconcile_settles_it() -> None:
    log: list[str] = []
    asked = iter([RuntimeError("cannot tell"), NOT_DONE])

    def find() -> Any:
        found = next(asked)
        if isinstance(found, Exception):
            raise found
        return found

    pay = gateway(log, LOST, LOST, Unavailable("down"), reconcile=find)
    outcome = await Orchestrator([pay, other(log)], policy=QUICK).run("receipt")
    assert (outcome.value, log) == ("other", ["pay 32"] * 3 + ["other"])


async def test_a_repetition_that_cannot_be_started_leaves_the_doubt() -> None:
    log: list[str] = []
    orc = Orchestrator([gateway(log, LOST), other(log)], policy=QUICK, escalation=[AskHuman()])
    waiting = await orc.run("receipt", budget=Budget(calls=1))
    assert waiting.status is Status.WAITING
    assert waiting.impasse is not None
    assert (waiting.impasse.kind, log) == ("ambiguous", ["pay 32"])
    done = await orc.resume(waiting.run_id, Resolution.provide("receipt", "it was paid"))
    assert (done.value, log) == ("it was paid", ["pay 32"])


async def test_no_other_way_is_begun_while_it_waits_to_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "orchestrator.engine.steps.retry.backoff", lambda *drawn: 0.5
    )  # full jitter may draw next to none
    log: list[str] = []
    paid = asyncio.Event()

    async def pay(key: str) -> str:
        log.append("pay")
        if not paid.is_set():
            paid.set()
            raise LOST
        return "receipt"

    policy = Policy(retries=Retries(base_seconds=0.5))
    gate = Tool(pay, gives="receipt", effect="irreversible", idempotency_key="key", cost=0.001)
    rival = Tool(lambda: log.append("other") or "x", name="other", gives="receipt", effect="irreversible", cost=0.00101)
    mails = [Tool(lambda receipt: receipt, name=name, gives="mail", cost=0.001 * i) for i, name in enumerate("abc")]
    orc = Orchestrator([gate, rival, *mails], policy=policy)
    running = asyncio.create_task(orc.run("mail"))
    await paid.wait()
    await asyncio.sleep(0.02)
    orc.health.trip("a", "out of paper")
    outcome = await running
    assert (outcome.value, log) == ("receipt", ["pay", "pay"])
    (reroute,) = [d for d in outcome.decisions if d.kind is DecisionKind.REROUTE]
    assert reroute.chosen.endswith("b")
    assert "other" not in reroute.chosen


DYING = """
import os, sys
from orchestrator import DecisionKind, Decided, Orchestrator, Policy, Tool
from orchestrator.core.policy import Retries

async def pay(key: str) -> str:
    raise ConnectionResetError("connection lost")

class Dies:
    def on_event(self, event):
        if isinstance(event, Decided) and event.decision.kind is DecisionKind.RETRY:
            orc.store.flush()
            os._exit(9)

orc = Orchestrator(
    [Tool(pay, gives="receipt", effect="irreversible", idempotency_key="key")],
    store=sys.argv[1], policy=Policy(retries=Retries(base_seconds=5)),
)
orc.add_sink(Dies())
orc.run_sync("receipt", run_id="dying")
"""


async def test_a_repetition_decided_on_before_a_crash_is_made_under_the_same_key(tmp_path: Path) -> None:
    store = tmp_path / "runs.db"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    died = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", DYING, str(store)], env=environment, timeout=50, check=False
    )
    assert died.returncode == 9
    log: list[str] = []
    async with Orchestrator([gateway(log), other(log)], policy=QUICK, store=store) as orc:
        outcome = await orc.resume("dying")
        assert (outcome.value, log, outcome.uncompensated) == ("receipt", ["pay 32"], ())
        assert orc.replay("dying").agrees


async def test_reconcile_and_compensate_get_the_context() -> None:
    seen: list[Any] = []

    def find(order: str, ctx: RunContext) -> str:
        seen.append((order, ctx.deps, ctx.idempotency_key))
        return "found"

    async def undo(receipt: str, ctx: RunContext) -> None:
        seen.append((receipt, ctx.deps, ctx.idempotency_key))

    @tool(gives="receipt", effect="write", reconcile=find, compensate=undo)
    def pay(order: str, ctx: RunContext) -> str:
        seen.append((order, ctx.deps, ctx.idempotency_key))
        raise LOST

    @tool(gives="mail")
    def send(receipt: str) -> str:
        raise Unavailable("down")

    orc = Orchestrator([pay, send], deps="deps", policy=QUICK)
    outcome = await orc.run(Goal("mail", demotions=["order"]), {"order": "A-1"})
    assert outcome.compensated == ("pay",)
    key = seen[0][2]
    assert seen == [("A-1", "deps", key), ("A-1", "deps", key), ("found", "deps", key)]
    assert DecisionKind.RECONCILE in {decision.kind for decision in outcome.decisions}


async def test_an_effect_in_doubt_that_took_place_opens_a_way_before_anybody_is_asked() -> None:
    failed = asyncio.Event()

    async def pay(order: str) -> str:
        raise TimeoutError("slow")

    async def find(order: str) -> str:
        await failed.wait()
        await asyncio.sleep(0.05)
        return "paid"

    async def stamp(order: str) -> str:
        await asyncio.sleep(0.02)
        failed.set()
        raise Unavailable("out of stamps")

    paying = Tool(pay, gives="payment", effect="write", reconcile=find, compensate=lambda output: None)
    stamps = Tool(stamp, gives="postage", cost=0.001, effect="write", compensate=lambda output: None)

    @tool(gives="postage", cost=0.01)
    def frank(payment: str) -> str:
        return "franked"

    async with Orchestrator([paying, stamps, frank], policy=QUICK) as orc:
        outcome = await orc.run(Goal(["payment", "postage"]), {"order": "o-1"})
        assert outcome.values["postage"] == "franked"
        assert [decision.kind for decision in outcome.decisions] == [
            DecisionKind.ROUTE,
            DecisionKind.RECONCILE,
            DecisionKind.REROUTE,
        ]
        assert outcome.decisions[-1].answers == tuple(f.id for f in outcome.failures if f.tool == "stamp")
        assert orc.replay(outcome.run_id).agrees
