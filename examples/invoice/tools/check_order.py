"""Whether an invoice is what was ordered, and not paid yet."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from orchestrator import CallerError, Refused, tool


@tool(gives="checked", latency=0.01)
def check_order(invoice: Any, database: Path) -> str:
    """Compare an invoice with the order it names; refuses what differs, and what has been paid."""
    if not database.is_file():
        raise CallerError(f"there is no database {database}")
    with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        order = connection.execute(
            "select supplier, iban, cents from orders where number = ?", (invoice.order,)
        ).fetchone()
        paid = connection.execute("select 1 from payments where invoice = ?", (invoice.number,)).fetchone()
    if paid:
        raise Refused(f"invoice {invoice.number} has been paid already")
    if order is None:
        raise Refused(f"there is no order {invoice.order}")
    expected = dict(zip(("supplier", "iban", "cents"), order, strict=True))
    different = [name for name, value in expected.items() if getattr(invoice, name) != value]
    if different:
        raise Refused(f"invoice {invoice.number} differs from order {invoice.order}: {', '.join(different)}")
    return str(invoice.order)
