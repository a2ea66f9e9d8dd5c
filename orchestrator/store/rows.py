"""What every store does alike with what it is given."""

import json
import logging
import math
from dataclasses import replace
from typing import Final

from orchestrator.errors import StoreError

from .base import Problem, RunRow
from .body import encode
from .chain import GENESIS

LOG: Final = logging.getLogger("orchestrator.store")
_LONGEST_ID: Final = 200


def fresh_row(row: RunRow) -> RunRow:
    """The row of a run that begins: an empty ledger, and text that any database can hold.

    Raises:
        StoreError: the run's id cannot be used.
    """
    if not 0 < len(row.run_id) <= _LONGEST_ID or plain_text(row.run_id) != row.run_id:
        raise StoreError(f"{row.run_id[:50]!r} cannot be a run's id: give 1 to {_LONGEST_ID} characters of plain text")
    return replace(
        row,
        parent=None if row.parent is None else plain_text(row.parent),
        goal=plain_text(row.goal),
        policy=plain_text(row.policy),
        trace_id=plain_text(row.trace_id),
        started=moment(row.started),
        summary=json.loads(encode(row.summary)[0]),
        head=GENESIS,
        count=0,
        ended=None,
    )


def same_run(one: RunRow, other: RunRow) -> bool:
    """Whether both were begun by the same call, which may have been tried twice."""
    facts = [(row.started, row.parent, row.goal, row.policy, row.trace_id) for row in (one, other)]
    return facts[0] == facts[1]


def tell(on_problem: Problem, problem: str) -> None:
    """Tell of a problem; a handler that fails is logged and changes nothing."""
    try:
        on_problem(problem)
    except Exception:
        LOG.exception("the handler of store problems failed on: %s", problem)


def moment(at: float) -> float:
    """A time that JSON can hold."""
    return float(at) if math.isfinite(at) else 0.0


def plain_text(text: str) -> str:
    """Text without what some database refuses: lone surrogates and NUL are written as escapes."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def search_text(row: RunRow) -> str:
    """What a search of runs looks through, in lower case."""
    return plain_text("\n".join((row.run_id, row.goal, row.policy, row.trace_id)).lower())


def needle(search: str) -> str:
    """What is looked for, as `search_text` is written."""
    return plain_text(search.lower())
