"""What makes a function a reader of documents: kinds, price by size, limits, what it reports beside the text."""

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
    """What the document shows as its title: the first heading, or the largest line of the first page."""
    pages: int | None = None
    notes: list[str] = []
    """What could not be read or was left out, a sentence each."""
    partial: bool = False
    """Whether a limit was reached: the text is the beginning of the document."""


MEGABYTE: Final = 1_000_000
TIMEOUT: Final = 300
"""Seconds of one document."""
CRASHES_OF_DOCUMENTS: Final = 3
"""Crashes in a row that are taken for the documents' fault; with more of them the reader itself is broken."""


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

    It costs `seconds` for a small document and `per_megabyte` more for each megabyte, which the price uses in place of
    measured times, so that load and earlier documents change nothing. It runs in a worker process of at most `memory`
    MB more; `None` for what is quick and pure Python. `available` says whether what it needs is installed.
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
    """A condition: the document is of one of these kinds, and the reader is there to read it."""

    def is_of_kind(kind: str) -> bool:
        return kind in kinds and (available is None or available())

    return is_of_kind


def by_size(seconds: float, per_megabyte: float) -> Callable[..., float]:
    """A function of the document that gives the expected seconds; of no document: those of a small one."""

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
    """A refusal for a crash of native code and for a lack of memory; `None` where the reader never succeeds.

    A damaged document crashes a parser that reads every other one, and the worker process is a new one afterwards.
    """
    if isinstance(error, WorkerCrashed | MemoryError):
        return FailureKind.REFUSAL if getattr(error, "in_a_row", 1) <= CRASHES_OF_DOCUMENTS else None
    return None
