"""Effects: ambiguity is not failure, what was done is undone or reported, and nothing is done twice."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from orchestrator import (
    NOT_DONE,
    AskHuman,
    DecisionKind,
    Demote,
    Event,
    Goal,
    Orchestrator,
    Policy,
    Refused,
    Resolution,
    Status,
    Tool,
    Unavailable,
    tool,
)
from orchestrator.core.policy import Retries

QUICK = Policy(retries=Retries(base_seconds=0))
LOST = ConnectionResetError("connection lost")


def paying(error: BaseException | None, log: list[str], **options: Any) -> Tool:
    """A write that does its work and then may fail to say so."""

    async def pay() -> str:
        log.append("paid")
        if error is not None and len(log) == 1:
            raise error
        return "receipt"

    return Tool(pay, gives="receipt", effect="write", **options)


def answers(outcome: Any) -> list[tuple[DecisionKind, str, tuple[str, ...]]]:
    return [(d.kind, d.chosen, d.answers) for d in outcome.decisions if d.answers]


@pytest.mark.parametrize("error", [LOST, TimeoutError("late"), KeyError("bug")])
async def test_an_uncertain_write_is_never_repeated_or_rerouted(error: Exception) -> None:
    log: list[str] = []
    other = Tool(lambda: log.append("other") or "x", name="other", gives="receipt", cost=1)
    orc = Orchestrator([paying(error, log), other, Tool(lambda: 1, name="less")], policy=QUICK)
    outcome = await orc.run(Goal("receipt", demotions=["less"]))
    assert log == ["paid"]
    assert outcome.status is Status.ESCALATED
    assert outcome.uncompensated == ("pay",)
    assert "may have happened" in outcome.impasse.message  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
    assert answers(outcome) == [(DecisionKind.ESCALATE, "stop", ("f1",))]


async def test_reconcile_finds_that_it_took_place() -> None:
    log: list[str] = []
    outcome = await Orchestrator([paying(LOST, log, reconcile=lambda: "found")]).run("receipt")
    assert (outcome.value, log) == ("found", ["paid"])
    assert answers(outcome) == [(DecisionKind.RECONCILE, "it took place", ("f1",))]


async def test_reconcile_finds_that_it_did_not_take_place_and_it_is_tried_again() -> None:
    log: list[str] = []
    outcome = await Orchestrator([paying(LOST, log, reconcile=lambda: NOT_DONE)], policy=QUICK).run("receipt")
    assert (outcome.value, log) == ("receipt", ["paid", "paid"])
    assert answers(outcome) == [(DecisionKind.RECONCILE, "retry", ("f1",))]


async def test_reconcile_that_cannot_tell_escalates() -> None:
    def cannot() -> str:
        raise RuntimeError("no idea")

    log: list[str] = []
    outcome = await Orchestrator([paying(LOST, log, reconcile=cannot)], policy=QUICK).run("receipt")
    assert (outcome.status, log) == (Status.ESCALATED, ["paid"])


async def test_an_idempotency_key_stays_the_same_over_retries_and_makes_them_safe() -> None:
    keys: list[str] = []

    @tool(gives="receipt", effect="write", idempotency_key="key")
    async def pay(amount: int, key: str) -> str:
        keys.append(key)
        if len(keys) < 3:
            raise LOST
        return "receipt"

    orc = Orchestrator([pay], policy=QUICK)
    assert (await orc.run("receipt", {"amount": 1})).ok
    assert len(keys) == 3
    assert len(set(keys)) == 1
    await orc.run("receipt", {"amount": 1})
    assert keys[3] != keys[0]


async def test_a_person_settles_what_is_uncertain() -> None:
    log: list[str] = []
    orc = Orchestrator([paying(LOST, log)], policy=QUICK, escalation=[Demote(), AskHuman()])
    waiting = await orc.run("receipt")
    assert waiting.status is Status.WAITING
    done = await orc.resume(waiting.run_id, Resolution.provide("receipt", "I saw it"), by="ann")
    assert (done.status, done.value, log) == (Status.REACHED, "I saw it", ["paid"])

    log.clear()
    waiting = await orc.run("receipt")
    again = await orc.resume(waiting.run_id, Resolution.allow("pay"), by="ann")
    assert (again.status, again.value, log) == (Status.REACHED, "receipt", ["paid", "paid"])


@pytest.mark.parametrize("error", [Unavailable("down"), Refused("no"), ConnectionRefusedError("refused")])
async def test_what_proves_that_nothing_happened_is_rerouted(error: Exception) -> None:
    def fails() -> str:
        raise error

    tools = [
        Tool(fails, gives="receipt", effect="write"),
        Tool(lambda: "other", name="other", gives="receipt", effect="write", cost=1),
    ]
    outcome = await Orchestrator(tools, policy=QUICK).run("receipt")
    assert outcome.value == "other"


async def test_the_result_of_a_write_is_on_disk_before_anything_is_made_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    class Listener:
        def on_event(self, event: Event) -> None:
            told.append(type(event).__name__)

    use = Tool(lambda receipt: "used", name="use", gives="used", needs=["receipt"])
    async with Orchestrator([paying(None, []), use], store=tmp_path / "runs.db") as orc:
        settled = orc.store.settled

        async def noted(*args: Any) -> None:
            await settled(*args)
            told.append("durable")

        monkeypatch.setattr(orc.store, "settled", noted)
        orc.add_sink(Listener())
        assert (await orc.run("used")).value == "used"
    calls = [name for name in told if name in ("CallStarted", "CallEnded", "durable")]
    assert calls[:5] == ["CallStarted", "durable", "CallEnded", "durable", "CallStarted"]


@pytest.mark.parametrize(("patience", "reached"), [(30.0, True), (0.05, False)])
async def test_an_outage_of_the_store_is_waited_out_before_an_effect_as_long_as_the_policy_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience: float, reached: bool
) -> None:
    monkeypatch.setattr("orchestrator.engine.steps.compensate.DURABLE_WITHIN", 0.05)
    path, calls = tmp_path / "runs.db", list[str]()
    locked: list[sqlite3.Connection] = []

    def look() -> int:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        connection.execute("BEGIN IMMEDIATE")  # from now on nothing can be written
        locked.append(connection)
        return 1

    tools = [
        Tool(look, gives="seen"),
        Tool(lambda seen: calls.append("paid"), name="pay", gives="receipt", needs=["seen"], effect="write"),
    ]
    policy = Policy(retries=Retries(base_seconds=0), patience=patience)
    async with Orchestrator(tools, policy=policy, store=path) as orc:
        running = asyncio.create_task(orc.run("receipt"))
        async with asyncio.timeout(20):
            while not locked:  # noqa: ASYNC110 - a thread says nothing by itself
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.4)
            assert calls == []
            locked[0].close()
            outcome = await running
    assert (outcome.status is Status.REACHED, calls) == (reached, ["paid"] if reached else [])


async def test_a_write_with_an_invalid_output_did_happen_and_is_undone() -> None:
    undone: list[Any] = []

    def book() -> int:
        return "no number"  # type: ignore[return-value]  # pyright: ignore[reportReturnType]

    first = Tool(book, gives="booking", effect="write", compensate=undone.append)
    outcome = await Orchestrator([first, Tool(lambda: 5, name="other", gives="booking", cost=1)]).run("booking")
    assert (outcome.value, undone) == (5, ["no number"])
    assert outcome.compensated == ("book",)


async def test_a_write_with_an_invalid_output_that_cannot_be_undone_escalates() -> None:
    log: list[str] = []

    def book() -> int:
        log.append("booked")
        return "no number"  # type: ignore[return-value]  # pyright: ignore[reportReturnType]

    first = Tool(book, gives="booking", effect="write")
    outcome = await Orchestrator([first, Tool(lambda: 5, name="other", gives="booking", cost=1)]).run("booking")
    assert (outcome.status, outcome.uncompensated, log) == (Status.ESCALATED, ("book",), ["booked"])


async def test_writes_that_the_outcome_does_not_use_are_undone_in_reverse_order() -> None:
    undone: list[str] = []

    def write(name: str, *needs: str) -> Tool:
        return Tool(
            lambda **inputs: name, name=name, needs=needs, effect="write", compensate=lambda out: undone.append(out)
        )

    def fails(b: str) -> str:
        raise Unavailable("down")

    outcome = await Orchestrator([write("a"), write("b", "a"), Tool(fails, name="c")]).run("c")
    assert (outcome.status, undone, outcome.compensated) == (Status.ESCALATED, ["b", "a"], ("b", "a"))


@pytest.mark.parametrize(
    ("error", "attempts"),
    [(Unavailable("down"), 1 + QUICK.retries.attempts), (Refused("too late"), 1), (OSError("reset by peer"), 1)],
)
async def test_a_compensation_is_tried_again_only_where_it_provably_did_not_happen(
    error: Exception, attempts: int
) -> None:
    made: list[str] = []

    def undo(output: str) -> None:
        made.append(output)
        raise error

    def fails(a: str) -> str:
        raise Unavailable("down")

    first = Tool(lambda: "a", name="a", effect="write", compensate=undo)
    outcome = await Orchestrator([first, Tool(fails, name="b")], policy=QUICK).run("b")
    assert outcome.uncompensated == ("a",)
    assert len(made) == attempts


async def test_a_route_that_would_abandon_an_irreversible_step_is_not_taken() -> None:
    log: list[str] = []

    @tool(gives="sent", effect="irreversible")
    def send() -> str:
        log.append("sent")
        return "sent"

    @tool(gives="done")
    def finish(sent: str) -> str:
        raise Unavailable("down")

    other = Tool(lambda: "other", name="other", gives="done", cost=10)
    outcome = await Orchestrator([send, finish, other]).run("done")
    assert outcome.status is Status.ESCALATED
    assert outcome.uncompensated == ("send",)


async def test_a_demotion_may_leave_an_irreversible_step_standing_and_lists_it() -> None:
    @tool(gives="sent", effect="irreversible")
    def send() -> str:
        return "sent"

    @tool(gives="done")
    def finish(sent: str) -> str:
        raise Unavailable("down")

    tools = [send, finish, Tool(lambda: "note", name="note")]
    outcome = await Orchestrator(tools).run(Goal("done", demotions=["note"]))
    assert outcome.status is Status.DEMOTED
    assert outcome.uncompensated == ("send",)


async def test_approval_is_asked_first_and_a_no_leads_to_another_way() -> None:
    log: list[str] = []
    pay = Tool(lambda: log.append("paid") or "paid", name="pay", gives="done", effect="irreversible", approval=True)
    orc = Orchestrator([pay, Tool(lambda: "later", name="later", gives="done", cost=1)])
    waiting = await orc.run("done")
    assert (waiting.status, log) == (Status.WAITING, [])
    assert (await orc.resume(waiting.run_id, False, by="ann")).value == "later"
    assert log == []
    waiting = await orc.run("done")
    assert (await orc.resume(waiting.run_id, True, by="ann")).value == "paid"


async def test_approval_by_a_rule_over_the_inputs() -> None:
    pay = Tool(lambda amount: "paid", name="pay", effect="write", approval=lambda amount: amount > 100)
    orc = Orchestrator([pay])
    assert (await orc.run("pay", {"amount": 5})).ok
    assert (await orc.run("pay", {"amount": 500})).status is Status.WAITING


async def test_what_a_model_provided_is_tainted_and_no_write_uses_it_without_a_person() -> None:
    from orchestrator import AskModel
    from orchestrator.testing import ScriptedChatModel

    @tool(gives="address")
    def lookup() -> str:
        raise Unavailable("down")

    @tool(gives="clean")
    def tidy(address: str) -> str:
        return address.strip()

    @tool(gives="label", effect="write")
    def buy(clean: str) -> str:
        return f"label for {clean}"

    model = ScriptedChatModel(['{"choice": 1, "value": " 1 Main St ", "message": "from the letter"}'])
    orc = Orchestrator([lookup, tidy, buy], escalation=[AskModel(model)])
    waiting = await orc.run(Goal("label", providable=["address"]))
    assert waiting.status is Status.WAITING
    assert waiting.llm_calls == 1
    done = await orc.resume(waiting.run_id, True, by="ann")
    assert done.value == "label for 1 Main St"
