"""`GraphRevision`: one immutable revision of the tool graph, with everything that planning needs."""

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, TypeVar, cast

from orchestrator.core.types.assignable import Fit, fit, is_checked_at_call

from .spec import ToolSpec, Transition, json_text
from .tool import Tool
from .transitions import Transitions

V = TypeVar("V")
_Names = dict[str, tuple[str, ...]]
_Edges = dict[str, tuple[Transition, ...]]


@dataclass(frozen=True, slots=True)
class LiveGraph:
    """The contents of the live graph, from which the next revision is derived."""

    nodes: Mapping[str, ToolSpec]
    tools: Mapping[str, Tool]
    transitions: Transitions
    key_type: Callable[[str], Any]


class Cone:
    """The tools and keys that could take part in a route to some keys, computed on first access. Names are sorted."""

    def __init__(self, view: "GraphRevision", goal: tuple[str, ...]) -> None:
        self._view, self._goal = view, goal

    def follows(self, names: Set[str], specs: Iterable[ToolSpec]) -> bool:
        """Whether it is known, and the same in a revision in which these tools have changed."""
        if "_reached" not in self.__dict__ or not names.isdisjoint(self.names):
            return False
        return all(self.keys.isdisjoint(spec.gives) for spec in specs)

    def of(self, view: "GraphRevision") -> "Cone":
        """The same in another revision."""
        cone = Cone(view, self._goal)
        cone.__dict__.update({**self.__dict__, "_view": view})
        return cone

    @cached_property
    def _reached(self) -> tuple[frozenset[str], frozenset[str]]:
        """The tools, and the keys that they need with those wanted."""
        view = self._view
        keys, waiting = set(self._goal), list(self._goal)
        tools: set[str] = set()
        while waiting:
            fresh = list(view.producers(waiting.pop()))
            while fresh:
                tool = fresh.pop()
                if tool in tools:
                    continue
                tools.add(tool)
                fresh += [t.source for t in view.incoming(tool) if t.source in view.nodes]
                needed = [key for key in view.nodes[tool].needs if key not in keys]
                keys.update(needed)
                waiting += needed
        return frozenset(tools), frozenset(keys)

    @cached_property
    def tools(self) -> tuple[str, ...]:
        """The tools."""
        return tuple(sorted(self.names))

    @cached_property
    def has_rivals(self) -> bool:
        """Whether any of the keys is given by several tools."""
        return any(len(self._view.producers(key)) > 1 for key in self.keys)

    @property
    def names(self) -> frozenset[str]:
        """The same as a set."""
        return self._reached[0]

    @property
    def keys(self) -> frozenset[str]:
        """The keys that these tools need, and those wanted."""
        return self._reached[1]

    @cached_property
    def _special(self) -> tuple[Tool, ...]:
        known = self._view.special
        return tuple([known[name] for name in sorted(known) if name in self.names]) if known else ()

    @cached_property
    def agents(self) -> tuple[str, ...]:
        """The tools that are agents."""
        return tuple([tool.name for tool in self._special if tool.is_agent])

    @cached_property
    def timed(self) -> tuple[str, ...]:
        """The tools whose latency is a function of their inputs."""
        return tuple([tool.name for tool in self._special if callable(tool.latency)])

    @cached_property
    def conditional(self) -> tuple[str, ...]:
        """The tools that have a `when`."""
        return tuple([tool.name for tool in self._special if tool.when is not None])

    @cached_property
    def limited(self) -> tuple[str, ...]:
        """The tools of which only so many calls may run at once."""
        return tuple([tool.name for tool in self._special if tool.max_concurrency is not None])


def _is_special(tool: Tool) -> bool:
    return tool.when is not None or tool.is_agent or callable(tool.latency) or tool.max_concurrency is not None


class GraphRevision:
    """One revision of the graph. Everything in it is sorted by name: no insertion order can be seen.

    Revisions of one live graph share a `log` of the names that changed, of which the first `position` are in this one:
    data computed for a revision can be updated to a later one by the changes in between.
    """

    def __init__(
        self,
        nodes: Iterable[ToolSpec],
        transitions: Iterable[Transition] | Mapping[str, tuple[Transition, ...]] = (),
        *,
        tools: Mapping[str, Tool] | None = None,
        key_types: Mapping[str, Any] | None = None,
        revision: int = 0,
        log: Sequence[str] = (),
    ) -> None:
        by_name, callables = {n.name: n for n in nodes}, tools or {}
        self._set(_sorted(by_name), _sorted(callables), dict(key_types or {}), revision, log)
        self._incoming: _Edges
        if isinstance(transitions, Mapping):
            self._incoming = dict(cast("_Edges", transitions))
        else:
            self._incoming = _edges((t.target, t) for t in transitions)

    def _set(
        self,
        nodes: dict[str, ToolSpec],
        tools: dict[str, Tool],
        key_types: dict[str, Any],
        revision: int,
        log: Sequence[str],
    ) -> None:
        self.revision = revision
        self.log, self.position = log, len(log)
        self._nodes, self._tools, self._key_types = nodes, tools, key_types
        self.nodes: Mapping[str, ToolSpec] = MappingProxyType(nodes)
        self.tools: Mapping[str, Tool] = MappingProxyType(tools)
        self._cones: dict[tuple[str, ...], Cone] = {}

    def __repr__(self) -> str:
        return f"GraphRevision(revision={self.revision}, {len(self.nodes)} tools, {len(self.transitions)} transitions)"

    def after(self, changed: Iterable[str], live: LiveGraph, revision: int) -> "GraphRevision":
        """The next revision. `changed` are the tools added, removed, replaced, or led to by other transitions."""
        names = set(changed)
        new = GraphRevision.__new__(GraphRevision)
        nodes, tools = _follow(self._nodes, live.nodes, names), _follow(self._tools, live.tools, names)
        new._set(nodes, tools, self._key_types.copy(), revision, self.log)
        specs = [spec for name in names for spec in (self._nodes.get(name), live.nodes.get(name)) if spec is not None]
        for key in {key for spec in specs for key in (*spec.needs, *spec.optional, *spec.gives)}:
            _put(new._key_types, key, live.key_type(key))
        self._follow_keys(new, names, specs)
        self._follow_transitions(new, names, live)
        for goal, cone in self._cones.items():
            if cone.follows(names, specs):
                new._cones[goal] = cone.of(new)
        if "special" in self.__dict__:
            kept = {name: tool for name, tool in self.special.items() if name not in names}
            new.special = kept | {name: t for name in names if (t := tools.get(name)) is not None and _is_special(t)}
        return new

    def _follow_keys(self, new: "GraphRevision", names: set[str], specs: Sequence[ToolSpec]) -> None:
        """Carry over to the next revision what was computed for this one: the givers and takers of each key."""
        if "_producers" in self.__dict__:
            fresh = [new._nodes[name] for name in names if name in new._nodes]
            new._producers, new._consumers = self._producers.copy(), self._consumers.copy()
            for key in {key for spec in specs for key in (*spec.needs, *spec.optional, *spec.gives)}:
                _exchange(new._producers, key, names, [s.name for s in fresh if key in s.gives])
                _exchange(new._consumers, key, names, [s.name for s in fresh if key in s.needs or key in s.optional])

    def _follow_transitions(self, new: "GraphRevision", names: set[str], live: LiveGraph) -> None:
        """Give the next revision its transitions: the same object where none of them changed."""
        into = {name: live.transitions.into(name) if name in new._nodes else () for name in names}
        if all(self._incoming.get(name, ()) == found for name, found in into.items()):
            new._incoming = self._incoming
            for name in ("transitions", "_transitions_text"):
                if name in self.__dict__:
                    new.__dict__[name] = self.__dict__[name]
            return
        new._incoming = self._incoming.copy()
        for name, found in into.items():
            _put(new._incoming, name, found or None)

    @cached_property
    def transitions(self) -> tuple[Transition, ...]:
        """All transitions, sorted by source and target."""
        return tuple(sorted((t for found in self._incoming.values() for t in found), key=_ends))

    @property
    def connected(self) -> bool:
        """Whether there are transitions."""
        return bool(self._incoming)

    @cached_property
    def keys(self) -> Set[str]:
        """Every key that a tool takes or gives."""
        return _Keys(self._producers, self._consumers)

    @cached_property
    def _producers(self) -> _Names:
        return _index((key, node.name) for node in self._nodes.values() for key in node.gives)

    @cached_property
    def _consumers(self) -> _Names:
        return _index((key, node.name) for node in self._nodes.values() for key in (*node.needs, *node.optional))

    def unknown(self, keys: Iterable[str]) -> set[str]:
        """Those of these names that no tool takes or gives."""
        return set(keys).difference(self._producers).difference(self._consumers)

    def producers(self, key: str) -> tuple[str, ...]:
        """The tools that give `key`, sorted."""
        return self._producers.get(key, ())

    def consumers(self, key: str) -> tuple[str, ...]:
        """The tools that take `key`, optionally or not, sorted."""
        return self._consumers.get(key, ())

    def incoming(self, tool: str) -> tuple[Transition, ...]:
        """The transitions that lead to `tool`, sorted by source."""
        return self._incoming.get(tool, ())

    def relevant(self, goal: tuple[str, ...]) -> tuple[str, ...]:
        """The tools that could take part in a route to these keys, sorted; worked out once."""
        return self.cone(goal).tools

    def cone(self, goal: tuple[str, ...]) -> Cone:
        """The tools that could take part in a route to these keys; worked out once."""
        found = self._cones.get(goal)
        if found is None:
            found = self._cones[goal] = Cone(self, goal)
        return found

    @cached_property
    def special(self) -> Mapping[str, Tool]:
        """Agents, tools with a limit of calls at once, and tools whose latency or use depends on their inputs."""
        return {name: tool for name, tool in self._tools.items() if _is_special(tool)}

    def key_type(self, key: str) -> Any:
        """The type of `key`: the narrowest that a tool takes, else what is given; `Any` where it has no annotation."""
        return self._key_types.get(key, Any)

    def given_type(self, tool: str, key: str) -> Any:
        """The type by which a value of `key` from `tool` is validated and stored.

        That is the tool's own annotation; the key's type where it says nothing, or the same without constraints.
        """
        known = self._given.get((tool, key))
        if known is None:
            found, own = self.key_type(key), Any
            if tool in self.tools:
                own = self.tools[tool].gives.get(key, Any)
            same = own is Any or (fit(own, found) is Fit.YES and fit(found, own) is Fit.YES)
            known = self._given[tool, key] = (found if same else own,)
        return known[0]

    def is_checked(self, giver: str, key: str, tool: Tool, parameter: str) -> bool:
        """Whether a value of `key` from `giver` has to be validated before `tool` takes it as `parameter`."""
        place = (giver, key, tool.name, parameter)
        found = self._checked.get(place)
        if found is None or found[0] is not tool:
            checked = is_checked_at_call(self.given_type(giver, key), tool.parameter_types.get(parameter, Any))
            found = self._checked[place] = (tool, checked)
        return found[1]

    @cached_property
    def _given(self) -> dict[tuple[str, str], tuple[Any]]:
        return {}

    @cached_property
    def _checked(self) -> dict[tuple[str, str, str, str], tuple[Tool, bool]]:
        return {}

    @cached_property
    def digest(self) -> str:
        """A hash of the content: equal graphs have equal digests, whatever the order in which they were written."""
        tools = ",".join([node.text for node in self._nodes.values()])
        text = f'{{"tools":[{tools}],"transitions":{self._transitions_text}}}'
        return hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def _transitions_text(self) -> str:
        return json_text([[t.source, t.target, t.cost] for t in self.transitions])

    def to_json(self) -> dict[str, Any]:
        """Plain data: enough to plan again without the callables."""
        return {
            "revision": self.revision,
            "tools": [node.to_json() for node in self._nodes.values()],
            "transitions": [[t.source, t.target, t.cost] for t in self.transitions],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "GraphRevision":
        """The view that `to_json` wrote. It has nodes to plan with, and no tools to call."""
        return cls(
            [ToolSpec.from_json(item) for item in data["tools"]],
            [Transition(source, target, cost) for source, target, cost in data["transitions"]],
            revision=data["revision"],
        )


def _index(pairs: Iterable[tuple[str, str]]) -> _Names:
    """Names by key, sorted."""
    lists: dict[str, list[str]] = {}
    for key, name in pairs:
        found = lists.get(key)
        if found is None:
            lists[key] = [name]
        else:
            found.append(name)
    return {key: tuple(sorted(names)) if len(names) > 1 else (names[0],) for key, names in lists.items()}


def _edges(pairs: Iterable[tuple[str, Transition]]) -> _Edges:
    """Transitions by one of their ends, sorted by the other."""
    lists: dict[str, list[Transition]] = {}
    for name, transition in pairs:
        found = lists.get(name)
        if found is None:
            lists[name] = [transition]
        else:
            found.append(transition)
    return {name: tuple(sorted(found, key=_ends)) for name, found in lists.items()}


def _ends(transition: Transition) -> tuple[str, str]:
    return transition.source, transition.target


def _sorted(found: Mapping[str, V]) -> dict[str, V]:
    return {name: found[name] for name in sorted(found)}


def _follow(last: dict[str, V], live: Mapping[str, V], names: Set[str]) -> dict[str, V]:
    """The last revision's mapping with what these names stand for now, sorted."""
    found = last.copy()
    end = next(reversed(found), "")
    for name in sorted(names):
        _put(found, name, live.get(name))
    if any(name < end and name in live and name not in last for name in names):
        return _sorted(found)
    return found


def _put(known: dict[str, V], name: str, value: V | None) -> None:
    if value is None:
        known.pop(name, None)
    else:
        known[name] = value


def _exchange(index: _Names, key: str, gone: Set[str], fresh: Collection[str]) -> None:
    """Put the fresh names of a key in place of those that are gone."""
    kept = [name for name in index.get(key, ()) if name not in gone]
    _put(index, key, tuple(sorted([*kept, *fresh])) or None)


class _Keys(Set[str]):
    """The keys that are given or taken."""

    def __init__(self, given: Mapping[str, Any], taken: Mapping[str, Any]) -> None:
        self._given, self._taken = given, taken

    @classmethod
    def _from_iterable(cls, it: Iterable[str]) -> frozenset[str]:  # type: ignore[override]
        return frozenset(it)

    def __contains__(self, key: object) -> bool:
        return key in self._given or key in self._taken

    def __iter__(self) -> Iterator[str]:
        yield from self._given
        for key in self._taken:
            if key not in self._given:
                yield key

    def __len__(self) -> int:
        return len(self._given.keys() | self._taken.keys())


__all__ = ["GraphRevision", "LiveGraph", "ToolSpec", "Transition"]
