"""The letter that tells a supplier of a payment."""

from typing import Any

from orchestrator import tool

BODY = """Dear {supplier},

we have paid your invoice {number} over {euros}.{cents:02} EUR to the account {iban}.
Payment {payment}, through {gateway}.
"""


@tool(gives=["recipient", "subject", "body"], latency=0.001)
def write_confirmation(invoice: Any, payment: Any, recorded: Any) -> dict[str, str]:
    """Recipient, subject and body."""
    euros, cents = divmod(invoice.cents, 100)
    body = BODY.format(
        supplier=invoice.supplier,
        number=invoice.number,
        euros=euros,
        cents=cents,
        iban=invoice.iban,
        payment=payment["id"],
        gateway=payment["gateway"],
    )
    return {"recipient": invoice.mail, "subject": f"Invoice {invoice.number} is paid", "body": body}
