"""`Goal`: the wanted keys, with acceptable lesser goals."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Final, Generic

from typing_extensions import TypeVar

from orchestrator.core.calls.options import checked, checked_init

from .checks import check_name, check_number
from .errors import DefinitionError, InputError

V = TypeVar("V", default=Any)


@dataclass(frozen=True, init=False)
class Goal(Generic[V]):
    """One or several keys for which a run has to find values.

    `demotions` are lesser goals that are acceptable, best first; `providable` are the keys that a model may provide a
    value for when no route is left; `type` makes the outcome typed: `Goal("label", type=Label)`.
    """

    keys: tuple[str, ...]
    demotions: tuple["Goal", ...]
    providable: tuple[str, ...]
    if TYPE_CHECKING:  # no field, so that a stored goal contains no class
        value_type: Any
        """Checked against the key's type when a run begins; values have the key's own type. `None` after storage."""

    @checked()
    def __init__(
        self,
        keys: str | Iterable[str],
        *,
        demotions: "str | Iterable[str | Goal[Any] | Iterable[str]]" = (),
        providable: str | Iterable[str] = (),
        type: type[V] | None = None,
    ) -> None:
        if isinstance(type, str):
            raise DefinitionError(f"A goal's type is a class, not the text {type!r}.")
        names = (keys,) if isinstance(keys, str) else tuple(keys)
        if not names or not all(isinstance(name, str) and name for name in names):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise DefinitionError(f"A goal names one key or several, not {keys!r}.")
        for key in (*names, *((providable,) if isinstance(providable, str) else providable)):
            check_name("a key of a goal", key, DefinitionError)
        if isinstance(demotions, str):
            demotions = (demotions,)
        object.__setattr__(self, "keys", tuple(dict.fromkeys(names)))
        object.__setattr__(self, "value_type", type)
        object.__setattr__(self, "demotions", tuple(Goal.of(goal) for goal in demotions))
        object.__setattr__(self, "providable", (providable,) if isinstance(providable, str) else tuple(providable))

    @classmethod
    def of(cls, goal: "str | Goal[Any] | Iterable[str]") -> "Goal[Any]":
        """Make a goal of a caller's argument: a key, several keys, or a goal."""
        if isinstance(goal, Goal):
            return goal
        return _goal_of_key(goal) if type(goal) is str else Goal(goal)

    @cached_property
    def name(self) -> str:
        """The keys, joined for people."""
        return " + ".join(self.keys)

    @cached_property
    def every_key(self) -> tuple[str, ...]:
        """The keys of the goal and of all its lesser goals, sorted."""
        return tuple(sorted({*self.keys, *(key for goal in self.demotions for key in goal.every_key)}))

    def __str__(self) -> str:
        return self.name

    def to_json(self) -> dict[str, Any]:
        """Plain data, for records."""
        return {
            "keys": list(self.keys),
            "demotions": list(map(Goal.to_json, self.demotions)),
            "providable": list(self.providable),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Goal[Any]":
        """The goal that `to_json` wrote."""
        made = cls.__new__(cls)
        object.__setattr__(made, "keys", tuple(data["keys"]))
        object.__setattr__(made, "demotions", tuple(map(Goal.from_json, data["demotions"])))
        object.__setattr__(made, "providable", tuple(data["providable"]))
        object.__setattr__(made, "value_type", None)
        return made


@lru_cache(maxsize=1024)
def _goal_of_key(key: str) -> Goal[Any]:
    return Goal(key)


@checked_init(InputError)
@dataclass(frozen=True, slots=True)
class Budget:
    """The limits of a run; `None` means no limit. Raises `InputError` for an invalid limit."""

    usd: float | None = None
    """US dollars."""
    seconds: float | None = None
    """From the start of the run; also the deadline of every call."""
    calls: int | None = None
    """Attempts, retries included."""

    def __post_init__(self) -> None:
        for label, value in (("usd", self.usd), ("seconds", self.seconds), ("calls", self.calls)):
            if value is not None:
                check_number(f"Budget.{label}", value, error=InputError)

    @classmethod
    def of(cls, budget: "Budget | float | None") -> "Budget":
        """Make a budget of a caller's argument; a plain number is US dollars. Raises `InputError` for an invalid
        one.
        """
        if budget is None:
            return UNLIMITED
        return (
            budget
            if isinstance(budget, Budget)
            else cls(usd=check_number("A budget in US dollars", budget, error=InputError))
        )

    def given(self) -> dict[str, float]:
        """The given limits by name."""
        limits = {"usd": self.usd, "seconds": self.seconds, "calls": self.calls}
        return {name: limit for name, limit in limits.items() if limit is not None}

    @classmethod
    def from_json(cls, data: Mapping[str, float | None]) -> "Budget":
        """The budget of a record; a missing limit is no limit."""
        usd, seconds, calls = data.get("usd"), data.get("seconds"), data.get("calls")
        if usd is seconds is calls is None:
            return UNLIMITED
        return Budget(usd, seconds, None if calls is None else int(calls))


UNLIMITED: Final = Budget()
"""The budget without any limit."""
