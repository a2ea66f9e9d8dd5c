"""How much answers differ, and how many agents that makes a step worth (ACAR, arXiv 2602.21231)."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

Extract = Callable[[Any], Any]
"""Output -> what of it counts as the answer."""
Equivalent = Callable[[Any, Any], bool]
"""Whether two answers say the same."""


class EnsembleMode(StrEnum):
    """How many agents work on a step."""

    ONE = "one"
    TWO = "two"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Agreement:
    """Answers in groups that say the same, largest first, then by first appearance."""

    groups: tuple[tuple[int, ...], ...]
    """Positions of the answers."""

    @property
    def distinct(self) -> int:
        """How many different answers there are."""
        return len(self.groups)

    @property
    def total(self) -> int:
        """How many answers there are."""
        return sum(len(group) for group in self.groups)

    @property
    def numbers(self) -> tuple[int, ...]:
        """For each answer, which of the different answers it is, from 1."""
        where = {place: number for number, group in enumerate(self.groups, 1) for place in group}
        return tuple(where[place] for place in sorted(where))

    @property
    def sigma(self) -> float:
        """(distinct - 1) / (answers - 1), in [0, 1]; 1 for fewer than two answers, which show no agreement."""
        return (self.distinct - 1) / (self.total - 1) if self.total > 1 else 1.0

    @property
    def mode(self) -> EnsembleMode:
        """One agent when all agree, all when none do, two in between."""
        return EnsembleMode.ONE if self.sigma == 0 else EnsembleMode.ALL if self.sigma == 1 else EnsembleMode.TWO

    @property
    def majority(self) -> int | None:
        """Position of the first answer of the largest group; `None` when two groups are as large."""
        sizes = [len(group) for group in self.groups]
        if not sizes or sizes.count(sizes[0]) > 1:
            return None
        return self.groups[0][0]


def agreement(answers: Sequence[Any], equivalent: Equivalent) -> Agreement:
    """Group answers: each joins the first group whose first answer it is equivalent to."""
    groups: list[list[int]] = []
    for position, answer in enumerate(answers):
        home = next((group for group in groups if equivalent(answers[group[0]], answer)), None)
        if home is None:
            groups.append([position])
        else:
            home.append(position)
    return Agreement(tuple(tuple(group) for group in sorted(groups, key=lambda group: (-len(group), group[0]))))


def plain_answer(output: Any) -> Any:
    """The default extraction: texts without case, spacing and closing punctuation; anything else as plain data."""
    if isinstance(output, str):
        return re.sub(r"\s+", " ", output).strip().strip(".!\"'").casefold()
    return to_jsonable_python(output, fallback=repr) if isinstance(output, BaseModel | dict | list | tuple) else output


def same_answer(one: Any, other: Any) -> bool:
    """The default equivalence: equal, numbers within a billionth."""
    if isinstance(one, int | float) and isinstance(other, int | float) and not isinstance(one, bool):
        return abs(one - other) <= 1e-9 * max(1.0, abs(one), abs(other))
    return bool(one == other)
