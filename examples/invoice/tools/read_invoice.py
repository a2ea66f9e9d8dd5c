"""An invoice as data: the fields of a plain text, checked."""

import re
from pathlib import Path

from pydantic import BaseModel

from orchestrator import CallerError, Refused, tool

FIELD = re.compile(r"^\s*([A-Za-z ]+?)\s*:\s*(.+?)\s*$", re.MULTILINE)
AMOUNT = re.compile(r"([\d.,]*\d)[.,](\d\d) EUR")


class Invoice(BaseModel):
    """What somebody wants to be paid."""

    number: str
    order: str
    supplier: str
    iban: str
    cents: int
    mail: str


@tool(gives="invoice", latency=0.01)
def read_invoice(invoice_file: Path) -> Invoice:
    """Read `Field: value` lines; refuses a file without a number, an order, a supplier, an IBAN or an amount."""
    try:
        text = invoice_file.read_text(encoding="utf-8")
    except OSError as error:
        raise CallerError(f"{invoice_file} cannot be read: {error.strerror}") from None
    fields = {name.lower(): value for name, value in FIELD.findall(text)}
    missing = sorted({"invoice", "order", "supplier", "iban", "total", "mail"} - set(fields))
    amount = AMOUNT.fullmatch(fields.get("total", ""))
    if missing or amount is None:
        raise Refused(f"{invoice_file.name} has no readable {', '.join(missing) or 'total'}")
    return Invoice(
        number=fields["invoice"],
        order=fields["order"],
        supplier=fields["supplier"],
        iban=fields["iban"].replace(" ", ""),
        cents=int(re.sub(r"\D", "", amount[1]) + amount[2]),
        mail=fields["mail"],
    )
