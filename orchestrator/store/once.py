"""Transactions that take place once, also when the connection is lost while one is being committed."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from sqlalchemy import Engine, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DataError

from .writer import Outage

T = TypeVar("T")


class Transactions:
    """Runs one transaction after another on an engine.

    When a server takes a commit and the answer is lost, trying again would write everything twice. PostgreSQL remembers
    what became of a transaction (`txid_status`), so the next try asks that first. A SQLite commit that fails has not
    taken place.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._unanswered: tuple[int, Any] | None = None

    def run(self, work: Callable[[Connection], T]) -> T:
        """Do the work in one transaction; after an error, called with the same work, it is done at most once in all.

        Raises what the database raises, and `Outage` while the transaction before is still being committed.
        """
        if self._unanswered is not None:
            number, result = cast("tuple[int, T]", self._unanswered)
            if self._took_place(number):
                self._unanswered = None
                return result
            self._unanswered = None
        with self._engine.begin() as connection:
            postgres = connection.dialect.name == "postgresql"
            number = connection.execute(text("SELECT txid_current()")).scalar_one() if postgres else 0
            result = work(connection)
            if postgres:
                self._unanswered = (number, result)
        self._unanswered = None
        return result

    def forget(self) -> None:
        """Another piece of work comes next."""
        self._unanswered = None

    def _took_place(self, number: int) -> bool:
        try:
            with self._engine.connect() as connection:
                status = connection.execute(text("SELECT txid_status(:number)"), {"number": number}).scalar()
        except DataError:
            return False  # a transaction of the future: this is another server than the one that took it
        if status == "in progress":
            raise Outage("the transaction before is still being committed")
        return status == "committed"
