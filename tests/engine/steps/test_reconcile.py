"""An effect that a person or `reconcile` settles keeps its provenance: what it was built on is used."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from orchestrator import AskHuman, Orchestrator, Resolution, Status, Tool
from tests.support import forked


@pytest.mark.parametrize("first", ["write", "irreversible"])
async def test_what_a_settled_effect_was_made_from_stays(first: str) -> None:
    log: list[str] = []

    def reserve(room: str) -> str:
        log.append("reserved")
        return "R1"

    def pay(reservation: str) -> str:
        log.append("paid")
        raise ConnectionError("answer lost")

    undo: Any = {"compensate": lambda reservation: log.append("cancelled")} if first == "write" else {}
    tools = [
        Tool(reserve, gives="reservation", effect=first, **undo),
        Tool(pay, gives="receipt", effect="write"),
    ]
    orc = Orchestrator(tools, escalation=[AskHuman()])
    waiting = await orc.run("receipt", {"room": "12"})
    assert waiting.status is Status.WAITING
    done = await orc.resume(waiting.run_id, Resolution.provide("receipt", "RCPT-7"), by="ann")
    assert (done.status, done.value) == (Status.REACHED, "RCPT-7")
    assert log == ["reserved", "paid"]
    assert done.compensated == done.uncompensated == ()
    assert orc.replay(done.run_id).agrees


def renamed(folder: str, name: str, dies: bool) -> Orchestrator:
    def pay() -> str:
        with (Path(folder) / "effects.log").open("a") as log:
            log.write(f"{name}\n")
        if dies:
            os._exit(1)
        return "paid"

    return Orchestrator([Tool(pay, name=name, gives="receipt", effect="write")], store=Path(folder) / "runs.db")


def dies_in_flight(folder: str) -> None:
    asyncio.run(renamed(folder, "pay", True).run("receipt", {}, run_id="r"))


async def test_a_write_in_flight_whose_tool_left_the_graph_is_uncertain(tmp_path: Path) -> None:
    process = forked.processes().Process(target=dies_in_flight, args=(str(tmp_path),))
    process.start()
    process.join(60)
    async with renamed(str(tmp_path), "pay_v2", False) as orc:
        outcome = await orc.resume("r")
        assert outcome.status is Status.ESCALATED
        assert outcome.uncompensated == ("pay",)
        assert "may have happened" in str(outcome.impasse and outcome.impasse.message)
        assert orc.verify("r").ok
        assert orc.replay("r").agrees
    assert (tmp_path / "effects.log").read_text() == "pay\n"
