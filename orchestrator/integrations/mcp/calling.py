"""One call of a tool of an MCP server, as a callable that the graph can read."""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import PydanticSerializationError, to_jsonable_python

from orchestrator.core.context import RunContext
from orchestrator.core.errors import CallerError

from .connection import Connection
from .results import value_of


@dataclass(frozen=True)
class Terms:
    """What was agreed about a tool: what it is sent, and what becomes of its answer."""

    server: str
    remote: str
    takes: Mapping[str, Any]
    """Parameter -> type."""
    required: tuple[str, ...]
    gives: dict[str, Any]
    timeout: float


def remote_call(connection: Connection, terms: Terms) -> Callable[..., Awaitable[Any]]:
    """A function with the parameters of the tool. Raises what the classes of failures know (`results`)."""

    async def call(run_context: RunContext[Any], **inputs: Any) -> Any:
        arguments = {name: _as_json(terms, name, value) for name, value in inputs.items()}

        async def told(progress: float, total: float | None, message: str | None) -> None:
            run_context.report(message or (f"{progress:g} of {total:g}" if total else f"{progress:g}"))

        async with connection.client() as client:
            result = await client.call_tool(
                terms.remote, arguments, read_timeout_seconds=terms.timeout, progress_callback=told
            )
        return value_of(result, terms.gives)

    context = inspect.Parameter("run_context", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    call.__signature__ = inspect.Signature([context, *_parameters(terms)])  # type: ignore[attr-defined]  # pyright: ignore[reportFunctionMemberAccess]
    call.__annotations__ = {"run_context": RunContext[Any], **terms.takes}
    call.__name__ = call.__qualname__ = terms.remote
    return call


def _parameters(terms: Terms) -> list[inspect.Parameter]:
    """Those of the tool; a name that Python cannot write is taken by `**kwargs`."""
    kind, empty = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.empty
    plain = [name for name in terms.takes if name.isidentifier()]
    made = [inspect.Parameter(name, kind, default=empty if name in terms.required else None) for name in plain]
    return made if len(plain) == len(terms.takes) else [*made, inspect.Parameter("rest", inspect.Parameter.VAR_KEYWORD)]


def _as_json(terms: Terms, name: str, value: Any) -> Any:
    try:
        return to_jsonable_python(value)
    except PydanticSerializationError:
        raise CallerError(
            f"{terms.remote} of the MCP server {terms.server!r} cannot be sent {name}: a {type(value).__name__} "
            "cannot be written as JSON."
        ) from None
