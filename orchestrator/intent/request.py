"""`Request`: what a text asks for, as a run wants it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.agents.models.accounting import ModelUsage
from orchestrator.core.goal import Goal


@dataclass(frozen=True, slots=True)
class Guess:
    """A goal that the text may mean."""

    goal: Goal[Any]
    score: float
    """In [0, 1]: how near the nearest example is."""


@dataclass(frozen=True, slots=True)
class Request:
    """A goal and inputs, or a question back. Nothing has run."""

    text: str
    goal: Goal[Any] | None
    """`None` when it is not clear what is wanted; then `question` asks."""
    inputs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Values found in the text, by key, as the key's type."""
    missing: tuple[str, ...] = ()
    """Keys that the goal needs and the text does not give, all of them."""
    confidence: float = 0.0
    """In [0, 1]."""
    question: str | None = None
    """What to ask back; `None` when the request can be run as it is."""
    candidates: tuple[Guess, ...] = ()
    """Goals that come into question, likeliest first."""
    by: str = "examples"
    """Who decided: `examples`, `model`, or `nobody`."""
    asked: ModelUsage | None = None
    """What asking a model took; `None` when none was asked."""

    @property
    def ready(self) -> bool:
        """Whether it can be run: `orc.run(request.goal, request.inputs)`."""
        return self.goal is not None and not self.missing
