"""Rows of a failure table that projects and tools add, and errors that are told in words."""

from typing import Any

import pytest

from orchestrator.core.enums import FailureKind
from orchestrator.errors import (
    CallerError,
    DefinitionError,
    RateLimited,
    Refused,
    Unavailable,
)
from orchestrator.health.failures.classify import (
    FailureTable,
    classify,
    counts_for_health,
    no_error_text,
    retryable,
)
from tests.health.failures.errors import READ, WRITE, Unlisted, a_tool

TRANSIENT, OUTAGE, INVALID = FailureKind.TRANSIENT, FailureKind.OUTAGE, FailureKind.INVALID_OUTPUT
REFUSAL, CALLER = FailureKind.REFUSAL, FailureKind.CALLER_ERROR
AMBIGUOUS, BUG, ACCOUNT = FailureKind.AMBIGUOUS, FailureKind.BUG, FailureKind.ACCOUNT


class CardDeclined(Exception):
    """A payment library's no."""


def test_a_project_adds_rows_by_type_name_and_predicate() -> None:
    table = FailureTable(
        [
            (lambda error: "maintenance" in str(error), OUTAGE),
            (f"{__name__.split('.')[0]}.Unlisted", TRANSIENT),
            (CardDeclined, "refusal"),
        ]
    )
    assert classify(CardDeclined(), READ, started=True, table=table) is REFUSAL
    assert classify(Unlisted("x"), READ, started=True, table=table) is TRANSIENT
    assert classify(KeyError("maintenance"), READ, started=True, table=table) is OUTAGE
    assert classify(KeyError("else"), READ, started=True, table=table) is BUG


def test_rows_are_asked_in_order_and_may_pass() -> None:
    table = FailureTable([(KeyError, lambda error: None), (KeyError, "refusal"), (KeyError, "outage")])
    assert classify(KeyError(), READ, started=True, table=table) is REFUSAL


def test_a_row_that_breaks_says_nothing() -> None:
    def broken(error: BaseException) -> bool:
        raise RuntimeError("my own bug")

    assert classify(KeyError(), READ, started=True, table=FailureTable([(broken, "refusal")])) is BUG
    assert classify(KeyError(), a_tool(classify_=lambda error: "nonsense"), started=True) is BUG


def test_the_tools_own_row_comes_first() -> None:
    declined = a_tool("write", lambda error: "refusal" if isinstance(error, CardDeclined) else None)
    table = FailureTable([(CardDeclined, "bug")])
    assert classify(CardDeclined(), declined, started=True, table=table) is REFUSAL
    assert classify(KeyError(), declined, started=True, table=table) is AMBIGUOUS


def test_what_rows_may_say_of_a_write() -> None:
    def by_table(kind: str) -> FailureKind:
        return classify(CardDeclined(), WRITE, started=True, table=FailureTable([(CardDeclined, kind)]))

    assert [by_table(kind) for kind in ("refusal", "caller_error")] == [REFUSAL, CALLER]
    assert [by_table(kind) for kind in ("transient", "outage", "bug", "invalid_output")] == [AMBIGUOUS] * 4
    assert classify(CardDeclined(), a_tool("write", lambda error: "outage"), started=True) is OUTAGE
    assert classify(CardDeclined(), a_tool("write", lambda error: "transient"), started=True) is AMBIGUOUS
    assert classify(Refused("x"), a_tool("write", lambda error: "ambiguous"), started=True) is AMBIGUOUS


@pytest.mark.parametrize(
    ("match", "kind", "words"),
    [(CardDeclined, "fatal", "fatal"), ("CardDeclined", "refusal", "package.Class"), (7, "refusal", "7")],
)
def test_rows_that_make_no_sense(match: Any, kind: Any, words: str) -> None:
    with pytest.raises(DefinitionError, match=words):
        FailureTable([(match, kind)])


def test_what_kinds_mean() -> None:
    assert [kind for kind in FailureKind if retryable(kind)] == [TRANSIENT]
    assert [kind for kind in FailureKind if not counts_for_health(kind)] == [REFUSAL, CALLER]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("Error: not enough seats on flight HAT229", Refused),
        ("Error: flight HAT030 not available on date 2024-05-13", Refused),
        ("Error: payment method not found", Refused),
        ("Error: rate limit exceeded", RateLimited),
        ("error: 503 service unavailable", Unavailable),
        ("Error: the request timed out", TimeoutError),
        ("Error: missing required argument 'user_id'", CallerError),
        ("Exception: permission denied", CallerError),
    ],
)
def test_errors_in_words(text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        no_error_text(text)


@pytest.mark.parametrize("output", ["Errors were made", "[]", "255.0", {"error": 1}, 7, None])
def test_other_outputs_are_no_errors(output: Any) -> None:
    assert no_error_text(output) is True
