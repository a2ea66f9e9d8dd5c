"""Encodes record bodies as canonical JSON text of limited size, decodes them, and reads records as events."""

import json
import logging
import math
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from orchestrator.core.errors import StoreError
from orchestrator.core.event_records import from_body
from orchestrator.core.events import Event
from orchestrator.store.protocol import OnProblem
from orchestrator.store.rows import Record, RunRow

from .chain import canonical_text

CLOSED: Final = "closed"
"""The kind of the closing record."""

LIMIT: Final = 256 * 1024
"""Maximum bytes of a record's body; longer ones have their strings cut."""

NOTE: Final = "_truncated"
"""The key of the note in a body that was cut."""

UNREADABLE: Final = "_unreadable"
"""The key of a stored text that is no canonical JSON object."""

_DEPTH: Final = 60
_CONTAINERS: Final = (dict, list, tuple)
_ONLY_TEXT: Final = frozenset({str})
_SIMPLE: Final = frozenset({str, int, float, bool, type(None)})


def encode_body(body: Mapping[str, Any], limit: int | None = LIMIT) -> tuple[str, str | None]:
    """Canonical JSON text of at most `limit` bytes, and what had to be left out (`None`: nothing).

    The text reads back as itself: `canonical_text(json.loads(text)) == text`, which is what the hashes rely on.
    """
    try:
        text, problem = canonical_text(body), None  # which refuses what contains itself, so the next line ends
        if not _text_keys(body):
            raise TypeError("a key is no text")
    except (TypeError, ValueError, RecursionError, AttributeError):
        text, problem = _encode_plain(body)
    if "\\ud" in text:
        text = normal(text)
    if limit is not None and len(text) * 4 > limit and len(text.encode()) > limit:
        return _cut(text, limit), f"a body of {len(text.encode())} bytes was cut to {limit}"
    return text, problem


def exact(what: str, data: Mapping[str, Any]) -> str:
    """Canonical JSON text of data that must be stored unchanged; `what` names it in the `StoreError` when that is
    impossible.
    """
    try:
        return normal(canonical_text(data))
    except (TypeError, ValueError, RecursionError, AttributeError) as error:
        raise StoreError(f"{what} is not JSON and cannot be stored: {error}") from error


def normal(text: str) -> str:
    """The text in the form that another round trip does not change: surrogate pairs are joined when read."""
    for _ in range(3):
        again = canonical_text(json.loads(text))
        if again == text:
            break
        text = again
    return text


def decode_body(text: object) -> dict[str, Any]:
    """The body of a stored text; a damaged or edited text is returned under `UNREADABLE`."""
    try:
        body = json.loads(cast("str", text))
        if isinstance(body, dict) and canonical_text(cast("object", body)) == text:
            return cast("dict[str, Any]", body)
    except (TypeError, ValueError, RecursionError):
        pass
    return {UNREADABLE: str(text)}


def _text_keys(thing: Any) -> bool:
    """Whether all keys are strings: number keys would sort differently when written and after reading."""
    waiting: list[Any] = [thing]
    for container in waiting:
        items = container
        if issubclass(type(container), dict):
            if not (_ONLY_TEXT.issuperset(map(type, container)) or all(isinstance(key, str) for key in container)):
                return False
            items = container.values()
        if not _SIMPLE.issuperset(map(type, items)):
            for item in items:
                if isinstance(item, _CONTAINERS):
                    waiting.append(item)
    return True


def _encode_plain(body: object) -> tuple[str, str | None]:
    left_out: list[str] = []
    plain = _plain(body, _DEPTH, left_out)
    if not isinstance(plain, dict):
        plain, left_out = {UNREADABLE: type(body).__name__}, [type(body).__name__]
    problem = f"JSON cannot hold {', '.join(sorted(set(left_out)))}; the name was kept instead" if left_out else None
    return canonical_text(cast("object", plain)), problem


def _plain(thing: object, depth: int, left_out: list[str]) -> object:
    """Any value as JSON data; a value without a JSON form becomes the name of its type, never its text, which may be
    private.
    """
    if thing is None or isinstance(thing, bool):
        return thing
    if isinstance(thing, str):
        return str(thing)
    if isinstance(thing, int):
        return int(thing) if abs(thing) < 10**300 else "a very large number"
    if isinstance(thing, float):
        return float(thing) if math.isfinite(thing) else str(float(thing))
    if depth and isinstance(thing, Mapping):
        items = cast("Mapping[object, object]", thing).items()
        return {_name(key): _plain(item, depth - 1, left_out) for key, item in items}
    if depth and isinstance(thing, list | tuple):
        return [_plain(item, depth - 1, left_out) for item in cast("list[object]", thing)]
    if depth and isinstance(thing, set | frozenset):
        items_of_set = [_plain(item, depth - 1, left_out) for item in cast("set[object]", thing)]
        return sorted(items_of_set, key=canonical_text)
    left_out.append(type(thing).__name__)
    return f"<{type(thing).__name__}>"


def _name(key: object) -> str:
    return key if isinstance(key, str) else str(key) if isinstance(key, int | float) else f"<{type(key).__name__}>"


def _cut(text: str, limit: int) -> str:
    """Shorten strings and lists until the body fits; at the end only the note is left."""
    body = json.loads(text)
    size = len(text.encode())
    for longest, most in ((8192, 10_000), (1024, 2_000), (256, 500), (64, 100)):
        note = f"{size} bytes; strings over {longest} characters and lists over {most} items were cut"
        shorter = canonical_text({**_shorten(body, longest, most), NOTE: note})
        if len(shorter.encode()) <= limit:
            return shorter
    return canonical_text({NOTE: f"{size} bytes; nothing of it was kept"})


def _shorten(thing: object, longest: int, most: int) -> Any:
    if isinstance(thing, str):
        return thing if len(thing) <= longest else thing[:longest] + "…"
    if isinstance(thing, list):
        return [_shorten(item, longest, most) for item in cast("list[object]", thing)[:most]]
    if isinstance(thing, dict):
        items = sorted(cast("dict[str, object]", thing).items())[:most]
        return {key[:longest]: _shorten(item, longest, most) for key, item in items}
    return thing


LOG: Final = logging.getLogger("orchestrator.store")


def same_run(one: RunRow, other: RunRow) -> bool:
    """Whether both rows were created by the same call, which may have been retried."""
    facts = [(row.started, row.parent, row.goal, row.policy, row.trace_id) for row in (one, other)]
    return facts[0] == facts[1]


def report_problem(on_problem: OnProblem, problem: str) -> None:
    """Call the problem handler; an error of the handler itself is logged."""
    try:
        on_problem(problem)
    except Exception:
        LOG.exception("the handler of store problems failed on: %s", problem)


def finite_time(at: float) -> float:
    """A time that JSON can hold."""
    return float(at) if math.isfinite(at) else 0.0


def plain_text(text: str) -> str:
    """Text that every database accepts: lone surrogates and NUL are escaped."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def search_text(row: RunRow) -> str:
    """The searchable text of a run, in lower case."""
    return plain_text("\n".join((row.run_id, row.goal, row.policy, row.trace_id)).lower())


def needle(search: str) -> str:
    """A search term in the form of `search_text`."""
    return plain_text(search.lower())


def event_of(record: Record) -> Event:
    """The event that a record holds. Raises `KeyError`, `ValueError` or `TypeError` for one that cannot be read."""
    return from_body(record.kind, record.run_id, record.at, record.body)


def readable_event(record: Record) -> Event | None:
    """The same; `None` for the closing record, and for one that was damaged."""
    try:
        return event_of(record)
    except (KeyError, ValueError, TypeError):
        return None


def events_of(records: Iterable[Record]) -> list[Event]:
    """The events of a run's records, without the closing one. Raises as `event_of` does."""
    return [event_of(record) for record in records if record.kind != CLOSED]
