"""Functions among a tool's options that could never be called: an error where they are declared."""

from functools import partial
from typing import Any

import pytest

from orchestrator import DefinitionError, RunContext, Tool


def pay(amount: float, note: str = "") -> str:
    return f"{amount} {note}"


def keyed(amount: float, key: str) -> str:
    return f"{amount} {key}"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"ensure": lambda: True}, "ensure is called with the output, and takes none here"),
        ({"ensure": lambda a, b: True}, "ensure is called with the output alone, and needs 'b' here"),
        ({"compensate": lambda: None}, "compensate is called with the output, and takes none here"),
        ({"compensate": lambda out, key: None}, "compensate is called with the output alone, and needs 'key' here"),
        ({"when": lambda amuont: True}, r"by name \(amount, note\), and needs 'amuont' here. Did you mean 'amount'\?"),
        ({"approval": lambda sum: True}, "approval is called with inputs"),
        ({"reconcile": lambda amount, key: 1}, "reconcile is called with inputs .* needs 'key'"),
        ({"health_check": lambda server: True}, "health_check is called with nothing, and needs 'server' here"),
    ],
)
def test_a_function_that_cannot_be_called_is_told_where_it_is_declared(options: dict[str, Any], said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        Tool(pay, effect="write", **options)


def undo(output: str, ctx: RunContext) -> None:
    del output, ctx


@pytest.mark.parametrize(
    "options",
    [
        {"ensure": bool},
        {"ensure": lambda output, strict=True: True},
        {"ensure": lambda *outputs: True},
        {"ensure": partial(lambda limit, output: True, 3)},
        {"when": lambda **inputs: True},
        {"when": lambda: True},
        {"when": lambda amount: True, "approval": lambda note="": True, "reconcile": lambda amount, note: 1},
        {"compensate": undo},
        {"health_check": lambda timeout=3: True},
    ],
)
def test_what_can_be_called_is_taken(options: dict[str, Any]) -> None:
    assert Tool(pay, effect="write", **options).name == "pay"


def test_the_idempotency_key_is_given_to_functions_that_take_it() -> None:
    made = Tool(
        keyed,
        effect="write",
        idempotency_key="key",
        compensate=lambda output, key: None,
        reconcile=lambda amount, key: 1,
    )
    assert made.idempotency_key == "key"
