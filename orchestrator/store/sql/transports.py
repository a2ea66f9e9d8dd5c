"""Opening the queue engine that a store's URL names, and making its tables."""

from sqlalchemy import URL, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from orchestrator.core.errors import StoreError
from orchestrator.store.transport.protocol import QueueTransport

from .engine import reason, shown_url

_LOCK = text("SELECT pg_advisory_xact_lock(7165428094412372)")


def open_transport(name: str, url: URL) -> QueueTransport:
    """The engine of this name. Raises `StoreError` where its package is not installed."""
    dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        if name == "pgqueuer":
            from orchestrator.store.transport.pgqueuer import open_pgqueuer

            return open_pgqueuer(dsn)
        from orchestrator.store.transport.procrastinate import open_procrastinate

        return open_procrastinate(dsn)
    except ImportError as error:
        raise StoreError(str(error)) from error


def install(transport: QueueTransport, engine: Engine, url: URL) -> None:
    """Make the engine's tables where they are missing. Raises `StoreError`."""
    try:
        with engine.begin() as connection:
            connection.execute(_LOCK)
            transport.install(connection.connection.driver_connection)
    except Exception as error:
        problem = reason(error, url) if isinstance(error, SQLAlchemyError) else f"{type(error).__name__}: {error}"
        raise StoreError(f"the tables of {transport.name} cannot be made in {shown_url(url)}: {problem}") from error


__all__ = ["install", "open_transport"]
