"""What every store does alike with a run's row before it keeps it."""

import json
from dataclasses import replace

from .base import RunRow
from .body import encode, normal
from .chain import GENESIS


def fresh_row(row: RunRow) -> RunRow:
    """The row of a run that begins: an empty ledger, and text that any database can hold."""
    return replace(
        row,
        parent=None if row.parent is None else plain_text(row.parent),
        goal=plain_text(row.goal),
        policy=plain_text(row.policy),
        trace_id=plain_text(row.trace_id),
        started=float(row.started),
        summary=json.loads(normal(encode(row.summary)[0])),
        head=GENESIS,
        count=0,
        ended=None,
    )


def plain_text(text: str) -> str:
    """Text without what some database refuses: lone surrogates and NUL are written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def search_text(row: RunRow) -> str:
    """What a search of runs looks through, in lower case."""
    return plain_text("\n".join((row.run_id, row.goal, row.policy, row.trace_id)).lower())


def needle(search: str) -> str:
    """What is looked for, as `search_text` is written."""
    return plain_text(search.lower())
