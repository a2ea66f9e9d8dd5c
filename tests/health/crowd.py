"""Processes that share one store and want the same tool of a real HTTP server, which counts who asks when."""

import asyncio
import threading
import time
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

from orchestrator import Orchestrator, Policy, Tool
from orchestrator.core.enums import CircuitState
from orchestrator.core.policy import CircuitPolicy, Retries

WINDOW = 2.0
POLICY = Policy(
    circuit=CircuitPolicy(consecutive=3, open_seconds=WINDOW, max_open_seconds=WINDOW, jitter=0, ramp_seconds=1),
    retries=Retries(attempts=0),
)


class Server:
    """Answers 503 while it is down; every request is noted."""

    def __init__(self) -> None:
        self.down = True
        self.asked: list[float] = []
        """When it was asked, in monotonic seconds."""
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(time.monotonic())
                self.send_response(503 if server.down else 200)
                self.end_headers()
                self.wfile.write(b"1")

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}/"
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        """Stop."""
        self._http.shutdown()
        self._http.server_close()


def live(store: str, url: str, number: int, states: Any, over: Any) -> None:
    """One process: a run every quarter of a second, and word of what its circuit is like."""

    def ask() -> int:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.read())

    async def main() -> None:
        tools = [Tool(ask, name="remote", gives="x"), Tool(lambda: 0, name="spare", gives="x", cost=1.0)]
        async with Orchestrator(
            tools, store=store if "://" in store else Path(store), policy=POLICY, monitors=()
        ) as orc:
            while not over.is_set():
                outcome = await orc.run("x")
                assert outcome.ok
                states[number] = int(orc.health.status("remote").circuit is not CircuitState.CLOSED)
                await asyncio.sleep(0.25)

    asyncio.run(main())


class Crowd:
    """The processes, seen from outside."""

    def __init__(self, processes: ForkServerContext, server: Server, store: Path | str, size: int) -> None:
        self._over = processes.Event()
        self.states = processes.Array("i", [0] * size)
        """By process: whether its circuit is open (or half open)."""
        self.all = [
            processes.Process(target=live, args=(str(store), server.url, number, self.states, self._over))
            for number in range(size)
        ]

    @contextmanager
    def at_work(self) -> Generator[None]:
        """While they live."""
        for process in self.all:
            process.start()
        try:
            yield
        finally:
            self._over.set()
            for process in self.all:
                process.join(30)
                process.kill()

    def wait_for(self, what: Any, seconds: float = 60.0) -> float:
        """Wait until something is so; returns the seconds that took. Raises `TimeoutError`."""
        began = time.monotonic()
        while not what():
            if time.monotonic() - began > seconds:
                raise TimeoutError(f"it was not so within {seconds:g} s: {self.states[:]}")
            time.sleep(0.01)
        return time.monotonic() - began
