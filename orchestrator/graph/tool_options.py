"""`ToolOptions`: the options of `Tool` and `@tool`, with their units; and checks of the functions among them."""

import inspect
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Annotated, Any, Final, TypedDict

from orchestrator.core.calls.signatures import signature_of
from orchestrator.core.errors import DefinitionError, nearest

Cost = float | Callable[[Mapping[str, float]], float | Awaitable[float]]
LatencyOption = float | Callable[..., float]
MAX_COST = 1e9
"""Largest accepted cost in US dollars; a larger one counts as a mistake."""


class ToolOptions(TypedDict, total=False):
    """The options of `Tool` and `@tool`; all are optional."""

    name: str | None
    """Default: the callable's name."""
    needs: str | Iterable[str] | Mapping[str, str] | None
    """Keys in: a key, a list, or a mapping parameter -> key. Default: the parameter names."""
    gives: str | Iterable[str] | Mapping[str, Any] | None
    """Keys out: a key, several (the call returns a mapping), or a mapping key -> type. Default: the tool's name."""
    cost: Cost
    """US dollars per call, or a function of the usage that the call reported."""
    latency: LatencyOption
    """Expected seconds per call, or a function of the inputs that says so."""
    risk: float
    """In [0, 1]."""
    effect: Annotated[str, "'read', 'write' or 'irreversible'"]
    """`"read"`, `"write"` or `"irreversible"`."""
    timeout: float | None
    """Seconds a call may take. Default: the policy's."""
    retries: int | None
    """Retries after the first attempt. Default: the policy's."""
    when: Callable[..., Any] | None
    """Precondition over the inputs."""
    ensure: Callable[[Any], Any] | None
    """Check of the output: raising, or a false value other than `None`, makes it a failure."""
    reconcile: Callable[..., Any] | None
    """Called with the inputs of an uncertain effect: its output, `NOT_DONE`, or it raises when it cannot tell.

    A parameter annotated `RunContext` gets the context: `deps`, and the idempotency key of the step."""
    compensate: Callable[..., Any] | None
    """Called with the output (and a `RunContext`, where it takes one), to undo the effect."""
    undo_cost: float
    """US dollars that undoing costs."""
    idempotency_key: str | None
    """The parameter that receives a key which stays the same over the retries of a step."""
    approval: bool | Callable[..., Any]
    """Ask a person first: always, or when this function of the inputs says so."""
    health_check: Callable[[], Any] | None
    """Polled in the background when asked for; raising, or a false value other than `None`, is a failure."""
    max_concurrency: int | None
    """Calls at one time."""
    ttl: float | None
    """Seconds that a read stays fresh."""
    credential: str | None
    """Name of the account that the call uses: limits and account failures count for every tool that names it."""
    isolation: str | None
    """`"process"`: a sync call runs in a worker process, which its time-out ends. Default: a thread."""
    memory: float | None
    """Megabytes that a call with `isolation="process"` may use."""
    share: bool
    """Hand values over without a copy; the call promises not to change them."""
    description: str | None
    """Default: the callable's docstring."""
    classify: Callable[[BaseException], Any] | None
    """The tool's own row of the failure table: an exception -> `FailureKind`, or `None` to leave it to the table."""


_TAKES_OUTPUT: Final = ("ensure", "compensate")
_TAKES_INPUTS: Final = ("when", "approval", "reconcile", "latency")


def check_functions(tool: str, parameters: Collection[str], options: Mapping[str, Any]) -> None:
    """Raises `DefinitionError` for a function that could never be called as its option says.

    `parameters` are those of the tool, by which `when`, `approval`, `reconcile` and `latency` get the inputs.
    """
    _check_effect(tool, options)
    for option in (*_TAKES_OUTPUT, *_TAKES_INPUTS, "health_check"):
        function = options.get(option)
        if callable(function):
            _check(tool, option, function, parameters, options.get("idempotency_key"))


def _check_effect(tool: str, options: Mapping[str, Any]) -> None:
    reads = options.get("effect", "read") == "read"
    for option in ("compensate", "reconcile"):
        if reads and options.get(option) is not None:
            raise DefinitionError(
                f"Tool {tool!r}: {option}= is for a tool that changes something, and this one reads. Declare "
                "effect='write'; or leave it out."
            )
    if options.get("undo_cost", 0) > 0 and options.get("compensate") is None:
        raise DefinitionError(
            f"Tool {tool!r}: undo_cost= is what compensate= costs, and the tool has no compensate=. Give it one; or "
            "leave undo_cost= out."
        )
    if not reads and options.get("ttl") is not None:
        raise DefinitionError(
            f"Tool {tool!r}: ttl= is how long a read stays fresh, and this tool changes something: it is not called "
            "again for its age. Leave ttl= out; or declare effect='read'."
        )


def _check(tool: str, option: str, function: Any, parameters: Collection[str], key: str | None) -> None:
    try:
        signature = signature_of(function)
    except (ValueError, TypeError):
        return
    given = 1 if option in _TAKES_OUTPUT else 0
    try:
        bound = signature.bind_partial(*[None] * given)
    except TypeError:
        raise DefinitionError(f"Tool {tool!r}: {option} is called with the output, and takes none here.") from None
    named = {*(parameters if option in _TAKES_INPUTS else ()), *(() if key is None else (key,))}
    missing = [
        name
        for name, parameter in signature.parameters.items()
        if name not in bound.arguments and name not in named and _is_required(parameter)
    ]
    if not missing:
        return
    how = {
        **dict.fromkeys(_TAKES_OUTPUT, "the output alone"),
        **dict.fromkeys(_TAKES_INPUTS, f"inputs of the tool by name ({', '.join(parameters) or 'it has none'})"),
        "health_check": "nothing",
    }[option]
    raise DefinitionError(
        f"Tool {tool!r}: {option} is called with {how}, and needs {missing[0]!r} here.{nearest(missing[0], named)}"
    )


def _is_required(parameter: inspect.Parameter) -> bool:
    """Whether a call has to fill a parameter; the context of the run fills one that is annotated so."""
    if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
        return False
    return parameter.default is inspect.Parameter.empty and "RunContext" not in str(parameter.annotation)
