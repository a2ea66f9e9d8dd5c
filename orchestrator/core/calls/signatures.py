"""Functions with a signature that is made at run time, for tools whose parameters a schema describes."""

import inspect
import keyword
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

from orchestrator.core.context import RunContext
from orchestrator.core.types.schema import OTHERS

CallBody = Callable[[RunContext[Any] | None, dict[str, Any]], Awaitable[Any]]
"""What does the work: the context of the call (`None` outside a run), and the arguments by name."""


def with_signature(
    work: CallBody, name: str, takes: Mapping[str, Any], required: Collection[str], *, doc: str = "", returns: Any = Any
) -> Callable[..., Awaitable[Any]]:
    """An async function with these parameters and types, and one more that takes the `RunContext`.

    A parameter whose name Python cannot write as one (`from`, `user-id`) is taken by `**kwargs`, and read by
    `read_signature` as any other.
    """
    context = "run_context"
    while context in takes:
        context = f"_{context}"

    async def call(**inputs: Any) -> Any:
        return await work(inputs.pop(context, None), inputs)

    kind, empty = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.empty
    plain = [each for each in takes if each.isidentifier() and not keyword.iskeyword(each)]
    parameters = [inspect.Parameter(context, kind)]
    parameters += [inspect.Parameter(each, kind, default=empty if each in required else None) for each in plain]
    if len(plain) < len(takes):
        rest = "others"
        while rest in takes:
            rest = f"_{rest}"
        parameters.append(inspect.Parameter(rest, inspect.Parameter.VAR_KEYWORD))
    others = tuple((each, takes[each], each in required) for each in takes if each not in plain)
    setattr(call, OTHERS, others)
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # pyright: ignore[reportFunctionMemberAccess]
    call.__annotations__ = {context: RunContext[Any], **{each: takes[each] for each in plain}, "return": returns}
    call.__name__ = call.__qualname__ = name
    call.__doc__ = doc
    return call


__all__ = ["CallBody", "with_signature"]
