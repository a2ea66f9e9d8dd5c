"""Disagreement of answers, and the number of agents that it calls for (ACAR, arXiv 2602.21231)."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

Extract = Callable[[Any], Any]
"""Output -> the part of it that is compared."""
Equivalent = Callable[[Any, Any], bool]
"""Whether two answers are equivalent."""


class EnsembleMode(StrEnum):
    """How many agents are asked for a step."""

    ONE = "one"
    TWO = "two"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Agreement:
    """Groups of equivalent answers, largest first, then by first appearance."""

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
        """For each answer, the number of its group, from 1."""
        where = {place: number for number, group in enumerate(self.groups, 1) for place in group}
        return tuple(where[place] for place in sorted(where))

    @property
    def sigma(self) -> float:
        """(distinct - 1) / (answers - 1), in [0, 1]; 1 for fewer than two answers, which show no agreement."""
        return (self.distinct - 1) / (self.total - 1) if self.total > 1 else 1.0

    @property
    def mode(self) -> EnsembleMode:
        """One agent when all answers agree, all agents when none do, two in between."""
        return EnsembleMode.ONE if self.sigma == 0 else EnsembleMode.ALL if self.sigma == 1 else EnsembleMode.TWO

    @property
    def majority(self) -> int | None:
        """Position of the first answer of the largest group; `None` when the largest group is not unique."""
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
    """The default extraction: text in lower case without extra white space and final punctuation; anything else as
    plain data.
    """
    if isinstance(output, str):
        return re.sub(r"\s+", " ", output).strip().strip(".!\"'").casefold()
    return to_jsonable_python(output, fallback=repr) if isinstance(output, BaseModel | dict | list | tuple) else output


def same_answer(one: Any, other: Any) -> bool:
    """The default equivalence: equality, for numbers within a relative 1e-9."""
    if isinstance(one, int | float) and isinstance(other, int | float) and not isinstance(one, bool):
        return abs(one - other) <= 1e-9 * max(1.0, abs(one), abs(other))
    return bool(one == other)
