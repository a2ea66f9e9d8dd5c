"""The parts of a graph as planning sees them: `ToolSpec` of a tool, `Transition` of an explicit edge."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.core.enums import Effect
from orchestrator.core.errors import DefinitionError
from orchestrator.core.price import PICO

from .tool import Tool
from .tool_options import MAX_COST


def json_text(data: Any) -> str:
    """Plain data as canonical JSON: equal data have equal text."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True, slots=True, eq=False)
class ToolSpec:
    """A tool as planning sees it: plain data, no callable."""

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
    """Undo cost in picodollars; `None` if it cannot be undone (no `compensate`)."""
    skills: Mapping[str, float] = field(default_factory=dict[str, float])
    _text: list[str] = field(default_factory=list[str], init=False, repr=False)
    """Its JSON text, once it was asked for."""

    @property
    def text(self) -> str:
        """Its JSON text as a digest of the graph has it; written once."""
        if not self._text:
            self._text.append(json_text(self.to_json()))
        return self._text[0]

    @property
    def final(self) -> bool:
        """Whether its effect can only be left behind with a person's approval."""
        return self.effect == Effect.IRREVERSIBLE or (self.effect == Effect.WRITE and self.undo_cost is None)

    def planned_cost(self) -> float:
        """US dollars that a call is expected to cost, as declared."""
        return self.cost

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
        """The spec of `tool`. A cost function is evaluated without usage."""
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
