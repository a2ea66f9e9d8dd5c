"""Pay through the gateway North: the cheaper one. It honours idempotency keys, so asking again never pays again."""

from typing import Any

from pydantic import BaseModel, SecretStr

from orchestrator import Refused, RunContext, Unavailable, tool


class North(BaseModel):
    """The gateway, as `deps` name it."""

    url: str
    token: SecretStr


class Deps(BaseModel):
    """What this tool takes from `Orchestrator(deps=...)`."""

    north: North
    seconds: float = 10


def is_large(invoice: Any) -> bool:
    """From 5,000 EUR on, a person says yes first."""
    return bool(invoice.cents >= 500_000)


@tool(
    gives="payment",
    effect="irreversible",
    idempotency_key="key",
    approval=is_large,
    cost=0.25,
    latency=0.5,
    retries=2,
)
async def pay_north(invoice: Any, checked: str, key: str, ctx: RunContext) -> dict[str, Any]:
    """Pay an invoice that was checked; gives gateway, id and cents of the payment."""
    import httpx

    deps = Deps.model_validate(ctx.deps)
    order = {"reference": invoice.number, "iban": invoice.iban, "cents": invoice.cents}
    headers = {"Authorization": f"Bearer {deps.north.token.get_secret_value()}", "Idempotency-Key": key}
    async with httpx.AsyncClient(base_url=deps.north.url, timeout=deps.seconds) as client:
        try:
            answer = await client.post("/payments", json=order, headers=headers)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise Unavailable(f"North cannot be reached: {type(error).__name__}") from None
    if answer.status_code == 402:
        raise Refused(f"North declines: {answer.json()['error']}")
    answer.raise_for_status()
    return {"gateway": "north", "id": answer.json()["id"], "cents": answer.json()["cents"]}
