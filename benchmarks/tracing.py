"""What a governed call costs with tracing off, with the local store, with OTLP, and when collector or store is dead.

    python benchmarks/tracing.py [--rounds 3] [--runs 3] [--only off,refused]

Every configuration runs in a process of its own, in turns, so that all of them see the same machine. A run is a chain
of tools; a sample is the time from the beginning of one tool's body to that of the next. Idle tools show the overhead
itself, tools that take twenty milliseconds what a caller can feel of it. In every process runs of the configuration and
runs with tracing off (and the store in memory) take turns: the ratios are between these. So do runs of a second chain
with tracing off: off against off is what the same thing measured twice comes out as, the noise. Every turn is a process
of its own; figures and ratios are medians over the turns. On a machine that others use too, the time on the clock is
mostly theirs; processor time of the event loop is ours alone, and real-time priority (`chrt -f 5`) keeps others away.
At the end every run's ledger is verified, and must hold the end of every call.
"""

import argparse
import asyncio
import json
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from statistics import median
from typing import Any, Final

from opentelemetry.trace import NoOpTracerProvider

from orchestrator import Orchestrator, Tool
from orchestrator.observability.tracing import TracingSink, setup

CHAIN: Final = 50
"""Tools in a run."""
TOOLS: Final = (0.0, 0.02)
"""Seconds that tools take: idle ones show the overhead itself, the others what a caller can feel of it."""
IDLE_RUNS: Final = 20
"""Runs of idle tools for each one of the others: they are short."""
KNOWN_DEAD: Final = 12.0
"""Seconds after which a dead collector is known to be dead: exporters try again for five."""
CONFIGURATIONS: Final = ("off", "store", "otlp", "refused", "silent", "locked")
WHAT: Final = {
    "off": "tracing off, store in memory",
    "store": "tracing off, local SQLite store",
    "otlp": "OTLP to a local receiver",
    "refused": "OTLP to a port where nobody listens",
    "silent": "OTLP to a collector that never answers",
    "locked": "local SQLite store, locked by another process",
}

# -- one configuration, in a process of its own ----------------------------------------------------------------------


class Lock:
    """Locks a store's file while a run is going on, as another process would."""

    def __init__(self, path: str | None) -> None:
        self._connection = None if path is None else sqlite3.connect(path, isolation_level=None, timeout=30)

    def take(self) -> None:
        """Nobody else can read or write any more."""
        if self._connection is not None:
            self._connection.execute("BEGIN EXCLUSIVE")

    def give_back(self) -> None:
        """Everybody can again."""
        if self._connection is not None:
            self._connection.execute("COMMIT")


Sample = tuple[float, float]
"""Seconds from tool to tool: on the clock, and of the event loop's processor time."""


@dataclass
class Found:
    """What was measured of one configuration and one kind of tool."""

    off: list[Sample]
    again: list[Sample]
    """The same once more: tracing off, measured by a second chain of tools."""
    mine: list[Sample]
    runs: int = 0
    whole: int = 0
    """Runs of the configuration whose ledger is whole and holds every call."""


@dataclass
class Bench:
    """A chain of tools under one configuration."""

    orchestrator: Orchestrator
    lock: Lock
    begun: list[Sample]
    ids: list[str]

    @classmethod
    def of(cls, seconds: float, *, off: bool, store: str | None = None, locked: bool = False) -> "Bench":
        """A chain of tools that take so many seconds each."""
        begun: list[Sample] = []

        async def work(value: int) -> int:
            begun.append((time.perf_counter(), time.thread_time()))
            if seconds:
                await asyncio.sleep(seconds)
            return value

        async def first(value: int) -> int:
            lock.take()
            return await work(value)

        def tool_of(number: int) -> Tool:
            needs, gives = {"value": f"k{number}"}, f"k{number + 1}"
            return Tool(work if number else first, name=f"t{number}", needs=needs, gives=gives)

        made = Orchestrator([tool_of(number) for number in range(CHAIN)], store=store)
        lock = Lock(store if locked else None)
        if off:  # whatever listens in this process does not hear of this one; all else is as it is
            runtime = made._runtime  # pyright: ignore[reportPrivateUsage]
            tracing: Any = runtime.tracing
            runtime.sinks.remove(tracing)
            runtime.tracing = TracingSink(NoOpTracerProvider())
        return cls(made, lock, begun, [])

    async def run(self) -> list[Sample]:
        """The samples of one run."""
        self.begun.clear()
        outcome = await self.orchestrator.run(f"k{CHAIN}", {"k0": 1})
        self.lock.give_back()
        self.ids.append(outcome.run_id)
        return [(after[0] - before[0], after[1] - before[1]) for before, after in pairwise(self.begun)]

    def whole(self) -> int:
        """How many runs have a ledger that is whole and holds every call."""
        return sum(self._is_whole(run_id) for run_id in self.ids)

    def _is_whole(self, run_id: str) -> bool:
        if not self.orchestrator.verify(run_id).ok:
            return False
        return sum(record.kind == "CallEnded" for record in self.orchestrator.store.records(run_id)) == CHAIN


async def measure(name: str, folder: str, runs: int, seconds: float) -> Found:
    """The samples with tracing off, and those of a configuration, run by run in turns."""
    store = f"{folder}/{seconds}.db" if name in ("store", "locked") else None
    off, again = Bench.of(seconds, off=True), Bench.of(seconds, off=True)
    mine = Bench.of(seconds, off=name in ("off", "store", "locked"), store=store, locked=name == "locked")
    found = Found([], [], [])
    dead_at = time.monotonic() + KNOWN_DEAD if name in ("refused", "silent") and seconds == TOOLS[0] else 0.0
    while time.monotonic() < dead_at:  # measured is a collector that is dead, not one that is just dying
        await mine.run()
    for number in range(runs + 2):
        turns = [(found.off, off), (found.mine, mine), (found.again, again)]
        for kept, bench in turns[number % 3 :] + turns[: number % 3]:
            samples = await bench.run()
            if number >= 2:  # the first runs warm caches up
                kept.extend(samples)
    found.runs, found.whole = len(mine.ids), mine.whole()
    return found


def in_this_process(name: str, folder: str, runs: int) -> None:
    """Measure and print samples as JSON; then leave at once, without waiting for collectors."""
    setup()
    many = {0.0: runs * IDLE_RUNS}
    found = [asyncio.run(measure(name, folder, many.get(seconds, runs), seconds)) for seconds in TOOLS]
    sys.stdout.write(json.dumps([asdict(each) for each in found]))
    sys.stdout.flush()
    os._exit(0)


# -- collectors ------------------------------------------------------------------------------------------------------


@contextmanager
def receiver() -> Generator[str]:
    """A collector that takes everything."""

    class Handler(BaseHTTPRequestHandler):
        """Answers 200."""

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


@contextmanager
def silence() -> Generator[str]:
    """A collector that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@contextmanager
def nobody() -> Generator[str]:
    """A port where nobody listens."""
    yield "http://127.0.0.1:9"


COLLECTORS: Final[Mapping[str, Callable[[], Any]]] = {"otlp": receiver, "refused": nobody, "silent": silence}


def elsewhere(name: str, runs: int) -> list[Found]:
    """For each kind of tool, what is measured of one configuration in a process of its own."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    clean["OTEL_BSP_SCHEDULE_DELAY"] = "200"
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        if name in COLLECTORS:
            clean["OTEL_EXPORTER_OTLP_ENDPOINT"] = stack.enter_context(COLLECTORS[name]())
        arguments = [sys.executable, __file__, "--inside", name, "--runs", str(runs), "--folder", folder]
        done = subprocess.run(arguments, env=clean, capture_output=True, text=True, check=True, timeout=600)
    return [Found(**each) for each in json.loads(done.stdout)]


# -- the table -------------------------------------------------------------------------------------------------------


def figures(samples: list[Sample]) -> list[float]:
    """p50 and p99 on the clock, p50 and p99 of processor time, in microseconds."""
    quantiles: list[float] = []
    for which in (0, 1):
        ordered = sorted(sample[which] for sample in samples)
        quantiles += [ordered[len(ordered) // 2] * 1e6, ordered[int(0.99 * len(ordered))] * 1e6]
    return quantiles


Turns = dict[str, list[Found]]
"""By configuration."""


def table(found: Turns) -> list[str]:
    """Each figure, its ratio to tracing off in the same process and that of off to off: medians over the turns."""
    lines = [
        "| configuration | p50, µs | to off | p99, µs | to off (off to off) | processor p50, µs | to off | p99, µs "
        "| to off (off to off) | ledgers whole |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, turns in found.items():
        cells: list[str] = []
        for which in range(4):
            mine, off, again = (
                [figures(samples)[which] for samples in kind]
                for kind in zip(*((each.mine, each.off, each.again) for each in turns), strict=True)
            )
            ratio = median(one / other for one, other in zip(mine, off, strict=True))
            noise = median(one / other for one, other in zip(again, off, strict=True))
            cells.append(f"{median(mine):.0f} | {ratio:.2f}" + (f" ({noise:.2f})" if which % 2 else ""))
        whole = f"{sum(each.whole for each in turns)} of {sum(each.runs for each in turns)}"
        lines.append(f"| {WHAT[name]} | {' | '.join(cells)} | {whole} |")
    return lines


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="turns through all configurations")
    parser.add_argument("--runs", type=int, default=3, help="runs per turn, configuration and kind of tool")
    parser.add_argument("--only", default=",".join(CONFIGURATIONS), help="configurations, by commas")
    parser.add_argument("--inside", choices=CONFIGURATIONS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        in_this_process(given.inside, given.folder, given.runs)
    wanted = [name for name in CONFIGURATIONS if name in given.only.split(",")]
    found = [Turns((name, []) for name in wanted) for _ in TOOLS]
    for _ in range(given.rounds):
        for name in wanted:
            for turns, turn in zip(found, elsewhere(name, given.runs), strict=True):
                turns[name].append(turn)
    load, many = os.getloadavg()[0], f"{given.runs} runs (idle tools: {given.runs * IDLE_RUNS})"
    print(f"{given.rounds} turns of {many} of {CHAIN} calls; load {load:.1f} on {os.cpu_count()} processors")
    for seconds, each in zip(TOOLS, found, strict=True):
        print(f"\n**{'tools of ' + f'{seconds * 1000:g} ms' if seconds else 'idle tools'}**\n")
        print("\n".join(table(each)), flush=True)


if __name__ == "__main__":
    main()
