"""Events out of the records of a ledger: the one place where a record becomes what it recorded."""

from collections.abc import Iterable

from orchestrator.core.events import Event, from_body
from orchestrator.store.protocol import Record

from .writes import CLOSED


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


__all__ = ["event_of", "events_of", "readable_event"]
