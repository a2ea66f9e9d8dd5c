"""`Votes`: which answers said the same, and what follows from that; decided again from a record by the same code."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from .sigma import Agreement, Mode

NONE: Final = Agreement(())


@dataclass(frozen=True, slots=True)
class Votes:
    """Which of the answers agreed: of the probes, of the agents asked after them, and of the agents with the probes."""

    probes: Agreement
    answers: Agreement = NONE
    together: Agreement = NONE
    asked: int = 0
    """How many agents were asked after the probes."""
    again: bool = False
    """Whether an answer was rejected before: then all agents work, whatever the probes say."""
    judged: bool = False
    """Whether there is a judge for answers without a majority."""

    @property
    def mode(self) -> Mode:
        """How many agents the step is worth."""
        return Mode.ALL if self.again or self.probes.total < 2 else self.probes.mode

    @property
    def elected(self) -> tuple[str, int]:
        """What decides, and the position of the winner among the agents' answers followed by the probes'."""
        answers = self.answers.total
        if self.mode is Mode.ONE:
            return "agreement", answers
        if not answers:
            return "order", answers + self.probes.groups[0][0]
        if self.answers.majority is not None:
            return "majority", self.answers.majority
        if self.judged and self.asked > 1:
            return "judge", 0
        with_probes = None if self.judged else self.together.majority
        if with_probes is not None and with_probes < answers:
            return "majority", with_probes
        return "order", 0

    def to_json(self) -> dict[str, Any]:
        """Plain data, for records."""
        groups = {name: [list(group) for group in getattr(self, name).groups] for name in _AGREEMENTS}
        return {**groups, "asked": self.asked, "again": self.again, "judged": self.judged}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Votes":
        """What `to_json` wrote."""
        agreed = {name: Agreement(tuple(tuple(group) for group in data[name])) for name in _AGREEMENTS}
        return cls(**agreed, asked=data["asked"], again=data["again"], judged=data["judged"])


_AGREEMENTS: Final = ("probes", "answers", "together")
