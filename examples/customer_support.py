"""A customer is refunded and notified: `python examples/customer_support.py`.

    START ─ .1 ─ crm ─┬─ .3 stripe ───┬─┬─ .3 email ─┬─ .1 ─ complete
                      └─ .5 razorpay ─┘ └─ .4 sms ───┘

The edges carry the costs, so `connect` draws the graph, and `needs` say what each step must know. A refund is a write
that can be taken back; a message cannot. The graph is the one of arXiv 2603.01548.
"""

import asyncio
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from orchestrator import NOT_DONE, START, Goal, Orchestrator, Outcome, Refused, RunContext, tool
from orchestrator.testing import fail


@dataclass
class Firm:
    """What the tools act on; handed to them as `deps`."""

    customers: dict[str, str] = field(default_factory=lambda: {"T-7": "ann@example.test"})
    refunds: list[str] = field(default_factory=list[str])
    messages: list[str] = field(default_factory=list[str])


class Refund(BaseModel):
    """Money given back."""

    id: str
    usd: float


def take_back(refund: Refund, ctx: RunContext[Firm]) -> None:
    """Undo a refund."""
    ctx.deps.refunds.remove(refund.id)


def find_refund(ticket: str, usd: float, ctx: RunContext[Firm]) -> Any:
    """The refund, when one whose answer was lost took place."""
    name = f"{ctx.tool}:{ticket}"
    return Refund(id=name, usd=usd) if name in ctx.deps.refunds else NOT_DONE


@tool(gives="customer")
def crm(ticket: str, ctx: RunContext[Firm]) -> str:
    """Who wrote the ticket."""
    if ticket not in ctx.deps.customers:
        raise Refused(f"there is no ticket {ticket}")
    return ctx.deps.customers[ticket]


def refund_through(gateway: str, ticket: str, usd: float, firm: Firm) -> Refund:
    """Note the refund in the gateway's books."""
    firm.refunds.append(f"{gateway}:{ticket}")
    return Refund(id=f"{gateway}:{ticket}", usd=usd)


@tool(gives="refund", effect="write", compensate=take_back, reconcile=find_refund)
def stripe(ticket: str, customer: str, usd: float, ctx: RunContext[Firm]) -> Refund:
    """Refund through Stripe."""
    return refund_through("stripe", ticket, usd, ctx.deps)


@tool(gives="refund", effect="write", compensate=take_back, reconcile=find_refund)
def razorpay(ticket: str, customer: str, usd: float, ctx: RunContext[Firm]) -> Refund:
    """Refund through Razorpay."""
    return refund_through("razorpay", ticket, usd, ctx.deps)


@tool(gives="notice", effect="irreversible")
def email(customer: str, refund: Refund, ctx: RunContext[Firm]) -> str:
    """Tell the customer by mail."""
    ctx.deps.messages.append(f"mail to {customer}: {refund.usd} USD are on their way")
    return "email"


@tool(gives="notice", effect="irreversible")
def sms(customer: str, refund: Refund, ctx: RunContext[Firm]) -> str:
    """Tell the customer by text message."""
    ctx.deps.messages.append(f"text to {customer}: {refund.usd} USD are on their way")
    return "sms"


@tool(gives="case")
def complete(ticket: str, refund: Refund, notice: str) -> str:
    """Close the case."""
    return f"{ticket} closed: {refund.id}, told by {notice}"


TOOLS = (crm, stripe, razorpay, email, sms, complete)
EDGES = (
    (START, crm, 0.1),
    (crm, stripe, 0.3),
    (crm, razorpay, 0.5),
    (stripe, email, 0.3),
    (stripe, sms, 0.4),
    (razorpay, email, 0.3),
    (razorpay, sms, 0.4),
    (email, complete, 0.1),
    (sms, complete, 0.1),
)
GOAL = Goal("case", demotions=["customer"])
INPUTS = {"ticket": "T-7", "usd": 40.0}


def build(firm: Firm) -> Orchestrator:
    """The graph."""
    orc = Orchestrator(TOOLS, deps=firm)
    for source, target, cost in EDGES:
        orc.connect(source, target, cost=cost)
    return orc


async def handle(firm: Firm, *down: str) -> Outcome[Any]:
    """Handle the ticket while these tools are down."""
    async with build(firm) as orc:
        with ExitStack() as faults:
            for name in down:
                faults.enter_context(orc.override(fail(orc.graph[name])))
            return await orc.run(GOAL, INPUTS)


async def main() -> None:
    """All is well; the cheap gateway is down; nobody can pay; nobody can tell the customer."""
    for down in ((), ("stripe",), ("stripe", "email"), ("stripe", "razorpay"), ("email", "sms")):
        firm = Firm()
        outcome = await handle(firm, *down)
        print(f"\ndown: {', '.join(down) or 'nothing'}")
        print("  " + " → ".join(f"{call.tool} {'✗' if call.error else '✓'}" for call in outcome.calls))
        print(f"  {outcome.status}: {outcome.value}; model calls: {outcome.llm_calls}")
        print(f"  refunds: {firm.refunds}; messages: {firm.messages}; undone: {list(outcome.compensated)}")


if __name__ == "__main__":
    asyncio.run(main())
