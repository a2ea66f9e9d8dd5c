"""Makes `docs/reference/mistakes.md`: mistakes of beginners, each run, with the message that it gets.

python docs/mistakes.py            # write the page
"""

import asyncio
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol, cast

from orchestrator import (
    Agent,
    AskHuman,
    Budget,
    Goal,
    NoRoute,
    Orchestrator,
    Policy,
    RateLimited,
    Resolution,
    RunContext,
    Tool,
    tool,
)
from orchestrator.health.monitors import Latency
from orchestrator.testing import FakeClock, fail

PAGE = Path(__file__).parent / "reference" / "mistakes.md"
HEAD = """# Beginners' mistakes and the messages they get

Made by running each of them: `python docs/mistakes.py`. A test holds this page to the code.

| mistake | what is said |
|---|---|
"""


def pay(amount: float) -> str:
    return f"paid {amount}"


def paying() -> Orchestrator:
    return Orchestrator([Tool(pay, gives="paid")], clock=FakeClock(), monitors=())


class Shop:
    def buy(self, item: str) -> str:
        return item


def a_generator(path: str) -> Any:
    yield path


def any_number(*parts: str) -> str:
    return "".join(parts)


def any_named(**parts: str) -> str:
    return "".join(parts)


async def later() -> str:
    return "later"


def both(first: str, second: str) -> bool:
    return first == second


def is_large(amuont: float) -> bool:
    return amuont > 100


def of_old_model() -> Tool:
    from pydantic.v1 import BaseModel

    class Order(BaseModel):
        item: str

    def ship(order: Order) -> str:
        return order.item

    return Tool(ship)


a_tool: Any = Tool
"""Untyped: a type checker would find these mistakes."""


def clerks() -> Orchestrator:
    return Orchestrator(agents=[Agent(pay, skills={"paying": 1.0})], clock=FakeClock(), monitors=())


def judged_tool() -> None:
    orc: Any = paying()
    orc.run_sync("paid", {"amount": 1}, run_id="order-7")
    orc.feedback("order-7", "paid", True)


def no_annotation(ctx, item: str) -> str:  # type: ignore[no-untyped-def]
    return item


def text(page: str) -> str:
    return page


def number(text: int) -> int:
    return text


def circle_a(b: int) -> int:
    return b


def circle_b(a: int) -> int:
    return a


def two_keys(x: int) -> int:
    return x


class Caller:
    def __call__(self, item: str) -> str:
        return item


class Shipping(Protocol):
    def ship(self) -> str: ...


def ship(order: Shipping) -> str:
    return order.ship()


def two_contexts(item: str, ctx: RunContext, context: RunContext) -> str:
    return item


async def asks(amount: float, ctx: RunContext) -> str:
    return str(await ctx.wait("Is that right?", _any("str")))


def all_of_them(amount: float) -> list[float]:
    made: Any = (part for part in (amount, amount))
    return cast("list[float]", made)


async def child_outcome(order: str, ctx: RunContext) -> str:
    return cast("str", await ctx.reach("paid", {"amount": 1}))


async def misspelt_reach(order: str, ctx: RunContext) -> str:
    return str((await ctx.reach("paid", _any({"amount": 1}), ky="first")).value)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def forgotten_await(order: str, ctx: RunContext) -> str:
    reached: Any = ctx.reach("paid", {"amount": 1})
    try:
        return str(reached.value)
    finally:
        reached.close()


def failing(call: Callable[..., Any]) -> None:
    """Run a tool that makes a mistake in its call; raises what came of it."""
    orc = Orchestrator([Tool(call, gives="done"), Tool(pay, gives="paid")], clock=FakeClock(), monitors=())
    given: dict[str, Any] = {"amount": 1.0} if "amount" in orc.graph[call.__name__].needs else {"order": "o-1"}
    _ = orc.run_sync("done", given).value


def two_inputs() -> None:
    orc = paying()
    orc.run_sync("paid", {"amount": 1}, run_id="order-7")
    orc.run_sync("paid", {"amount": 2}, run_id="order-7")


def closed() -> None:
    orc = paying()
    orc.close()
    orc.run_sync("paid", {"amount": 1})


def connected_twice() -> None:
    orc = Orchestrator([Tool(pay, name="a"), Tool(pay, name="b")])
    orc.connect("a", "b")
    orc.connect("a", "b")


def removed_gate() -> Any:
    orc = Orchestrator([Tool(lambda: 1, name="check"), Tool(lambda: 1, name="delete")], monitors=())
    orc.connect("START", "check")
    orc.connect("check", "delete")
    orc.remove("check")
    return orc.plan("delete")


MISTAKES: list[tuple[str, Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = [
    ("`Tool(pay, aproval=True)`", Tool, (pay,), {"aproval": True}),
    ("`Tool(pay, compensat=undo)`", Tool, (pay,), {"compensat": pay}),
    ("`Agent(pay, skils={...})`", Agent, (pay,), {"skils": {"x": 1}}),
    ("`Orchestrator([...], polcy=...)`", Orchestrator, ([],), {"polcy": "cheapest"}),
    ("`orc.run_sync(goal, inputs, budgt=1)`", partial(paying().run_sync, "paid", {}), (), {"budgt": 1}),
    ("`orc.run_sync(goal, amount=1)`", partial(paying().run_sync, "paid"), (), {"amount": 1}),
    ("`Goal(key, demotion=[...])`", Goal, ("paid",), {"demotion": ["x"]}),
    ("`Budget(dollars=5)`", Budget, (), {"dollars": 5}),
    ("`Policy(stepcost=1)`", Policy, (), {"stepcost": 1}),
    ("`orc.run_sync(goal, inputs, 3)`", cast("Any", paying()).run_sync, ("paid", {}, 3), {}),
    ("`orc.connect(a)`", partial(paying().connect, "pay"), (), {}),
    ("`orc.health.trip(tool, reasn=...)`", paying().health.trip, ("pay",), {"reasn": "down"}),
    ("`orc.health.status(tool)` of a `Tool`", paying().health.status, (Tool(pay),), {}),
    ("`RateLimited(30)`", RateLimited, (30,), {}),
    ("`fail(tool, tims=2)`", fail, (Tool(pay),), {"tims": 2}),
    ("`Latency(time=3)`, a monitor", Latency, (), {"time": 3}),
    ("`Resolution.wait(tool, second=1)`", Resolution.wait, ("pay",), {"second": 1}),
    ("`Tool(pay, ensure=True)`", Tool, (pay,), {"ensure": True}),
    ("`Tool(pay, compensate=3)`", Tool, (pay,), {"compensate": 3}),
    ("`Tool(pay, timeout='20')`", Tool, (pay,), {"timeout": "20"}),
    ("`Tool(pay, timeout=0)`", Tool, (pay,), {"timeout": 0}),
    ("`Tool(pay, retries=-1)`", Tool, (pay,), {"retries": -1}),
    ("`Tool(pay, cost=-1)`", Tool, (pay,), {"cost": -1}),
    ("`Tool(pay, risk=7)`", Tool, (pay,), {"risk": 7}),
    ("`Tool(pay, effect='wrote')`", Tool, (pay,), {"effect": "wrote"}),
    ("`Tool(pay, isolation='thread')`", Tool, (pay,), {"isolation": "thread"}),
    ("`Tool(pay, memory=512)`", Tool, (pay,), {"memory": 512}),
    ("`@tool('pay')`", tool, ("pay",), {}),
    ("a lambda without a name", Tool, (lambda: 1,), {}),
    ("`@tool` on a method", Tool, (Shop.buy,), {}),
    ("a generator as a tool", Tool, (a_generator,), {}),
    ("`*args`", Tool, (any_number,), {}),
    ("`ctx` without an annotation", Tool, (no_annotation,), {}),
    ("a tool gives a key that it needs", Tool, (pay,), {"gives": "amount"}),
    ("`needs=` names no parameter", Tool, (pay,), {"needs": {"sum": "amount"}}),
    ("`idempotency_key=` names no parameter", Tool, (pay,), {"idempotency_key": "key"}),
    ("`Orchestrator(tool)`", Orchestrator, (Tool(pay),), {}),
    ("`escalation=AskHuman()`", Orchestrator, ([],), {"escalation": AskHuman()}),
    ("a notebook cell that is run again", lambda: [paying().add(Tool(pay)) for _ in "ab"], (), {}),
    ("two types of a key", Orchestrator, ([Tool(text), Tool(number)],), {}),
    ("tools that need each other", lambda: _plan([Tool(circle_a, gives="a"), Tool(circle_b, gives="b")], "a"), (), {}),
    ("a goal is a tool", lambda: paying().run_sync(_any(Tool(pay, gives="paid"))), (), {}),
    ("a goal that nothing gives", lambda: paying().plan("piad"), (), {}),
    ("inputs are a list", lambda: paying().run_sync("paid", _any(["amount"])), (), {}),
    ("an input that is misspelt", lambda: paying().run_sync("paid", {"amuont": 1}), (), {}),
    ("an input that is missing", lambda: paying().plan("paid"), (), {}),
    ("an input of the wrong type", lambda: paying().run_sync("paid", {"amount": "much"}), (), {}),
    ("labels that are no texts", lambda: paying().run_sync("paid", {}, labels=_any({"customer": 17})), (), {}),
    ("a module among the tools", Orchestrator, ([asyncio],), {}),
    ("a class for a monitor", Orchestrator, ([],), {"monitors": [Latency]}),
    ("a name with a line break", Tool, (pay,), {"name": "pay\n"}),
    ("the name of a function for the function", Tool, ("pay",), {}),
    ("an unknown run", lambda: paying().verify("nope"), (), {}),
    ("`providable=` of an unknown key", lambda: paying().plan(Goal("paid", providable="amuont")), (), {}),
    ("`connect` twice", connected_twice, (), {}),
    ("`connect` of an unknown tool", lambda: paying().connect("pya", "pay"), (), {}),
    ("`require_skills` of an unknown key", lambda: paying().require_skills("piad", {"x": 1}), (), {}),
    ("`require_skills` of an unknown skill", lambda: clerks().require_skills("pay", {"payng": 1}), (), {}),
    ("feedback on what no agent gave", judged_tool, (), {}),
    ("`Tool(f(x))`, a call of an async function", lambda: a_tool(later()), (), {}),
    ("`ensure=` takes two arguments", lambda: a_tool(pay, ensure=both), (), {}),
    ("`when=` takes what is no input", lambda: a_tool(pay, when=is_large), (), {}),
    ("`compensate=` takes nothing", lambda: a_tool(pay, effect="write", compensate=lambda: None), (), {}),
    ("`**kwargs`", lambda: Tool(any_named), (), {}),
    ("a model of pydantic 1", of_old_model, (), {}),
    ("the tool before a gated one is removed", removed_gate, (), {}),
    ("`@tool` twice", lambda: tool(_any(tool(pay))), (), {}),
    ("`Tool(Caller)`, a class with `__call__`", Tool, (Caller,), {}),
    ("a builtin with `*args`", Tool, (print,), {}),
    ("two contexts", Tool, (two_contexts,), {}),
    ("a protocol that is checked nowhere", Tool, (ship,), {}),
    ("`compensate=` without `effect='write'`", Tool, (pay,), {"compensate": print}),
    ("`effect=None`", Tool, (pay,), {"effect": None}),
    ("`name=''`", Tool, (pay,), {"name": ""}),
    ("`gives=['paid', 'paid']`", Tool, (pay,), {"gives": ["paid", "paid"]}),
    ("`gives=[]`", Tool, (pay,), {"gives": []}),
    ("`needs=` leaves out a parameter", Tool, (both,), {"needs": ["first"]}),
    ("`latency='1s'`", Tool, (pay,), {"latency": "1s"}),
    ("`approval='yes'`", Tool, (pay,), {"effect": "write", "approval": "yes"}),
    ("`Agent(pay, skills={'paying': 5})`", Agent, (pay,), {"skills": {"paying": 5}}),
    ("`Budget(usd='5')`", Budget, (), {"usd": "5"}),
    ("`budget='5'`", lambda: paying().run_sync("paid", {}, budget=_any("5")), (), {}),
    ("`dial='cheap'`", lambda: paying().run_sync("paid", {}, dial=_any("cheap")), (), {}),
    ("`Goal('paid', demotions=[3])`", Goal, ("paid",), {"demotions": [3]}),
    ("a lesser goal that is misspelt", lambda: paying().plan(Goal("paid", demotions=["amuont"])), (), {}),
    ("a goal of another type", lambda: paying().run_sync(Goal("paid", type=dict), {"amount": 1}), (), {}),
    ("`Policy(retries={'max_retrys': 3})`", Policy, (), {"retries": {"max_retrys": 3}}),
    ("a policy that is misspelt", Orchestrator, ([],), {"policy": "balancd"}),
    ("`store='/tmp'`, a folder", Orchestrator, ([],), {"store": "/tmp"}),
    ("`store='mongodb://…'`", Orchestrator, ([],), {"store": "mongodb://host/runs"}),
    ("a run id with other inputs", two_inputs, (), {}),
    ("a run of a closed orchestrator", closed, (), {}),
    ("`Resolution('yes')`", Resolution, ("yes",), {}),
    ("`connect` of a key", lambda: paying().connect("amount", "pay"), (), {}),
    ("`override(function)`", lambda: paying().override(_any(pay)).__enter__(), (), {}),
    ("`feedback(run, key, 'yes')`", lambda: paying().feedback("order-7", "paid", _any("yes")), (), {}),
    ("`ctx.wait(question, 'str')`", lambda: failing(asks), (), {}),
    ("`ctx.reach(goal, inputs, ky=...)`", lambda: failing(misspelt_reach), (), {}),
    ("`ctx.reach(...)` without `await`", lambda: failing(forgotten_await), (), {}),
    ("the outcome of `ctx.reach` for its value", lambda: failing(child_outcome), (), {}),
    ("a tool returns a generator", lambda: failing(all_of_them), (), {}),
]


def _any(value: Any) -> Any:
    return value


def _plan(tools: list[Tool], goal: str) -> Any:
    return Orchestrator(tools, monitors=()).plan(goal)


def message(call: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> str:
    """What a mistake is answered with, places without their folder and line."""
    try:
        made = call(*args, **options)
        if asyncio.iscoroutine(made):
            made.close()
    except Exception as error:
        kind = "NoRoute" if isinstance(error, NoRoute) else type(error).__name__
        said = re.sub(r"[^\s(]*?([\w-]+\.py):\d+", r"\1:12", str(error))
        return f"{kind}: {said}".replace("\n", " ").replace("|", "\\|")
    return "nothing"


def page() -> str:
    """The page."""
    rows = [f"| {what} | {message(call, args, options)} |" for what, call, args, options in MISTAKES]
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE}: {len(MISTAKES)} mistakes\n")
