"""`alternatives=` of agents and of the gateway: which tools may replace which, and with what arguments."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from orchestrator.core.errors import DefinitionError

Arguments = Mapping[str, str] | Callable[[dict[str, Any]], Mapping[str, Any]]
"""The arguments of an alternative: its parameter -> the parameter of the replaced tool, or a function."""


@dataclass(frozen=True)
class FallbackTool:
    """A tool that may replace another one."""

    name: str
    arguments: Arguments | None = None

    def mapped(self, given: Mapping[str, Any], takes: Iterable[str]) -> dict[str, Any]:
        """The arguments of a call, mapped to the parameters of this tool."""
        if callable(self.arguments):
            return dict(self.arguments(dict(given)))
        names = self.arguments or {}
        return {p: given[names.get(p, p)] for p in takes if names.get(p, p) in given}


def read_alternatives(
    stated: Any, kinds: tuple[type[Any], ...] = ()
) -> tuple[dict[str, list[FallbackTool]], dict[str, Any]]:
    """Tool -> its alternatives, and the tools that were given as objects, by name.

    An alternative is a name or a tool, alone, in a pair or a mapping with its arguments:
    `{"search": ["brave", ("cache", {"key": "query"})]}` or `{"search": {"brave": {"q": "query"}}}`.
    Raises `DefinitionError` for anything else.
    """
    found: dict[str, list[FallbackTool]] = {}
    objects: dict[str, Any] = {}
    if stated is not None and not isinstance(stated, Mapping):
        raise DefinitionError(f"alternatives= is a mapping tool -> list of alternatives, not {stated!r}.")
    for name, listed in dict(cast("Mapping[str, Any]", stated or {})).items():
        for item in _items(listed):
            one, arguments = cast("tuple[Any, Any]", item) if isinstance(item, tuple) else (item, None)
            if kinds and isinstance(one, kinds):
                objects[one.name] = one
                one = one.name
            if not isinstance(one, str) or not (
                arguments is None or callable(arguments) or isinstance(arguments, Mapping)
            ):
                raise DefinitionError(
                    f"An alternative of {name!r} is a tool or its name, alone or with its arguments: "
                    f"('brave', {{'q': 'query'}}), not {item!r}."
                )
            found.setdefault(str(name), []).append(FallbackTool(one, cast("Arguments | None", arguments)))
    return found, objects


def _items(listed: Any) -> Iterable[Any]:
    """The alternatives of one tool as a list; a mapping gives its pairs."""
    if isinstance(listed, Mapping):
        return cast("Mapping[str, Any]", listed).items()
    return [listed] if isinstance(listed, str) else listed


__all__ = ["FallbackTool", "read_alternatives"]
