"""Unknown options and values of the wrong kind are errors, at once and by name."""

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Literal, TypedDict

import pytest
from typing_extensions import Unpack

from orchestrator import (
    Agent,
    AskHuman,
    Budget,
    DefinitionError,
    Demand,
    Goal,
    InputError,
    Orchestrator,
    Policy,
    Resolution,
    Selector,
    Signal,
    Tool,
    tool,
)
from orchestrator.core.calls.option_kinds import option_kind
from orchestrator.core.calls.options import checked
from orchestrator.core.policy import CircuitPolicy, Retries
from orchestrator.selection import Constraints


def pay(amount: float) -> str:
    return f"paid {amount}"


@tool(gives="paid")
def paying(amount: float) -> str:
    return f"paid {amount}"


orc = Orchestrator([paying])

UNKNOWN: list[tuple[str, Callable[[], Any], str]] = [
    ("Tool", lambda: Tool(pay, aproval=True), "approval"),  # type: ignore[call-arg]
    ("@tool", lambda: tool(compensat=pay)(pay), "compensate"),  # type: ignore[call-overload]
    ("Agent", lambda: Agent(pay, skils={"x": 1}), "skills"),  # type: ignore[call-arg]
    ("Agent of a model", lambda: Agent("openai:x", name="m", needs="q", instruction=""), "instructions"),  # type: ignore[call-arg]
    ("Orchestrator", lambda: Orchestrator([paying], polcy="fast"), "policy"),  # type: ignore[call-arg]
    ("orc.tool", lambda: orc.tool(efect="write")(pay), "effect"),  # type: ignore[call-overload]
    ("from_project", lambda: Orchestrator.from_project("nowhere", stor="x"), "store"),
    ("connect", lambda: orc.connect("paying", "paying", cots=1), "cost"),  # type: ignore[call-arg]
    ("plan", lambda: orc.plan("paid", {}, dail=0.5), "dial"),  # type: ignore[call-arg]
    ("run_sync", lambda: orc.run_sync("paid", {}, budgt=1), "budget"),  # type: ignore[call-arg]
    ("stream", lambda: orc.stream("paid", {}, constraint=Constraints()), "constraints"),  # type: ignore[call-arg]
    ("compile", lambda: orc.compile("paid", checkpoint=None), "checkpointer"),  # type: ignore[call-arg]
    ("Goal", lambda: Goal("paid", demotion=["x"]), "demotions"),  # type: ignore[call-arg]
    ("Budget", lambda: Budget(usdd=1), "usd"),  # type: ignore[call-arg]
    ("Policy", lambda: Policy(stepcost=1), "step_cost"),  # type: ignore[call-arg]
    ("Circuit", lambda: CircuitPolicy(consecutve=1), "consecutive"),  # type: ignore[call-arg]
    ("Policy's part", lambda: Policy.model_validate({"retries": {"atempts": 1}}), "attempts"),
    ("Resolution", lambda: Resolution.wait("paying", second=1), "seconds"),  # type: ignore[call-arg]
    ("AskHuman", lambda: AskHuman(promt="?"), "prompt"),  # type: ignore[call-arg]
    ("Selector", lambda: Selector(polcy=Policy()), "policy"),  # type: ignore[call-arg]
    ("Constraints", lambda: Constraints(data_can_leave=False), "data_may_leave"),  # type: ignore[call-arg]
    ("Demand", lambda: Demand("x", siz=1), "size"),  # type: ignore[call-arg]
    ("Signal", lambda: Signal("paying", "x", 1, raeson=""), "reason"),  # type: ignore[call-arg]
]


@pytest.mark.parametrize(("call", "near"), [row[1:] for row in UNKNOWN], ids=[row[0] for row in UNKNOWN])
def test_an_unknown_option_is_an_error_that_names_the_nearest(call: Callable[[], Any], near: str) -> None:
    with pytest.raises((DefinitionError, InputError), match=f"'{near}'"):
        call()


WRONG: list[tuple[Callable[[], Any], str]] = [
    (lambda: Tool(pay, ensure=True), "ensure is a function, not True"),  # type: ignore[arg-type]
    (lambda: Tool(pay, compensate=3), "compensate is a function, not 3"),  # type: ignore[arg-type]
    (lambda: Tool(pay, when="always"), "when is a function, not 'always'"),  # type: ignore[arg-type]
    (lambda: Tool(pay, timeout="20"), "timeout is a number, not '20'"),  # type: ignore[arg-type]
    (lambda: Tool(pay, retries=1.5), "retries is a whole number, not 1.5"),  # type: ignore[arg-type]
    (lambda: Tool(pay, approval="yes"), "approval is True or False or a function, not 'yes'"),  # type: ignore[arg-type]
    (lambda: Agent(pay, skills=3), "skills is"),  # type: ignore[arg-type]
    (lambda: Orchestrator(paying), r"tools is a list .*, not the Tool 'paying'. Put it in a list"),  # type: ignore[arg-type]
    (lambda: Orchestrator([paying], escalation=AskHuman()), "escalation is a list, .* Put it in a list"),  # type: ignore[arg-type]
    (lambda: orc.run_sync(paying, {}), "not the Tool 'paying'. Write 'paid', the key that it gives"),  # type: ignore[arg-type]
    (lambda: orc.run_sync("paid", ["amount"]), "inputs is a mapping, not a value of type list"),  # type: ignore[arg-type]
    (lambda: orc.run_sync("paid", {}, dial="best"), "dial is a number, not 'best'"),  # type: ignore[arg-type]
    (lambda: orc.run_sync("paid", {}, run_id=7), "run_id is a text, not 7"),  # type: ignore[arg-type]
    (lambda: orc.plan(3), "goal is .*, not 3"),  # type: ignore[arg-type]
    (lambda: orc.connect("paying", "paying", cost="1"), "cost is a number, not '1'"),  # type: ignore[arg-type]
    (lambda: Goal(3), "keys is a text or a list .*, not 3"),  # type: ignore[arg-type]
    (lambda: Budget(usd="5"), "usd is a number, not '5'"),  # type: ignore[arg-type]
    (lambda: Policy(timeout="soon"), "timeout: Input should be a valid number"),  # type: ignore[arg-type]
    (lambda: Retries(attempts=-1), "attempts: Input should be greater"),
    (lambda: tool("pay"), r"write @tool\(name='pay'\)"),  # type: ignore[call-overload]
]


@pytest.mark.parametrize(("call", "said"), WRONG, ids=[row[1] for row in WRONG])
def test_a_value_of_the_wrong_kind_is_an_error(call: Callable[[], Any], said: str) -> None:
    with pytest.raises((DefinitionError, InputError), match=said):
        call()


async def test_the_same_of_async_calls() -> None:
    with pytest.raises(InputError, match=r"run\(\) has no option 'budgt'. Did you mean 'budget'"):
        await orc.run("paid", {"amount": 1}, budgt=Budget(usd=1))  # type: ignore[call-overload]
    with pytest.raises(InputError, match="has no option 'amount'"):
        await orc.run("paid", amount=1)  # type: ignore[call-overload]


class Some(TypedDict, total=False):
    size: int
    names: Iterable[str]


@checked(InputError)
def measured(first: str, /, *more: int, flag: bool = False, **options: Unpack[Some]) -> tuple[Any, ...]:
    return first, more, flag, options


def test_every_form_of_a_parameter_is_checked() -> None:
    assert measured("a", 1, 2, flag=True, size=3, names=["x"]) == ("a", (1, 2), True, {"size": 3, "names": ["x"]})
    for wrong in ({"flag": 1}, {"size": True}, {"names": "x"}, {"names": [1]}, {"first": "b"}):
        with pytest.raises(InputError):
            measured("a", **wrong)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="first is a text"):
        measured(1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("annotation", "right", "wrong"),
    [
        (bool, True, 1),
        (int, 3, True),
        (float, 3, True),
        (float | None, None, "1"),
        (Callable[..., Any], print, "print"),
        (Mapping[str, float], {"a": 1}, {"a": "1"}),
        (Iterable[str], ("a",), {"a": 1}),
        (tuple[str, float], ("a", 1.0), (b"a", 1.0)),
        (Literal["a", 1], 1, True),
        (Annotated[int, "x"], 1, "1"),
        (Policy, Policy(), Policy),
        (str | Iterable[str], "a", 1),
    ],
    ids=str,
)
def test_kinds(annotation: Any, right: Any, wrong: Any) -> None:
    kind = option_kind(annotation)
    assert kind.accepts(right)
    assert not kind.accepts(wrong)


def test_what_cannot_be_checked_takes_anything() -> None:
    for annotation in (Any, object, type[int], Some, "later"):
        assert option_kind(annotation).accepts(object())


def test_a_type_error_of_the_function_itself_is_left_alone() -> None:
    @checked(InputError)
    def broken(size: int) -> int:
        return size + "1"  # type: ignore[operator]

    with pytest.raises(TypeError, match="unsupported operand"):
        broken(1)
    with pytest.raises(InputError, match=r"broken\(\) needs size\."):
        broken()  # type: ignore[call-arg]
