"""Options that several commands share, and the parsing of those that select runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from orchestrator.core.enums import FailureKind, Status
from orchestrator.core.errors import InputError, nearest
from orchestrator.core.text import plain

from . import completion, invocation

if TYPE_CHECKING:
    from orchestrator.engine.options import Preferences

DEFAULT_STORE: Final = invocation.DEFAULT_STORE
DEFAULT_POLICY: Final = invocation.DEFAULT_POLICY

ProjectOption = Annotated[
    Path | None,
    typer.Option(
        "--project",
        metavar="DIR",
        envvar="ORCHESTRATOR_PROJECT",
        help="A project folder; loading it runs its code. Default: the shipped catalogue.",
    ),
]
PolicyOption = Annotated[
    str,
    typer.Option(
        "--policy",
        metavar="NAME",
        envvar="ORCHESTRATOR_POLICY",
        help="A policy by name, or a path ending in .toml.",
        autocompletion=completion.policies,
    ),
]
StoreOption = Annotated[
    str,
    typer.Option(
        "--store", metavar="PATH", envvar="ORCHESTRATOR_STORE", help="Where runs are kept: a file or a database URL."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON for programs instead of text for people.")]
GoalArgument = Annotated[
    str,
    typer.Argument(
        metavar="GOAL",
        help="The key that is wanted; several are joined by `+`.",
        show_default=False,
        autocompletion=completion.goals,
    ),
]
Inputs = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="What is given.", show_default=False, autocompletion=completion.inputs),
]
RunArgument = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A run by id, by the beginning of its id, or `last`.",
        show_default=False,
        autocompletion=completion.runs,
    ),
]
DemoteOption = Annotated[
    list[str] | None,
    typer.Option("--demote", metavar="GOAL", help="A lesser goal that would do; best first.", show_default=False),
]
Dial = Annotated[
    float | None,
    typer.Option(
        "--dial",
        metavar="0..1",
        help="How much the quality of agents is worth: 0 is cheapest, 1 best.",
        show_default=False,
    ),
]
Trust = Annotated[
    list[str] | None,
    typer.Option("--trust", metavar="DOMAIN", help="Use only agents of these trust domains.", show_default=False),
]
Stays = Annotated[bool, typer.Option("--data-stays", help="Use no agent that lets data leave this machine.")]
MaxCost = Annotated[
    float | None,
    typer.Option("--max-cost", metavar="USD", help="Use no agent whose call costs more.", show_default=False),
]


def preferences(dial: float | None, trust: list[str] | None, *, stays: bool, max_cost: float | None) -> "Preferences":
    """The preferences for the selection of agents. Raises `InputError` for an invalid dial or cost."""
    from orchestrator.core.policy import Policy
    from orchestrator.selection import Constraints, dialled  # here: it imports numpy, which few commands need

    dialled(Policy(), dial)
    limits = Constraints(trust=trust or None, data_may_leave=not stays, max_cost=max_cost)
    return {"dial": dial, "constraints": None if limits == Constraints() else limits}


Labels = Annotated[
    list[str] | None,
    typer.Option("--label", metavar="KEY=VALUE", help="Only runs with this label; given twice: with both."),
]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="WHEN", help="Only runs begun since 2026-11-29T08:00, 90min, 7d."),
]
Until = Annotated[str | None, typer.Option("--until", metavar="WHEN", help="Only runs begun before; as --since.")]


def read_labels(words: Sequence[str] | None) -> dict[str, str]:
    """`KEY=VALUE` words as labels. Raises `InputError` for anything else."""
    found: dict[str, str] = {}
    for word in words or ():
        key, equals, value = word.partition("=")
        if not key.strip() or not equals:
            raise InputError(f"A label is written KEY=VALUE, not {plain(word, 60)!r}.")
        found[key.strip()] = value
    return found


def read_status(text: str | None) -> Status | None:
    """A status by name. Raises `InputError` for an unknown one."""
    return None if text is None else _member(Status, text, "status")


def read_failure(text: str | None) -> FailureKind | None:
    """A failure class by name. Raises `InputError` for an unknown one."""
    return None if text is None else _member(FailureKind, text.replace(" ", "_"), "failure class")


def _member(kind: Any, text: str, what: str) -> Any:
    try:
        return kind(text.lower())
    except ValueError:
        known = [str(each) for each in kind]
        hint = nearest(text, known)
        raise InputError(f"There is no {what} {plain(text, 40)!r}.{hint} Known: {', '.join(known)}.") from None
