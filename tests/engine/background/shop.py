"""What the workers of a campaign do: orders with children, questions and effects at a bank that outlives them."""

import asyncio
import json
import logging
import os
import signal
import socketserver
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any
from uuid import uuid4

from orchestrator import NOT_DONE, Orchestrator, Refused, RunContext, Tool
from orchestrator.engine.background.worker import WorkerOptions
from tests.engine.owning import short_leases

PARTS = ("a", "b")
EFFECTS = ("reserve", *(f"scan-{part}" for part in PARTS), "pay")


def asks(order: int) -> bool:
    """Whether a person is asked about this order."""
    return order % 5 == 1


def refused(order: int) -> bool:
    """Whether the shop refuses this order after some effects."""
    return order % 10 == 7


class Bank:
    """The world outside: takes effects by key at most once each, in a thread of the campaign."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.done: defaultdict[str, set[str]] = defaultdict(set)
        """What -> the keys under which it was done."""
        self.undone: defaultdict[str, set[str]] = defaultdict(set)
        bank = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                if line := self.rfile.readline():
                    reply = bank.answer(json.loads(line))
                    self.wfile.write(json.dumps(reply).encode() + b"\n")

        class Listener(socketserver.ThreadingTCPServer):
            daemon_threads = True
            request_queue_size = 256

        self._server = Listener(("127.0.0.1", 0), Handler)
        self._server.handle_error = lambda request, client_address: None  # type: ignore[method-assign]
        self.port: int = self._server.server_address[1]
        threading.Thread(
            target=self._server.serve_forever, name="bank", kwargs={"poll_interval": 0.01}, daemon=True
        ).start()

    def answer(self, asked: dict[str, str]) -> bool:
        """Do an effect (again under the same key: nothing more happens), undo one, or say whether it stands."""
        what, key = asked["what"], asked["key"]
        with self._lock:
            match asked["op"]:
                case "do":
                    self.done[what].add(key)
                case "undo":
                    self.undone[what].add(key)
                case _:
                    pass
            return self.standing(what) > 0

    def standing(self, what: str) -> int:
        """How often an effect stands."""
        return len(self.done[what]) - len(self.undone[what])

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()


async def ask(port: int, op: str, what: str, key: str = "") -> Any:
    """Ask the bank."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(json.dumps({"op": op, "what": what, "key": key}).encode() + b"\n")
        await writer.drain()
        return json.loads(await reader.readline())
    finally:
        writer.close()


def tools(port: int) -> list[Tool]:
    """A read, a write without a key, two children with keyed writes, perhaps a question, and a payment."""

    async def quote(order: int) -> float:
        await asyncio.sleep(0.02)
        return order / 100

    async def reserve(order: int, quote: float) -> str:
        await ask(port, "do", f"reserve {order}", uuid4().hex)
        return str(order)

    async def reserved(order: int, quote: float) -> Any:
        return str(order) if await ask(port, "ask", f"reserve {order}") else NOT_DONE

    async def release(output: str) -> None:
        await ask(port, "undo", f"reserve {output}", uuid4().hex)

    async def scan(order: int, part: str, key: str = "") -> str:
        await ask(port, "do", f"scan-{part} {order}", key)
        return f"{part} {order}"

    async def unscan(output: str, key: str = "") -> None:
        await ask(port, "undo", f"scan-{output}", key)

    async def inspect(order: int, reservation: str, ctx: RunContext) -> str:
        found = await asyncio.gather(*(ctx.reach("scanned", {"order": order, "part": each}) for each in PARTS))
        assert all(outcome.ok for outcome in found)
        if asks(order) and not await ctx.wait(f"Ship order {order}?", bool):
            raise Refused("nobody wants it")
        if refused(order):
            raise Refused("sold out")
        return "good"

    async def pay(order: int, inspected: str, key: str = "") -> str:
        await ask(port, "do", f"pay {order}", key)
        return f"paid {order}"

    return [
        Tool(quote, gives="quote"),
        Tool(reserve, gives="reservation", effect="write", reconcile=reserved, compensate=release),
        Tool(scan, gives="scanned", effect="write", idempotency_key="key", compensate=unscan),
        Tool(inspect, gives="inspected", timeout=60),
        Tool(pay, gives="receipt", effect="irreversible", idempotency_key="key"),
    ]


def fork(orc: Orchestrator) -> None:
    """A child that lives for a second with copies of everything, and looks into the store, which is its own there."""
    if os.fork() == 0:
        try:
            orc.store.run("order-0")
            time.sleep(1.0)
        finally:
            os._exit(0)


def work(store: str, port: int, log: str) -> None:
    """A worker until SIGTERM."""
    short_leases(1.0)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for forked children
    logging.basicConfig(filename=log, level=logging.WARNING, format="%(asctime)s %(process)d %(message)s")
    Path(log).touch()

    async def main() -> None:
        while True:
            try:
                orc = Orchestrator(tools(port), store=store, monitors=())
                break
            except Exception as error:  # the database is away: a supervisor starts the worker again
                logging.warning("not yet: %s", error)
                await asyncio.sleep(0.2)
        async with orc:
            working = orc.worker(WorkerOptions(concurrency=8, drain_seconds=10.0))
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, working.stop)
            asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, fork, orc)
            await working.run()

    asyncio.run(main())
