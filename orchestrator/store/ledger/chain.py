"""The hashes of the ledger: canonical JSON, the link from record to record, the digest of a run's row.

SHA-256 (FIPS 180-4) over canonical JSON in the manner of RFC 8785: keys sorted, no spaces, UTF-8. Numbers are written
as Python writes them (`repr`), which reads back exactly.
"""

import json
from collections.abc import Mapping
from hashlib import sha256
from json.encoder import encode_basestring as _quoted
from math import isfinite
from typing import Any, Final

from orchestrator.store.rows import RunRow

GENESIS: Final = "0" * 64
"""The previous hash of the first record of a run and of the first seal of a store."""

_ENCODER: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical(body: object) -> bytes:
    """Canonical JSON; keys must be strings.

    Raises:
        ValueError: a number is not finite, or the body contains itself.
        TypeError: something in it is no JSON.
    """
    # A lone surrogate has no UTF-8 encoding; as an escape it is valid JSON and is read back unchanged.
    return _ENCODER.encode(body).encode("utf-8", "backslashreplace")


def canonical_text(body: object) -> str:
    """The same as text."""
    text = _ENCODER.encode(body)
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def link(prev: str, run_id: str, seq: int, kind: str, at: float, body: Mapping[str, Any]) -> str:
    """The hash of a record: over the previous hash and all its fields."""
    return link_text(prev, run_id, seq, kind, at, canonical_text(body))


def link_text(prev: str, run_id: str, seq: int, kind: str, at: float, text: str) -> str:
    """The same, of a body that is canonical JSON text already."""
    if type(at) is float and isfinite(at):  # as nearly always: the same bytes, put together in a quarter of the time
        head = f"[{_quoted(prev)},{_quoted(run_id)},{seq:d},{_quoted(kind)},{at!r}".encode("utf-8", "backslashreplace")
    else:
        head = canonical([prev, run_id, seq, kind, at])[:-1]
    return sha256(head + b"," + text.encode() + b"]").hexdigest()


def seal_link(prev: str, n: int, run_id: str, head: str, lane: int = 0) -> str:
    """The hash of a seal; includes the lane if there are several."""
    return sha256(canonical([prev, n, run_id, head, *([lane] if lane else [])])).hexdigest()


def row_digest(row: RunRow) -> str:
    """The hash of a run's row without head and count, which its closing record contains."""
    facts = [row.run_id, row.parent, row.goal, str(row.status), row.policy, row.started, row.ended, row.trace_id]
    labels = [dict(row.labels)] if row.labels else []  # runs of versions without labels keep their digest
    return sha256(canonical([*facts, row.summary, *labels])).hexdigest()
