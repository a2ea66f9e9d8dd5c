"""`HealingChatModel`: several chat models as one, chosen by price and health."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, Final

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
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
from orchestrator.graph.price_table import standard
from orchestrator.health import HealthRegistry

from .attempts import Attempts

_ALONE: Final[Any] = {"callbacks": []}
"""The config of the inner models, so that the caller's callbacks see one model and count its tokens once."""


class HealingChatModel(BaseChatModel):
    """`HealingChatModel(["openai:gpt-5-mini", "anthropic:claude-haiku-4-5"])`: a chat model over several.

    The cheapest by price and health is called; one that fails becomes more expensive, and the next one is called at
    once. A conversation stays with the model that answered last while that one works. Rate limits and failures of an
    account (no credit, a revoked key) exclude a model for a while. Streaming can fall back until the first token.

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
    """Index of a model -> until when, by the monotonic clock, it is tried after those that did not fail recently."""

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
        attempts = self._attempts(messages)
        for place in attempts:
            time.sleep(attempts.pause())
            with attempts.made(place):
                answer = self._ready(place, kwargs).invoke(messages, _ALONE, stop=stop, **_rest(kwargs))
                return attempts.result(place, answer)
        raise attempts.error()

    @override
    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        attempts = self._attempts(messages)
        for place in attempts:
            await asyncio.sleep(attempts.pause())
            with attempts.made(place):
                ready = await self._aready(place, kwargs)
                answer = await ready.ainvoke(messages, _ALONE, stop=stop, **_rest(kwargs))
                return attempts.result(place, answer)
        raise attempts.error()

    @override
    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        attempts = self._attempts(messages)
        for place in attempts:
            time.sleep(attempts.pause())
            with attempts.made(place):
                for chunk in self._ready(place, kwargs).stream(messages, _ALONE, stop=stop, **_rest(kwargs)):
                    for made in attempts.chunks(place, chunk):
                        if run_manager:
                            run_manager.on_llm_new_token(made.text, chunk=made)
                        yield made
                for made in attempts.ended(place):
                    yield made
                return
        raise attempts.error()

    @override
    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        attempts = self._attempts(messages)
        for place in attempts:
            await asyncio.sleep(attempts.pause())
            with attempts.made(place):
                ready = await self._aready(place, kwargs)
                async for chunk in ready.astream(messages, _ALONE, stop=stop, **_rest(kwargs)):
                    for made in attempts.chunks(place, chunk):
                        if run_manager:
                            await run_manager.on_llm_new_token(made.text, chunk=made)
                        yield made
                for made in attempts.ended(place):
                    yield made
                return
        raise attempts.error()

    def _attempts(self, messages: Sequence[BaseMessage]) -> Attempts:
        return Attempts(self._pool, _last_model(messages), self._resting, self._max_wait)

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


def _last_model(messages: Sequence[BaseMessage]) -> str:
    """The model that answered last in a conversation."""
    for message in reversed(messages):
        record: Any = message.response_metadata.get(RECORD) if isinstance(message, AIMessage) else None
        if isinstance(record, Mapping):
            return str(record.get("model", ""))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    return ""


__all__ = ["RECORD", "HealingChatModel"]
