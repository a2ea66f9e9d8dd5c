"""Questions: the asking call stays suspended; several are shown at once, a child's as it is, answered by id."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from orchestrator import Goal, InputError, Orchestrator, RunContext, Status, Tool, tool
from orchestrator.store.sql.store import SqlStore
from orchestrator.testing import FakeClock


@tool(gives="account")
async def account(payee: str, ctx: RunContext) -> str:
    return str(await ctx.wait("Do you have an account with us?", str))


def sending(sent: list[str]) -> list[Tool]:
    @tool(gives="sent", effect="irreversible", approval=True)
    def send(account: str, payee: str) -> str:
        sent.append(payee)
        return "sent"

    @tool(gives="done")
    async def assistant(payee: str, ctx: RunContext) -> str:
        return str((await ctx.reach("sent", {"payee": payee})).value)

    return [account, send, assistant]


async def test_a_call_goes_on_where_it_asked() -> None:
    steps: list[str] = []

    @tool(gives="x", effect="irreversible")
    async def ask(ctx: RunContext) -> str:
        steps.append("began")
        first = await ctx.wait("First?")
        steps.append(f"got {first}")
        return f"{first} {await ctx.wait('Second?')}"

    orc = Orchestrator([ask])
    out = await orc.run("x")
    assert [q.text for q in out.questions] == ["First?"]
    out = await orc.resume(out.run_id, "a")
    assert [q.text for q in out.questions] == ["Second?"]
    out = await orc.resume(out.run_id, "b")
    assert out.value == "a b"
    assert steps == ["began", "got a"]
    assert len(out.calls) == 1
    assert orc.replay(out.run_id).agrees


async def test_the_root_shows_the_current_question_of_its_child() -> None:
    sent: list[str] = []
    orc = Orchestrator(sending(sent))
    out = await orc.run("done", {"payee": "bob"})
    (question,) = out.questions
    assert (question.run != out.run_id, question.step) == (True, "account")
    out = await orc.resume(out.run_id, "yes", by="ann")
    (question,) = out.questions
    assert "approval" in question.text
    assert "send" in question.about
    assert sent == []
    out = await orc.resume(out.run_id, "yes", by="ann")
    assert (out.status, sent) == (Status.REACHED, ["bob"])
    assert orc.verify(out.run_id).ok
    assert orc.replay(out.run_id).agrees


@pytest.mark.parametrize("fan_out", ["gather", "task group", "except"])
async def test_however_a_tool_fans_out_the_person_is_asked(fan_out: str) -> None:
    paid: list[int] = []

    @tool(gives="paid", effect="write", approval=True)
    def pay(n: int) -> str:
        paid.append(n)
        return f"paid {n}"

    @tool(gives="all")
    async def everything(ns: list[int], ctx: RunContext) -> list[str]:
        if fan_out == "gather":
            outs: list[Any] = await asyncio.gather(*(ctx.reach("paid", {"n": n}) for n in ns), return_exceptions=True)
            return ["failed" if isinstance(o, BaseException) else o.value for o in outs]
        if fan_out == "task group":
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(ctx.reach("paid", {"n": n})) for n in ns]
            return [task.result().value for task in tasks]
        found: list[str] = []
        for n in ns:
            try:
                found.append((await ctx.reach("paid", {"n": n})).value)
            except Exception:
                found.append("failed")
        return found

    orc = Orchestrator([pay, everything])
    out = await orc.run("all", {"ns": [1, 2]})
    assert len(out.questions) == (1 if fan_out == "except" else 2)
    while out.status is Status.WAITING:
        out = await orc.resume(out.run_id, "yes")
    assert out.value == ["paid 1", "paid 2"]
    assert sorted(paid) == [1, 2]


async def test_several_questions_are_answered_by_id_in_any_order() -> None:
    def asking(name: str) -> Tool:
        async def ask(ctx: RunContext) -> str:
            return str(await ctx.wait(f"{name}?"))

        return Tool(ask, name=name, gives=name)

    orc = Orchestrator([asking("a"), asking("b"), Tool(lambda a, b: a + b, name="c")])
    out = await orc.run("c")
    assert sorted(q.text for q in out.questions) == ["a?", "b?"]
    by_text = {q.text: q.id for q in out.questions}
    out = await orc.resume(out.run_id, "2", question=by_text["b?"])
    assert [q.text for q in out.questions] == ["a?"]
    with pytest.raises(InputError, match="no open question"):
        await orc.resume(out.run_id, "2", question=by_text["b?"])
    out = await orc.resume(out.run_id, "1", question=by_text["a?"])
    assert out.value == "12"
    assert orc.replay(out.run_id).agrees


async def test_a_question_of_a_child_is_answered_at_the_child_too() -> None:
    sent: list[str] = []
    orc = Orchestrator(sending(sent))
    out = await orc.run("done", {"payee": "bob"}, run_id="r")
    child = out.questions[0].run
    out = await orc.resume(child, "yes")
    assert out.run_id == child
    assert "approval" in out.questions[0].text
    await orc.resume(child, "yes")
    assert (await orc.run("done", {"payee": "bob"}, run_id="r")).value == "sent"


async def test_a_read_beside_a_question_finishes_before_the_run_waits() -> None:
    done: list[str] = []

    @tool(gives="a")
    async def asks(ctx: RunContext) -> str:
        return str(await ctx.wait("a?"))

    @tool(gives="b")
    async def slow() -> str:
        await asyncio.sleep(0.05)
        done.append("b")
        return "b"

    orc = Orchestrator([asks, slow, Tool(lambda a, b: a + b, name="c")])
    out = await orc.run("c")
    assert (out.status, done) == (Status.WAITING, ["b"])
    assert (await orc.resume(out.run_id, "a")).value == "ab"


async def test_the_hour_of_a_person_is_no_time_of_the_call_or_the_run() -> None:
    clock = FakeClock()

    @tool(gives="a", timeout=10)
    async def asks(ctx: RunContext) -> str:
        return str(await ctx.wait("a?"))

    @tool(gives="b", timeout=10)
    async def parent(ctx: RunContext) -> str:
        return str((await ctx.reach("a")).value)

    orc = Orchestrator([asks, parent], clock=clock)
    from orchestrator import Budget

    out = await orc.run("b", budget=Budget(seconds=60))
    clock.advance(3600)
    for _ in range(5):
        await asyncio.sleep(0)
    assert (await orc.resume(out.run_id, "x")).value == "x"


async def test_cancelling_a_waiting_run_ends_its_children_and_undoes_what_stands() -> None:
    log: list[str] = []
    sent: list[str] = []
    booked = Tool(
        lambda payee: log.append("book") or "b",
        name="book",
        gives="booking",
        effect="write",
        compensate=lambda booking: log.append("undo"),
    )

    @tool(gives="trip")
    async def trip(booking: str, payee: str, ctx: RunContext) -> str:
        return str((await ctx.reach("sent", {"payee": payee})).value)

    orc = Orchestrator([*sending(sent), booked, trip])
    out = await orc.run("trip", {"payee": "bob"}, run_id="r")
    child = out.questions[0].run
    out = await asyncio.wait_for(orc.cancel("r"), 10)
    assert out.status is Status.ESCALATED
    assert log == ["book", "undo"]
    assert orc.outcome(child).status is Status.ESCALATED
    assert sent == []


async def test_no_to_an_approval_leaves_the_other_question_open() -> None:
    tools = [Tool(lambda: "x", name=name, gives=name, effect="write", approval=True) for name in ("a", "b")]
    spare = Tool(lambda: "spare", name="spare", gives="a", cost=1)
    orc = Orchestrator([*tools, spare, Tool(lambda a, b: a + b, name="c")])
    out = await orc.run("c")
    assert len(out.questions) == 2
    out = await orc.resume(out.run_id, "no", question=out.questions[0].id)
    assert [q.step for q in out.questions] == ["b"]
    assert (await orc.resume(out.run_id, "yes")).ok


async def test_an_answer_belongs_to_the_question_and_not_to_its_number(tmp_path: Path) -> None:
    price = [100]

    @tool(gives="trade")
    async def trade(ticker: str, ctx: RunContext) -> str:
        now = price[0]
        return f"bought at {now}" if await ctx.wait(f"Buy {ticker} at {now}?", bool) else "left"

    async with Orchestrator([trade], store=tmp_path / "runs.db") as first:
        out = await first.run("trade", {"ticker": "ACME"}, run_id="r")
    price[0] = 900
    async with Orchestrator([trade], store=tmp_path / "runs.db") as second:
        out = await second.resume("r", True)
        assert [q.text for q in out.questions] == ["Buy ACME at 900?"]
        out = await second.resume("r", False)
        assert out.value == "left"
        assert second.verify("r").ok
        assert second.replay("r").agrees


async def test_after_its_process_is_gone_a_write_that_asked_may_have_happened(tmp_path: Path) -> None:
    calls: list[str] = []

    def made(key: bool) -> Tool:
        async def order(ctx: RunContext, key: str = "") -> str:
            calls.append("sent")
            return "ordered" if await ctx.wait("Really?", bool) else "left"

        keyed: Any = {"idempotency_key": "key"} if key else {}
        return Tool(order, name="order", needs=[], gives="x", effect="write", **keyed)

    for key in (False, True):
        calls.clear()
        store = tmp_path / f"{key}.db"
        async with Orchestrator([made(key)], store=store) as first:
            await first.run("x", run_id="r")
        async with Orchestrator([made(key)], store=store) as second:
            out = await second.resume("r", True)
            if key:
                assert (out.value, calls) == ("ordered", ["sent", "sent"])
            else:
                assert (out.status, calls) == (Status.ESCALATED, ["sent"])
                assert out.uncompensated == ("order",)
            assert second.verify("r").ok
            assert second.replay("r").agrees


async def test_another_process_answers_the_question_of_a_child(tmp_path: Path) -> None:
    sent: list[str] = []
    once: list[str] = []

    @tool(gives="all")
    async def everything(payees: list[str], ctx: RunContext) -> list[str]:
        def note() -> str:
            once.append("noted")
            return "note"

        await ctx.once("note", note)
        outs = await asyncio.gather(*(ctx.reach("sent", {"payee": payee}) for payee in payees))
        return [out.value for out in outs]

    async with Orchestrator([*sending(sent), everything], store=tmp_path / "runs.db") as first:
        out = await first.run("all", {"payees": ["ann", "bob"]}, run_id="r")
        assert len(out.questions) == 2
    for _ in range(4):
        async with Orchestrator([*sending(sent), everything], store=tmp_path / "runs.db") as other:
            assert out.status is Status.WAITING
            out = await other.resume("r", "yes", question=other.outcome("r").questions[0].id)
            assert other.verify("r").ok
            assert other.replay("r").agrees, other.replay("r").differences
    assert out.value == ["sent", "sent"]
    assert sorted(sent) == ["ann", "bob"]
    assert once == ["noted"]


async def test_questions_of_two_calls_keep_their_ids_in_another_process(tmp_path: Path) -> None:
    texts = {"name": "Your name?", "town": "Your town?"}

    def made() -> Orchestrator:
        def asking(key: str) -> Tool:
            async def ask(ctx: RunContext) -> str:
                return str(await ctx.wait(texts[key], str))

            return Tool(ask, name=f"ask_{key}", gives=key)

        return Orchestrator([asking("name"), asking("town")], store=tmp_path / "runs.db")

    async with made() as first:
        out = await first.run(Goal(("name", "town")), run_id="r")
    ids = {q.text: q.id for q in out.questions}
    async with made() as second:
        out = await second.resume("r", "Ada", question=ids["Your name?"])
        assert [(q.text, q.id) for q in out.questions] == [("Your town?", ids["Your town?"])]
    texts["town"] = "Which town?"
    async with made() as third:
        out = await third.resume("r", "Rome", question=ids["Your town?"])
        assert [q.text for q in out.questions] == ["Which town?"]
        out = await third.resume("r", "Oslo")
        assert out.values == {"name": "Ada", "town": "Oslo"}
        assert third.verify("r").ok
        assert third.replay("r").agrees, third.replay("r").differences


async def test_a_run_waits_once_its_children_are_released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    release = SqlStore.release
    answered: set[str] = set()

    def slowly(store: SqlStore, run_id: str, token: int) -> None:
        if run_id in answered:
            time.sleep(0.2)
        release(store, run_id, token)

    @tool(gives="all")
    async def everything(payees: list[str], ctx: RunContext) -> list[str]:
        outs = await asyncio.gather(*(ctx.reach("sent", {"payee": payee}) for payee in payees))
        return [out.value for out in outs]

    monkeypatch.setattr(SqlStore, "release", slowly)
    tools = [*sending(sent), everything]
    async with Orchestrator(tools, store=tmp_path / "runs.db") as first:
        out = await first.run("all", {"payees": ["ann", "bob"]}, run_id="r")
    for _ in range(4):
        async with Orchestrator(tools, store=tmp_path / "runs.db") as other:
            question = other.outcome("r").questions[0]
            answered.add(question.run)
            out = await other.resume("r", "yes", question=question.id)
    assert out.value == ["sent", "sent"]
    assert sorted(sent) == ["ann", "bob"]


def test_a_run_that_waits_is_answered_in_another_event_loop() -> None:
    orc = Orchestrator([account])
    out = orc.run_sync("account", {"payee": "bob"})
    assert out.status is Status.WAITING
    assert asyncio.run(orc.resume(out.run_id, "mine")).value == "mine"


async def test_two_answers_at_one_moment_answer_one_question() -> None:
    sent: list[str] = []
    orc = Orchestrator(sending(sent))
    out = await orc.run("done", {"payee": "bob"})
    both = await asyncio.gather(orc.resume(out.run_id, "yes"), orc.resume(out.run_id, "yes"), return_exceptions=True)
    assert sent == []
    assert any(not isinstance(one, BaseException) and "approval" in one.questions[0].text for one in both)
