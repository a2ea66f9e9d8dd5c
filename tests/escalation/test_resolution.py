"""The closed set of answers, and its JSON."""

from datetime import date
from typing import Any

import pytest
from pydantic import BaseModel

from orchestrator.core.goal import Goal
from orchestrator.errors import InputError
from orchestrator.escalation import Resolution, ResolutionKind

EVERY = (
    Resolution.demote("quote"),
    Resolution.demote(Goal(["quote", "eta"]), "better than nothing"),
    Resolution.provide("year", 2026),
    Resolution.wait("carrier", 12.5),
    Resolution.approve("refund"),
    Resolution.allow("carrier"),
    Resolution.stop("no use"),
    Resolution.replan("a tool was added"),
    Resolution.raise_budget(usd=2.5, seconds=60, calls=3),
)


def test_every_kind_has_a_constructor_of_its_name() -> None:
    assert {resolution.kind for resolution in EVERY} == set(ResolutionKind)
    assert all(callable(getattr(Resolution, kind)) for kind in ResolutionKind)


@pytest.mark.parametrize("resolution", EVERY, ids=str)
def test_json_round_trip(resolution: Resolution) -> None:
    assert Resolution.from_json(resolution.to_json()) == resolution


def test_who_and_when_travel_but_do_not_make_a_difference() -> None:
    resolution = Resolution.stop().answered("ann", 12.0)
    again = Resolution.from_json(resolution.to_json())
    assert (again.by, again.at) == ("ann", 12.0)
    assert again == Resolution.stop()


class Rate(BaseModel):
    usd: float
    day: date


def test_models_become_plain_data() -> None:
    data = Resolution.provide("rate", Rate(usd=1.5, day=date(2026, 3, 1))).to_json()
    assert data == {"kind": "provide", "key": "rate", "value": {"usd": 1.5, "day": "2026-03-01"}}


def test_a_record_without_content_holds_no_value() -> None:
    data = Resolution.provide("pin", "1234").to_json(content=False)
    assert data == {"kind": "provide", "key": "pin"}
    assert "1234" not in Resolution.provide("pin", "1234").text


def test_a_value_that_is_no_data_is_named() -> None:
    with pytest.raises(InputError, match="'handle' is a object"):
        Resolution.provide("handle", object()).to_json()


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"kind": "approve_everything"},
        {"kind": None},
        {"kind": "demote", "goal": 3},
        {"kind": "stop", "and": "refund"},
        {"kind": "wait", "tool": 3, "seconds": 1},
        {"kind": "stop", "message": ["x"]},
    ],
    ids=str,
)
def test_nonsense_is_refused_with_the_kinds_that_there_are(data: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="demote, provide, wait, approve, allow, stop, raise_budget"):
        Resolution.from_json(data)
