"""What asking a model, or another rung of the ladder, cost and gave."""

from dataclasses import dataclass
from typing import Any, Final

RECORD: Final = "orchestrator"
"""The field of `response_metadata` that says which of several models answered, and what was tried before it."""


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """What asking one rung took and gave."""

    rung: str
    answered: str = ""
    """What it answered, in a few words; empty when it passed, or gave nothing that could be used."""
    admitted: bool = False
    """Whether the run acts on that answer, or waits for the question to be answered."""
    model: str = ""
    """The model that answered, or that was asked last."""
    calls: int = 0
    """Model calls, repairs not counted: 1 when a model was asked, whichever of several it was."""
    repairs: int = 0
    """Further calls to repair malformed output."""
    attempts: int = 0
    """Requests sent for all of that: fallbacks to other models, and requests that failed, included."""
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0
    """US dollars."""
    seconds: float = 0.0
    problems: tuple[str, ...] = ()
    """What went wrong on the way: time-outs, errors of the model's server, malformed answers."""

    def to_json(self) -> dict[str, Any]:
        """Plain data, for records."""
        return {name: _plain(getattr(self, name)) for name in self.__slots__}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
