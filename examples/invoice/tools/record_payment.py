"""Note a payment in the books: found again after a lost answer, and taken out when the run does not use it."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from orchestrator import NOT_DONE, tool


def find(invoice: Any, payment: Any, database: Path) -> Any:
    """The record, when the books hold just this payment."""
    with closing(sqlite3.connect(database)) as connection:
        row = connection.execute("select payment from payments where invoice = ?", (invoice.number,)).fetchone()
    return {"database": str(database), "invoice": invoice.number} if row == (payment["id"],) else NOT_DONE


def remove(recorded: dict[str, str]) -> None:
    """Take the payment out of the books again."""
    with closing(sqlite3.connect(recorded["database"])) as connection, connection:
        connection.execute("delete from payments where invoice = ?", (recorded["invoice"],))


@tool(gives="recorded", effect="write", reconcile=find, compensate=remove, latency=0.02)
def record_payment(invoice: Any, payment: Any, database: Path) -> dict[str, str]:
    """Write invoice, gateway and payment into the table `payments`."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(
            "insert into payments (invoice, gateway, payment, cents) values (?, ?, ?, ?)",
            (invoice.number, payment["gateway"], payment["id"], payment["cents"]),
        )
    return {"database": str(database), "invoice": invoice.number}
