"""How quickly the viewer opens: a run of 10,000 calls, and the list of 100,000 runs.

`python benchmarks/viewer.py [--calls 10000] [--runs 100000]`. Each page is asked for over HTTP on loopback, as a
browser does, from a SQLite file; "first" is a viewer that has read nothing yet, "again" the median of the rest,
"CPU" the processor time of viewer and client together, which a busy machine changes less.
"""

import argparse
import asyncio
import sqlite3
import sys
import tempfile
import threading
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

import httpx
import uvicorn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from orchestrator import Orchestrator, Policy, Tool
from orchestrator.core.policy import CircuitPolicy, Retries
from orchestrator.store import SqlStore
from orchestrator.ui import create_app

TOKEN = "benchmark"
AGAIN = 9
ATTEMPTS = 50
"""Of each tool, all but the last a failure: the hardest run of that many calls, as each failure is also decided on."""
BATCH = 10_000


def step(number: int) -> Tool:
    """Tool number `number`, which succeeds at its last attempt."""
    left = [ATTEMPTS - 1]

    def work(value: int) -> int:
        if left[0]:
            left[0] -= 1
            raise ConnectionResetError("the connection was reset")
        return value + 1

    return Tool(
        work, name=f"tool_{number:03}", needs={"value": f"k{number}"}, gives=f"k{number + 1}", retries=ATTEMPTS - 1
    )


async def long_run(where: Path, calls: int) -> str:
    """A run of that many calls; returns its id."""
    tools = [step(n) for n in range(calls // ATTEMPTS)]
    policy = Policy(
        retries=Retries(base_seconds=0, floor=10**6, share=1),
        circuit=CircuitPolicy(consecutive=10**6, rate=1, evidence=10**6),
    )
    async with Orchestrator(tools, policy=policy, monitors=(), store=where) as orc:
        outcome = await orc.run(f"k{len(tools)}", {"k0": 0})
    if len(outcome.calls) != len(tools) * ATTEMPTS:
        raise SystemExit(f"The run made {len(outcome.calls)} calls: {outcome.impasse}")
    return outcome.run_id


def many_runs(where: Path, runs: int) -> None:
    """Copies of the row of the long run, under ids and times of their own."""
    with closing(sqlite3.connect(where)) as connection, connection:
        names = [row[1] for row in connection.execute("PRAGMA table_info(orchestrator_runs)")]
        (row,) = connection.execute("SELECT * FROM orchestrator_runs").fetchall()
        base = dict(zip(names, row, strict=True))
        statuses = ("reached", "reached", "reached", "demoted", "escalated", "waiting")
        sql = f"INSERT INTO orchestrator_runs VALUES ({', '.join('?' * len(names))})"
        for start in range(0, runs, BATCH):
            rows: list[list[object]] = []
            for n in range(start, min(start + BATCH, runs)):
                run_id = f"run{n:08x}"
                new = {
                    "run_id": run_id,
                    "started": base["started"] - n,
                    "status": statuses[n % 6],
                    "search": f"{run_id}\ngoal {n % 97}\nbalanced\n",
                }
                rows.append([new.get(name, base[name]) for name in names])
            connection.executemany(sql, rows)
    connection.close()


@contextmanager
def served(where: Path) -> Generator[httpx.Client]:
    """A viewer that has read nothing yet, and a client that it lets in."""
    store = SqlStore(where)
    server = uvicorn.Server(uvicorn.Config(create_app(store, token=TOKEN), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        thread.join(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, follow_redirects=True) as client:
            client.get(f"/agents?token={TOKEN}")  # the cookie, and the templates of the frame
            yield client
    finally:
        server.should_exit = True
        thread.join()
        store.close()


def timed(client: httpx.Client, path: str) -> tuple[float, float, float, float, float]:
    """Milliseconds of the first answer, the median of the next, both again in processor time, and KiB."""
    took: list[float] = []
    busy: list[float] = []
    size = 0
    for _ in range(1 + AGAIN):
        start, worked = perf_counter(), process_time()
        answer = client.get(path)
        busy.append((process_time() - worked) * 1000)
        took.append((perf_counter() - start) * 1000)
        answer.raise_for_status()
        size = len(answer.content)
    return took[0], median(took[1:]), busy[0], median(busy[1:]), size / 1024


def main() -> None:
    """Make the store, open the pages, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=100_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder) / "runs.db"
        run_id = asyncio.run(long_run(where, asked.calls))
        many_runs(where, asked.runs)
        with served(where) as client:
            last = client.get(f"/runs/{run_id}").text.split("Decision ")[1].split(" ")[0]
        pages = {
            f"a run of {asked.calls:,} calls": f"/runs/{run_id}",
            "its first decision": f"/runs/{run_id}/decisions/d1",
            "a decision in its middle": f"/runs/{run_id}/decisions/d{int(last) // 2}",
            f"the list of {asked.runs:,} runs": "/",
            "one status": "/?status=escalated",
            "a search": "/?q=00018",
            "a search that finds nothing": "/?q=nothing",
            "its last page": f"/?page={asked.runs // 50}",
        }
        print(f"{'page':<32} {'first ms':>9} {'again ms':>9} {'first CPU':>10} {'again CPU':>10} {'KiB':>5}")
        for name, path in pages.items():
            with served(where) as client:
                first, again, busy, busy_again, size = timed(client, path)
            times = f"{first:9.0f} {again:9.0f} {busy:10.0f} {busy_again:10.0f}"
            print(f"{name:<32} {times} {size:5.0f}", flush=True)


if __name__ == "__main__":
    main()
