"""One process probes a half-open circuit; the store is asked for that lease, and never in the event loop."""

import asyncio
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator import CircuitState, FailureKind, Orchestrator, Status, tool


async def test_the_lease_of_a_probe_is_asked_for_off_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[threading.Thread] = []
    labels: list[str] = []

    @tool(gives="answer")
    async def flaky(x: int) -> int:
        await asyncio.sleep(0.01)
        return x

    async with Orchestrator([flaky], store=tmp_path / "runs.db") as orc:
        take = orc.store.try_lease

        def slow(name: str, owner: str, seconds: float) -> bool:
            asked.append(threading.current_thread())
            labels.append(name)
            time.sleep(0.05)  # as a store with a busy writer does
            return take(name, owner, seconds)

        monkeypatch.setattr(orc.store, "try_lease", slow)
        for _ in range(6):
            orc.health.record("flaky", False, FailureKind.TRANSIENT)
        entry = orc.health.entries.entry("flaky")
        entry.circuit = replace(entry.circuit, probe_at=time.monotonic())
        outcomes = await asyncio.gather(*(orc.run("answer", {"x": n}) for n in range(3)))
        assert Status.REACHED in {outcome.status for outcome in outcomes}
        assert orc.health.status("flaky").circuit is CircuitState.CLOSED
        assert take(labels[0], "another process", 5.0)  # it was given back
    assert asked
    assert threading.main_thread() not in asked
