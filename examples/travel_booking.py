"""A journey is put together: `python examples/travel_booking.py`.

    START ─┬─ .3 flight ─┬─┬─ .3 hotel ──┬─┬─ car ─┬─ .2 payment ─ .1 confirm
           └─ .5 train ──┘ └─ .4 hostel ─┘ └─ bus ─┘
                                          from hotel: .3 car, .4 bus; from hostel: .4 car, .3 bus

Every booking is a write that can be cancelled; payment comes last and cannot. If a part is booked out, the route is
computed again from the current state of the journey: what is booked stays booked, and nothing is booked twice. When no
journey can be had, all of it is cancelled. The graph is the one of arXiv 2603.01548.
"""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from orchestrator import START, Orchestrator, Outcome, RunContext, Tool
from orchestrator.testing import fail


@dataclass
class Agency:
    """What is booked and paid; handed to the tools as `deps`."""

    booked: list[str] = field(default_factory=list[str])
    ever_booked: list[str] = field(default_factory=list[str])
    paid: int = 0

    def book(self, what: str) -> str:
        """Book something."""
        self.booked.append(what)
        self.ever_booked.append(what)
        return what


def cancel(booking: str, ctx: RunContext[Agency]) -> None:
    """Undo a booking."""
    ctx.deps.booked.remove(booking)


def booking(name: str, gives: str, takes: Callable[..., str]) -> Tool:
    """A tool that books `name`."""
    return Tool(
        takes,
        name=name,
        gives=gives,
        effect="write",
        compensate=cancel,
        description=f"Book the {name}.",
        undo_cost=0.01,
    )


def way(name: str) -> Tool:
    """A way to get there."""

    def book(traveller: str, ctx: RunContext[Agency]) -> str:
        return ctx.deps.book(name)

    return booking(name, "way", book)


def bed(name: str) -> Tool:
    """A place to sleep, once it is known how one gets there."""

    def book(traveller: str, way: str, ctx: RunContext[Agency]) -> str:
        return ctx.deps.book(name)

    return booking(name, "bed", book)


def ride(name: str) -> Tool:
    """A means to get about."""

    def book(traveller: str, bed: str, ctx: RunContext[Agency]) -> str:
        return ctx.deps.book(name)

    return booking(name, "ride", book)


def payment(way: str, bed: str, ride: str, ctx: RunContext[Agency]) -> int:
    """Pay for all of it."""
    ctx.deps.paid += 1
    return ctx.deps.paid


def confirm(traveller: str, way: str, bed: str, ride: str, paid: int) -> str:
    """Tell the traveller."""
    return f"{traveller}: {way}, {bed}, {ride}"


TOOLS = (
    way("flight"),
    way("train"),
    bed("hotel"),
    bed("hostel"),
    ride("car"),
    ride("bus"),
    Tool(payment, gives="paid", effect="irreversible"),
    Tool(confirm, gives="journey"),
)
EDGES = (
    (START, "flight", 0.3),
    (START, "train", 0.5),
    ("flight", "hotel", 0.3),
    ("flight", "hostel", 0.4),
    ("train", "hotel", 0.3),
    ("train", "hostel", 0.4),
    ("hotel", "car", 0.3),
    ("hotel", "bus", 0.4),
    ("hostel", "car", 0.4),
    ("hostel", "bus", 0.3),
    ("car", "payment", 0.2),
    ("bus", "payment", 0.2),
    ("payment", "confirm", 0.1),
)


def build(agency: Agency) -> Orchestrator:
    """The graph."""
    orc = Orchestrator(TOOLS, deps=agency)
    for source, target, cost in EDGES:
        orc.connect(source, target, cost=cost)
    return orc


async def travel(agency: Agency, *down: str) -> Outcome[Any]:
    """Book a journey while these are booked out or down."""
    async with build(agency) as orc:
        with ExitStack() as faults:
            for name in down:
                faults.enter_context(orc.override(fail(orc.graph[name])))
            return await orc.run("journey", {"traveller": "Ann"})


async def main() -> None:
    """All is well; parts are booked out; the payment fails when all is booked."""
    for down in ((), ("flight",), ("hotel", "car"), ("flight", "car"), ("car", "bus"), ("payment",)):
        agency = Agency()
        outcome = await travel(agency, *down)
        print(f"\ndown: {', '.join(down) or 'nothing'}")
        print("  " + " → ".join(f"{call.tool} {'✗' if call.error else '✓'}" for call in outcome.calls))
        print(f"  {outcome.status}: {outcome.value if outcome.ok else 'no journey'}; model calls: {outcome.llm_calls}")
        print(f"  booked: {agency.booked}; cancelled: {list(outcome.compensated)}; paid: {agency.paid}")


if __name__ == "__main__":
    asyncio.run(main())
