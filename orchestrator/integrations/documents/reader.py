"""The decorator of document readers: kinds of documents, price by size, limits, and the facts reported with the
text.
"""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from orchestrator.core.enums import FailureKind
from orchestrator.core.errors import WorkerCrashed
from orchestrator.graph.tool import Tool, tool

from .plausible import check_readable


class Reading(BaseModel):
    """Facts about a document besides its text."""

    title: str | None = None
    """From the document's metadata, unchanged; `None` if there is none."""
    heading: str | None = None
    """The visible title: the first heading, or the largest line of the first page."""
    pages: int | None = None
    notes: list[str] = []
    """Notes about what could not be read or was left out, a sentence each."""
    partial: bool = False
    """Whether a limit was reached, so that the text is only the beginning of the document."""


MEGABYTE: Final = 1_000_000
TIMEOUT: Final = 300
"""Time limit of one document in seconds."""
CRASHES_OF_DOCUMENTS: Final = 3
"""Crashes in a row that count as the documents' fault; after more, the reader itself counts as broken."""


def reader(
    name: str,
    *kinds: str,
    seconds: float,
    per_megabyte: float = 0.0,
    memory: float | None = 1500,
    available: Callable[[], bool] | None = None,
    **options: Any,
) -> Callable[[Callable[..., dict[str, Any]]], Tool]:
    """A decorator: the tool `name`, which reads documents of these `kinds` and gives `text` and `reading`.

    Its declared latency is `seconds` plus `per_megabyte` for each megabyte; the price uses it instead of measured
    times, so that load and earlier documents do not change the route. It runs in a worker process with at most `memory`
    MB more; `None` for a fast reader in pure Python. `available` returns whether its dependencies are installed.
    """
    process = {} if memory is None else {"isolation": "process", "memory": memory}
    given: dict[str, Any] = {"timeout": TIMEOUT, "retries": 0, **process, **options}
    return tool(
        name=name,
        gives=("text", "reading"),
        when=for_kinds(kinds, available),
        ensure=is_readable,
        latency=by_size(seconds, per_megabyte),
        classify=fault_of_document,
        **given,
    )


def for_kinds(kinds: Collection[str], available: Callable[[], bool] | None = None) -> Callable[[str], bool]:
    """A condition: the document is of one of these kinds, and the reader is available."""

    def is_of_kind(kind: str) -> bool:
        return kind in kinds and (available is None or available())

    return is_of_kind


def by_size(seconds: float, per_megabyte: float) -> Callable[..., float]:
    """A function that returns the expected seconds for a document; without a document, those for a small one."""

    def seconds_for(document: Path | None = None) -> float:
        try:
            size = document.stat().st_size if document is not None else 0
        except (OSError, ValueError):
            size = 0
        return seconds + per_megabyte * size / MEGABYTE

    return seconds_for


def is_readable(output: dict[str, Any]) -> None:
    """Raise `Refused` for a text without words or a garbled one."""
    check_readable(output["text"])


def fault_of_document(error: BaseException) -> FailureKind | None:
    """A refusal for a crash of native code or a lack of memory; `None` if the reader never succeeds.

    A damaged document may crash a parser that reads all others; the worker process is replaced afterwards.
    """
    if isinstance(error, WorkerCrashed | MemoryError):
        return FailureKind.REFUSAL if getattr(error, "in_a_row", 1) <= CRASHES_OF_DOCUMENTS else None
    return None
