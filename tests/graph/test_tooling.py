"""What `@tool` and `Tool` make of a callable, and what they refuse."""

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from orchestrator import DefinitionError, Effect, Orchestrator, RunContext, Tool, tool
from orchestrator.graph.tool_options import MAX_COST


def weigh(parcel: str, days: int = 3) -> float:
    """What it weighs.

    In grams.
    """
    return len(parcel) + days


def book(parcel: str, key: str) -> str:
    return f"{parcel} under {key}"


def test_a_function_says_all_that_is_not_said() -> None:
    made = tool(weigh)
    assert (made.name, made.description) == ("weigh", "What it weighs.\n\nIn grams.")
    assert (made.needs, made.optional, made.gives) == ({"parcel": "parcel"}, {"days": "days"}, {"weigh": float})
    assert made.parameter_types == {"parcel": str, "days": int}
    assert (made.effect, made.cost, made.latency, made.risk, made.undo_cost) == (Effect.READ, 0.0, 0.0, 0.0, 0.0)
    assert (made.timeout, made.retries, made.ttl, made.max_concurrency) == (None, None, None, None)
    assert (made.approval, made.is_async, made.is_agent, made.skills) == (False, False, False, {})
    assert repr(made) == "Tool('weigh': parcel -> weigh)"


def test_the_decorator_takes_options_or_none() -> None:
    @tool
    def one(x: int) -> int:
        return x + 1

    @tool(name="second", gives="y", cost=0.5, effect="write", approval=True, description="Adds two.")
    def two(x: int) -> int:
        """Something else."""
        return x + 2

    assert (one.name, one.gives) == ("one", {"one": int})
    assert (two.name, two.gives, two.cost, two.effect) == ("second", {"y": int}, 0.5, Effect.WRITE)
    assert (two.approval, two.description) == (True, "Adds two.")


def test_calling_a_tool_calls_the_function_unchecked() -> None:
    made = Tool(weigh, ensure=lambda output: False, when=lambda parcel: False)
    assert made("abc", days=1) == 4


def bought(at: RunContext, parcel: str) -> str:
    return f"{parcel} in {at.run_id}"


async def test_the_context_of_a_run_is_no_key() -> None:
    made = Tool(bought)
    assert made.needs == {"parcel": "parcel"}
    outcome = await Orchestrator([made]).run("bought", {"parcel": "box"}, run_id="r1")
    assert outcome.value == "box in r1"


@pytest.mark.parametrize(
    ("needs", "required", "optional"),
    [
        ("parcel", {"parcel": "parcel"}, {}),
        (["parcel", "days"], {"parcel": "parcel", "days": "days"}, {}),
        (["box"], {"parcel": "box"}, {}),
        (("box", "wait"), {"parcel": "box", "days": "wait"}, {}),
        ({"parcel": "box"}, {"parcel": "box"}, {}),
        ({"parcel": "box", "days": "wait"}, {"parcel": "box"}, {"days": "wait"}),
    ],
    ids=str,
)
def test_needs_are_names_an_order_or_a_mapping(needs: Any, required: dict[str, str], optional: dict[str, str]) -> None:
    made = Tool(weigh, needs=needs)
    assert (made.needs, made.optional) == (required, optional)


def everything(**given: int) -> int:
    return sum(given.values())


async def test_a_call_that_takes_anything_takes_what_is_named() -> None:
    made = Tool(everything, needs=["a", "b"], gives="total")
    assert made.needs == {"a": "a", "b": "b"}
    assert (await Orchestrator([made]).run("total", {"a": 1, "b": 2})).value == 3


def apart(first: int, /, second: int) -> int:
    return first - second


async def test_what_is_positional_only_is_passed_by_position() -> None:
    made = Tool(apart)
    assert made.bind({"second": 2, "first": 5}) == ([5], {"second": 2})
    assert (await Orchestrator([made]).run("apart", {"first": 5, "second": 2})).value == 3


@dataclass
class Scale:
    """A callable thing."""

    factor: int

    def __call__(self, parcel: str) -> int:
        """Weigh a parcel."""
        return len(parcel) * self.factor


class Slow:
    """A callable thing to wait for."""

    async def __call__(self, parcel: str) -> int:
        return len(parcel)


async def later(parcel: str) -> int:
    return len(parcel)


@pytest.mark.parametrize(
    ("call", "name", "is_async"),
    [
        (Scale(2), "Scale", False),
        (Slow(), "Slow", True),
        (later, "later", True),
        (functools.partial(later), "later", True),
        (functools.partial(functools.partial(weigh, days=1)), "weigh", False),
        (Slow().__call__, "__call__", True),
        (Scale, "Scale", False),
    ],
    ids=["instance", "asynchronous instance", "coroutine", "partial", "nested partial", "method", "class"],
)
def test_any_callable_is_a_tool(call: Callable[..., Any], name: str, is_async: bool) -> None:
    made = Tool(call)
    assert (made.name, made.is_async) == (name, is_async)


@pytest.mark.parametrize(
    ("call", "cost"),
    [(lambda usage: usage["tokens"] * 0.1 + 0.25, 0.25), (0.5, 0.5), (MAX_COST, MAX_COST)],
    ids=["of usage", "fixed", "greatest"],
)
def test_a_cost_is_planned_before_anything_is_used(call: Any, cost: float) -> None:
    assert Tool(weigh, cost=call).planned_cost() == cost


def test_the_idempotency_key_is_the_tools_own_and_no_need() -> None:
    made = Tool(book, effect="write", idempotency_key="key")
    assert (made.needs, made.optional) == ({"parcel": "parcel"}, {})
    assert Tool(book, needs=["parcel"], idempotency_key="key").needs == {"parcel": "parcel"}
    with pytest.raises(DefinitionError, match="names the parameter 'token', which its call does not have"):
        Tool(book, idempotency_key="token")


REFUSED: list[tuple[Mapping[str, Any], str]] = [
    *(
        ({name: value}, f"{name} is a number{limit}.*, not below zero")
        for name, limit in (
            ("cost", " of at most"),
            ("undo_cost", " of at most"),
            ("latency", " of at most"),
            ("risk", " of at most 1"),
            ("ttl", ""),
            ("timeout", ""),
        )
        for value in (-1, math.nan)
    ),
    *(
        ({name: value}, f"{name} is a number.*, not {value!r}")
        for name in ("cost", "undo_cost", "latency", "risk", "ttl", "timeout")
        for value in (True, "1")
    ),
    ({"cost": MAX_COST * 2}, "cost is a number of at most"),
    ({"cost": math.inf}, "cost is a number of at most"),
    ({"risk": 1.01}, "risk is a number of at most 1"),
    ({"timeout": 0}, "timeout is a positive number of seconds, not 0"),
    ({"retries": -1}, "retries is a whole number of at least 0, not -1"),
    ({"retries": 1.5}, "retries is a whole number, not 1.5"),
    ({"max_concurrency": 0}, "max_concurrency is a whole number of at least 1, not 0"),
    ({"effect": "wrote"}, "effect is one of 'read', 'write', 'irreversible', not 'wrote'"),
    ({"compensate": print}, "compensate= is for a tool that changes something, and this one reads"),
    ({"reconcile": print}, "reconcile= is for a tool that changes something, and this one reads"),
    ({"undo_cost": 0.1, "effect": "write"}, "undo_cost= is what compensate= costs, and the tool has no compensate="),
    ({"undo_cost": 0.1}, "undo_cost= is what compensate= costs"),
    ({"ttl": 5, "effect": "write"}, "ttl= is how long a read stays fresh, and this tool changes something"),
    ({"ttl": 5, "effect": "irreversible"}, "ttl= is how long a read stays fresh"),
    ({"gives": "parcel"}, "gives a key that it needs: parcel"),
    ({"needs": ["parcel", "parcel"]}, "names a key twice"),
    ({"needs": ["a", "b", "c"]}, "takes only"),
    ({"needs": {"box": "parcel"}}, "needs= names \\['box'\\], which its call does not take"),
    ({"needs": ["days"]}, "also takes \\['parcel'\\], which needs= does not name"),
    ({"needs": []}, "also takes \\['parcel'\\]"),
]


@pytest.mark.parametrize(("options", "said"), REFUSED, ids=str)
def test_what_makes_no_sense_is_told_when_it_is_written(options: Any, said: str) -> None:
    with pytest.raises(DefinitionError, match=said) as refused:
        Tool(weigh, **options)
    assert "'weigh'" in str(refused.value)


def test_a_lambda_is_given_a_name() -> None:
    with pytest.raises(DefinitionError, match="give the tool one with name="):
        Tool(lambda parcel: parcel)
    assert Tool(lambda parcel: parcel, name="echo").gives.keys() == {"echo"}


def test_a_signature_that_cannot_be_read_needs_its_keys_stated() -> None:
    with pytest.raises(DefinitionError, match=r"signature of tool 'min' cannot be read. State its keys with needs="):
        Tool(min)
    assert Tool(min, needs=["a", "b"]).needs == {"a": "a", "b": "b"}


def test_types_of_the_functions_around_are_known() -> None:
    class Quote:
        pass

    @tool
    def price(quote: "Quote") -> "Quote":
        return quote

    assert price.parameter_types == {"quote": Quote}
    assert price.gives == {"price": Quote}


def test_a_latency_may_be_a_function_of_the_inputs() -> None:
    made = Tool(weigh, latency=lambda parcel, days=3: len(parcel) * 0.1)
    assert callable(made.latency)
    assert made.planned_latency() == 0.0
    assert Tool(weigh, latency=2).planned_latency() == 2


def test_a_latency_is_a_function_of_the_tools_own_inputs() -> None:
    with pytest.raises(DefinitionError, match=r"latency is called with inputs of the tool by name.*'weight'"):
        Tool(weigh, latency=lambda weight: weight * 0.1)


def test_a_latency_is_not_awaited() -> None:
    async def seconds(parcel: str) -> float:
        return len(parcel)

    slow: Any = seconds

    with pytest.raises(DefinitionError, match="latency= is a number or a plain function"):
        Tool(weigh, latency=slow)


def test_isolation_is_for_sync_calls() -> None:
    async def later(x: int) -> int:
        return x

    assert Tool(weigh, isolation="process", memory=512, credential="scale", share=True).isolation == "process"
    for wrong in ({"isolation": "thread"}, {"memory": 512}):
        with pytest.raises(DefinitionError, match="isolation"):
            Tool(weigh, **wrong)  # pyright: ignore[reportArgumentType]
    with pytest.raises(DefinitionError, match="async"):
        Tool(later, isolation="process")


class Shop:
    def buy(self, item: str) -> str:
        return item


def test_a_bound_method_is_a_tool_and_a_plain_one_is_none() -> None:
    assert Tool(Shop().buy).needs == {"item": "item"}
    with pytest.raises(DefinitionError, match=r"'buy' is a method of the class 'Shop' \(.*test_tooling.py:\d+\)"):
        tool(Shop.buy)


def test_a_generator_is_no_tool() -> None:
    def pages(path: str) -> Any:
        yield path

    async def later(path: str) -> Any:
        yield path

    for call in (pages, later):
        with pytest.raises(DefinitionError, match="is a generator"):
            Tool(call)


def test_parameters_that_name_no_key() -> None:
    def joined(*parts: str) -> str:
        return "".join(parts)

    def without(ctx, item: str) -> str:  # type: ignore[no-untyped-def]
        return f"{ctx} {item}"

    with pytest.raises(DefinitionError, match=r"takes \*parts"):
        Tool(joined)
    with pytest.raises(DefinitionError, match="Write ctx: RunContext"):
        Tool(without)
    assert Tool(without, needs=["ctx", "item"]).needs == {"ctx": "ctx", "item": "item"}
