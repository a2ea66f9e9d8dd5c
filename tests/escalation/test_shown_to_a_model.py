"""What a model is shown of a run: nothing planted that nobody allowed, whatever tools and errors quote."""

import json
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from orchestrator import Goal, Orchestrator, Refused, Status
from orchestrator.core.privacy.redaction import FAILED
from orchestrator.escalation import AskModel, RungContext, climb
from orchestrator.graph.tool import Tool
from orchestrator.observability import tracing
from tests.escalation.impasses import no_route
from tests.escalation.openai_server import chooses, serving

IBAN = "DE02120300000000202051"
CARD = "4111-1111-1111-1111"
TOKEN = "tok-4f9a31c07be2"
SECRETS = (IBAN, CARD, TOKEN)


class Customer(BaseModel):
    name: str
    iban: str
    token: SecretStr = SecretStr(TOKEN)


def look_up(customer: Customer) -> str:
    return CARD


def pay(card: str, customer: Customer) -> str:
    raise Refused(f"card {card} of {customer.name} with {customer.iban} was declined")


def masked(key: str, value: Any) -> Any:
    """A hook as people write them."""
    return value.model_copy(update={"iban": "***"}) if isinstance(value, Customer) else "***"


async def seen(**options: Any) -> tuple[str, Any]:
    """Everything that a model was sent in a run full of secrets, and the run's outcome."""
    with serving(chooses(2)) as server:
        tools = [Tool(look_up, gives="card"), Tool(pay, gives="receipt")]
        async with Orchestrator(tools, escalation=[AskModel(server.model(), **options)]) as orc:
            customer = Customer(name="Ann Example", iban=IBAN)
            outcome = await orc.run(Goal("receipt"), {"customer": customer})
        assert len(server.requests) == 1
        return json.dumps(server.requests, ensure_ascii=False), outcome


async def test_by_default_a_model_sees_no_value_not_even_in_an_error() -> None:
    sent, outcome = await seen()
    assert outcome.status is Status.ESCALATED
    assert "was declined" in sent
    assert not [secret for secret in (*SECRETS, "Ann Example") if secret in sent]


async def test_what_was_allowed_passes_through_the_hook() -> None:
    sent, _ = await seen(contents=True, redact=masked)
    assert "Ann Example" in sent.rpartition("contents")[2]
    assert not [secret for secret in SECRETS if secret in sent]


async def test_without_a_hook_what_was_allowed_is_shown_and_nothing_else() -> None:
    sent, _ = await seen(contents="customer")
    assert IBAN in sent
    assert CARD not in sent
    assert TOKEN not in sent  # a secret of pydantic's stays one


async def test_the_hook_of_the_spans_holds_for_prompts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    tracing.setup(capture_content=False, redact=masked)
    try:
        sent, _ = await seen(contents=True)
        assert not [secret for secret in SECRETS if secret in sent]
        own, _ = await seen(contents=("customer",), redact=lambda key, value: "something")
        assert "something" in own and "***" not in own
    finally:
        tracing.setup()


async def test_a_hook_that_fails_shows_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def broken(key: str, value: Any) -> Any:
        raise ValueError(f"cannot read {value}")

    sent, _ = await seen(contents=True, redact=broken)
    assert FAILED in sent
    assert not [secret for secret in SECRETS if secret in sent + caplog.text]


async def test_a_value_that_cannot_be_written_is_named_by_its_type() -> None:
    with serving(chooses(5)) as server:
        means = RungContext(contents={"handle": object(), "deep": {"inner": object()}})
        await climb([AskModel(server.model(), contents=True)], no_route(), means=means)
        assert '"handle": "\\"object\\""' in server.prompts[0]
        assert "0x" not in server.prompts[0]
