"""Events as the plain data of records, and back."""

from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from typing import Any, Final

from pydantic import TypeAdapter

from .events import (
    BudgetRaised,
    CallEnded,
    CallStarted,
    ChildDiscarded,
    ChildEnded,
    ConditionChecked,
    Decided,
    DemandTold,
    EffectUndone,
    Event,
    GoalLowered,
    GraphChanged,
    PartEnded,
    ProblemReported,
    Progressed,
    RunEnded,
    RungAsked,
    RunResumed,
    RunStarted,
    RunWaiting,
    SignalRaised,
    ToolAllowed,
    ToolExcluded,
    UserFunctionFailed,
    ValueProvided,
    ValuesExpired,
    WorkJudged,
)

EVENTS: Final[dict[str, type[Event]]] = {
    cls.__name__: cls
    for cls in (
        RunStarted,
        GraphChanged,
        Decided,
        ConditionChecked,
        CallStarted,
        CallEnded,
        ChildEnded,
        ChildDiscarded,
        PartEnded,
        UserFunctionFailed,
        ToolExcluded,
        ToolAllowed,
        ValueProvided,
        ValuesExpired,
        SignalRaised,
        RungAsked,
        DemandTold,
        GoalLowered,
        BudgetRaised,
        RunWaiting,
        RunResumed,
        EffectUndone,
        Progressed,
        ProblemReported,
        RunEnded,
        WorkJudged,
    )
}
"""Every event by its name, which is its records' kind."""


_OF_THE_ROW: Final = {"run_id", "at"}
"""Fields of an event that its record has in columns of their own."""


@cache
def _adapter(kind: str) -> TypeAdapter[Any]:
    return TypeAdapter(EVENTS[kind])


def to_body(event: Event) -> dict[str, Any]:
    """Plain data of an event, without run and time."""
    dump = _adapter(type(event).__name__).serializer.to_python
    body: dict[str, Any] = dump(event, mode="json", exclude=_OF_THE_ROW, exclude_defaults=True)
    return body


def from_body(kind: str, run_id: str, at: float, body: Mapping[str, Any]) -> Event:
    """The event that `to_body` wrote. Raises `KeyError` for a kind that is not known."""
    event: Event = _adapter(kind).validate_python({**body, "run_id": run_id, "at": at})
    return event


def unknown_fields(kind: str, body: Mapping[str, Any]) -> list[str]:
    """Fields of a record that its event does not have in this version, sorted; empty for an unknown kind."""
    event = EVENTS.get(kind)
    return [] if event is None else sorted(body.keys() - {each.name for each in fields(event)})
