"""What the tests of ownership let other processes do: pay, slowly, under one run id."""

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

from orchestrator import NOT_DONE, Orchestrator, Tool
from orchestrator.engine.background import heartbeat, worker
from orchestrator.engine.background.worker import WorkerOptions
from orchestrator.engine.lifecycle import ownership, recovery, start


def short_leases(seconds: float = 0.6) -> None:
    """Leases as long as a test can wait for."""
    for module in (ownership, heartbeat, recovery, start, worker):
        module.LEASE_SECONDS = seconds  # type: ignore[attr-defined]
    heartbeat.RENEW_SECONDS = seconds / 4  # type: ignore[misc]


def bank(where: str) -> Path:
    """The world outside: a line for every payment."""
    path = Path(where)
    path.touch()
    return path


def payer(path: Path, seconds: float, *, keyed: bool = False, blocking: bool = False) -> Tool:
    """A payment that takes a while, with an honest `reconcile`."""

    async def pay(order: str, key: str = "") -> str:
        if blocking:
            time.sleep(seconds)  # noqa: ASYNC251 - a tool that blocks its loop
        else:
            await asyncio.sleep(seconds)
        with path.open("a") as lines:
            lines.write(f"{os.getpid()} {key}\n")
        return f"paid {order}"

    def look(order: str) -> Any:
        return f"paid {order}" if path.read_text() else NOT_DONE

    option: dict[str, Any] = {"idempotency_key": "key"} if keyed else {}
    return Tool(pay, gives="receipt", effect="write", timeout=60, reconcile=look, **option)


def pay_once(store: str, world: str, seconds: float, said: Any, keyed: bool = False, blocking: bool = False) -> None:
    """Reach the receipt under one run id; say how it ended."""
    short_leases()
    orc = Orchestrator([payer(bank(world), seconds, keyed=keyed, blocking=blocking)], store=store)
    said.send("begun")
    outcome = orc.run_sync("receipt", {"order": "42"}, run_id="order-42")
    said.send((str(outcome.status), list(outcome.uncompensated)))
    orc.close()


def work_for_ever(store: str, world: str) -> None:
    """A worker of payments, each with a key of its own, until it is terminated."""
    short_leases(1.0)
    path = bank(world)
    paid: set[str] = set()

    async def pay(order: str, key: str = "") -> str:
        await asyncio.sleep(0.2)
        if f" order-{order}\n" not in path.read_text():  # the bank knows the key
            with path.open("a") as lines:
                lines.write(f"{key} order-{order}\n")
        paid.add(order)
        return order

    async def main() -> None:
        tool = Tool(pay, gives="receipt", effect="write", idempotency_key="key", timeout=60)
        async with Orchestrator([tool], store=store) as orc:
            working = orc.worker(WorkerOptions(concurrency=4, drain_seconds=5.0))
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, working.stop)
            await working.run()

    asyncio.run(main())
