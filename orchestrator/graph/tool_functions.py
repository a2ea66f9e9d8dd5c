"""Checks the functions among a tool's options where they are declared: whether the way they are called fits them."""

import inspect
from collections.abc import Collection, Mapping
from typing import Any, Final

from orchestrator.core.errors import DefinitionError, nearest

_TAKES_OUTPUT: Final = ("ensure", "compensate")
_TAKES_INPUTS: Final = ("when", "approval", "reconcile", "latency")


def check_functions(tool: str, parameters: Collection[str], options: Mapping[str, Any]) -> None:
    """Raises `DefinitionError` for a function that could never be called as its option says.

    `parameters` are those of the tool, by which `when`, `approval`, `reconcile` and `latency` get the inputs.
    """
    for option in (*_TAKES_OUTPUT, *_TAKES_INPUTS, "health_check"):
        function = options.get(option)
        if callable(function):
            _check(tool, option, function, parameters, options.get("idempotency_key"))


def _check(tool: str, option: str, function: Any, parameters: Collection[str], key: str | None) -> None:
    try:
        signature = inspect.signature(function)
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


__all__ = ["check_functions"]
