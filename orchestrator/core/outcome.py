"""`Outcome`: how a run ended, with its calls, failures and decisions."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, cast

from typing_extensions import TypeVar

from .decision import Decision
from .enums import Status
from .errors import InputError, OrchestratorError
from .failure import Failure
from .goal import Goal
from .route import Impasse, Route
from .text import abridged

V = TypeVar("V", default=Any)


class NoRoute(OrchestratorError):
    """No feasible route leads to the goal; `impasse` says which keys cannot be obtained and which tools are to
    blame."""

    def __init__(self, impasse: Impasse) -> None:
        super().__init__(impasse.message)
        self.impasse = impasse


class UnknownGoal(NoRoute, InputError):
    """No tool gives or needs a key of the goal, and it is no input: it is probably misspelt."""


class Escalated(OrchestratorError):
    """The value of an outcome was asked for, but no goal was reached."""

    def __init__(self, message: str, outcome: "Outcome | None" = None) -> None:
        super().__init__(message)
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt of one step."""

    tool: str
    attempt: int
    """From 1."""
    seconds: float
    error: str | None
    """What went wrong; `None` for a success."""
    call_id: str = ""
    cost: float = 0.0
    """US dollars."""


@dataclass(frozen=True, repr=False)
class Outcome(Generic[V]):
    """How a run ended: `reached`, `demoted` or `escalated`; or `waiting` for a person's answer."""

    status: Status
    goal: Goal
    """The goal that was reached, lesser or not; the one that was wanted when none was."""
    values: Mapping[str, Any]
    """Every value at hand, by key."""
    run_id: str
    trace_id: str = ""
    route: Route | None = None
    """The last route."""
    calls: tuple[Call, ...] = ()
    failures: tuple[Failure, ...] = ()
    decisions: tuple[Decision, ...] = ()
    compensated: tuple[str, ...] = ()
    """Tools whose effects were undone, in the order of undoing."""
    uncompensated: tuple[str, ...] = ()
    """Tools whose effects stand although the outcome does not use them, or whose effects are uncertain."""
    impasse: Impasse | None = None
    """Why no goal was reached, or what the run waits for."""
    children: "tuple[Outcome, ...]" = ()
    """Outcomes of the child runs of this run's calls, in the order in which they ended."""
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    questions: tuple[Any, ...] = ()
    """What a person is asked, while the run waits."""
    price: float | None = None
    """Planned, in US dollars, by the first route."""
    cost: float = 0.0
    """Actual US dollars."""
    seconds: float = 0.0
    usage: Mapping[str, float] = field(default_factory=dict[str, float])
    """Tokens, pages and other usage that the calls reported; `control_tokens` and `control_repairs` are those of the
    control plane: tokens of its model, and calls that repaired an answer.
    """
    error: BaseException | None = field(default=None, compare=False)
    """The exception of the last failure, in the outcome that the run itself returned; it is never stored."""
    llm_calls: int = 0
    """Model calls of the control plane, without repairs and without calls of agents."""

    @property
    def value(self) -> V:
        """The value of the reached goal (a mapping if it has several keys).

        Raises `Escalated` when no goal was reached, or the run still waits.
        """
        if self.status not in (Status.REACHED, Status.DEMOTED):
            why = self.impasse.message if self.impasse else f"the run is {self.status}"
            raise Escalated(f"{self.goal.name} was not reached: {why}", self) from self.error
        keys = self.goal.keys
        if any(key not in self.values for key in keys):
            raise OrchestratorError(
                f"The values of the run {self.run_id!r} were not kept after its end: give it a `run_id`, or a policy "
                "with keep_values = true."
            )
        return cast("V", self.values[keys[0]] if len(keys) == 1 else {key: self.values[key] for key in keys})

    def portable(self) -> "Outcome[V]":
        """The outcome without the data that only this process has: the exception, and the route's alternatives."""
        route = None if self.route is None else replace(self.route, explain=None)
        children = tuple(child.portable() for child in self.children)
        return replace(self, route=route, children=children, error=None)

    def without_values(self, keep: Collection[str] = ()) -> "Outcome[V]":
        """The portable outcome with the values of these keys only, for the memory of ended runs."""
        made = self.portable()
        values = {key: value for key, value in self.values.items() if key in keep}
        return replace(made, values=values, children=tuple(child.without_values() for child in made.children))

    def __repr__(self) -> str:
        """One line: how it ended, the goal, the route, calls, dollars and seconds."""
        route = abridged(self.route.tools, " > ") if self.route else "no route"
        spent = f"{len(self.calls)} calls, ${self.cost:g}, {self.seconds:.3g} s"
        return f"<Outcome {self.status}: {self.goal.name} by {route} ({spent}) run_id={self.run_id!r}>"

    @property
    def ok(self) -> bool:
        """Whether the goal, or a declared lesser one, was reached."""
        return self.status in (Status.REACHED, Status.DEMOTED)
