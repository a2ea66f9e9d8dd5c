"""What the processes of a fleet report of one circuit: a quorum decides, since one process's network may be broken."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

KEPT_SECONDS: Final = 60.0
"""How long a process counts after it last published calls of the tool."""
OWN_WORD_SECONDS: Final = 10.0
"""A process whose own call succeeded within this time before another one opened the circuit waits for a quorum."""


@dataclass(slots=True)
class Voices:
    """Processes that called the tool lately: when they last published, and when their own calls opened the circuit.

    Times are seconds since the epoch; an opening of 0 is none.
    """

    reports: dict[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])

    def merged(self, other: "Voices", now: float) -> Self:
        """Both, with the later report of each process; reports older than `KEPT_SECONDS` are dropped."""
        found = dict(self.reports)
        for who, (at, opened) in other.reports.items():
            if at >= found.get(who, (0.0, 0.0))[0]:
                found[who] = (at, opened)
        return type(self)({who: word for who, word in found.items() if now - word[0] <= KEPT_SECONDS})

    @property
    def quorum(self) -> bool:
        """Whether more than half of the processes, and at least two, found the tool failing by their own calls."""
        opened = sum(1 for _, at in self.reports.values() if at)
        return opened >= 2 and 2 * opened > len(self.reports)

    def to_json(self) -> dict[str, list[float]]:
        """Plain data."""
        return {who: list(word) for who, word in sorted(self.reports.items())}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What `to_json` wrote. Raises `ValueError`."""
        return cls({str(who): (float(at), float(opened)) for who, (at, opened) in data.items()})


__all__ = ["OWN_WORD_SECONDS", "Voices"]
