"""The rules of who may answer what."""

import dataclasses
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.route import Impasse
from orchestrator.errors import DefinitionError
from orchestrator.escalation import (
    ANSWER,
    MODEL_RIGHTS,
    PERSON_RIGHTS,
    AskHuman,
    Demote,
    Hole,
    Resolution,
    ResolutionKind,
    admit,
    options_for,
    rights_of,
)
from tests.escalation.impasses import NAMES, ambiguous, approval, asked_by_tool, impasses, no_route, typed


def by_model(resolution: Resolution, impasse: Impasse) -> str | None:
    return admit(resolution, impasse, MODEL_RIGHTS, asked_by="ask_model", validate=typed)


def by_person(resolution: Resolution, impasse: Impasse) -> str | None:
    return admit(resolution, impasse, PERSON_RIGHTS, asked_by="ann", validate=typed)


@pytest.mark.parametrize(
    "resolution",
    [
        Resolution.demote("quote"),
        Resolution.provide("cost_center", 12),
        Resolution.provide("cost_center", "12"),
        Resolution.wait("buy_label", 120),
        Resolution.stop("no use"),
    ],
    ids=str,
)
def test_a_model_may(resolution: Resolution) -> None:
    assert by_model(resolution, no_route()) is None


@pytest.mark.parametrize(
    ("resolution", "reason"),
    [
        (Resolution.demote("eta"), "cannot be reached either"),
        (Resolution.demote("refund"), "no declared lesser goal"),
        (Resolution.demote(["quote", "eta"]), "no declared lesser goal"),
        (Resolution.provide("label", "x"), "no key to provide here"),
        (Resolution.provide("cost_center", "many"), "cost_center is no int"),
        (Resolution.wait("rate_table", 1), "not to blame"),
        (Resolution.wait("buy_label", 121), "at most 120"),
        (Resolution.wait("buy_label", 0), "positive number"),
        (Resolution.wait("buy_label", -1), "positive number"),
        (Resolution.wait("buy_label", math.nan), "positive number"),
        (Resolution.wait("buy_label", math.inf), "positive number"),
        (Resolution.approve("buy_label"), "no right to approve"),
        (Resolution.allow("buy_label"), "no right to allow"),
        (Resolution.raise_budget(usd=1), "no right to raise the budget"),
    ],
    ids=str,
)
def test_a_model_may_not(resolution: Resolution, reason: str) -> None:
    assert reason in (by_model(resolution, no_route()) or "admitted")


@pytest.mark.parametrize(
    "resolution",
    [
        Resolution.allow("buy_label"),
        Resolution.approve("print_label"),
        Resolution.provide("label", "by hand"),
        Resolution.raise_budget(usd=1, seconds=5.5),
    ],
    ids=str,
)
def test_a_person_may_more(resolution: Resolution) -> None:
    assert by_person(resolution, no_route()) is None


@pytest.mark.parametrize(
    ("resolution", "reason"),
    [
        (Resolution.allow("rate_table"), "not a tool that can be allowed"),
        (Resolution.approve("everything"), "not what is to be approved"),
        (Resolution.provide("parcel", 1), "no key to provide"),
        (Resolution.provide("label", 3), "label is no str"),
        (Resolution.raise_budget(), "says by how much"),
        (Resolution.raise_budget(calls=3), "no limit in calls"),
        (Resolution.raise_budget(usd=-3), "positive number of usd"),
        (Resolution.raise_budget(usd=math.inf), "positive number of usd"),
    ],
    ids=str,
)
def test_even_a_person_may_not(resolution: Resolution, reason: str) -> None:
    assert reason in (by_person(resolution, no_route()) or "admitted")


@pytest.mark.parametrize("make", [ambiguous, approval, asked_by_tool])
@pytest.mark.parametrize("kind", ResolutionKind)
def test_a_model_settles_nothing_that_a_person_must_see(make: Any, kind: ResolutionKind) -> None:
    impasse: Impasse = make()
    resolution = Resolution(
        kind, goal=("quote",), key="cost_center", value=1, tool="buy_label", what="pay", seconds=1.0, usd=1.0
    )
    assert by_model(resolution, impasse) is not None


@pytest.mark.parametrize(
    ("resolution", "admitted"),
    [
        (Resolution.allow("buy_label"), True),
        (Resolution.allow("print_label"), False),
        (Resolution.provide("label", "it arrived"), True),
        (Resolution.stop(), True),
        (Resolution.demote("quote"), False),
        (Resolution.wait("buy_label", 5), False),
        (Resolution.approve("buy_label"), False),
    ],
    ids=str,
)
def test_an_uncertain_effect_is_settled_by_what_happened(resolution: Resolution, admitted: bool) -> None:
    assert (by_person(resolution, ambiguous()) is None) == admitted


@pytest.mark.parametrize(
    ("resolution", "admitted"),
    [
        (Resolution.approve("pay"), True),
        (Resolution.allow("pay"), True),
        (Resolution.stop(), True),
        (Resolution.approve("ship"), False),
        (Resolution.demote("quote"), False),
    ],
    ids=str,
)
def test_an_approval_is_about_its_subject(resolution: Resolution, admitted: bool) -> None:
    assert (by_person(resolution, approval()) is None) == admitted


def test_a_question_takes_its_answer() -> None:
    assert by_person(Resolution.provide(ANSWER, 2026), asked_by_tool()) is None
    assert by_person(Resolution.provide("year", 2026), asked_by_tool()) is not None


def test_a_cancelled_run_can_only_stop() -> None:
    cancelled = no_route(kind="cancelled")
    assert by_person(Resolution.stop(), cancelled) is None
    assert by_person(Resolution.demote("quote"), cancelled) is not None


def test_the_order_of_a_goals_keys_does_not_matter() -> None:
    impasse = no_route(offers=(dataclasses.replace(no_route().offers[0], goal=("quote", "eta")),))
    assert by_model(Resolution.demote(["eta", "quote"]), impasse) is None


def test_an_unknown_kind_of_impasse_leaves_only_stop() -> None:
    strange = no_route(kind="from the future")
    assert by_person(Resolution.stop(), strange) is None
    assert by_person(Resolution.allow("buy_label"), strange) is not None


def test_a_foreign_error_of_the_validator_does_not_leak_the_value() -> None:
    def strict(key: str, value: Any) -> Any:
        raise ValueError(f"{value} is bad")

    reason = admit(Resolution.provide("label", "secret"), no_route(), PERSON_RIGHTS, asked_by="ann", validate=strict)
    assert reason == "the value for 'label' is refused (ValueError)"


def test_rights() -> None:
    async def own(impasse: Impasse) -> Resolution | None:
        return None

    assert rights_of(own) == PERSON_RIGHTS
    assert rights_of(AskHuman()) == PERSON_RIGHTS
    assert rights_of(Demote()) == {ResolutionKind.DEMOTE}
    own.rights = ("stop", "wait")  # type: ignore[attr-defined]  # pyright: ignore[reportFunctionMemberAccess]
    assert rights_of(own) == {ResolutionKind.STOP, ResolutionKind.WAIT}
    own.rights = ("everything",)  # type: ignore[attr-defined]  # pyright: ignore[reportFunctionMemberAccess]
    with pytest.raises(DefinitionError, match="rights of a rung"):
        rights_of(own)


NUMBERS = st.one_of(st.none(), st.floats(), st.integers(), st.booleans(), st.text(max_size=3))
RESOLUTIONS = st.builds(
    Resolution,
    st.sampled_from(ResolutionKind),
    goal=st.lists(NAMES, max_size=2).map(tuple),
    key=NAMES,
    value=NUMBERS,
    tool=NAMES,
    what=NAMES,
    seconds=NUMBERS,
    usd=NUMBERS,
    calls=NUMBERS,
)


@given(impasses(), RESOLUTIONS)
def test_what_a_model_is_admitted_is_harmless(impasse: Impasse, resolution: Resolution) -> None:
    """The rules of the design, written once more without the code's tables."""
    if admit(resolution, impasse, MODEL_RIGHTS, asked_by="ask_model") is not None:
        return
    assert impasse.kind not in ("ambiguous", "approval", "question")
    assert resolution.kind not in ("approve", "allow", "raise_budget")
    if resolution.kind == "demote":
        assert any(set(o.goal) == set(resolution.goal) and o.price is not None for o in impasse.offers)
    if resolution.kind == "provide":
        assert resolution.key in impasse.providable
    if resolution.kind == "wait":
        assert resolution.tool in impasse.tools
        assert resolution.seconds is not None
        assert 0 < resolution.seconds <= impasse.budget_left.get("seconds", 1e7)


@given(impasses(), st.sampled_from((MODEL_RIGHTS, PERSON_RIGHTS, frozenset({ResolutionKind.STOP}))))
def test_every_option_that_is_shown_is_admissible(impasse: Impasse, rights: frozenset[ResolutionKind]) -> None:
    options = options_for(impasse, rights)
    for option in options:
        longest = min(1.0, impasse.budget_left.get("seconds", 1.0))
        filled = option.fill({Hole.SECONDS: longest, Hole.AMOUNT: 1, Hole.VALUE: "x"}.get(option.hole))
        assert admit(filled, impasse, rights, asked_by="somebody") is None
    assert len({option.text for option in options}) == len(options)
