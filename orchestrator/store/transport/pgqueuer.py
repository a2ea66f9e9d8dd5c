"""pgqueuer as a transport. A job is completed as soon as its worker is awake, so nothing depends on its completion."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final

from orchestrator.core.process.installation import missing_extra

ENTRYPOINT: Final = "orchestrator"
LOOK_SECONDS: Final = 1.0
"""Seconds between two polls for jobs without a notification."""
HEARTBEAT_SECONDS: Final = 10.0
"""Seconds after which a job that a worker has taken and not completed is given to another one."""


class PgQueuerTransport:
    """`Transport` over pgqueuer. Raises `StoreError` where the package is missing."""

    name = "pgqueuer"

    def __init__(self, dsn: str) -> None:
        """`dsn`: a libpq connection string."""
        self._dsn = dsn
        from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment, QueryQueueBuilder

        self._environment = QueryBuilderEnvironment()
        self._insert = QueryQueueBuilder().build_enqueue_query("raise")

    def install(self, connection: Any) -> None:
        """Make its tables."""
        table = self._environment.settings.queue_table
        if connection.execute("SELECT to_regclass(%s)", (table,)).fetchone()[0] is None:
            connection.execute(self._environment.build_install_query())

    def send(self, connection: Any, run_ids: Sequence[str]) -> None:
        """Insert jobs, without a key against duplicates: that would refuse a wake-up while a job is being done."""
        from psycopg import RawCursor

        count = len(run_ids)
        payloads = [run_id.encode() for run_id in run_ids]
        values = ([0] * count, [ENTRYPOINT] * count, payloads, [timedelta()] * count, [None] * count, ["{}"] * count)
        cursor: Any = RawCursor(connection)
        cursor.execute(self._insert, values)

    async def receive(self, wake: Callable[[str], None]) -> None:
        """Run its queue manager on a connection of its own."""
        import psycopg
        from pgqueuer import QueueManager
        from pgqueuer.models import Job
        from pgqueuer.queries import Queries

        async with await psycopg.AsyncConnection.connect(
            self._dsn, autocommit=True, prepare_threshold=None, connect_timeout=5
        ) as connection:
            manager = QueueManager(Queries.from_psycopg_connection(connection))

            async def woken(job: Job) -> None:
                if job.payload:
                    wake(job.payload.decode())

            manager.entrypoint(ENTRYPOINT)(woken)
            await manager.run(
                dequeue_timeout=timedelta(seconds=LOOK_SECONDS),
                batch_size=50,
                heartbeat_timeout=timedelta(seconds=HEARTBEAT_SECONDS),
                shutdown_on_listener_failure=True,
            )


def open_pgqueuer(dsn: str) -> PgQueuerTransport:
    """The transport. Raises `ImportError` with the name of the missing extra."""
    try:
        return PgQueuerTransport(dsn)
    except ImportError as error:
        raise ImportError(missing_extra("The queue engine pgqueuer", "pgqueuer", "pgqueuer")) from error


__all__ = ["PgQueuerTransport", "open_pgqueuer"]
