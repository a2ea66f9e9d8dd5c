"""Questions, and the reading of what people answer."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.route import Impasse
from orchestrator.errors import InputError
from orchestrator.escalation import (
    ANSWER,
    PERSON_RIGHTS,
    AskHuman,
    Question,
    Resolution,
    accepted,
    admit,
    ask_on_terminal,
    interpret_answer,
    resolution_at_deadline,
)
from tests.escalation.impasses import ambiguous, approval, asked_by_tool, impasses, no_route, typed


def ask(impasse: Impasse, **options: Any) -> Question:
    question = AskHuman(**options).question(impasse)
    assert question is not None
    return question


def said(impasse: Impasse, raw: Any, **options: Any) -> Resolution:
    return interpret_answer(ask(impasse, **options), impasse, raw, validate=typed)


@pytest.mark.parametrize("impasse", [no_route(), ambiguous(), approval(), asked_by_tool()], ids=lambda i: i.kind)
def test_json_round_trip(impasse: Impasse) -> None:
    question = ask(impasse, deadline=60, default=Resolution.stop("late")).asked(1000.0, "q-1")
    again = Question.from_json(question.to_json())
    assert again == question
    assert (again.due, again.id) == (1060.0, "q-1")


@pytest.mark.parametrize(
    ("raw", "resolution"),
    [
        (Resolution.demote("quote"), Resolution.demote("quote")),
        ({"kind": "wait", "tool": "buy_label", "seconds": 30}, Resolution.wait("buy_label", 30)),
        (1, Resolution.demote("quote")),
        ("1", Resolution.demote("quote")),
        ({"choice": 1, "message": "fine"}, Resolution.demote("quote", "fine")),
        ({"choice": 4, "value": "by hand"}, Resolution.provide("label", "by hand")),
        ("4 by hand", Resolution.provide("label", "by hand")),
        ("5 12", Resolution.provide("cost_center", 12)),
        ("6 30", Resolution.wait("buy_label", 30)),
        ("8 2.5", Resolution.raise_budget(usd=2.5)),
        ("stop", Resolution.stop()),
        ("stop it is too late", Resolution.stop("it is too late")),
    ],
    ids=str,
)
def test_ways_to_answer(raw: Any, resolution: Resolution) -> None:
    assert said(no_route(), raw) == resolution


@pytest.mark.parametrize("raw", [None, "", "maybe", 0, 99, True, 1.5, [], {}, {"choice": True}, {"kind": "x"}], ids=str)
def test_what_is_no_answer_is_told_what_is(raw: Any) -> None:
    with pytest.raises(InputError, match=r"That is no answer.*1 take the lesser goal quote"):
        said(no_route(), raw)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("4", "needs a value: 4 VALUE"),
        ("5 many", "cost_center is no int"),
        ("6 1000", "at most 120"),
        (Resolution.approve("print_label_2"), "not what is to be approved"),
        ({"kind": "stop", "then": "refund"}, "unknown field 'then'"),
    ],
    ids=str,
)
def test_answers_that_are_not_possible_say_why(raw: Any, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        said(no_route(), raw)


@pytest.mark.parametrize("yes", [True, "yes", "Y", " ok ", "approve", 1, "1"], ids=repr)
def test_yes_approves_what_was_asked(yes: Any) -> None:
    assert said(approval(), yes) == Resolution.approve("pay")


@pytest.mark.parametrize("no", [False, "no", "N", "declined"], ids=repr)
def test_no_stops(no: Any) -> None:
    assert said(approval(), no) == Resolution.stop("not approved")


@pytest.mark.parametrize("value", [2026, "2026", {"from": 1, "to": 2}, [1], False, "stop", {"choice": 1, "other": 2}])
def test_a_plain_value_answers_the_question_of_a_tool(value: Any) -> None:
    assert said(asked_by_tool(), value) == Resolution.provide(ANSWER, value)


def test_a_missing_input_is_asked_for_by_its_name() -> None:
    impasse = Impasse(("report",), ("cost_center",), ())
    assert ask(impasse).key == "cost_center"
    assert said(impasse, "12") == Resolution.provide("cost_center", 12)


def test_what_is_typed_may_be_json() -> None:
    def listed(key: str, value: Any) -> Any:
        if not isinstance(value, list):
            raise InputError("years is no list")
        return value  # pyright: ignore[reportUnknownVariableType]

    impasse = Impasse(("report",), ("years",), ())
    question = ask(impasse)
    assert interpret_answer(question, impasse, "[2025, 2026]", validate=listed).value == [2025, 2026]
    with pytest.raises(InputError, match="years is no list"):
        interpret_answer(question, impasse, "[2025", validate=listed)


def test_the_user_may_name_the_key_that_is_asked_for() -> None:
    assert said(no_route(), "by hand", key="label") == Resolution.provide("label", "by hand")
    assert ask(no_route(), key="no such key").key is None


def test_who_answered_and_when_is_on_the_resolution() -> None:
    impasse = no_route()
    taken = interpret_answer(ask(impasse), impasse, 1, by="ann", at=12.0)
    assert (taken.by, taken.at) == ("ann", 12.0)


def test_nobody_answered() -> None:
    impasse = no_route()
    default = Resolution.demote("quote")
    assert resolution_at_deadline(ask(impasse, deadline=60, default=default).asked(1.0), impasse) == default
    assert resolution_at_deadline(ask(impasse, deadline=60), impasse) == Resolution.stop("no answer within 60 seconds")


def test_a_default_that_has_become_impossible_stops() -> None:
    impasse = no_route(offers=())
    question = ask(impasse, deadline=60, default=Resolution.demote("quote"))
    assert resolution_at_deadline(question, impasse).kind == "stop"


def test_no_default_settles_an_uncertain_effect() -> None:
    impasse = ambiguous()
    question = ask(impasse, deadline=60, default=Resolution.provide("label", "surely"))
    assert resolution_at_deadline(question, impasse).kind == "stop"


def test_a_narrower_question_takes_only_what_it_leaves_open() -> None:
    impasse = no_route()
    question = Question("Go on?", admissible=(Resolution.demote("quote").kind, Resolution.stop().kind))
    assert interpret_answer(question, impasse, 2) == Resolution.stop()
    with pytest.raises(InputError, match="does not leave that open"):
        interpret_answer(question, impasse, Resolution.allow("buy_label"))


def test_what_is_accepted_is_said_in_one_line() -> None:
    text = accepted(ask(approval()), approval())
    assert text == "Answer with yes or no, or the number of a choice: 1 approve pay; 2 decline: look for another way."
    assert accepted(Question("?"), no_route()) == "Answer with a Resolution."


def test_a_terminal_asks_until_it_has_an_answer() -> None:
    typed_lines = iter(["", "perhaps", "2"])
    written: list[object] = []
    impasse = approval()
    made = ask_on_terminal(ask(impasse), impasse, by="ann", read=lambda prompt: next(typed_lines), write=written.append)
    assert made == Resolution.stop()
    assert made is not None
    assert made.by == "ann"
    assert "Approve the refund of 900 USD?" in str(written[0])
    assert "That is no answer" in str(written[1])


def test_a_terminal_whose_input_ends_gives_nothing() -> None:
    def ends(prompt: str) -> str:
        raise EOFError

    assert ask_on_terminal(ask(approval()), approval(), read=ends, write=lambda text: None) is None


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(("kind", "choice", "value", "goal", "tool", "x")), inner, max_size=4),
    ),
    max_leaves=6,
)


@given(impasses(), JSON)
def test_whatever_is_answered_is_admissible_or_refused_clearly(impasse: Impasse, raw: Any) -> None:
    question = AskHuman().question(impasse)
    if question is None:
        return
    try:
        made = interpret_answer(question, impasse, raw)
    except InputError:
        return
    assert admit(made, impasse, PERSON_RIGHTS, asked_by="ann") is None
