"""`AskModel`: the rung that asks a chat model to choose from a numbered list."""

import importlib.util
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from orchestrator.chat_agent import load_model
from orchestrator.clock import Clock
from orchestrator.errors import DefinitionError
from orchestrator.failure_rules import status_of
from orchestrator.failures import retry_after_of
from orchestrator.redaction import message_of
from orchestrator.route import Impasse

from .admissibility import MODEL_RIGHTS, check, longest_wait
from .chat import Mode, ask, best_mode, raw_answer, tokens, turned_down
from .cleaning import clean
from .ladder import Asked, Means, Refusal, Reply
from .options import Option, options_for
from .pool import ModelPool
from .prompt import SYSTEM, answer_schema, describe, repair, shown_options
from .reading import Malformed, RawAnswer, read
from .resolution import Resolution

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage

AGAIN_AFTER: Final = 0.5
"""Seconds until a model that failed for a moment is asked once more, where its server does not say."""
MOMENTARY: Final = frozenset({408, 429, 500, 502, 503, 504, 529})


class AskModel:
    """Asks a chat model to choose one of the admissible resolutions: closed by construction.

    `models` is a LangChain chat model, a string for `init_chat_model` such as `"openai:gpt-5-mini"`, or several, best
    first: the next is asked when one fails, and first of all where it is much cheaper or the other is ill. One
    call per impasse; a second one only repairs an answer that could not be used. `timeout` is in seconds for all of
    it; `max_wait` is the longest wait that the model may choose, in seconds; `contents` are the keys whose values it
    may see (`True` for all), by default none; `instructions` guide its choice; `usd_per_million` says what a million
    input and output tokens cost, by the model's name.

    Raises `DefinitionError` for what is no chat model.
    """

    rights: Final = MODEL_RIGHTS

    def __init__(
        self,
        models: "BaseChatModel | str | Sequence[BaseChatModel | str]",
        *,
        timeout: float = 30.0,
        max_wait: float = 300.0,
        contents: bool | Sequence[str] = False,
        instructions: str = "",
        usd_per_million: Mapping[str, tuple[float, float]] | None = None,
        name: str = "ask_model",
    ) -> None:
        self.models = _checked(models)
        self.timeout = timeout
        self.max_wait = max_wait
        self.contents = contents
        self.instructions = instructions
        self.usd_per_million = dict(usd_per_million or {})
        self.name = name
        self._modes: dict[int, Mode] = {}
        self._pool: ModelPool | None = None

    async def __call__(self, impasse: Impasse) -> Resolution | None:
        """The model's choice; `None` when it gave none that can be used."""
        answer: Resolution | None = (await self.consult(impasse, Means())).answer
        return answer

    async def consult(self, impasse: Impasse, means: Means) -> Reply:
        """The model's choice, and what asking for it took."""
        options = shown_options(options_for(impasse, self.rights))
        if not options:  # a person must look
            return Reply(None, Asked(self.name))
        if self.usd_per_million and impasse.budget_left.get("usd", 1.0) <= 0:
            return Reply(None, Asked(self.name, problems=("no money is left to ask a model with",)))
        talk = _Talk(means, impasse, options, self._pooled(means.clock), _time(self.timeout, means))
        user = describe(impasse, options, self.instructions, self._shown(means.contents))
        place, message = await self._first(talk, user)
        made: Resolution | None = None
        if message is not None:
            made = self._take(talk, raw_answer(message))
            if made is None:
                made = await self._repaired(talk, place, user, raw_answer(message))
        return Reply(made, talk.asked(self.name), tuple(talk.refused))

    async def _first(self, talk: "_Talk", user: str) -> "tuple[int, AIMessage | None]":
        """The first model that answers; when all fail, the one that failed for a moment is asked once more."""
        talk.calls = 1
        later: list[tuple[float, int]] = []
        for place in talk.pool.order():
            message, again = await self._request(talk, place, user)
            if message is not None:
                return place, message
            if again is not None:
                later.append((again, place))
        if later and min(later)[0] < talk.left():
            seconds, place = min(later)
            await talk.means.clock.sleep(seconds)
            return place, (await self._request(talk, place, user))[0]
        return 0, None

    async def _repaired(self, talk: "_Talk", place: int, user: str, answer: RawAnswer) -> Resolution | None:
        talk.repairs = 1
        message, _ = await self._request(talk, place, repair(user, answer.shown, talk.refused[-1].reason))
        return None if message is None else self._take(talk, raw_answer(message))

    async def _request(self, talk: "_Talk", place: int, user: str) -> "tuple[AIMessage | None, float | None]":
        """One model's answer; or `None`, and in how many seconds it is worth asking again, if it is."""
        talk.model = talk.pool.name(place)
        try:
            return await self._answer(talk, place, user), None
        except TimeoutError as error:
            talk.problem("the answer took too long")
            talk.pool.failed(place, error)
        except Exception as error:
            talk.problem(f"{type(error).__name__}: {message_of(error)}")
            talk.pool.failed(place, error)
            if status_of(error) in MOMENTARY:
                return None, retry_after_of(error, talk.means.clock.time()) or AGAIN_AFTER
        return None, None

    async def _answer(self, talk: "_Talk", place: int, user: str) -> "AIMessage":
        """One model's answer in the best way that it can. Raises what its client raises, and `TimeoutError`."""
        model = load_model(self.models[place])
        mode = self._modes.get(place) or best_mode(model)
        try:
            message = await self._send(talk, place, ask(model, SYSTEM, user, answer_schema(talk.options), mode))
        except Exception as error:
            if not turned_down(error, mode):
                raise
            talk.problem(f"{mode} is not supported ({type(error).__name__})")
            mode = Mode.JSON
            message = await self._send(talk, place, ask(model, SYSTEM, user, {}, mode))
        self._modes[place] = mode
        return message

    async def _send(self, talk: "_Talk", place: int, request: "Awaitable[AIMessage]") -> "AIMessage":
        talk.attempts += 1
        clock = talk.means.clock
        began = clock.monotonic()
        message = await clock.wait_for(request, talk.left())
        used = tokens(message)
        usd = talk.pool.usd(place, used)
        talk.pool.answered(place, clock.monotonic() - began, usd)
        talk.input_tokens += used[0]
        talk.output_tokens += used[1]
        talk.usd += usd
        return message

    def _pooled(self, clock: Clock) -> ModelPool:
        if self._pool is None or self._pool.clock is not clock:
            self._pool = ModelPool(self.models, self.usd_per_million, clock)
        return self._pool

    def _take(self, talk: "_Talk", answer: RawAnswer) -> Resolution | None:
        """The admissible resolution that an answer chose; `None`, and a refusal on record, when it chose none."""
        longest = min(self.max_wait, longest_wait(talk.impasse))
        try:
            made = read(answer, talk.options, longest)
        except Malformed as error:
            talk.refused.append(Refusal(self.name, f"malformed: {error}"))
            return None
        _, refused = check(made, talk.impasse, self.rights, asked_by=self.name, validate=talk.means.validate)
        if refused is not None:
            talk.refused.append(Refusal(self.name, clean(refused), made))
            return None
        return made

    def _shown(self, contents: Mapping[str, Any]) -> Mapping[str, Any]:
        if self.contents is True:
            return contents
        allowed = self.contents or ()
        return {key: value for key, value in contents.items() if key in allowed}


@dataclass
class _Talk:
    """One consultation while it goes on."""

    means: Means
    impasse: Impasse
    options: Sequence[Option]
    pool: ModelPool
    deadline: float
    model: str = ""
    calls: int = 0
    repairs: int = 0
    attempts: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0
    problems: list[str] = field(default_factory=list[str])
    refused: list[Refusal] = field(default_factory=list[Refusal])

    def left(self) -> float:
        """Seconds that remain."""
        return max(0.0, self.deadline - self.means.clock.monotonic())

    def problem(self, text: str) -> None:
        """Put a problem on record."""
        self.problems.append(f"{self.model}: {clean(text, 200)}")

    def asked(self, rung: str) -> Asked:
        """What it took so far."""
        return Asked(
            rung,
            model=self.model,
            calls=self.calls,
            repairs=self.repairs,
            attempts=self.attempts,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            usd=self.usd,
            problems=tuple(self.problems),
        )


def _time(timeout: float, means: Means) -> float:
    seconds = timeout if means.timeout is None else min(timeout, means.timeout)
    return means.clock.monotonic() + seconds


def _checked(models: Any) -> "tuple[BaseChatModel | str, ...]":
    from langchain_core.language_models import BaseChatModel

    listed: tuple[Any, ...] = tuple(models) if isinstance(models, list | tuple) else (models,)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    if not listed:
        raise DefinitionError("AskModel: name at least one chat model, for instance AskModel('openai:gpt-5-mini').")
    for model in listed:
        if isinstance(model, str) and model.strip():
            if importlib.util.find_spec("langchain") is None:
                raise DefinitionError(f"AskModel({model!r}) needs the package langchain: install orchestrator[llm].")
        elif not isinstance(model, BaseChatModel):
            raise DefinitionError(f"AskModel takes a LangChain chat model, or a string that names one, not {model!r}.")
    return listed
