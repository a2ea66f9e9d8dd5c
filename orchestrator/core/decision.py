"""`Decision`: what was chosen among which candidates, and why."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .enums import DecisionKind
from .route import Candidate


@dataclass(frozen=True, slots=True, repr=False)
class Decision:
    """One decision of a run. It was made only from its `facts` and the records before it."""

    id: str
    kind: DecisionKind
    chosen: str
    """What was chosen: a route (`a > b > c`), a tool, an agent, a resolution, `retry`, `stop` ..."""
    candidates: tuple[Candidate, ...] = ()
    reason: str = ""
    answers: tuple[str, ...] = ()
    """Ids of the failures that this decision answers."""
    subject: str | None = None
    """The tool, key or question that it is about."""
    price: float | None = None
    """US dollars of what was chosen, where it has a price."""
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The facts that it was made from, apart from the records before it; enough to recompute it."""

    def __repr__(self) -> str:
        """One line, without the candidates and the facts."""
        why = f": {' '.join(self.reason.split())}" if self.reason else ""
        return f"<Decision {self.id} {self.kind} {self.chosen}{why}>"

    def chose_agent(self, name: str) -> bool:
        """Whether it chose this agent for a step; its facts contain the demand."""
        return self.kind is DecisionKind.SELECT and self.chosen == name and "demand" in self.facts

    @property
    def chosen_tools(self) -> tuple[str, ...]:
        """The tools of a chosen route, in order; empty for other decisions."""
        return tuple(self.facts.get("tools", ()))
