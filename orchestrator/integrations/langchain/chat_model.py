"""`HealingChatModel`: several chat models as one, chosen by price and health."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from pydantic import ConfigDict, Field, PrivateAttr
from typing_extensions import override

from orchestrator.agents.chat import load_model
from orchestrator.agents.models.accounting import RECORD
from orchestrator.agents.models.pool import ModelPool, Router, name_of_model
from orchestrator.agents.models.providers import known_price, one_attempt
from orchestrator.api import Orchestrator
from orchestrator.core.calls.options import check_names, checked
from orchestrator.core.clock import SystemClock
from orchestrator.core.errors import DefinitionError
from orchestrator.core.policy import Policy
from orchestrator.core.privacy.redaction import message_of
from orchestrator.graph.price_table import standard
from orchestrator.health import HealthRegistry
from orchestrator.health.failures.classify import retry_after_of

REST: Final = 10.0
"""Seconds after a failure in which a model is asked only when the others fail."""
_ALONE: Final[Any] = {"callbacks": []}
"""The config of the models inside: the callbacks of the caller see one model, and count its tokens once."""


class HealingChatModel(BaseChatModel):
    """`HealingChatModel(["openai:gpt-5-mini", "anthropic:claude-haiku-4-5"])`: a chat model over several.

    The cheapest by price and health is asked; one that fails becomes dearer and the next one answers, at once. A
    conversation stays with the model that answered it last while that one works. Rate limits and failures of an account
    (no credit, a revoked key) close a model for a while. Streaming falls back until the first token.

    `prices` are US dollars per million input and output tokens by model; unknown ones come from genai-prices. `orc`
    shares health and policy with an orchestrator. `response_metadata["orchestrator"]` of each answer says which model
    gave it, why, the price of each and what failed before; within a run that is a decision on its record. Raises
    `DefinitionError` for what is no chat model; when every model fails, the first one's error, the others as notes.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    models: list[Any]
    prices: dict[str, tuple[float, float]] = Field(default_factory=dict)
    _pool: ModelPool = PrivateAttr()
    _max_wait: float = PrivateAttr(default=30.0)
    _resting: dict[int, float] = PrivateAttr(default_factory=dict[int, float])
    """Place of a model -> until when, by the monotonic clock, it comes after those that did not just fail."""

    @checked()
    def __init__(
        self,
        models: Sequence[BaseChatModel | str],
        *,
        prices: Mapping[str, tuple[float, float]] | None = None,
        orc: Orchestrator | None = None,
        policy: Policy | str | None = None,
        **options: Any,
    ) -> None:
        check_names("HealingChatModel", options, {*type(self).model_fields, "prices", "orc", "policy"})
        check_names("HealingChatModel", options, ["models", "prices", "orc", "policy", *BaseChatModel.model_fields])
        if not models or "" in models:
            raise DefinitionError("HealingChatModel takes a list of chat models or their names, and neither is empty.")
        if orc is not None and policy is not None:
            raise DefinitionError("policy= is that of orc=: give one of them.")
        once = [model if isinstance(model, str) else one_attempt(model) for model in models]
        stated = dict(prices or {})
        known = {name: found for name in map(name_of_model, once) if (found := stated.get(name) or known_price(name))}
        fields: dict[str, Any] = {"models": once, "prices": known, **options}
        super().__init__(**fields)
        weights = Policy.load(policy) if isinstance(policy, str) else policy or Policy()
        health = orc.health if orc is not None else HealthRegistry(weights, SystemClock())
        weights = orc.policy if orc is not None else weights
        self._pool = ModelPool(once, known, Router(health, standard(weights)))
        self._max_wait = weights.retries.max_retry_after

    @property
    def _llm_type(self) -> str:
        return "orchestrator-healing"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"models": [name_of_model(model) for model in self.models]}

    def bind_tools(
        self, tools: Sequence[Any], *, tool_choice: Any = None, **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Bind tools; each model gets them in its own form."""
        given = kwargs if tool_choice is None else {**kwargs, "tool_choice": tool_choice}
        return self.bind(healing_tools=list(tools), healing_options=given)

    # -- asking ------------------------------------------------------------------------------------------------------

    @override
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        attempt = _Attempts(self._pool, messages, self._resting)
        while (place := attempt.next()) is not None:
            attempt.wait(time.sleep)
            try:
                answer = self._ready(place, kwargs).invoke(messages, _ALONE, stop=stop, **_rest(kwargs))
            except Exception as error:
                attempt.failed(place, error, self._max_wait)
            else:
                return attempt.result(place, answer)
        raise attempt.error()

    @override
    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        attempt = _Attempts(self._pool, messages, self._resting)
        while (place := attempt.next()) is not None:
            await asyncio.sleep(attempt.pause())
            try:
                ready = await self._aready(place, kwargs)
                answer = await ready.ainvoke(messages, _ALONE, stop=stop, **_rest(kwargs))
            except Exception as error:
                attempt.failed(place, error, self._max_wait)
            else:
                return attempt.result(place, answer)
        raise attempt.error()

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        attempt = _Attempts(self._pool, messages, self._resting)
        while (place := attempt.next()) is not None:
            attempt.wait(time.sleep)
            begun = False
            try:
                for chunk in self._ready(place, kwargs).stream(messages, _ALONE, stop=stop, **_rest(kwargs)):
                    made = attempt.chunk(place, chunk, first=not begun)
                    begun = True
                    if run_manager:
                        run_manager.on_llm_new_token(made.text, chunk=made)
                    yield made
            except Exception as error:
                attempt.failed(place, error, self._max_wait)
                if begun:
                    raise
            else:
                attempt.ended(place)
                return
        raise attempt.error()

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        attempt = _Attempts(self._pool, messages, self._resting)
        while (place := attempt.next()) is not None:
            await asyncio.sleep(attempt.pause())
            begun = False
            try:
                ready = await self._aready(place, kwargs)
                async for chunk in ready.astream(messages, _ALONE, stop=stop, **_rest(kwargs)):
                    made = attempt.chunk(place, chunk, first=not begun)
                    begun = True
                    if run_manager:
                        await run_manager.on_llm_new_token(made.text, chunk=made)
                    yield made
            except Exception as error:
                attempt.failed(place, error, self._max_wait)
                if begun:
                    raise
            else:
                attempt.ended(place)
                return
        raise attempt.error()

    def _ready(self, place: int, kwargs: Mapping[str, Any]) -> Any:
        return _bound(load_model(self.models[place]), kwargs)

    async def _aready(self, place: int, kwargs: Mapping[str, Any]) -> Any:
        named = self.models[place]
        model = await asyncio.to_thread(load_model, named) if isinstance(named, str) else named
        return _bound(model, kwargs)


def _bound(model: BaseChatModel, kwargs: Mapping[str, Any]) -> Any:
    tools = kwargs.get("healing_tools")
    return model.bind_tools(tools, **kwargs.get("healing_options", {})) if tools else model


def _rest(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in kwargs.items() if not name.startswith("healing_")}


class _Attempts:
    """The attempts of one request: which model is next, and what was tried."""

    def __init__(self, pool: ModelPool, messages: Sequence[BaseMessage], resting: dict[int, float]) -> None:
        self._pool = pool
        self._resting = resting
        now = time.monotonic()
        self._order = sorted(pool.order(), key=lambda place: resting.get(place, 0.0) > now)
        self._worth = [(pool.name(place), pool.price(place)) for place in self._order]
        self._errors: list[tuple[int, Exception]] = []
        self._later: tuple[float, int] | None = None
        self._pause = 0.0
        self._began = 0.0
        self._reason = "it is the cheapest by price and health"
        last = _last_model(messages)
        for place in self._order:
            if pool.name(place) == last and pool.usable(place) and resting.get(place, 0.0) <= now:
                self._order.remove(place)
                self._order.insert(0, place)
                self._reason = "the conversation stays with it"
                break

    def next(self) -> int | None:
        """The next model; after all of them failed, once more the one that said when to come again."""
        self._began = time.monotonic()
        if self._order:
            return self._order.pop(0)
        if self._later is None:
            return None
        (self._pause, place), self._later = self._later, None
        return place

    def pause(self) -> float:
        """Seconds to wait before this attempt."""
        seconds, self._pause = self._pause, 0.0
        return seconds

    def wait(self, sleep: Callable[[float], None]) -> None:
        """Wait before this attempt."""
        if seconds := self.pause():
            sleep(seconds)

    def failed(self, place: int, error: Exception, longest: float) -> None:
        """Take in a failure."""
        self._pool.failed(place, error, time.time())
        again = retry_after_of(error, time.time())
        self._resting[place] = time.monotonic() + max(REST, again or 0.0)
        first = not any(earlier == place for earlier, _ in self._errors)
        self._errors.append((place, error))
        if first and again is not None and again <= longest and (self._later is None or again < self._later[0]):
            self._later = again, place

    def result(self, place: int, answer: AIMessage) -> ChatResult:
        """The answer of a model, with the record of how it came about."""
        used = answer.usage_metadata or {"input_tokens": 0, "output_tokens": 0}
        usd = self._pool.usd(place, (used["input_tokens"], used["output_tokens"]))
        self._pool.answered(place, time.monotonic() - self._began, usd)
        self._resting.pop(place, None)
        noted = answer.model_copy(
            update={"response_metadata": {**answer.response_metadata, RECORD: self._record(place)}}
        )
        return ChatResult(generations=[ChatGeneration(message=noted)])

    def chunk(self, place: int, chunk: Any, *, first: bool) -> ChatGenerationChunk:
        """A chunk of an answer; the first one carries the record."""
        message: Any = (
            chunk if isinstance(chunk, AIMessageChunk) else AIMessageChunk(**chunk.model_dump(exclude={"type"}))
        )
        if first:
            noted = {**message.response_metadata, RECORD: self._record(place)}
            message = message.model_copy(update={"response_metadata": noted})
        return ChatGenerationChunk(message=message)

    def ended(self, place: int) -> None:
        """A stream ended well."""
        self._pool.answered(place, time.monotonic() - self._began, 0.0)
        self._resting.pop(place, None)

    def _record(self, place: int) -> dict[str, Any]:
        tried = [
            {"model": self._pool.name(p), "error": f"{type(e).__name__}: {message_of(e)}"} for p, e in self._errors
        ]
        prices = [{"model": name, "price": price} for name, price in self._worth]
        reason = f"{', '.join(each['model'] for each in tried)} failed" if tried else self._reason
        return {"model": self._pool.name(place), "candidates": prices, "failed": tried, "reason": reason}

    def error(self) -> Exception:
        """What is raised when every model failed."""
        _, first = self._errors[0]
        for place, error in self._errors[1:]:
            first.add_note(f"{self._pool.name(place)}: {type(error).__name__}: {message_of(error)}")
        return first


def _last_model(messages: Sequence[BaseMessage]) -> str:
    """The model that answered last in a conversation."""
    for message in reversed(messages):
        record: Any = message.response_metadata.get(RECORD) if isinstance(message, AIMessage) else None
        if isinstance(record, Mapping):
            return str(record.get("model", ""))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    return ""


__all__ = ["RECORD", "HealingChatModel"]
