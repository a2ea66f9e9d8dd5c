"""Every public call names the nearest option for a misspelt one; found by looking at what the package exports."""

import asyncio
import enum
import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from pydantic import BaseModel

import orchestrator
from orchestrator import Orchestrator, OrchestratorError, RunContext, testing, tool
from orchestrator.engine.background.worker import WorkerOptions
from orchestrator.health import monitors
from orchestrator.integrations.mcp import McpServer

USERS_MAKE = {
    *("Agent", "AskHuman", "AskModel", "Budget", "Demand", "Goal", "Orchestrator", "Policy", "Selector", "Signal"),
    *("Tool", "tool"),
}
"""What users make themselves, of `orchestrator.__all__`."""
FRAMEWORK_MAKES = {
    "Demote",  # takes nothing
    "Handbook",  # a pydantic model: its own error
    "Clock",
    "HealthRegistry",
    "Monitor",
    "NOT_DONE",
    "RunContext",
    "START",
    "Sink",
    "ToolGraph",
    "__version__",
}


def misspelt(name: str) -> str:
    return name[:-1] if len(name) > 4 else name + name[-1]


def unused(*_: Any) -> Any:
    raise AssertionError("a misspelt option was swallowed, and the call took place")


@tool(gives="x")
def known(a: int) -> int:
    return a


orc = Orchestrator([known], monitors=())

FIRST: dict[str, tuple[Any, ...]] = {"Tool": (unused,), "Agent": (unused,), "from_project": ("nowhere",)}
"""What a call must have before its options are looked at."""


def options(call: Callable[..., Any]) -> list[str]:
    """The names that a call takes, the ones of an `Unpack`ed typed dict included."""
    return [name for name in signature_names(call) if len(name) > 2]


def signature_names(call: Callable[..., Any]) -> list[str]:
    from orchestrator.core.calls.options import signature_options

    return [name for name in signature_options(call).kinds if name not in ("self", "cls")]


def methods(of: Any, but: frozenset[str] = frozenset()) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name in dir(of):
        if name.startswith("_") or name in but or isinstance(inspect.getattr_static(type(of), name, None), property):
            continue
        found = getattr(of, name)
        if inspect.isroutine(found) and options(found):
            yield f"{type(of).__name__}.{name}", found


def calls() -> Iterator[tuple[str, Callable[..., Any], list[str]]]:
    for name in sorted(USERS_MAKE):
        made: Any = getattr(orchestrator, name)
        init: Any = made.__init__ if inspect.isclass(made) else made
        names = list(made.model_fields) if inspect.isclass(made) and issubclass(made, BaseModel) else options(init)
        yield name, partial(made, *FIRST.get(name, ())), names
    yield from ((name, call, options(call)) for name, call in methods(orc))
    for name in ("status", "trip", "restore", "reweight", "forbid", "lift", "shut", "note_quota"):
        yield f"health.{name}", getattr(orc.health, name), options(getattr(orc.health, name))
    for name, call in methods(orchestrator.Resolution, frozenset({"from_json", "answered", "to_json"})):
        yield name, call, options(call)
    for name in testing.__all__:
        made = getattr(testing, name)
        if name == "ScriptedChatModel":
            yield name, made, ["responses", "repeat", "usage"]
        elif isinstance(made, testing.Fault):
            yield name, made, [option for option in options(vars(made)["_make"]) if option != "tool"]
        elif name != "Fault":
            yield name, made, options(made.__init__ if inspect.isclass(made) else made)
    for name in (
        "BudgetMonitor",
        "ErrorRate",
        "HealthChecks",
        "Latency",
        "BudgetLimits",
        "Outage",
        "Progress",
        "Quota",
    ):
        made = getattr(monitors, name)
        yield f"monitors.{name}", made, options(made.__init__)
    yield "WorkerOptions", WorkerOptions, options(WorkerOptions.__init__)
    yield "Policy.load", orchestrator.Policy.load, ["name"]
    for name in ("HealingToolNode", "HealingMiddleware", "HealingChatModel", "tools_from_openapi"):
        made = getattr(orchestrator, name)
        first = ([],) if name == "HealingToolNode" else (["openai:x"],) if name == "HealingChatModel" else ()
        names = options(made.__init__ if inspect.isclass(made) else made)
        yield name, partial(made, *first), [option for option in names if option not in ("tools", "models")]
    yield "McpServer", partial(McpServer, "files"), [name for name in options(McpServer.__init__) if name != "name"]


POSITIONAL = {"Tool(call)", "Agent(call)", "Orchestrator.from_project(path)"}
"""Python's own error for what must be there says it."""
TABLE = [
    (label, call, option)
    for name, call, names in calls()
    for option in names
    if (label := f"{name}({option})") not in POSITIONAL
]


def test_the_table_has_every_public_name() -> None:
    assert len(TABLE) > 200
    others = {name for name in orchestrator.__all__ if name not in USERS_MAKE | FRAMEWORK_MAKES}
    for name in others:
        record: Any = getattr(orchestrator, name)
        assert inspect.isclass(record), name
        if issubclass(record, enum.Enum | Exception):
            continue
        taker: Any = record
        with pytest.raises(TypeError, match=r"unexpected keyword argument 'swallowed'|takes no arguments"):
            taker(swallowed=1)


@pytest.mark.parametrize(("call", "option"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_a_misspelt_option_is_one_error_that_names_the_nearest(call: Callable[..., Any], option: str) -> None:
    async def made() -> None:
        found = call(**{misspelt(option): 1})
        if inspect.iscoroutine(found):
            await found

    with pytest.raises(OrchestratorError) as caught:
        asyncio.run(made())
    said = str(caught.value)
    assert f"'{option}'" in said, said
    assert "\n" not in said


async def test_the_context_of_a_call_too() -> None:
    said: dict[str, str] = {}

    @tool(gives="y")
    async def curious(ctx: RunContext) -> int:
        for name in ("reach", "wait", "once", "report", "charge", "quota", "discard"):
            method = getattr(ctx, name)
            for option in options(method):
                try:
                    made = method(**{misspelt(option): 1})
                    if inspect.iscoroutine(made):
                        await made
                except OrchestratorError as error:
                    said[f"{name} {option}"] = str(error)
        return 1

    async with Orchestrator([curious], monitors=()) as own:
        assert (await own.run("y")).value == 1
    assert len(said) >= 10
    for asked, message in said.items():
        assert message.startswith(f"ctx.{asked.split()[0]}()")
        assert f"'{asked.split()[1]}'" in message


loose: Any = orc
made: Any = orchestrator
"""Without the types that would say it before."""


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: loose.run_sync("x", {"a": 1}, 3), "run_sync() takes goal, inputs by position; give the rest by name"),
        (lambda: loose.plan(), "plan() needs goal."),
        (lambda: loose.connect("known"), "connect() needs b."),
        (lambda: loose.plan("x", goal="x"), "plan() was given goal twice: by position and by name."),
        (
            lambda: loose.health.status(known),
            "status(): name is a text, not the Tool 'known'. Write 'known', its name.",
        ),
        (lambda: made.Budget(1, 2, 3, 4), "Budget takes usd, seconds, calls by position"),
        (lambda: made.Resolution.wait("known"), "Resolution.wait() needs seconds."),
        (lambda: made.RateLimited(30), "Write RateLimited(retry_after=30)"),
        (lambda: loose.feedback("r", "x", "good"), "success is True or False, not 'good'"),
        (lambda: made.Tool(unused, name="t", needs=[], gives="y", cost="1"), "cost is a number or a function, not '1'"),
    ],
)
def test_values_in_the_wrong_place(call: Callable[[], Any], said: str) -> None:
    with pytest.raises(OrchestratorError) as caught:
        call()
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: loose.run_sync("x", {"a": 1}, labels={"c": 17}), "labels['c'] is a text, not 17"),
        (lambda: made.Orchestrator([known, None]), "tools[1] is a Tool or a function, not None"),
        (lambda: made.Orchestrator(clock=3), "clock is a Clock, with"),
        (lambda: made.Orchestrator(clock=testing.FakeClock), "clock is a Clock, with"),
        (lambda: made.Orchestrator(monitors=[monitors.Outage]), "the class Outage has not. Did you mean Outage()?"),
        (lambda: loose.add_sink(3), "sink is a Sink, with on_event(), not 3"),
        (lambda: loose.health.trip("known", 3), "trip(): rest is a text, not 3"),
        (lambda: made.Goal("x", type="str"), "A goal's type is a class, not the text 'str'"),
        (lambda: loose.run_sync(made.Goal("x", providable="xy"), {"a": 1}), "Nothing needs the providable key 'xy'"),
        (lambda: made.Tool("pay"), "Tool takes a function, not 'pay'"),
        (lambda: made.Tool(unused, name="a\nb", needs=[]), "cannot be the name of a tool: it holds a control"),
        (
            lambda: made.Tool(unused, name="a", needs=[], gives="k\u202ex"),
            "cannot be the name of a key of tool 'a': it holds a mark",
        ),
        (lambda: made.Orchestrator.from_project(__file__), "is a file: a project is a folder"),
    ],
)
def test_a_wrong_member_or_name_is_told_by_its_place(call: Callable[[], Any], said: str) -> None:
    with pytest.raises(OrchestratorError) as caught:
        call()
    assert said in str(caught.value)


async def test_an_unknown_run_is_told_with_the_nearest_id() -> None:
    async with Orchestrator([known], monitors=()) as own:
        await own.run("x", {"a": 1}, run_id="invoice-17")
        for look in (own.verify, own.replay, own.outcome, own.judgements):
            with pytest.raises(OrchestratorError, match=r"There is no run 'invoice-71' .* Did you mean 'invoice-17'\?"):
                look("invoice-71")
        for ask in (own.resume, own.cancel, own.wait):
            with pytest.raises(OrchestratorError, match=r"There is no run 'invoice-71' .* Did you mean 'invoice-17'\?"):
                await ask("invoice-71")
        with pytest.raises(OrchestratorError, match=r"No tool of the run 'invoice-17' gave 'y'"):
            own.feedback("invoice-17", "y", success=True)
