"""Which runs of a store are meant: by status, label, time, tool, failure class; the options that commands share."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from orchestrator.core.enums import FailureKind, Status
from orchestrator.core.errors import InputError, nearest
from orchestrator.core.text import plain
from orchestrator.observability.run_filter import RunFilter, read_time

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


__all__ = ["Labels", "RunFilter", "Since", "Until", "read_failure", "read_labels", "read_status", "read_time"]
