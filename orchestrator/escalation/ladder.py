"""Climbs the ladder: asks one rung after another, admits or refuses each answer, and records both."""

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

from orchestrator.agents.models.accounting import ModelUsage
from orchestrator.core.calls.user_code import call_user
from orchestrator.core.clock import Clock, SystemClock
from orchestrator.core.errors import DefinitionError
from orchestrator.core.route import Impasse
from orchestrator.core.text import clean

from .admissibility import Validate, check_resolution, rights_of
from .question import Question
from .resolution import Resolution

if TYPE_CHECKING:
    from orchestrator.agents.models.pool import Router

GRACE: Final = 1.0
"""Extra seconds for a rung that enforces the time-out itself."""
Rung = Callable[[Impasse], Awaitable[Resolution | Question | None]]
"""An async callable: a resolution, a question for a person, or `None` to leave it to the next rung."""


@dataclass(frozen=True, slots=True)
class RefusedAnswer:
    """An answer that was not admitted."""

    rung: str
    reason: str
    resolution: Resolution | None = None
    """The answer, if it was a resolution."""

    def to_json(self) -> dict[str, Any]:
        """Plain data, for records: without the value that was provided."""
        made = self.resolution.to_json(content=False) if self.resolution else None
        return {"rung": self.rung, "reason": self.reason, "resolution": made}


@dataclass(frozen=True, slots=True)
class RungContext:
    """What a run provides to a rung that it consults."""

    validate: Validate | None = None
    """Validates a provided value by the type of its key."""
    clock: Clock = field(default_factory=SystemClock)
    timeout: float | None = None
    """Seconds that the consultation may take."""
    contents: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Values at hand; a rung shows only those that it is configured to show, each through a redaction hook."""
    router: "Router | None" = None
    """Prices and health for the models of a rung."""


@dataclass(frozen=True, slots=True)
class RungReply:
    """The reply of a rung that reports its usage: the answer, model calls and cost."""

    answer: Any
    """A `Resolution`, a `Question` or `None`; anything else is refused."""
    asked: ModelUsage
    refused: tuple[RefusedAnswer, ...] = ()


@runtime_checkable
class Consulting(Protocol):
    """A rung that reports its usage; `consult` is called instead of the rung itself."""

    async def consult(self, impasse: Impasse, means: RungContext) -> RungReply:
        """Answer the impasse within `means.timeout`. Problems are reported in the reply, not raised."""
        ...


@dataclass(frozen=True, slots=True)
class Climb:
    """The result of a climb."""

    resolution: Resolution | None = None
    """The admitted resolution; `None` when there is none, or while a question waits."""
    question: Question | None = None
    """The question that the run waits for."""
    by: str = ""
    """The rung that answered or asks."""
    asked: tuple[ModelUsage, ...] = ()
    refused: tuple[RefusedAnswer, ...] = ()
    next_rung: int = 0
    """Where to continue when the question gets no admissible answer: `climb(..., start_at=next_rung)`."""

    @property
    def calls(self) -> int:
        """Control-plane calls of a model, repairs not counted."""
        return sum(asked.calls for asked in self.asked)

    @property
    def repairs(self) -> int:
        """Further calls that repaired malformed output."""
        return sum(asked.repairs for asked in self.asked)

    @property
    def usd(self) -> float:
        """Cost of asking in US dollars."""
        return sum(asked.usd for asked in self.asked)


def _ignore(event: ModelUsage | RefusedAnswer) -> None:
    del event


def rung_name(rung: object) -> str:
    """A rung's name: its `.name`, else what it is called in the code."""
    name = getattr(rung, "name", None)
    if isinstance(name, str) and name:
        return name
    return str(getattr(rung, "__name__", None) or type(rung).__name__)


def check_ladder(rungs: Iterable[Any]) -> tuple[Rung, ...]:
    """The ladder, when every rung can be asked. Raises `DefinitionError` otherwise."""
    ladder = tuple(rungs)
    for rung in ladder:
        if not callable(rung) or inspect.isclass(rung):
            hint = f" Did you mean {rung.__name__}()?" if inspect.isclass(rung) else ""
            raise DefinitionError(f"A rung is an async callable (Impasse) -> Resolution | None, not {rung!r}.{hint}")
        rights_of(rung)
    return ladder


async def climb(
    ladder: Sequence[Rung],
    impasse: Impasse,
    *,
    validate: Validate | None = None,
    on_event: Callable[[ModelUsage | RefusedAnswer], None] | None = None,
    start_at: int = 0,
    means: RungContext | None = None,
) -> Climb:
    """Ask the rungs in order until one gives an admissible resolution or a question.

    `validate` makes a provided value the key's type, or raises; `means` are what the run provides: its clock, a time
    limit per rung, values that may be shown; `on_event` is called with every rung asked and every refusal, as it
    happens; `start_at` continues after a question. A rung that raises, takes longer than `means.timeout` or the time
    that is left to the run, or answers inadmissibly, is recorded and passed over. Only cancellation leaves it as an
    exception.
    """
    lent = _within_budget(means or RungContext(validate), impasse)
    if validate is not None:
        lent = replace(lent, validate=validate)
    asked: list[ModelUsage] = []
    refused: list[RefusedAnswer] = []
    publish = on_event or _ignore
    for place in range(start_at, len(ladder)):
        rung = ladder[place]
        reply = await _ask(rung, impasse, lent)
        resolution, question, turned_down = _admitted(rung, reply, impasse, lent.validate)
        recorded = replace(reply.asked, admitted=resolution is not None or question is not None)
        asked.append(recorded)
        publish(recorded)
        for refusal in turned_down:
            refused.append(refusal)
            publish(refusal)
        if resolution is not None or question is not None:
            return Climb(resolution, question, rung_name(rung), tuple(asked), tuple(refused), place + 1)
    return Climb(asked=tuple(asked), refused=tuple(refused), next_rung=len(ladder))


def _within_budget(means: RungContext, impasse: Impasse) -> RungContext:
    left = impasse.budget_left.get("seconds")
    if left is None or impasse.kind == "budget":
        return means
    return replace(means, timeout=left if means.timeout is None else min(left, means.timeout))


async def _ask(rung: Rung, impasse: Impasse, means: RungContext) -> RungReply:
    name, clock = rung_name(rung), means.clock
    # a consulted rung enforces the time-out itself, so that its usage is not lost
    grace = GRACE if isinstance(rung, Consulting) else 0.0
    limit = None if means.timeout is None else max(0.0, means.timeout) + grace
    began = clock.monotonic()
    try:
        reply = await clock.wait_for(_reply(rung, impasse, means), limit)
    except TimeoutError:
        problem = "took too long" if limit is None else f"took longer than {limit:g} seconds"
        return RungReply(None, ModelUsage(name, seconds=clock.monotonic() - began, problems=(problem,)))
    except Exception as error:
        problem = clean(f"{type(error).__name__}: {error}")
        return RungReply(None, ModelUsage(name, seconds=clock.monotonic() - began, problems=(problem,)))
    asked = replace(reply.asked, rung=name, seconds=clock.monotonic() - began, answered=_answer_text(reply.answer))
    return replace(reply, asked=asked)


async def _reply(rung: Any, impasse: Impasse, means: RungContext) -> RungReply:
    if isinstance(rung, Consulting):
        reply: RungReply = await call_user(rung.consult, impasse, means)
        return reply
    made = await call_user(rung, impasse)  # a plain function does as well
    return RungReply(made, ModelUsage(rung_name(rung)))


def _answer_text(answer: Any) -> str:
    if isinstance(answer, Resolution):
        return clean(answer.text)
    return "a question" if isinstance(answer, Question) else ""


def _admitted(
    rung: Rung, reply: RungReply, impasse: Impasse, validate: Validate | None
) -> tuple[Resolution | None, Question | None, tuple[RefusedAnswer, ...]]:
    name = rung_name(rung)
    made = reply.answer
    if made is None:
        return None, None, reply.refused
    if isinstance(made, Question):
        return None, made, reply.refused
    if not isinstance(made, Resolution):
        reason = f"it answered with a {type(made).__name__}, not a Resolution"
        return None, None, (*reply.refused, RefusedAnswer(name, reason))
    taken, refused = check_resolution(made, impasse, rights_of(rung), asked_by=name, validate=validate)
    if refused is not None:
        return None, None, (*reply.refused, RefusedAnswer(name, clean(refused), made))
    return (taken if taken.by else replace(taken, by=name)), None, reply.refused
