"""The usage and the answer of a model, or of another rung of the ladder."""

from dataclasses import dataclass
from typing import Any, Final

RECORD: Final = "orchestrator"
"""The field of `response_metadata` that says which of several models answered, and what was tried before it."""


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """The usage and the answer of one rung."""

    rung: str
    answered: str = ""
    """Its answer in a few words; empty when it passed or the answer was not usable."""
    admitted: bool = False
    """Whether the run acts on that answer, or waits for the question to be answered."""
    model: str = ""
    """The model that answered, or that was asked last."""
    calls: int = 0
    """Model calls without repairs: 1 when a model was asked, whichever of several."""
    repairs: int = 0
    """Further calls to repair malformed output."""
    attempts: int = 0
    """Requests in total, including fallbacks to other models and failed requests."""
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0
    """US dollars."""
    seconds: float = 0.0
    problems: tuple[str, ...] = ()
    """Problems: time-outs, errors of the model's server, malformed answers."""

    def to_json(self) -> dict[str, Any]:
        """Plain data, for records."""
        return {name: _plain(getattr(self, name)) for name in self.__slots__}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
