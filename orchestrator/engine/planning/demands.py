"""The demands of steps: declared, computed by a function of the values at hand, or inferred from the step's inputs."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Final

from pydantic import BaseModel

from orchestrator.agents.agent import Agent
from orchestrator.core.calls.user_code import call_plain
from orchestrator.core.errors import InputError
from orchestrator.graph.graph import GraphRevision
from orchestrator.selection import NEUTRAL, Demand, DemandModel, Selector

DemandSource = Mapping[str, float] | Callable[[Mapping[str, Any]], Mapping[str, float]]

MOST_TEXT: Final = 4000
"""Characters of a step's inputs from which its demand is inferred."""
REMEMBERED: Final = 256
"""Maximum number of texts whose demands are cached."""
DEEP: Final = 3
"""Maximum depth to which texts are collected from a value."""


@dataclass
class Demands:
    """Declared demands by key, and the selector that infers demands from texts."""

    selector: Selector
    sources: dict[str, DemandSource] = field(default_factory=dict[str, DemandSource])
    on_problem: Callable[[str], None] = lambda _: None
    """Called when a user's function fails; the demand is then neutral."""
    model: DemandModel | None = None
    """The model that is asked for the demand of a text when its similarity to known skills does not determine it."""
    _inferred: dict[str, Demand] = field(default_factory=dict[str, Demand])
    """Text -> the demand that the model answered; neutral when the answer was not usable."""
    _known: dict[tuple[str, Demand], Demand] = field(default_factory=dict[tuple[str, Demand], Demand])
    _skills: Any = None
    _reported: set[str] = field(default_factory=set[str])
    """Problems already reported; each is reported once."""

    def of(self, agent: Agent, view: GraphRevision, values: Mapping[str, Any]) -> tuple[Demand, str]:
        """The demand of a step that this agent could do, as far as the values at hand determine it; and the step's
        text.

        The text is that of the inputs of all agents that could do the step. The same values and skills give the same
        demand.
        """
        key = next((key for key in agent.gives if key in self.sources), None)
        declared = self.declared(view, agent.gives, values)
        handbook = self.selector.handbook
        if not handbook.described:
            return handbook.resolved(declared), ""
        text = step_text(view, key or next(iter(agent.gives)), values)
        if key is not None and declared.neutral:
            return declared, text  # it depends on values that are not at hand yet
        return self._resolved(declared, text), text

    @property
    def reads_anything(self) -> bool:
        """Whether a demand is a function, which may read any value at hand."""
        return any(callable(source) for source in self.sources.values())

    def declared(self, view: GraphRevision, keys: Iterable[str], values: Mapping[str, Any]) -> Demand:
        """The demand declared for the first of these keys that has one; neutral while a value is missing.

        Neutral also when a function fails or demands an unknown skill, which is reported once.
        """
        key = next((key for key in keys if key in self.sources), None)
        if key is None:
            return NEUTRAL
        demand, problem = self._declared(key, values)
        if callable(self.sources[key]) and problem is None:
            try:
                self.check(view, key, demand)
            except InputError as unknown:
                problem = unknown
        if problem is None:
            return demand
        self._report(key, str(problem) if isinstance(problem, InputError) else type(problem).__name__)
        return NEUTRAL

    def _report(self, key: str, why: str) -> None:
        problem = f"the demand of {key} is taken for neutral: its function failed: {why}"
        if problem not in self._reported:
            self._reported.add(problem)
            self.on_problem(problem)

    def check(self, view: GraphRevision, key: str, demand: Demand) -> None:
        """Raises `InputError` for an unknown skill in the demand of a step for `key`: it may be misspelt.

        When no agent that gives the key declares skills, they are learned from outcomes, and any name is valid.
        """
        if any(view.nodes[name].skills for name in view.producers(key)):
            self.selector.check_known(demand)

    def check_declared(self, view: GraphRevision, goal: tuple[str, ...], values: Mapping[str, Any]) -> None:
        """`check` for what is declared of the keys on the way to a goal: agents may have come after the demand.

        Functions are called with the values at hand; one that lacks values is checked when a plan calls it.
        """
        if self.sources:
            for key in sorted({key for agent in view.cone(goal).agents for key in view.nodes[agent].gives}):
                if key in self.sources:
                    self.check(view, key, self._declared(key, values)[0])

    def _declared(self, key: str, values: Mapping[str, Any]) -> tuple[Demand, Exception | None]:
        """The demand declared for a key, neutral while a value is missing; and the exception of its function."""
        source = self.sources[key]
        try:
            return Demand.of(call_plain(source, values) if callable(source) else source), None
        except KeyError:
            return NEUTRAL, None  # it depends on values that are not at hand yet
        except Exception as error:
            return NEUTRAL, error

    def declares(self, agents: Iterable[Agent]) -> bool:
        """Whether a demand is declared for one of these agents."""
        return any(key in self.sources for agent in agents for key in agent.gives)

    def inferred(self, text: str) -> bool:
        """Whether the model was asked about a text, and the skills have not changed since."""
        self._sync_skills()
        return text in self._inferred

    def note(self, text: str, inferred: Demand) -> None:
        """Cache the model's answer for a text; neutral where the answer could not be used."""
        self._sync_skills()
        if len(self._inferred) >= REMEMBERED:
            del self._inferred[next(iter(self._inferred))]
        size = self.selector.demand(text).size
        self._inferred[text] = inferred if inferred.neutral else Demand(inferred.weights, source="model", size=size)
        self._known.pop((text, NEUTRAL), None)

    def _sync_skills(self) -> None:
        skills = self.selector.handbook.skills
        if self._skills is not skills:
            if self._skills != skills:
                self._known.clear()
                self._inferred.clear()
            self._skills = skills

    def _resolved(self, declared: Demand, text: str) -> Demand:
        self._sync_skills()
        inferred = self._inferred.get(text)
        if declared.neutral and inferred is not None and not inferred.neutral:
            return inferred
        found = self._known.get((text, declared))
        if found is None:
            found = self.selector.demand(text or None, declared)
            if len(self._known) >= REMEMBERED:
                del self._known[next(iter(self._known))]
            self._known[text, declared] = found
        return found


def step_text(view: GraphRevision, key: str, values: Mapping[str, Any]) -> str:
    """The text of the inputs at hand of the agents that give `key`; empty while there are none."""
    needs: set[str] = set()
    for name in view.producers(key):
        tool = view.tools[name]
        if isinstance(tool, Agent):
            needs.update(tool.needs.values())
    return texts_in({need: values[need] for need in sorted(needs & values.keys())})


def texts_in(values: Mapping[str, Any]) -> str:
    """The texts in values, by line, up to `MOST_TEXT` characters."""
    parts: list[str] = []
    left = MOST_TEXT
    for value in values.values():
        for text in _texts(value, DEEP):
            parts.append(text[:left])
            left -= len(parts[-1])
            if left <= 0:
                return "\n".join(parts)
    return "\n".join(parts)


def _texts(value: Any, deep: int) -> Iterator[str]:
    """The texts in a value, in order."""
    if isinstance(value, str):
        yield value
        return
    inside: Any = ()
    if deep <= 0:
        return
    if isinstance(value, Mapping):
        inside = value.values()  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    elif isinstance(value, list | tuple):
        inside = value  # pyright: ignore[reportUnknownVariableType]
    elif isinstance(value, BaseModel):
        inside = (getattr(value, name) for name in type(value).model_fields)
    elif is_dataclass(value):
        inside = (getattr(value, part.name) for part in fields(value))
    for part in inside:  # pyright: ignore[reportUnknownVariableType]
        yield from _texts(part, deep - 1)


__all__ = ["DemandSource", "Demands", "step_text", "texts_in"]
