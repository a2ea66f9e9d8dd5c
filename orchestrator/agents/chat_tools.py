"""The tools of a chat-model agent: functions, LangChain tools, and goals of its graph."""

import asyncio
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic_core import PydanticSerializationError, to_json

from orchestrator.core.context import RunContext
from orchestrator.core.enums import PartKind
from orchestrator.core.errors import DefinitionError, InvalidOutput, OrchestratorError, Unavailable
from orchestrator.core.goal import Goal
from orchestrator.core.types.schema import adapter, validate
from orchestrator.graph.tool import Tool

from .conversation import Conversation


@dataclass(frozen=True)
class GoalTool:
    """A goal of the graph as a tool of a model: `GoalTool("weather", takes={"city": str})`.

    Calling it runs a child goal, so the router chooses and heals whatever reaches it.
    """

    goal: str
    takes: Mapping[str, Any] | None = None
    """Key -> type of the values the model provides. Default: the keys that the goal needs and no tool gives."""
    description: str = ""
    name: str = ""
    """Its name for the model. Default: the goal."""


InputsOf = Callable[[Goal[Any]], Mapping[str, tuple[Any, bool]]]
"""The inputs of a goal: key -> its type and whether it is required."""


@dataclass(frozen=True)
class ModelTool:
    """One tool: its definition for the model (`spec`) and its implementation (`work`)."""

    name: str
    spec: Any
    work: Any
    takes: Mapping[str, tuple[Any, bool]] = field(default_factory=dict[str, "tuple[Any, bool]"])
    """For a goal: key -> type of the value that the model provides, and whether it must."""


def tool_offers(agent: str, tools: Iterable[Any], inputs_of: InputsOf | None = None) -> tuple[ModelTool, ...]:
    """The tools that a model is offered; `inputs_of` returns the inputs of a goal in the graph of the run.

    Raises `DefinitionError` for something that is no tool, or two of one name.
    """
    offers = tuple(_offer(agent, item, inputs_of) for item in tools)
    names = [offer.name for offer in offers]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DefinitionError(f"Agent {agent!r} has two tools named {', '.join(map(repr, twice))}.")
    return offers


def _offer(agent: str, item: Any, inputs_of: InputsOf | None) -> ModelTool:
    from langchain_core.tools import BaseTool, StructuredTool

    if isinstance(item, str):
        item = GoalTool(item)
    if isinstance(item, Goal):
        item = GoalTool(" + ".join(item.keys))
    if isinstance(item, Tool):
        item = GoalTool(" + ".join(item.gives), _takes(item), item.description, item.name)
    if isinstance(item, GoalTool):
        if item.takes is not None:
            takes = {key: (annotation, True) for key, annotation in item.takes.items()}
        else:
            takes = dict(inputs_of(_goal(item))) if inputs_of is not None else {}
        return ModelTool(item.name or item.goal, _spec(item, takes), item, takes)
    if isinstance(item, BaseTool):
        return ModelTool(item.name, item, item)
    if inspect.isfunction(item) or inspect.ismethod(item):
        try:
            is_async = inspect.iscoroutinefunction(item)
            made = StructuredTool.from_function(coroutine=item) if is_async else StructuredTool.from_function(item)
        except ValueError as error:
            raise DefinitionError(f"Agent {agent!r}: {error}") from error
        return ModelTool(made.name, made, made)
    raise DefinitionError(
        f"Agent {agent!r}: a tool of a chat model is a function, a LangChain tool, a Tool, a Goal (or its "
        f"name) or a GoalTool, not {item!r}."
    )


def _takes(tool: Tool) -> dict[str, Any]:
    types = tool.parameter_types
    return {key: types[parameter] for parameter, key in tool.needs.items()}


def _goal(item: GoalTool) -> Goal[Any]:
    return Goal(item.goal.split(" + "))


def _spec(item: GoalTool, takes: Mapping[str, tuple[Any, bool]]) -> dict[str, Any]:
    properties = {key: adapter(annotation).json_schema() for key, (annotation, _) in takes.items()}
    required = [key for key, (_, needed) in takes.items() if needed]
    return {
        "type": "function",
        "function": {
            "name": item.name or item.goal,
            "description": item.description or f"Get a value for {item.goal}.",
            "parameters": {"type": "object", "properties": properties, "required": required},
        },
    }


async def run_tool_calls(
    ctx: RunContext, offers: Sequence[ModelTool], talk: Conversation, *, repeatable: bool = False
) -> None:
    """Execute the tool calls of the conversation's last turn concurrently; an error becomes an answer to the model.

    Calls that are answered already are not made again. When one asks a person or is cancelled, the others finish first.
    Raises `UnansweredToolCall` for one that began before and may have written, unless they are `repeatable`.
    """
    turn = talk.turn
    if turn is None:
        return
    by_name = {offer.name: offer for offer in offers}
    for n, call in enumerate(turn.tool_calls):
        known = talk.replayed.get((call["id"] or "", call["name"]))
        if known is not None and n not in talk.answers:
            await talk.answer(n, known)
    if talk.turn is not turn:  # every call is answered
        return
    left = [(n, call) for n, call in enumerate(turn.tool_calls) if n not in talk.answers]
    for n, call in left:
        offer = by_name.get(call["name"])
        if offer is not None and not isinstance(offer.work, GoalTool):
            await talk.started(n, offer.name, repeatable=repeatable)
    if len(left) == 1:
        await _answer(ctx, by_name, talk, *left[0])
        return
    ended = await asyncio.gather(*(_answer(ctx, by_name, talk, n, call) for n, call in left), return_exceptions=True)
    for error in ended:
        if isinstance(error, BaseException):
            raise error


async def _answer(
    ctx: RunContext, by_name: Mapping[str, ModelTool], talk: Conversation, position: int, call: Any
) -> None:
    from langchain_core.messages import ToolMessage

    ctx.usage["tool_calls"] += 1
    status: Literal["success", "error"] = "success"
    offer = by_name.get(call["name"])
    key = talk.child_key(position)
    try:
        if offer is None:
            raise InvalidOutput(f"There is no tool {call['name']!r}. There are: {', '.join(by_name)}.")
        content = await _run(ctx, offer, call["args"], key)
    except OrchestratorError as error:
        content, status = str(error), "error"
    except (Exception, SystemExit) as error:
        content, status = f"{type(error).__name__}: {error}", "error"
    await talk.answer(position, ToolMessage(content, tool_call_id=call["id"] or "", name=call["name"], status=status))


async def _run(ctx: RunContext, offer: ModelTool, arguments: Mapping[str, Any], key: str) -> str:
    if not isinstance(offer.work, GoalTool):
        return as_text(await _own(ctx, offer, arguments, key))
    takes = offer.takes
    unknown = sorted(set(arguments) - set(takes))
    missing = sorted(key for key, (_, required) in takes.items() if required and key not in arguments)
    if unknown or missing:
        known = ", ".join(takes) or "nothing"
        raise InvalidOutput(f"{offer.name} takes {known}; wrong: {', '.join(unknown + missing)}.")
    inputs = {key: validate(key, takes[key][0], value) for key, value in arguments.items()}
    outcome = await ctx.reach(_goal(offer.work), inputs, key)
    return as_text(outcome.value)


async def _own(ctx: RunContext, offer: ModelTool, arguments: Mapping[str, Any], key: str) -> Any:
    """Call a tool of the agent's own: a function or a LangChain tool. The run's record and its budget include it."""
    part = ctx.part(offer.name, PartKind.TOOL, f"tool{key}")
    if part.refused:
        raise Unavailable(f"{offer.name} may not be called: {part.refused}.")
    try:
        output = await offer.work.ainvoke(dict(arguments))
    except (Exception, SystemExit) as error:
        part.ended(error if isinstance(error, Exception) else RuntimeError("it called sys.exit"))
        raise
    except BaseException:
        part.dropped()
        raise
    part.ended()
    return output


def as_text(value: Any) -> str:
    """A value as text for a model: text unchanged, anything else as JSON."""
    if isinstance(value, str):
        return value
    try:
        return to_json(value, indent=1).decode()
    except PydanticSerializationError:
        return str(value)
