"""`KeyTypes`: the types that tools take and give, by key, and whether they fit."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

from orchestrator.core.calls.source import at
from orchestrator.core.errors import DefinitionError
from orchestrator.core.types.assignable import Fit, fit, has_constraints
from orchestrator.core.types.schema import type_name

from .tool import Tool

Side = dict[Hashable, dict[str, Any]]
"""Distinct annotation -> tool -> annotation."""


@dataclass(slots=True)
class _Key:
    given: Side = field(default_factory=dict[Hashable, dict[str, Any]])
    taken: Side = field(default_factory=dict[Hashable, dict[str, Any]])
    places: dict[str, str] = field(default_factory=dict[str, str])
    known: Any = None
    """The key's type, worked out when it is asked for."""


class KeyTypes:
    """The annotations of every key. A key is consistent when every given type fits every taken one."""

    def __init__(self) -> None:
        self._keys: dict[str, _Key] = {}

    def check(self, tool: Tool) -> None:
        """Raises `DefinitionError` where no value of a key could be both what is given and what is taken."""
        for key, annotation in tool.gives.items():
            for taker, taken, place in self._others(key, "taken", tool):
                if fit(annotation, taken) is Fit.NO:
                    raise _clash(key, (tool.name, annotation, tool.place), (taker, taken, place))
        for key, annotation in _taken(tool):
            for giver, given, place in self._others(key, "given", tool):
                if fit(given, annotation) is Fit.NO:
                    raise _clash(key, (giver, given, place), (tool.name, annotation, tool.place))

    def _others(self, key: str, side: str, tool: Tool) -> list[tuple[str, Any, str]]:
        """One tool for each distinct annotation on that side, by name: tool, annotation, place."""
        found = self._keys.get(key)
        others: list[tuple[str, Any, str]] = []
        for tools in getattr(found, side).values() if found else ():
            names = [name for name in tools if name != tool.name]
            if names and found is not None:
                others.append((min(names), tools[min(names)], found.places[min(names)]))
        return sorted(others, key=lambda other: other[0])

    def note(self, tool: Tool) -> None:
        """Add the annotations of a tool."""
        for side, annotated in (("given", list(tool.gives.items())), ("taken", _taken(tool))):
            for key, annotation in annotated:
                entry = self._keys.setdefault(key, _Key())
                getattr(entry, side).setdefault(_identity(annotation), {})[tool.name] = annotation
                entry.places[tool.name] = tool.place
                entry.known = None

    def forget(self, tool: Tool) -> None:
        """Remove the annotations of a tool."""
        for side, annotated in (("given", list(tool.gives.items())), ("taken", _taken(tool))):
            for key, annotation in annotated:
                entry = self._keys[key]
                tools = getattr(entry, side)[_identity(annotation)]
                tools.pop(tool.name, None)
                if not tools:
                    del getattr(entry, side)[_identity(annotation)]
                entry.known = None

    def types(self) -> dict[str, Any]:
        """The type of each key: the narrowest that is taken, else what is given."""
        return {key: _type_of(entry) for key, entry in self._keys.items() if entry.given or entry.taken}

    def type_of(self, key: str) -> Any:
        """The same for one key; `None` for a key of no tool."""
        entry = self._keys.get(key)
        return None if entry is None or not (entry.given or entry.taken) else _type_of(entry)


def _type_of(entry: _Key) -> Any:
    if entry.known is None:
        taken = narrowest(entry.taken)
        entry.known = narrowest(entry.given) if taken is Any else taken
    return entry.known


def narrowest(side: Side) -> Any:
    """The annotation whose values fit most of the others; `Any` where nothing is annotated."""
    if not side or (len(side) == 1 and Any in side):
        return Any
    found = [min(tools.items(), key=lambda item: item[0]) for tools in side.values() if tools]
    annotations = [annotation for _, annotation in sorted(found, key=lambda item: item[0]) if annotation is not Any]
    if not annotations:
        return Any

    def rank(annotation: Any) -> tuple[int, bool]:
        return sum(fit(annotation, other) for other in annotations), has_constraints(annotation)

    return max(annotations, key=rank)


def _identity(annotation: Any) -> Hashable:
    try:
        hash(annotation)
    except TypeError:
        return repr(annotation)
    identity: Hashable = annotation
    return identity


def _taken(tool: Tool) -> list[tuple[str, Any]]:
    """(key, annotation) for every key that the tool takes."""
    keys = {**tool.needs, **tool.optional}
    return [(keys[name], annotation) for name, annotation in tool.parameter_types.items() if name in keys]


def _clash(key: str, giver: tuple[str, Any, str], taker: tuple[str, Any, str]) -> DefinitionError:
    (one, given, from_), (other, taken, to) = giver, taker
    return DefinitionError(
        f"The key {key!r} does not fit: {one!r} gives {type_name(given)}{at(from_)}, {other!r} takes "
        f"{type_name(taken)}{at(to)}. Annotate the parameter of {other!r} as {type_name(given)}, or the result of "
        f"{one!r} as {type_name(taken)}; if these are two things, give one of them another key."
    )
