"""`GraphRevision`: one revision of the tool graph, immutable, and all that planning needs of it."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, TypeVar

from orchestrator.core.enums import Effect
from orchestrator.core.errors import DefinitionError
from orchestrator.core.price import PICO
from orchestrator.core.types.assignable import Fit, fit, is_checked_at_call

from .tool import MAX_COST, Tool

V = TypeVar("V")


@dataclass(frozen=True, slots=True, eq=False)
class ToolSpec:
    """What planning knows of a tool: plain data, no callable."""

    name: str
    needs: tuple[str, ...]
    """Keys in, sorted; the tool cannot start without them."""
    optional: tuple[str, ...]
    """Keys in, sorted, that are taken when they are at hand."""
    gives: tuple[str, ...]
    """Keys out, sorted."""
    cost: float = 0.0
    """US dollars per call, as declared."""
    latency: float = 0.0
    """Seconds, as declared."""
    risk: float = 0.0
    effect: str = "read"
    undo_cost: int | None = None
    """Picodollars that undoing costs; `None` for what cannot be undone (no `compensate`)."""
    skills: Mapping[str, float] = field(default_factory=dict[str, float])

    @property
    def final(self) -> bool:
        """Whether its effect can only be left behind with a person's approval."""
        return self.effect == Effect.IRREVERSIBLE or (self.effect == Effect.WRITE and self.undo_cost is None)

    def to_json(self) -> dict[str, Any]:
        """Plain data, for records."""
        return {
            "name": self.name,
            "needs": list(self.needs),
            "optional": list(self.optional),
            "gives": list(self.gives),
            "cost": self.cost,
            "latency": self.latency,
            "risk": self.risk,
            "effect": str(self.effect),
            "undo_cost": self.undo_cost,
            "skills": dict(sorted(self.skills.items())),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "ToolSpec":
        """The node that `to_json` wrote."""
        plain: dict[str, Any] = dict(data)
        for field_name in ("needs", "optional", "gives"):
            plain[field_name] = tuple(plain[field_name])
        return cls(**plain)

    @classmethod
    def of(cls, tool: Tool) -> "ToolSpec":
        """What planning knows of `tool`. A cost that is a function counts as what it says of no usage at all."""
        needs = sorted(set(tool.needs.values()))
        return cls(
            name=tool.name,
            needs=tuple(needs),
            optional=tuple(sorted(set(tool.optional.values()) - set(needs))),
            gives=tuple(sorted(tool.gives)),
            cost=_planned(tool),
            latency=float(tool.planned_latency()),
            risk=float(tool.risk),
            effect=str(tool.effect),
            undo_cost=None if tool.compensate is None else round(tool.undo_cost * PICO),
            skills=dict(tool.skills),
        )


def _planned(tool: Tool) -> float:
    """What a call is expected to cost. Raises `DefinitionError` where the tool's own function cannot say."""
    try:
        cost = tool.planned_cost()
    except Exception as error:
        raise DefinitionError(
            f"Tool {tool.name!r}: cost(usage) raised {error!r} for no usage at all. Use usage.get(name, 0)."
        ) from error
    if not 0 <= cost <= MAX_COST:
        raise DefinitionError(
            f"Tool {tool.name!r}: cost(usage) gave {cost!r} for no usage at all. It is US dollars, at least 0."
        )
    return float(cost)


@dataclass(frozen=True, slots=True)
class Transition:
    """An explicit edge: `target` may start once `source` is done."""

    source: str
    """A tool, or `START`."""
    target: str
    cost: float = 0.0
    """US dollars, paid when it is taken."""


class GraphRevision:
    """One revision of the graph. Everything in it is sorted by name: no insertion order can be seen."""

    def __init__(
        self,
        nodes: Iterable[ToolSpec],
        transitions: Iterable[Transition] = (),
        *,
        tools: Mapping[str, Tool] | None = None,
        key_types: Mapping[str, Any] | None = None,
        revision: int = 0,
    ) -> None:
        self.revision = revision
        self.nodes: Mapping[str, ToolSpec] = MappingProxyType({n.name: n for n in sorted(nodes, key=lambda n: n.name)})
        self.tools: Mapping[str, Tool] = MappingProxyType(dict(sorted((tools or {}).items())))
        self.transitions: tuple[Transition, ...] = tuple(sorted(transitions, key=lambda t: (t.source, t.target)))
        self._key_types = dict(key_types or {})
        self._relevant: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._relevant_sets: dict[tuple[str, ...], frozenset[str]] = {}
        self._agents: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._conditional: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._timed: dict[tuple[str, ...], tuple[str, ...]] = {}

    def __repr__(self) -> str:
        return f"GraphRevision(revision={self.revision}, {len(self.nodes)} tools, {len(self.transitions)} transitions)"

    @cached_property
    def keys(self) -> frozenset[str]:
        """Every key that a tool takes or gives."""
        return frozenset(k for n in self.nodes.values() for k in (*n.needs, *n.optional, *n.gives))

    @cached_property
    def _producers(self) -> dict[str, tuple[str, ...]]:
        return _index((key, node.name) for node in self.nodes.values() for key in node.gives)

    @cached_property
    def _consumers(self) -> dict[str, tuple[str, ...]]:
        return _index((key, node.name) for node in self.nodes.values() for key in (*node.needs, *node.optional))

    @cached_property
    def _incoming(self) -> dict[str, tuple[Transition, ...]]:
        return _index((t.target, t) for t in self.transitions)

    @cached_property
    def _outgoing(self) -> dict[str, tuple[Transition, ...]]:
        return _index((t.source, t) for t in self.transitions)

    def producers(self, key: str) -> tuple[str, ...]:
        """The tools that give `key`, sorted."""
        return self._producers.get(key, ())

    def consumers(self, key: str) -> tuple[str, ...]:
        """The tools that take `key`, optionally or not, sorted."""
        return self._consumers.get(key, ())

    def incoming(self, tool: str) -> tuple[Transition, ...]:
        """The transitions that lead to `tool`, sorted by source."""
        return self._incoming.get(tool, ())

    def outgoing(self, tool: str) -> tuple[Transition, ...]:
        """The transitions that leave `tool` (or `START`), sorted by target."""
        return self._outgoing.get(tool, ())

    def relevant(self, goal: tuple[str, ...]) -> tuple[str, ...]:
        """The tools that could take part in a route to these keys, sorted; worked out once."""
        found = self._relevant.get(goal)
        if found is None:
            found = self._relevant[goal] = self._backwards(goal)
        return found

    def relevant_set(self, goal: tuple[str, ...]) -> frozenset[str]:
        """The same, for looking names up in."""
        found = self._relevant_sets.get(goal)
        if found is None:
            found = self._relevant_sets[goal] = frozenset(self.relevant(goal))
        return found

    def agents(self, goal: tuple[str, ...]) -> tuple[str, ...]:
        """The relevant tools that are agents, sorted; worked out once."""
        found = self._agents.get(goal)
        if found is None:
            found = tuple(name for name in self.relevant(goal) if name in self.tools and self.tools[name].is_agent)
            self._agents[goal] = found
        return found

    def timed(self, goal: tuple[str, ...]) -> tuple[str, ...]:
        """The relevant tools whose latency is a function of their inputs, sorted; worked out once."""
        found = self._timed.get(goal)
        if found is None:
            tools = self.tools
            found = tuple(n for n in self.relevant(goal) if n in tools and callable(tools[n].latency))
            self._timed[goal] = found
        return found

    def conditional(self, goal: tuple[str, ...]) -> tuple[str, ...]:
        """The relevant tools that have a `when`, sorted; worked out once."""
        found = self._conditional.get(goal)
        if found is None:
            tools = self.tools
            found = tuple(n for n in self.relevant(goal) if n in tools and tools[n].when is not None)
            self._conditional[goal] = found
        return found

    def _backwards(self, goal: tuple[str, ...]) -> tuple[str, ...]:
        keys, waiting = set(goal), list(goal)
        tools: set[str] = set()
        while waiting:
            fresh = list(self.producers(waiting.pop()))
            while fresh:
                tool = fresh.pop()
                if tool in tools:
                    continue
                tools.add(tool)
                fresh += [t.source for t in self.incoming(tool) if t.source in self.nodes]
                needed = [key for key in self.nodes[tool].needs if key not in keys]
                keys.update(needed)
                waiting += needed
        return tuple(sorted(tools))

    def key_type(self, key: str) -> Any:
        """The type of `key`: the narrowest that a tool takes, else what is given; `Any` where nobody annotates it."""
        return self._key_types.get(key, Any)

    def given_type(self, tool: str, key: str) -> Any:
        """The type by which a value of `key` from `tool` is validated and stored.

        That is the tool's own annotation; the key's type where it says nothing, or the same without constraints.
        """
        found, own = self.key_type(key), Any
        if tool in self.tools:
            own = self.tools[tool].gives.get(key, Any)
        same = own is Any or (fit(own, found) is Fit.YES and fit(found, own) is Fit.YES)
        return found if same else own

    def is_checked(self, giver: str, key: str, tool: Tool, parameter: str) -> bool:
        """Whether a value of `key` from `giver` has to be validated before `tool` takes it as `parameter`."""
        place = (giver, key, tool.name, parameter)
        found = self._checked.get(place)
        if found is None or found[0] is not tool:
            checked = is_checked_at_call(self.given_type(giver, key), tool.parameter_types.get(parameter, Any))
            found = self._checked[place] = (tool, checked)
        return found[1]

    @cached_property
    def _checked(self) -> dict[tuple[str, str, str, str], tuple[Tool, bool]]:
        return {}

    @cached_property
    def digest(self) -> str:
        """A hash of the content: equal graphs have equal digests, whatever the order in which they were written."""
        data = self.to_json()
        del data["revision"]
        text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Plain data: enough to plan again without the callables."""
        return {
            "revision": self.revision,
            "tools": [node.to_json() for node in self.nodes.values()],
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


def _index(pairs: Iterable[tuple[str, V]]) -> dict[str, tuple[V, ...]]:
    lists: dict[str, list[V]] = {}
    for key, value in pairs:
        lists.setdefault(key, []).append(value)
    return {key: tuple(values) for key, values in lists.items()}
