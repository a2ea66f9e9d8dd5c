"""Impasses to ask about, shared by the tests of escalation."""

from typing import Any

from hypothesis import strategies as st

from orchestrator.core.route import Blame, Impasse, LesserGoal
from orchestrator.errors import InvalidOutput


def no_route(**changes: Any) -> Impasse:
    """A run that cannot get its label: the carrier is down, a quote is still within reach."""
    given: dict[str, Any] = {
        "goal": ("label",),
        "unreachable": ("label",),
        "blame": (Blame("buy_label", "open circuit", "503 from the carrier"), Blame("print_label", "refused")),
        "offers": (LesserGoal(("quote",), 0.002, ("rate_table",)), LesserGoal(("eta",), None)),
        "at_hand": {"parcel": "Parcel", "address": "Address (120 bytes)"},
        "providable": ("cost_center",),
        "budget_left": {"usd": 1.5, "seconds": 120.0},
        "run_id": "run-1",
    }
    return Impasse(**{**given, **changes})


def approval() -> Impasse:
    """A step that a person must approve."""
    return Impasse(
        ("refund",), (), (), kind="approval", question="Approve the refund of 900 USD?", subject="pay", run_id="run-2"
    )


def ambiguous() -> Impasse:
    """A write that may have happened."""
    return no_route(kind="ambiguous", subject="buy_label", effects={"buy_label": "uncertain"})


def asked_by_tool() -> Impasse:
    """A tool's own question."""
    return Impasse(("report",), (), (), kind="question", question="Which year?", subject="make_report")


def typed(key: str, value: Any) -> Any:
    """What a run would lend as `validate`: `cost_center` is a whole number, `label` is text."""
    if key == "cost_center":
        try:
            return int(value)
        except (TypeError, ValueError):
            raise InvalidOutput("cost_center is no int: it cannot be read as a whole number") from None
    if key == "label" and not isinstance(value, str):
        raise InvalidOutput("label is no str")
    return value


_LIMIT_NAMES: st.SearchStrategy[str] = st.sampled_from(("usd", "seconds", "calls"))
KINDS = ("no_route", "ambiguous", "approval", "budget", "question", "progress", "cancelled")
NAMES: st.SearchStrategy[str] = st.sampled_from(("a", "b", "c", "pay", "ship", "label"))
_NAME_LISTS = st.lists(NAMES, max_size=3, unique=True).map(tuple)


@st.composite
def impasses(draw: st.DrawFn) -> Impasse:
    """Any impasse over a handful of names."""
    prices = st.one_of(st.none(), st.floats(0, 100))
    offers = tuple(LesserGoal((name,), draw(prices)) for name in draw(_NAME_LISTS))
    return Impasse(
        goal=draw(st.lists(NAMES, min_size=1, max_size=2, unique=True).map(tuple)),
        unreachable=draw(_NAME_LISTS),
        blame=tuple(Blame(name, "down") for name in draw(_NAME_LISTS)),
        kind=draw(st.sampled_from(KINDS)),
        offers=offers,
        at_hand=draw(st.dictionaries(NAMES, st.just("str"), max_size=2)),
        providable=draw(_NAME_LISTS),
        budget_left=draw(st.dictionaries(_LIMIT_NAMES, st.floats(0, 1000), max_size=3)),
        subject=draw(st.one_of(st.none(), NAMES)),
    )
