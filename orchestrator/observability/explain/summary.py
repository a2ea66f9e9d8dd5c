"""A run in one line: the tools that were tried, with their results. `pypdf ✗ no words in it → pdfminer ✗ → ocr ✓`."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from orchestrator.core.outcome import Call


@dataclass(frozen=True, slots=True)
class Tried:
    """A tool that a run tried, with all its attempts."""

    tool: str
    ok: bool
    attempts: int
    error: str = ""
    """The last error; empty for a success at the first attempt."""
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "tool": self.tool,
            "ok": self.ok,
            "attempts": self.attempts,
            "error": self.error or None,
            "seconds": self.seconds,
        }


def trail(calls: Iterable[Call]) -> tuple[Tried, ...]:
    """The tools that were tried, in the order of their first attempt."""
    found: dict[str, Tried] = {}
    for call in calls:
        before = found.get(call.tool) or Tried(call.tool, ok=False, attempts=0)
        found[call.tool] = Tried(
            tool=call.tool,
            ok=call.error is None,
            attempts=before.attempts + 1,
            error=before.error if call.error is None else call.error,
            seconds=before.seconds + call.seconds,
        )
    return tuple(found.values())


def healed(tried: Iterable[Tried]) -> bool:
    """Whether any call failed."""
    return any(not each.ok or each.attempts > 1 for each in tried)
