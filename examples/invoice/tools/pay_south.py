"""Pay through the gateway South: dearer, and it knows no idempotency keys. But it can be asked what it has booked."""

from typing import Any

from pydantic import BaseModel, SecretStr

from orchestrator import NOT_DONE, Refused, RunContext, Unavailable, tool


class South(BaseModel):
    """The gateway, as `deps` name it."""

    url: str
    token: SecretStr


class Deps(BaseModel):
    """What this tool takes from `Orchestrator(deps=...)`."""

    south: South
    seconds: float = 10


def is_large(invoice: Any) -> bool:
    """From 5,000 EUR on, a person says yes first."""
    return bool(invoice.cents >= 500_000)


def client_of(deps: Any) -> Any:
    """An HTTP client for the gateway."""
    import httpx

    settings = Deps.model_validate(deps)
    headers = {"Authorization": f"Bearer {settings.south.token.get_secret_value()}"}
    return httpx.AsyncClient(base_url=settings.south.url, timeout=settings.seconds, headers=headers)


async def find(invoice: Any, ctx: RunContext) -> Any:
    """What South has booked for this invoice. If South does not answer, it is unknown whether the payment happened, and
    a person is asked."""
    async with client_of(ctx.deps) as client:
        answer = await client.get("/payments", params={"reference": invoice.number})
    answer.raise_for_status()
    return payment_of(answer.json()[0]) if answer.json() else NOT_DONE


def payment_of(booked: Any) -> dict[str, Any]:
    """A payment as South tells of it."""
    return {"gateway": "south", "id": booked["id"], "cents": booked["cents"]}


@tool(gives="payment", effect="irreversible", reconcile=find, approval=is_large, cost=0.40, latency=1.5)
async def pay_south(invoice: Any, checked: str, ctx: RunContext) -> dict[str, Any]:
    """Pay an invoice that was checked; gives gateway, id and cents of the payment."""
    import httpx

    order = {"reference": invoice.number, "iban": invoice.iban, "cents": invoice.cents}
    async with client_of(ctx.deps) as client:
        try:
            answer = await client.post("/payments", json=order)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise Unavailable(f"South cannot be reached: {type(error).__name__}") from None
    if answer.status_code == 402:
        raise Refused(f"South declines: {answer.json()['error']}")
    answer.raise_for_status()
    return payment_of(answer.json())
