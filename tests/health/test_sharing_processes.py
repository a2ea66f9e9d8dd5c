"""Real processes that share a store meet a dead tool: they learn of it from each other, and one probes at a time."""

from itertools import pairwise
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

from tests.health.crowd import WINDOW, Crowd, Server
from tests.support import forked
from tests.support.postgres import postgres, postgres_server

__all__ = ["postgres", "postgres_server"]


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    return forked.processes()


def meet_a_dead_tool(processes: ForkServerContext, store: Path | str, size: int, windows: int) -> None:
    server = Server()
    crowd = Crowd(processes, server, store, size)
    try:
        with crowd.at_work():
            crowd.wait_for(lambda: all(crowd.states[:]))
            before = len(server.asked)
            crowd.wait_for(lambda: len(server.asked) >= before + windows)
            probes = server.asked[before:]
            assert all(later - earlier > WINDOW / 2 for earlier, later in pairwise(probes)), probes
            server.down = False
            crowd.wait_for(lambda: not any(crowd.states[:]))
        assert [process.exitcode for process in crowd.all] == [0] * size
    finally:
        server.close()


def test_four_processes_probe_a_dead_tool_once_per_window(tmp_path: Path, processes: ForkServerContext) -> None:
    meet_a_dead_tool(processes, tmp_path / "runs.db", 4, 2)


@pytest.mark.campaign
def test_sixteen_processes_probe_a_dead_tool_once_per_window(tmp_path: Path, processes: ForkServerContext) -> None:
    meet_a_dead_tool(processes, tmp_path / "runs.db", 16, 8)


@pytest.mark.campaign
def test_sixteen_processes_of_a_fleet_probe_a_dead_tool_once_per_window(
    postgres: str, processes: ForkServerContext
) -> None:
    meet_a_dead_tool(processes, postgres, 16, 8)
