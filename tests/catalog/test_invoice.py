"""The invoice example: every scene as it is played, and every pair of faults: charged once, or not at all."""

import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from examples.invoice.run import INVOICE, SCENES, office
from orchestrator import FailureKind, Status

FAULTS = ("", "busy", "decline", "silent", "die")


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
async def test_a_scene(scene: Callable[[], Awaitable[None]], capsys: pytest.CaptureFixture[str]) -> None:
    await scene()
    assert "charged: north" in capsys.readouterr().out


@pytest.mark.parametrize(("north", "south"), list(itertools.product(FAULTS, FAULTS)))
async def test_whatever_the_gateways_do_nobody_is_charged_twice(north: str, south: str) -> None:
    """Both gateways fail in the same way for ever."""
    async with office(seconds=0.1) as it:
        it.north.faults = [north] * 9
        it.south.faults = [south] * 9
        outcome = await it.pay()
        assert it.charges <= 1
        if outcome.status is Status.REACHED:
            assert (it.charges, len(it.booked), len(it.mailbox.mails)) == (1, 1, 1)
        else:
            assert outcome.status is Status.WAITING
            assert (it.booked, it.mailbox.mails) == ([], [])
        if it.charges and not it.booked:
            assert outcome.impasse is not None
            assert outcome.impasse.kind == "ambiguous"


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ("Total:    1,248.50", "Total:    1,248.51", "differs from order [redacted]: cents"),
        ("DE02 1203", "DE03 1203", "differs from order [redacted]: iban"),
        ("Supplier: Holm", "Supplier: Helm", "differs from order [redacted]: supplier"),
        ("B-207", "B-999", "there is no order [redacted]"),
        ("Total:", "Sum:", "has no readable total"),
        ("Total:    1,248.50 EUR", "Total:    much", "has no readable total"),
        ("Mail:", "Phone:", "has no readable mail"),
    ],
)
async def test_an_invoice_that_is_not_right_is_refused_before_anybody_pays(
    tmp_path: Path, right: str, wrong: str, told: str
) -> None:
    text = INVOICE.read_text(encoding="utf-8")
    assert right in text
    async with office() as it:
        invoice = tmp_path / "invoice.txt"
        invoice.write_text(text.replace(right, wrong), encoding="utf-8")
        outcome = await it.pay(invoice)
        assert outcome.failures[-1].kind is FailureKind.REFUSAL
        assert outcome.failures[-1].message.endswith(told)
        assert it.north.requests + it.south.requests == 0


async def test_the_project_knows_no_secrets() -> None:
    async with office() as it:
        outcome = await it.pay()
        assert "test-token" not in repr(outcome)
