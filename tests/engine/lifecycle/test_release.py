"""A run that waits is released, and is answered: whatever its heartbeat, its owner and its store do meanwhile."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from orchestrator import Orchestrator, RunContext, Status, Tool
from orchestrator.engine.lifecycle import driver
from orchestrator.errors import StoreError


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "runs.db") if request.param == "sqlite" else request.getfixturevalue("postgres")


async def ask(payee: str, ctx: RunContext) -> str:
    return str(await ctx.wait(f"Account of {payee}?", str))


async def everybody(ctx: RunContext) -> list[str]:
    outs = await asyncio.gather(*(ctx.reach("account", {"payee": payee}) for payee in ("ann", "bob")))
    return [out.value for out in outs]


def asking(store: str) -> Orchestrator:
    """A tree of runs that asks two questions."""
    return Orchestrator(
        [Tool(ask, gives={"account": str}), Tool(everybody, gives={"accounts": list[str]})], store=store
    )


def runtime_of(orc: Orchestrator) -> Any:
    return orc._runtime  # pyright: ignore[reportPrivateUsage]


async def answered(orc: Orchestrator) -> Any:
    """Answer what is asked until the run has ended."""
    async with asyncio.timeout(30):
        out = await orc.run("accounts", {}, run_id="r")
        while out.status is Status.WAITING:
            out = await orc.resume("r", "1", question=out.questions[0].id)
    assert orc.verify("r").ok
    return out.value


async def test_a_heartbeat_while_a_run_is_released_does_not_take_it_for_lost(store: str) -> None:
    async with asking(store) as orc:
        backend, beat = orc.store, runtime_of(orc).heartbeat.beat
        release, released = backend.release, list[str]()

        def release_and_beat(run_id: str, token: int) -> None:
            release(run_id, token)
            released.append(run_id)
            beat()

        backend.release = release_and_beat  # type: ignore[method-assign]
        assert await answered(orc) == ["1", "1"]
        assert len(set(released)) == 3


@pytest.mark.parametrize("which", ["r", "child"])
async def test_a_tree_that_was_fenced_while_it_waited_is_answered_all_the_same(store: str, which: str) -> None:
    async with asking(store) as orc:
        async with asyncio.timeout(30):
            out = await orc.run("accounts", {}, run_id="r")
        assert out.status is Status.WAITING
        runs = runtime_of(orc).runs
        fenced = runs.live("r") if which == "r" else next(run for run in runs.all_live() if run.parent is not None)
        fenced.fence()
        assert await answered(orc) == ["1", "1"]


async def test_a_run_that_is_fenced_while_it_is_resumed_goes_on_where_nobody_else_has_it(store: str) -> None:
    fence: list[Any] = []

    async def act(account: str, ctx: RunContext) -> str:
        if fence:
            fence.pop().fence()
            await asyncio.sleep(10)
        return f"paid {account}"

    tools = [Tool(ask, gives={"account": str}), Tool(act, gives={"paid": str})]
    async with Orchestrator(tools, store=store) as orc, asyncio.timeout(30):
        out = await orc.run("paid", {"payee": "ann"}, run_id="r")
        fence.append(runtime_of(orc).runs.live("r"))
        out = await orc.resume("r", "1", question=out.questions[0].id)
        assert not fence
        # Its row still has this process as its owner, so the same process takes it up again.
        assert (out.status, out.value) == (Status.REACHED, "paid 1")
        assert orc.verify("r").ok


async def test_a_run_that_cannot_be_released_waits_and_says_so(store: str) -> None:
    async with asking(store) as orc:
        problems: list[str] = []
        orc.store.on_problem = problems.append
        release = orc.store.release

        def away(run_id: str, token: int) -> None:
            raise StoreError("away")

        orc.store.release = away  # type: ignore[method-assign]
        async with asyncio.timeout(30):
            out = await orc.run("accounts", {}, run_id="r")
        assert out.status is Status.WAITING
        assert any("could not be released: away" in problem for problem in problems)
        orc.store.release = release  # type: ignore[method-assign]
        assert await answered(orc) == ["1", "1"]


async def test_a_run_whose_end_cannot_be_noted_leaves_no_caller_waiting(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise StoreError("no end")

    async with Orchestrator([Tool(lambda: 1, name="one", gives={"one": int})], store=store) as orc:
        monkeypatch.setattr(driver, "note_end", broken)
        async with asyncio.timeout(30):
            with pytest.raises(StoreError, match="no end"):
                await orc.run("one", {})
