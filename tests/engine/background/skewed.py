"""A worker whose machine's clock is wrong: `python -m tests.engine.background.skewed URL HOST SECONDS RATE`.

The time of day is changed in Python, before anything else is imported: libfaketime 0.9.10 makes `time.sleep` fail.
"""

import asyncio
import signal
import sys
import time

if __name__ == "__main__":
    _real, _began = time.time, time.monotonic()
    _ahead, _rate = map(float, sys.argv[3:5])
    time.time = lambda: _real() + _ahead + (_rate - 1.0) * (time.monotonic() - _began)

from orchestrator import Orchestrator, Policy, Tool
from orchestrator.engine.background.schedules import Schedule
from orchestrator.engine.background.worker import WorkerOptions
from orchestrator.escalation import AskHuman
from orchestrator.store import owner as owners

TENANT, LIMIT, COST, TIMEOUT = "acme", 5.0, 0.01, 2.0
"""A tenant's dollars a day, those of a call, and the seconds after which a question has its default."""


async def slow(n: int) -> str:
    await asyncio.sleep(1.0)
    return f"{n} {time.time()}"


async def quick(m: int) -> int:
    return m


async def tick(at: str) -> str:
    return at


def orchestrator(url: str) -> Orchestrator:
    """What every process of the test runs."""
    tools = [
        Tool(slow, gives="done", cost=COST, timeout=30),
        Tool(quick, gives="approved", approval=True),
        Tool(tick, gives="ticked"),
    ]
    policy = Policy(max_spend_per={"tenant": LIMIT})
    return Orchestrator(tools, store=url, monitors=(), policy=policy, escalation=[AskHuman(deadline=TIMEOUT)])


def work(url: str, host: str) -> None:
    """A worker of a machine of its own until SIGTERM."""
    owners._machine = lambda: host  # pyright: ignore[reportPrivateUsage]
    schedule = Schedule(name="tick", cron="* * * * * *", goal="ticked", inputs={"at": "now"})

    async def main() -> None:
        async with orchestrator(url) as orc:
            worker = orc.worker(WorkerOptions(concurrency=4, schedules=[schedule], drain_seconds=5.0))
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
            print(f"{time.time():.3f}", flush=True)
            await worker.run()

    asyncio.run(main())


if __name__ == "__main__":
    work(*sys.argv[1:3])
