"""LangChain tools as callables of the graph, and tools as LangChain tools; schemas and injected arguments are kept."""

import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from orchestrator.core.context import RunContext
from orchestrator.core.errors import CallerError, DefinitionError, Refused
from orchestrator.core.types.json_schema import is_plain_name, type_of, with_signature

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool
    from typing_extensions import TypeIs


def is_langchain_tool(call: Any) -> "TypeIs[BaseTool]":
    """Whether something is a LangChain tool; imports nothing."""
    return any(base.__module__.startswith("langchain_core.tools") for base in type(call).__mro__)


def callable_of(tool: "BaseTool") -> Callable[..., Any]:
    """An async function with the parameters of a LangChain tool, for a `Tool` of the graph.

    What the schema hides is provided: `InjectedState("field")` is the key `field`, `InjectedState` the mapping of the
    inputs, `InjectedStore` the store in `deps`, `ToolRuntime.context` the `deps`; a tool-call id and a config are made.
    A `ToolException` is a refusal. The value is what the tool returned, or its `Command`'s update.
    """
    types, required = parameters_of(tool)
    injected = _injected(tool)
    fields = {field for field in injected.state.values() if field} if injected is not None else set[str]()
    takes = {**types, **{field: Any for field in fields if field not in types}}

    async def work(ctx: RunContext[Any] | None, inputs: dict[str, Any]) -> Any:
        arguments = {name: value for name, value in inputs.items() if name in types}
        from langchain_core.tools import ToolException

        try:
            if injected is None:
                return await tool.ainvoke(arguments)
            return await _with_injections(tool, ctx, arguments, inputs)
        except ToolException as error:
            raise Refused(str(error)) from error

    made = with_signature(work, tool.name, takes, {*required, *fields}, doc=tool.description)
    needed = {name: name for name in takes if name in required or name in fields or is_plain_name(name)}
    made.takes = needed  # type: ignore[attr-defined]  # pyright: ignore[reportFunctionMemberAccess]
    made.langchain_tool = tool  # type: ignore[attr-defined]  # pyright: ignore[reportFunctionMemberAccess]
    return made


def parameters_of(tool: "BaseTool") -> tuple[dict[str, Any], list[str]]:
    """Parameter -> type of what a caller provides, and the names of the required ones."""
    schema: Any = tool.tool_call_schema
    if isinstance(schema, Mapping):
        found = cast(Mapping[str, Any], schema)
        properties: Mapping[str, Any] = found.get("properties", {})
        wanted: Any = found.get("required", [])
        return {name: type_of(part) for name, part in properties.items()}, [n for n in properties if n in wanted]
    if hasattr(schema, "model_fields"):
        fields: Mapping[str, Any] = schema.model_fields
        return (
            {name: field.annotation for name, field in fields.items()},
            [name for name, field in fields.items() if field.is_required()],
        )
    arguments: Mapping[str, Any] = tool.args
    return {name: type_of(part) for name, part in arguments.items()}, list(arguments)


def _injected(tool: "BaseTool") -> Any:
    """The arguments that LangGraph would inject; `None` for a tool without any."""
    from langgraph.prebuilt.tool_node import ToolNode

    found: Any = ToolNode([tool])._injected_args[tool.name]  # pyright: ignore[reportPrivateUsage]
    by_id = any(
        "InjectedToolCallId" in repr(field) for field in getattr(tool.get_input_schema(), "model_fields", {}).values()
    )
    return found if found.all_injected_keys or by_id else None


async def _with_injections(
    tool: "BaseTool", ctx: RunContext[Any] | None, arguments: Mapping[str, Any], inputs: Mapping[str, Any]
) -> Any:
    from langchain_core.messages import AIMessage
    from langgraph.prebuilt import ToolNode
    from langgraph.runtime import Runtime

    deps: Any = None if ctx is None else ctx.deps
    runtime: Runtime[Any] = Runtime(
        context=None if _store_of(deps) is deps else deps,
        store=_store_of(deps),
        stream_writer=ctx.report if ctx is not None else _ignore,
    )
    call_id = f"{ctx.idempotency_key}-{ctx.attempt}" if ctx is not None else uuid.uuid4().hex
    asked = AIMessage("", tool_calls=[{"name": tool.name, "args": dict(arguments), "id": call_id}])
    node = ToolNode([tool], handle_tool_errors=False)
    config: Any = {"configurable": {"__pregel_runtime": runtime}}
    output: Any = await node.ainvoke({**inputs, "messages": [asked]}, config)
    return _value_of(output)


def _store_of(deps: Any) -> Any:
    from langgraph.store.base import BaseStore

    found: Any = deps if isinstance(deps, BaseStore) else getattr(deps, "store", None)
    return found if isinstance(found, BaseStore) else None


def _ignore(_: Any) -> None:
    return None


def _value_of(output: Any) -> Any:
    from langgraph.types import Command

    one: Any = cast(list[object], output)[0] if isinstance(output, list) else output
    if isinstance(one, Command):
        return one.update  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if isinstance(one, dict) and "messages" in one:
        return one["messages"][-1].content  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    kind = type(cast(object, one)).__name__
    raise CallerError(f"the LangChain tool answered with a {kind}, which is no message")


def langchain_tool_of(
    name: str, description: str, call: Callable[..., Any], takes: Mapping[str, tuple[Any, bool]], *, is_async: bool
) -> "BaseTool":
    """A LangChain tool that calls a function; `takes` is parameter -> (type, whether it is required)."""
    from langchain_core.tools import StructuredTool
    from pydantic import ConfigDict, create_model

    original: Any = getattr(call, "langchain_tool", None)
    if original is not None:
        return cast("BaseTool", original)
    fields: dict[str, Any] = {p: (kind, ... if needed else None) for p, (kind, needed) in takes.items()}
    try:
        schema = create_model(name, __config__=ConfigDict(arbitrary_types_allowed=True), **fields)
    except Exception as error:
        raise DefinitionError(f"The tool {name!r} cannot be a LangChain tool: {error}") from error

    def given(inputs: Mapping[str, Any]) -> dict[str, Any]:
        return {p: value for p, value in inputs.items() if value is not None or takes[p][1]}

    async def run(**inputs: Any) -> Any:
        return await call(**given(inputs))

    def run_sync(**inputs: Any) -> Any:
        return call(**given(inputs))

    how: Any = {"coroutine": run} if is_async else {"func": run_sync}
    return StructuredTool(name=name, description=description or f"The tool {name}.", args_schema=schema, **how)


__all__ = ["callable_of", "is_langchain_tool", "langchain_tool_of", "parameters_of"]
