"""`Demand`: the skills that a step needs, with weights."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from orchestrator.core.calls.options import checked
from orchestrator.core.checks import check_number
from orchestrator.core.errors import DefinitionError, InputError

SHOWN: Final = 5
"""Maximum number of skills in a text for people."""


@dataclass(frozen=True, init=False)
class Demand:
    """Skills and their weights, which sum to 1; a demand without skills is neutral.

    `Demand({"summarise": 2, "german": 1})`, `Demand(["summarise"])`, `Demand("summarise")`. Raises `InputError` for
    weights that are negative, not finite, or all zero.
    """

    items: tuple[tuple[str, float], ...]
    """Skill and weight, sorted by skill."""
    source: str = field(compare=False)
    """Its source: `declared`, `inferred`, `neutral` or `model`."""
    size: float | None
    """Length of the text of the work, from 0 (short) to 1 (long) on the handbook's scale; `None` if unknown."""

    @checked(InputError)
    def __init__(
        self,
        skills: "str | Iterable[str] | Mapping[str, float]" = (),
        *,
        source: str = "declared",
        size: float | None = None,
    ) -> None:
        weights = _weights(skills)
        if size is not None and not 0 <= size <= 1:
            raise InputError(f"The size of a demand is a number in [0, 1], not {size!r}.")
        total = sum(weights.values())
        if weights and total <= 0:
            raise InputError(f"A demand weighs at least one skill above zero, not {weights!r}.")
        shares = tuple((skill, weight / total) for skill, weight in sorted(weights.items()) if weight > 0)
        object.__setattr__(self, "items", shares)
        object.__setattr__(self, "source", source if shares else "neutral")
        object.__setattr__(self, "size", size)

    @classmethod
    def of(cls, demand: "Demand | str | Iterable[str] | Mapping[str, float] | None") -> "Demand":
        """Make a demand of a caller's argument; `None` is neutral."""
        return demand if isinstance(demand, Demand) else NEUTRAL if demand is None else cls(demand)

    @property
    def neutral(self) -> bool:
        """Whether the demand names no skill."""
        return not self.items

    @property
    def weights(self) -> dict[str, float]:
        """Skill -> share of the demand."""
        return dict(self.items)

    @cached_property
    def skills(self) -> tuple[str, ...]:
        """The demanded skills, sorted."""
        return tuple(skill for skill, _ in self.items)

    def __str__(self) -> str:
        largest = sorted(self.items, key=lambda item: (-item[1], item[0]))[:SHOWN]
        more = f" and {len(self.items) - SHOWN} more" if len(self.items) > SHOWN else ""
        skills = ", ".join(f"{skill} {share:.2f}" for skill, share in largest) + more or "neutral"
        return skills if self.size is None else f"{skills}, size {self.size:.2f}"

    def to_json(self) -> dict[str, Any]:
        """Plain data, for records."""
        size = {} if self.size is None else {"size": self.size}
        return {"weights": self.weights, "source": self.source, **size}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Demand":
        """The demand that `to_json` wrote, exactly equal."""
        made = cls(source=data["source"], size=data.get("size"))
        object.__setattr__(made, "items", tuple(sorted(data["weights"].items())))
        object.__setattr__(made, "source", data["source"])
        return made


def _weights(skills: Any) -> dict[str, float]:
    if isinstance(skills, str):
        skills = (skills,)
    if not isinstance(skills, Iterable):
        raise InputError(f"A demand is a skill, a list of skills or a mapping skill -> weight, not {skills!r}.")
    stated: dict[Any, Any] = {}
    stated.update(skills if isinstance(skills, Mapping) else dict.fromkeys(skills, 1.0))  # pyright: ignore[reportUnknownArgumentType]
    for skill in stated:
        if not isinstance(skill, str) or not skill.strip():
            raise InputError(f"A demand names skills by non-empty strings, not {skill!r}.")
    try:
        return {skill: check_number(f"The weight of skill {skill!r}", weight, 1e9) for skill, weight in stated.items()}
    except DefinitionError as error:
        raise InputError(str(error)) from None


NEUTRAL: Final = Demand()
"""The demand of a step of which no skill is known (yet)."""
