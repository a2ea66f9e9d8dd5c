"""What the tests of ownership let other processes do: pay, slowly, under one run id."""

import asyncio
import os
import time
from pathlib import Path
from typing import Any

from orchestrator import NOT_DONE, Orchestrator, Tool
from orchestrator.engine.background import heartbeat
from orchestrator.engine.lifecycle import recovery, start


def short_leases(seconds: float = 0.6) -> None:
    """Leases as long as a test can wait for."""
    for module in (heartbeat, recovery, start):
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
