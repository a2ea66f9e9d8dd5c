"""An invoice is read, checked, paid, booked and confirmed by mail: `python examples/invoice/run.py`.

Two gateways can pay. Each scene breaks something else, and each ends with the same count: charged once, or not at all.
Everything runs on this machine, in a temporary folder.
"""

import asyncio
import socket
import sqlite3
import sys
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))  # so that it runs as a script, too

from examples.invoice.servers import Gateway, Mailbox, mail_server  # noqa: E402
from orchestrator import AskHuman, Orchestrator, Outcome, Policy, Resolution, Status  # noqa: E402
from orchestrator.core.policy import Retries  # noqa: E402
from orchestrator.core.process.installation import catalog_root  # noqa: E402
from orchestrator.project import load_project  # noqa: E402
from orchestrator.testing import lose_answer  # noqa: E402

INVOICE = HERE / "invoice-1041.txt"
DELIVERY = ("send_smtp", "outbox", "send_outbox")
"""What is taken from the catalogue."""


@dataclass
class Office:
    """One scene's world."""

    orc: Orchestrator
    north: Gateway
    south: Gateway
    mailbox: Mailbox
    database: Path
    mail_port: int

    async def pay(self, invoice: Path = INVOICE) -> Outcome[Any]:
        """The goal: the supplier is told of the payment, which is in the books."""
        return await self.orc.run("delivery", {"invoice_file": invoice, "database": self.database})

    @property
    def charges(self) -> int:
        """How often somebody was really charged."""
        return len(self.north.book) + len(self.south.book)

    @property
    def booked(self) -> list[tuple[str, str]]:
        """Invoice and gateway of every payment in the books."""
        with closing(sqlite3.connect(self.database)) as connection:
            return connection.execute("select invoice, gateway from payments").fetchall()


@asynccontextmanager
async def office(*, mail: bool = True, seconds: float = 0.5) -> AsyncGenerator[Office]:
    """Gateways, a mail server unless it is to be down, a database with two orders, and the orchestrator.

    `seconds` is how long a gateway's answer is waited for.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        north, south = Gateway("north", honours_keys=True), Gateway("south", honours_keys=False)
        for gateway in (north, south):
            gateway.start()
            stack.callback(gateway.stop)
        mailbox, port = Mailbox(), free_port()
        if mail:
            stack.enter_context(mail_server(mailbox, port))
        deps = {
            "north": north.deps,
            "south": south.deps,
            "seconds": seconds,
            "smtp": {"host": "127.0.0.1", "port": port, "sender": "office@marren.test"},
            "outbox": folder / "outbox.db",
        }
        orc = Orchestrator.from_project(
            HERE, deps=deps, escalation=[AskHuman()], policy=Policy(retries=Retries(base_seconds=0.01))
        )
        await stack.enter_async_context(orc)
        for tool in load_project(catalog_root()).tools:
            if tool.name in DELIVERY:
                orc.add(tool)
        yield Office(orc, north, south, mailbox, make_database(folder / "office.db"), port)


def make_database(path: Path) -> Path:
    """The office's books: two orders, no payment."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("create table orders (number text primary key, supplier text, iban text, cents integer)")
        connection.execute(
            "create table payments (invoice text primary key, gateway text, payment text, cents integer)"
        )
        iban = "DE02120300000000202051"
        orders = [("B-207", "Holm & Sons", iban, 124_850), ("B-208", "Holm & Sons", iban, 912_000)]
        connection.executemany("insert into orders values (?, ?, ?, ?)", orders)
    return path


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


# -- the scenes --------------------------------------------------------------------------------------------------------


async def all_is_well() -> None:
    """Everything works: the cheaper gateway pays."""
    async with office() as it:
        outcome = await it.pay()
        report(it, outcome, charged=1)
        assert it.booked == [("1041", "north")] and len(it.mailbox.mails) == 1


async def north_is_down() -> None:
    """North refuses connections, so nothing was paid there: South pays."""
    async with office() as it:
        it.north.stop()
        outcome = await it.pay()
        report(it, outcome, charged=1)
        assert it.booked == [("1041", "south")]


async def north_declines() -> None:
    """North works and says no. That is no outage: its health is left alone, and South pays."""
    async with office() as it:
        it.north.faults = ["decline"]
        outcome = await it.pay()
        report(it, outcome, charged=1)
        assert it.orc.health.status("pay_north").success > 0.89


async def north_charges_and_times_out() -> None:
    """North charges, twice without answering: asked again under the same key it tells of the one charge."""
    async with office() as it:
        it.north.faults = ["silent", "silent"]
        outcome = await it.pay()
        report(it, outcome, charged=1)
        assert it.north.requests == 3 and it.south.requests == 0


async def north_charges_and_dies() -> None:
    """North charges and is gone. It may have paid, so South is not asked: a person looks it up and says what is so."""
    async with office() as it:
        it.north.faults = ["die"]
        waiting = await it.pay()
        report(it, waiting, charged=1)
        assert waiting.status is Status.WAITING and it.south.requests == 0
        found = it.north.book[0]
        payment = {"gateway": "north", "id": found["id"], "cents": found["cents"]}
        outcome = await it.orc.resume(waiting.run_id, Resolution.provide("payment", payment), by="ann")
        report(it, outcome, charged=1)
        assert it.booked == [("1041", "north")]


async def south_charges_and_times_out() -> None:
    """North is down, South charges and does not answer. It knows no keys; `reconcile` finds the charge in its book."""
    async with office() as it:
        it.north.stop()
        it.south.faults = ["silent"]
        outcome = await it.pay()
        report(it, outcome, charged=1)
        assert it.south.requests == 1


async def the_books_do_not_answer() -> None:
    """The payment is booked, but the answer is lost: `reconcile` finds it, and it is not booked again."""
    async with office() as it:
        with it.orc.override(lose_answer(it.orc.graph["record_payment"], times=1)):
            outcome = await it.pay()
        report(it, outcome, charged=1)
        assert len(it.booked) == 1


async def the_same_invoice_comes_again() -> None:
    """An invoice that has been paid is refused before any gateway hears of it."""
    async with office() as it:
        await it.pay()
        outcome = await it.pay()
        report(it, outcome, charged=1)
        assert outcome.status is Status.WAITING and len(it.mailbox.mails) == 1
        await it.orc.cancel(outcome.run_id)


async def a_large_invoice() -> None:
    """From 5,000 EUR on a person says yes first."""
    async with office() as it:
        large = it.database.parent / "invoice-1042.txt"
        text = INVOICE.read_text(encoding="utf-8").replace("1041", "1042").replace("B-207", "B-208")
        large.write_text(text.replace("1,248.50 EUR\nIBAN", "9,120.00 EUR\nIBAN"), encoding="utf-8")
        waiting = await it.pay(large)
        report(it, waiting, charged=0)
        outcome = await it.orc.resume(waiting.run_id, True, by="ann")
        report(it, outcome, charged=1)


async def the_mail_server_is_down() -> None:
    """Nobody can send the mail: it is kept on disk, and sent when the server is back."""
    async with office(mail=False) as it:
        outcome = await it.pay()
        report(it, outcome, charged=1)
        assert outcome.value.startswith("outbox:")
        with mail_server(it.mailbox, it.mail_port):
            sent = await it.orc.run("outbox_sent")
        report(it, sent, charged=1)
        assert len(it.mailbox.mails) == 1


SCENES: tuple[Callable[[], Awaitable[None]], ...] = (
    all_is_well,
    north_is_down,
    north_declines,
    north_charges_and_times_out,
    north_charges_and_dies,
    south_charges_and_times_out,
    the_books_do_not_answer,
    the_same_invoice_comes_again,
    a_large_invoice,
    the_mail_server_is_down,
)


def report(it: Office, outcome: Outcome[Any], *, charged: int) -> None:
    """Print what was tried, how each failure was answered, and what was charged; which is asserted."""
    tried = [f"{call.tool} {'✗' if call.error else '✓'}" for call in outcome.calls]
    print(f"   {' → '.join(tried)}")
    for decision in outcome.decisions:
        if decision.answers:
            print(f"   {decision.kind}: {decision.chosen} ({decision.reason})")
    for question in outcome.questions:
        print(f"   waits: {question.text}")
    print(f"   {outcome.status}; charged: north {len(it.north.book)}, south {len(it.south.book)}; booked: {it.booked}")
    assert it.charges == charged, f"charged {it.charges} times instead of {charged}"


async def main() -> None:
    """Play every scene."""
    for scene in SCENES:
        print(f"\n{(scene.__doc__ or '').splitlines()[0]}")
        await scene()
    print("\nNothing was paid twice.")


if __name__ == "__main__":
    asyncio.run(main())
