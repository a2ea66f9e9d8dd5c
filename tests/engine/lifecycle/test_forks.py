"""A forked child has a copy of what the memory of its parent holds, and continues with none of the parent's runs."""

import asyncio
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator import Orchestrator, RunContext, Status, tool
from orchestrator.core.errors import InputError


class Shop:
    """A write after a read that lasts, or asks, while the process forks."""

    def __init__(self, folder: Path) -> None:
        self.paid = folder / "paid"
        self.reading, self.go_on = threading.Event(), threading.Event()

        @tool(gives="price")
        def read() -> int:
            self.reading.set()
            self.go_on.wait(10)
            return 3

        @tool(gives="limit")
        async def ask(ctx: RunContext) -> int:
            return int(await ctx.wait("How much?", int))

        @tool(gives="paid", effect="write")
        def pay(price: int) -> int:
            return self._write(price)

        @tool(gives="reserved", effect="write")
        def reserve(limit: int) -> int:
            return self._write(limit)

        self.orc = Orchestrator([read, ask, pay, reserve])

    def _write(self, usd: int) -> int:
        with self.paid.open("a") as file:
            file.write(f"{usd}\n")
        return usd


def in_a_child(call: Callable[[], object]) -> str:
    """What a call in a forked child gives, or the name of what it raises."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            text = repr(call())
        except BaseException as error:
            text = f"{type(error).__name__} {error}"
        os.write(writing, text.encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as pipe:
        return pipe.read()


@pytest.mark.parametrize("how", ["run", "resume", "cancel", "submit"])
def test_a_run_in_flight_is_not_run_again(how: str, tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    orc, outcomes = shop.orc, list[object]()
    calls: dict[str, Callable[[], object]] = {
        "run": lambda: orc.run_sync("paid", run_id="r"),
        "resume": lambda: asyncio.run(orc.resume("r")),
        "cancel": lambda: asyncio.run(orc.cancel("r")),
        "submit": lambda: asyncio.run(orc.submit("paid", run_id="r")),
    }
    thread = threading.Thread(target=lambda: outcomes.append(orc.run_sync("paid", run_id="r").status))
    thread.start()
    assert shop.reading.wait(10)

    def call() -> object:
        shop.go_on.set()
        return calls[how]()

    assert InputError.__name__ in in_a_child(call)
    shop.go_on.set()
    thread.join(10)
    orc.close()
    assert outcomes == [Status.REACHED]
    assert shop.paid.read_text() == "3\n"


def test_a_question_is_answered_where_it_was_asked(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    assert shop.orc.run_sync("reserved", run_id="r").status is Status.WAITING
    assert "store=" in in_a_child(lambda: asyncio.run(shop.orc.resume("r", 5)))
    assert asyncio.run(shop.orc.resume("r", 7)).status is Status.REACHED
    assert "reached" in in_a_child(lambda: asyncio.run(shop.orc.resume("r", 5))), "what has ended has ended everywhere"
    shop.orc.close()
    assert shop.paid.read_text() == "7\n"


def test_a_submitted_run_is_the_parents(tmp_path: Path) -> None:
    shop = Shop(tmp_path)

    async def submit() -> None:
        await shop.orc.submit("reserved", run_id="queued", delay=3600)

    async def others() -> Status:
        await shop.orc.submit("reserved", run_id="own")
        return (await shop.orc.wait("own")).status

    asyncio.run(submit())
    assert "WAITING" in in_a_child(lambda: asyncio.run(others()))
    assert InputError.__name__ in in_a_child(lambda: asyncio.run(shop.orc.wait("queued")))
    shop.orc.close()
