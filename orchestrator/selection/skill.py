"""What a handbook describes: skills, and insights about the phases of work."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Id = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"\S")]


class Skill(BaseModel):
    """Something that work demands and agents can or cannot do."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Id
    name: str = ""
    """Default: the id."""
    description: str = ""
    indicators: tuple[str, ...] = ()
    """Words and phrases in a text that show this skill is demanded."""
    examples: tuple[str, ...] = ()
    """Texts that demand it."""
    parent: str | None = None
    """The broader skill that this is a part of."""
    mode: str = ""
    """The phase of work it belongs to; empty for any."""
    provenance: str = "declared"
    """Where it comes from: declared, demanded, discovered, split, proposed by a model."""
    merged_into: str | None = None
    """The skill that took this one in, because nobody tells them apart."""
    prototype: tuple[tuple[Annotated[int, Field(ge=0)], float], ...] = ()
    """Where its texts lie: the largest coordinates of their middle, under the handbook's embedding."""

    @property
    def title(self) -> str:
        """What people read."""
        return self.name or self.id

    @property
    def says_something(self) -> bool:
        """Whether it has a body by which a text can be told to demand it, and not only a name."""
        body = self.description or self.indicators or self.examples or self.prototype
        return bool(body) and self.merged_into is None


class Insight(BaseModel):
    """Something learned about a phase of work."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: str
    text: Annotated[str, StringConstraints(min_length=1)]
    provenance: str = "declared"
