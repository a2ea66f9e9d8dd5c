"""A run waits for a person, its process is killed, and another process takes the answer and finishes."""

import asyncio
import time
from pathlib import Path

from orchestrator import AskHuman, Demote, Orchestrator, Resolution, Status, Tool, Unavailable
from tests.support import forked


def orchestrator(folder: str) -> Orchestrator:
    """The same workflow in every process: a read that is down, and a write that needs it."""

    def measure() -> int:
        raise Unavailable("the scale is down")

    def buy(size: int) -> str:
        with (Path(folder) / "effects.log").open("a") as log:
            log.write("bought\n")
        return f"label of {size}"

    tools = [
        Tool(measure, name="measure", gives={"size": int}),
        Tool(buy, name="buy", gives={"label": str}, effect="write"),
    ]
    return Orchestrator(tools, store=Path(folder) / "runs.db", escalation=[Demote(), AskHuman()])


def wait_for_ever(folder: str) -> None:
    """Begin the run, and stay: only `kill -9` ends this process."""

    async def live() -> None:
        orc = orchestrator(folder)
        outcome = await orc.run("label", run_id="r")
        assert outcome.status is Status.WAITING
        (Path(folder) / "waiting").touch()
        await asyncio.sleep(600)

    asyncio.run(live())


def test_its_process_is_killed_and_another_one_takes_the_answer(tmp_path: Path) -> None:
    first = forked.processes().Process(target=wait_for_ever, args=(str(tmp_path),))
    first.start()
    for _ in range(6000):
        if (tmp_path / "waiting").exists():
            break
        time.sleep(0.01)
    first.kill()
    first.join()

    async def answer() -> None:
        async with orchestrator(str(tmp_path)) as orc:
            assert [row.run_id for row in orc.store.runs(status=Status.WAITING)] == ["r"]
            done = await orc.resume("r", Resolution.provide("size", 4), by="ann")
            assert done.value == "label of 4"
            assert orc.verify("r").ok
            assert orc.replay("r").agrees

    asyncio.run(answer())
    assert (tmp_path / "effects.log").read_text() == "bought\n"
