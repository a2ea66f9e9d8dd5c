"""Faults of tools that run in worker processes: the fault is counted here, the call is made there."""

import os
from typing import Any

import pytest

from orchestrator import Orchestrator, Tool
from orchestrator.testing import corrupt, fail, slow


def own_pid(x: int) -> int:
    return os.getpid()


FAULTS = [(fail(times=1, error="transient"), 2), (slow(seconds=0.01), 1), (corrupt(times=0), 1)]


@pytest.mark.parametrize(("fault", "calls"), FAULTS)
async def test_a_fault_of_an_isolated_tool(fault: Any, calls: int) -> None:
    tool = Tool(own_pid, name="own_pid", gives="pid", isolation="process", retries=1)
    async with Orchestrator([tool]) as orc:
        with orc.override(fault(tool)):
            outcome = await orc.run("pid", {"x": 1})
    assert outcome.value != os.getpid()
    assert len(outcome.calls) == calls
