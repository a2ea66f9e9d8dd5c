"""`Policy`: the weights of the price, and the limits of healing. TOML files under `policies/`."""

import tomllib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from orchestrator.core.calls.options import checked
from orchestrator.core.process.installation import catalog_folder

from .errors import DefinitionError, nearest

Weight = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
Seconds = Annotated[float, Field(gt=0, le=1e7, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Dollars = Annotated[float, Field(ge=0, allow_inf_nan=False)]
REMOVED: Final[Mapping[str, str]] = {"max_reroutes": "a run is limited by max_calls, max_seconds and max_impasses"}
"""Fields of earlier versions that no longer exist, with what to use; they are dropped with a warning."""


class Settings(BaseModel):
    """Base of a policy and its parts: an unknown field, or a value that does not fit, is a `DefinitionError`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    if not TYPE_CHECKING:  # the fields are the parameters that type checkers see

        def __init__(self, **data: Any) -> None:
            try:
                super().__init__(**data)
            except ValidationError as error:
                kind = type(self)
                raise DefinitionError(
                    "; ".join(f"{kind.__name__}: {problem}" for _, problem in _problems(kind, error))
                ) from error


class CircuitPolicy(Settings):
    """When a circuit opens, and how it closes again."""

    consecutive: int = Field(default=5, ge=1)
    """Failures in a row that open it."""
    rate: Fraction = 0.5
    """Share of failures that opens it, once there is enough evidence."""
    evidence: float = Field(default=10, ge=1)
    """Decayed number of calls that counts as enough evidence for the rate."""
    open_seconds: Seconds = 10
    """Time until the first probe; doubles with each failed probe."""
    max_open_seconds: Seconds = 300
    jitter: Fraction = 0.2
    """Share of the open time that is drawn at random."""
    ramp_seconds: Seconds = 10
    """Time after recovery until a tool gets its full share again."""
    half_life: Seconds = 300
    """Seconds after which an observation counts half."""


class Retries(Settings):
    """The number and the back-off of retries, and the budget of retries and fallbacks."""

    attempts: int = Field(default=2, ge=0, le=100)
    """Retries of one step after its first attempt, if the tool sets no `retries`."""
    base_seconds: Weight = 0.1
    """First back-off; it doubles, with full jitter."""
    max_seconds: Seconds = 5
    max_retry_after: Seconds = 30
    """Seconds; for a longer Retry-After the run does not wait: it is rerouted, or its impasse names the time."""
    share: Fraction = 0.2
    """Retries and fallbacks allowed, as a share of calls."""
    floor: int = Field(default=10, ge=0)
    """Retries and fallbacks allowed in any case, per minute."""


class Policy(Settings):
    """The terms of prices, the limits of runs and what is allowed. Unknown fields are errors.

    A subclass adds fields of its own, for a pricing function to read.
    """

    name: str = "balanced"
    description: str = ""
    pricing: str = "standard"
    """Name of a registered pricing."""
    step_cost: Weight = 0.0001
    """US dollars per step, so that free tools have a price and short plans are preferred."""
    time_value: Weight = 0.001
    """US dollars per second."""
    risk_value: Weight = 0.1
    """US dollars for a risk of 1."""
    quality_value: Weight = 0.5
    """US dollars between a competence of 0 and of 1; 1/λ."""
    timeout: Seconds = 60
    """Seconds per call, if the tool sets no `timeout`."""
    max_impasses: int = Field(default=5, ge=1)
    planning_states: int = Field(default=4000, ge=0)
    """States the exact search of a plan with joins may visit."""
    fail_fast: bool = False
    """Whether an open circuit excludes a tool even if it is the last alternative."""
    escalation: tuple[str, ...] = ("demote",)
    """Names of registered rungs."""
    max_spend: float | None = Field(default=None, ge=0)
    """US dollars per run, if the caller gives no budget."""
    max_spend_per_day: float | None = Field(default=None, ge=0)
    max_spend_per: Mapping[str, Dollars] = {}
    """US dollars per UTC day and value of a label: `{"tenant": 5}` limits each tenant."""
    max_seconds: Seconds | None = None
    max_calls: int | None = Field(default=None, ge=1)
    patience: Annotated[float, Field(ge=0, le=1e7, allow_inf_nan=False)] = 60
    """Seconds for which a run waits for a write that exceeded its time-out or was in flight at a cancellation, and for
    which a write waits for a store that cannot record its intent (at least 10)."""
    max_threads: int = Field(default=64, ge=1, le=10_000)
    """Threads of a process that run sync tools."""
    learn: bool = True
    """Whether prices are learned from calls; with `False` they come from declarations alone."""
    approve_above: float | None = Field(default=None, ge=0)
    """US dollars: a write that costs more needs a person's approval."""
    durability: Literal["async", "sync"] = "async"
    """`sync`: the result of a read is committed before a dependent step starts. `async`: within milliseconds.

    In both cases the intent of a write is durable before the call, and its result before a dependent step starts. With
    `async` a crash may repeat reads.
    """
    keep_values: bool = False
    """Whether the stored values of a run are kept after its end."""
    circuit: CircuitPolicy = CircuitPolicy()
    retries: Retries = Retries()

    @model_validator(mode="before")
    @classmethod
    def _drop_removed(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not any(name in data for name in REMOVED):
            return cast("Any", data)
        kept = cast("dict[str, Any]", data).copy()
        for name, instead in REMOVED.items():
            if name in kept and name not in cls.model_fields:
                del kept[name]
                warnings.warn(f"The policy field {name!r} was removed: {instead}.", DeprecationWarning, stacklevel=3)
        return kept

    @classmethod
    def from_record(cls, data: Mapping[str, Any]) -> Self:
        """The policy of a record of any version or subclass: fields that are unknown here are ignored."""
        return cls.model_validate({name: value for name, value in data.items() if name in cls.model_fields})

    @classmethod
    @checked(what="Policy.load()")
    def load(cls, name: str | Path) -> Self:
        """A policy by the name of a file in the catalogue's `policies/`, or from a path ending in `.toml`.

        Raises `DefinitionError` naming file, line and field.
        """
        path = Path(name)
        if path.suffix != ".toml":
            folder = catalog_folder("policies")
            path = folder / f"{name}.toml"
            if not path.is_file():
                known = sorted(file.stem for file in folder.glob("*.toml"))
                raise DefinitionError(
                    f"There is no policy {str(name)!r}.{nearest(str(name), known)} Known: {', '.join(known)}."
                )
        return cls.read(path)

    @classmethod
    @checked(what="Policy.read()")
    def read(cls, path: Path) -> Self:
        """A policy from a TOML file. Raises `DefinitionError` naming file, line and field."""
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DefinitionError(f"{path}: cannot be read ({error.__class__.__name__}).") from None
        try:
            data: dict[str, Any] = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise DefinitionError(f"{path}: {error}") from None
        try:
            return cls.model_validate({"name": path.stem, **data})
        except DefinitionError as error:
            if not isinstance(error.__cause__, ValidationError):
                raise
            raise DefinitionError(_explain(cls, path, text, error.__cause__)) from None


def _problems(kind: type[BaseModel], error: ValidationError) -> list[tuple[list[str], str]]:
    """The invalid fields, each with its place and the problem."""
    found: list[tuple[list[str], str]] = []
    for item in error.errors(include_url=False):
        location = [str(part) for part in item["loc"]]
        unknown = item["type"] == "extra_forbidden"
        hint = nearest(location[-1], _fields(kind, location[:-1])) if unknown else ""
        message = "unknown field." if unknown else f"{item['msg']}."
        found.append((location, f"{'.'.join(location)}: {message}{hint}"))
    return found


def _fields(kind: type[BaseModel], location: list[str]) -> list[str]:
    """Names of the fields at `location`."""
    for name in location:
        field = kind.model_fields.get(name)
        if field is None or not isinstance(field.annotation, type) or not issubclass(field.annotation, BaseModel):
            return []
        kind = field.annotation
    return list(kind.model_fields)


def _explain(kind: type[Policy], path: Path, text: str, error: ValidationError) -> str:
    section, part = _part(kind, error.title)
    return "\n".join(
        f"{path}:{_line_of(text, [*section, *where])}: {'.'.join([*section, ''])}{problem}"
        for where, problem in _problems(part, error)
    )


def _part(kind: type[BaseModel], name: str) -> tuple[list[str], type[BaseModel]]:
    """The location and class of the policy's part whose class has this name; the policy itself for any other name."""
    for field, info in kind.model_fields.items():
        part = info.annotation
        if isinstance(part, type) and issubclass(part, BaseModel) and part.__name__ == name:
            return [field], part
    return [], kind


def _line_of(text: str, location: list[str]) -> int:
    """The line (from 1) where the field at `location` is set; 1 when it cannot be found."""
    section: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped.startswith("["):
            section = stripped.strip("[] ").split(".")
        elif "=" in stripped and [*section, stripped.split("=")[0].strip().strip('"')] == location[: len(section) + 1]:
            return number
    return 1
