"""Procrastinate as a transport. A job is completed as soon as its worker is awake, so nothing depends on its
completion.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from orchestrator.core.process.installation import missing_extra

QUEUE_NAME: Final = "orchestrator"
LOOK_SECONDS: Final = 1.0
"""Seconds between two polls for jobs without a notification."""
_NEVER: Final = "0 0 29 2 *"
_OLD_SECONDS: Final = 3600.0


class ProcrastinateTransport:
    """`Transport` over Procrastinate."""

    name = "procrastinate"

    def __init__(self, dsn: str) -> None:
        """`dsn`: a libpq connection string."""
        import procrastinate

        self._dsn = dsn
        self._sender = self._app(procrastinate.SyncPsycopgConnector(conninfo=dsn), _nobody)

    @staticmethod
    def _app(connector: Any, wake: Callable[[str], None]) -> Any:
        import procrastinate

        app = procrastinate.App(connector=connector)

        async def woken(run_id: str) -> None:
            wake(run_id)

        async def never(timestamp: int) -> None:
            del timestamp

        app.task(name="orchestrator.run", queue=QUEUE_NAME)(woken)
        # Without a periodic task the supervision of its side tasks ends at once, and a lost listener goes unnoticed.
        app.periodic(cron=_NEVER)(app.task(name="orchestrator.never", queue=QUEUE_NAME)(never))
        return app

    def install(self, connection: Any) -> None:
        """Make its tables."""
        from procrastinate.schema import SchemaManager

        if connection.execute("SELECT to_regclass('procrastinate_jobs')").fetchone()[0] is None:
            connection.execute(SchemaManager.get_schema())

    def send(self, connection: Any, run_ids: Sequence[str]) -> None:
        """Insert jobs."""
        task = self._sender.tasks["orchestrator.run"].configure(connection=connection)
        task.batch_defer(*({"run_id": run_id} for run_id in run_ids))

    async def receive(self, wake: Callable[[str], None]) -> None:
        """Run its worker on a pool of its own."""
        import procrastinate

        connector = procrastinate.PsycopgConnector(
            conninfo=self._dsn, min_size=1, max_size=4, kwargs={"prepare_threshold": None, "connect_timeout": 5}
        )
        async with self._app(connector, wake).open_async() as app:
            await app.run_worker_async(
                queues=[QUEUE_NAME],
                concurrency=50,
                install_signal_handlers=False,
                fetch_job_polling_interval=LOOK_SECONDS,
                delete_jobs="always",
                stalled_worker_timeout=_OLD_SECONDS,  # a worker that it prunes exits on a foreign key
                shutdown_graceful_timeout=1.0,
            )


def _nobody(run_id: str) -> None:
    """A process that only sends is not woken."""


def open_procrastinate(dsn: str) -> ProcrastinateTransport:
    """The transport. Raises `ImportError` with the name of the missing extra."""
    try:
        return ProcrastinateTransport(dsn)
    except ImportError as error:
        raise ImportError(missing_extra("The queue engine Procrastinate", "procrastinate", "procrastinate")) from error


__all__ = ["ProcrastinateTransport", "open_procrastinate"]
