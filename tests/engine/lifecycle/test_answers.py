"""Several answers at one moment: each reaches the question it names, and of two for one question one counts."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from orchestrator import AskHuman, InputError, Orchestrator, Resolution, RunContext, Status, Tool


async def asks(n: int, ctx: RunContext) -> int:
    return int(await ctx.wait(f"{n}?", int))


async def all_of(ns: list[int], ctx: RunContext) -> list[int]:
    async with asyncio.TaskGroup() as group:
        found = [group.create_task(ctx.reach("number", {"n": n})) for n in ns]
    return [each.result().value for each in found]


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path / "runs.db" if request.param == "sqlite" else None


async def test_answers_to_questions_of_several_children_are_given_at_one_moment(store: Path | None) -> None:
    async with Orchestrator([Tool(asks, gives="number"), Tool(all_of, gives="all")], store=store) as orc:
        waiting = await orc.run("all", {"ns": [1, 2, 3]}, run_id="r")
        answers = [orc.resume("r", int(asked.text[0]) * 10, question=asked.id) for asked in waiting.questions]
        outcomes = await asyncio.wait_for(asyncio.gather(*answers), 10)
        assert any(outcome.ok for outcome in outcomes)
        assert (await orc.resume("r")).value == [10, 20, 30]
        assert orc.replay("r").agrees


async def test_an_answer_without_a_name_is_for_the_question_shown_when_it_was_given(tmp_path: Path) -> None:
    async def twice(ctx: RunContext) -> list[str]:
        return [await ctx.wait("first?", str), await ctx.wait("second?", str)]

    path, tools = tmp_path / "runs.db", [Tool(twice, gives="both")]
    async with Orchestrator(tools, store=path) as orc:
        await orc.run("both", run_id="r")
    async with Orchestrator(tools, store=path) as orc:
        await asyncio.gather(orc.resume("r", "a"), orc.resume("r", "b"), return_exceptions=True)
        assert [asked.text for asked in (await orc.resume("r")).questions] == ["second?"]


@pytest.mark.parametrize("name", ["", "other"])
async def test_an_unknown_question_is_an_error(name: str) -> None:
    async with Orchestrator([Tool(asks, gives="number")]) as orc:
        await orc.run("number", {"n": 1}, run_id="r")
        with pytest.raises(InputError, match="no open question"):
            await orc.resume("r", 1, question=name)


async def test_two_processes_that_approve_a_write_of_a_child_make_it_once(tmp_path: Path) -> None:
    made: list[int] = []

    async def above(n: int, ctx: RunContext) -> Any:
        return (await ctx.reach("paid", {"n": n})).value

    async def pay(n: int) -> int:
        made.append(n)
        return n

    tools = [Tool(pay, gives="paid", effect="irreversible", approval=True), Tool(above, gives="above")]
    first, second = (
        Orchestrator(tools, store=tmp_path / "runs.db", escalation=[AskHuman()]) for _ in range(2)
    )  # two owners, as two processes are
    async with first, second:
        await first.run("above", {"n": 1}, run_id="r")
        answers = (orc.resume("r", Resolution.approve("pay")) for orc in (second, first))
        both = await asyncio.wait_for(asyncio.gather(*answers), 10)
        assert [outcome.value for outcome in both] == [1, 1]
        assert (await first.run("above", {"n": 1}, run_id="r")).value == 1
        assert made == [1]


async def test_a_run_that_another_process_drives_is_joined_and_takes_only_answers_to_what_was_shown(
    tmp_path: Path,
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def work(n: int, ctx: RunContext) -> int:
        if not begun.is_set():
            begun.set()
            await go_on.wait()
        return int(await ctx.wait("How many?", int))

    tools = [Tool(work, gives="number")]
    first, second = (Orchestrator(tools, store=tmp_path / "runs.db") for _ in range(2))
    async with first, second, asyncio.timeout(30):
        running = asyncio.create_task(first.run("number", {"n": 1}, run_id="r"))
        await begun.wait()
        joined = [asyncio.create_task(second.resume("r")), asyncio.create_task(second.resume("r", 3))]
        await asyncio.sleep(0.1)
        go_on.set()
        outcomes = [await running, *[await each for each in joined]]
        assert [outcome.status for outcome in outcomes] == [Status.WAITING] * 3, "3 answers no question that was shown"
        assert (await second.resume("r", 7)).value == 7


@pytest.mark.parametrize("how", ["run", "resume", "wait"])
async def test_nobody_is_given_a_run_that_was_answered_while_it_was_looked_up(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row says that it waits; its records, which are read next, that it continues."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def work(n: int, ctx: RunContext) -> int:
        found = int(await ctx.wait("How many?", int))
        begun.set()
        await go_on.wait()
        return found

    tools = [Tool(work, gives="number")]
    first, second = (Orchestrator(tools, store=tmp_path / "runs.db") for _ in range(2))
    async with first, second, asyncio.timeout(30):
        await first.run("number", {"n": 1}, run_id="r")
        waiting = second.store.run("r")
        answering = asyncio.create_task(first.resume("r", 7))
        await begun.wait()
        await asyncio.to_thread(first.store.flush)
        look, seen = second.store.run, [waiting]
        monkeypatch.setattr(second.store, "run", lambda run_id: seen.pop() if seen else look(run_id))
        calls = {
            "run": lambda: second.run("number", {"n": 1}, run_id="r"),
            "resume": lambda: second.resume("r"),
            "wait": lambda: second.wait("r"),
        }
        asked = asyncio.create_task(calls[how]())
        await asyncio.sleep(0.1)
        go_on.set()
        assert ((await asked).value, (await answering).value) == (7, 7)
        assert not seen


async def test_a_run_that_another_process_answered_is_looked_up_there(tmp_path: Path) -> None:
    tools = [Tool(asks, gives="number"), Tool(all_of, gives="all")]
    first, second = (Orchestrator(tools, store=tmp_path / "runs.db") for _ in range(2))
    async with first, second:
        for run_id in "abc":
            await first.run("all", {"ns": [1]}, run_id=run_id)
            assert (await second.resume(run_id, 5)).value == [5]
        assert (await first.resume("a")).value == [5]
        assert (await first.run("all", {"ns": [1]}, run_id="b")).value == [5]
        assert (await first.cancel("c")).value == [5]


async def test_once_is_called_once_by_several_tasks_of_a_call() -> None:
    called: list[int] = []

    async def work(ctx: RunContext) -> list[int]:
        async def slow() -> int:
            called.append(1)
            await asyncio.sleep(0.01)
            return len(called)

        return list(await asyncio.gather(*(ctx.once("k", slow) for _ in range(3))))

    async with Orchestrator([Tool(work, gives="found")]) as orc:
        assert (await orc.run("found")).value == [1, 1, 1]
