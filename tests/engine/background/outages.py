"""What the workers of a trial of outages do: one run for each phase in which the database goes away."""

import asyncio
import json
import logging
import signal
import socketserver
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from orchestrator import Orchestrator, Refused, RunContext, Tool
from orchestrator.engine.background.worker import WorkerOptions
from orchestrator.store import owner as owners
from tests.engine.background.shop import Bank, ask

HELD = ("planning", "read", "write", "compensation", "child", "end")
"""Phases in which a call is held until the database is away."""


class Gate:
    """Holds whoever comes until it is opened."""

    def __init__(self) -> None:
        self.came: Counter[str] = Counter()
        self._open = threading.Event()
        gate = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                gate.came[json.loads(self.rfile.readline())["what"]] += 1
                gate._open.wait()
                self.wfile.write(b"true\n")

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda request, client_address: None  # type: ignore[method-assign]
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def open(self) -> None:
        """Let everybody through."""
        self._open.set()

    def close(self) -> None:
        """Listen no more."""
        self.open()
        self._server.shutdown()
        self._server.server_close()


def tools(gate: int, bank: int) -> list[Tool]:
    """A read, a keyed write that uses it, a child's write, a question, and a last read, some held at the gate."""

    async def held(phase: str, at: str) -> bool:
        if phase == at:
            await ask(gate, "hold", at)
        return True

    async def plans(phase: str) -> bool:
        return await held(phase, "planning")

    async def look(phase: str) -> str:
        await held(phase, "read")
        return phase

    async def book(phase: str, found: str, key: str = "") -> str:
        await ask(bank, "do", f"book {phase}", key)
        await held(phase, "write")
        return found

    async def unbook(output: str, key: str = "") -> None:
        await held(output, "compensation")
        await ask(bank, "undo", f"book {output}", key)

    async def pack(phase: str, key: str = "") -> str:
        await held(phase, "child")
        await ask(bank, "do", f"pack {phase}", key)
        return phase

    async def unpack(output: str, key: str = "") -> None:
        await ask(bank, "undo", f"pack {output}", key)

    async def check(phase: str, booked: str, ctx: RunContext) -> str:
        assert (await ctx.reach("packed", {"phase": phase})).ok
        if phase in ("waiting", "answered") and not await ctx.wait(f"Send {phase}?", bool):
            raise Refused("nobody wants it")
        if phase == "compensation":
            raise Refused("sold out")
        return booked

    async def last(phase: str, checked: str) -> str:
        await held(phase, "end")
        return checked

    return [
        Tool(look, gives="found", when=plans, timeout=200),
        Tool(book, gives="booked", effect="write", idempotency_key="key", compensate=unbook, timeout=200),
        Tool(pack, gives="packed", effect="write", idempotency_key="key", compensate=unpack, timeout=200),
        Tool(check, gives="checked", timeout=300),
        Tool(last, gives="sent", timeout=200),
    ]


def work(store: str, host: str, gate: int, bank: int, log: str) -> None:
    """A worker of a machine of its own until SIGTERM."""
    owners._machine = lambda: host  # pyright: ignore[reportPrivateUsage]
    logging.basicConfig(filename=log, level=logging.WARNING, format="%(asctime)s %(process)d %(message)s")
    Path(log).touch()

    async def main() -> None:
        async with Orchestrator(tools(gate, bank), store=store, monitors=()) as orc:
            worker = orc.worker(WorkerOptions(concurrency=20, drain_seconds=10.0))
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
            await worker.run()

    asyncio.run(main())


def until(done: Callable[[], bool], seconds: float) -> None:
    """Wait for what other processes do."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)


__all__ = ["HELD", "Bank", "Gate", "tools", "until", "work"]
