"""Asks one of several chat models for a structured answer, with at most one repair, and counts calls and cost."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from orchestrator.agents.chat import check_model, load_model
from orchestrator.core.clock import Clock
from orchestrator.core.errors import DefinitionError
from orchestrator.core.privacy.redaction import message_of
from orchestrator.core.text import clean
from orchestrator.health.failures.classify import retry_after_of
from orchestrator.health.failures.rules import status_of

from .accounting import ModelUsage
from .parse import RawAnswer, Unusable
from .pool import ModelPool, Router, health_names
from .providers import one_attempt
from .structured_output import OutputMode, ask_for_choice, modes_of, raw_answer, tokens, turned_down

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage

T = TypeVar("T")

AGAIN_AFTER: Final = 0.5
"""Default seconds until a model with a transient failure is asked once more."""
MOMENTARY: Final = frozenset({408, 429, 500, 502, 503, 504, 529})


@dataclass(frozen=True)
class Consultation(Generic[T]):
    """The question, and the parsing of the answer."""

    system: str
    user: str
    schema: dict[str, Any]
    read: Callable[[RawAnswer], T]
    """Raises `Unusable` for an answer that cannot be used."""
    again: Callable[[RawAnswer, Unusable], str]
    """The user message that asks once more after such an answer."""


@dataclass(frozen=True)
class Consulted(Generic[T]):
    """The result of a consultation."""

    value: T | None
    asked: ModelUsage
    unusable: tuple[Unusable, ...] = ()
    """Reasons of unusable answers, one for each."""


class Consultant:
    """Asks one of several chat models. Raises `DefinitionError` for an object that is no chat model."""

    def __init__(
        self,
        models: "BaseChatModel | str | Sequence[BaseChatModel | str]",
        usd_per_million: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        self.models = tuple(m if isinstance(m, str) else one_attempt(m) for m in _checked(models))
        self.usd_per_million = dict(usd_per_million or {})
        self._modes: dict[int, OutputMode] = {}
        self._alone: tuple[Clock, Router] | None = None

    @property
    def health_names(self) -> tuple[str, ...]:
        """The names under which health knows the models."""
        return health_names(self.models)

    async def consult(
        self, it: Consultation[T], name: str, clock: Clock, seconds: float, router: Router | None = None
    ) -> Consulted[T]:
        """Ask, within so many seconds. Errors are part of the result; nothing is raised.

        `router` prices and heals the models: the run's, or one of their own.
        """
        talk = _Exchange(clock, clock.monotonic() + seconds, self._pooled(clock, router))
        place, message = await self._first(talk, it)
        value: T | None = None
        if message is not None:
            answer = raw_answer(message)
            value = talk.take(it, answer)
            if value is None:
                talk.repairs = 1
                user = it.again(answer, talk.unusable[-1])
                message, _ = await self._request(talk, place, it, user)
                value = None if message is None else talk.take(it, raw_answer(message))
        return Consulted(value, talk.asked(name), tuple(talk.unusable))

    async def _first(self, talk: "_Exchange", it: Consultation[Any]) -> "tuple[int, AIMessage | None]":
        """The first model that answers; when all fail, the one that failed for a moment is asked once more."""
        later: list[tuple[float, int]] = []
        for place in talk.pool.order():
            message, again = await self._request(talk, place, it, it.user)
            if message is not None:
                return place, message
            if again is not None:
                later.append((again, place))
        if later and min(later)[0] < talk.left():
            seconds, place = min(later)
            await talk.clock.sleep(seconds)
            return place, (await self._request(talk, place, it, it.user))[0]
        return 0, None

    async def _request(
        self, talk: "_Exchange", place: int, it: Consultation[Any], user: str
    ) -> "tuple[AIMessage | None, float | None]":
        """One model's answer; or `None` with the seconds until a repetition is useful, if it is."""
        talk.model = talk.pool.name(place)
        try:
            return await self._answer(talk, place, it, user), None
        except TimeoutError as error:
            talk.problem("the answer took too long")
            talk.pool.failed(place, error)
        except Exception as error:
            talk.problem(f"{type(error).__name__}: {message_of(error)}")
            talk.pool.failed(place, error, talk.clock.time())
            if status_of(error) in MOMENTARY:
                return None, retry_after_of(error, talk.clock.time()) or AGAIN_AFTER
        return None, None

    async def _answer(self, talk: "_Exchange", place: int, it: Consultation[Any], user: str) -> "AIMessage":
        """One model's answer in the best way that it can. Raises what its client raises, and `TimeoutError`."""
        named = self.models[place]
        model = await talk.clock.wait_for(asyncio.to_thread(load_model, named), talk.left())  # it may import much
        modes = modes_of(model)
        begin_at = self._modes.get(place, modes[0])
        for mode in modes[modes.index(begin_at) :]:
            try:
                message = await self._send(talk, place, ask_for_choice(model, it.system, user, it.schema, mode))
            except Exception as error:
                if mode is OutputMode.JSON or not turned_down(error):
                    raise
                talk.problem(f"{mode} is not supported ({type(error).__name__})")
            else:
                self._modes[place] = mode
                return message
        raise AssertionError("plain JSON is the last mode")

    async def _send(self, talk: "_Exchange", place: int, request: "Awaitable[AIMessage]") -> "AIMessage":
        talk.attempts += 1
        began = talk.clock.monotonic()
        message = await talk.clock.wait_for(request, talk.left())
        used = tokens(message)
        usd = talk.pool.usd(place, used)
        talk.pool.answered(place, talk.clock.monotonic() - began, usd)
        talk.input_tokens += used[0]
        talk.output_tokens += used[1]
        talk.usd += usd
        return message

    def _pooled(self, clock: Clock, router: Router | None) -> ModelPool:
        if router is None:
            if self._alone is None or self._alone[0] is not clock:
                self._alone = clock, Router.alone(clock)
            router = self._alone[1]
        return ModelPool(self.models, self.usd_per_million, router)


@dataclass
class _Exchange:
    """One consultation in progress."""

    clock: Clock
    deadline: float
    pool: ModelPool
    model: str = ""
    repairs: int = 0
    attempts: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0
    problems: list[str] = field(default_factory=list[str])
    unusable: list[Unusable] = field(default_factory=list[Unusable])

    def left(self) -> float:
        """Seconds that remain."""
        return max(0.0, self.deadline - self.clock.monotonic())

    def problem(self, text: str) -> None:
        """Record a problem."""
        self.problems.append(f"{self.model}: {clean(text, 200)}")

    def take(self, it: Consultation[T], answer: RawAnswer) -> T | None:
        """The parsed answer; `None`, with the reason recorded, when it is not usable."""
        try:
            return it.read(answer)
        except Unusable as error:
            self.unusable.append(error)
            return None

    def asked(self, name: str) -> ModelUsage:
        """Its usage."""
        return ModelUsage(
            name,
            model=self.model,
            calls=1,
            repairs=self.repairs,
            attempts=self.attempts,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            usd=self.usd,
            problems=tuple(self.problems),
        )


def _checked(models: Any) -> "tuple[BaseChatModel | str, ...]":
    listed: tuple[Any, ...] = tuple(models) if isinstance(models, list | tuple) else (models,)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    if not listed:
        raise DefinitionError("Name at least one chat model, for instance 'openai:gpt-5-mini'.")
    for model in listed:
        check_model(model)
    return listed
