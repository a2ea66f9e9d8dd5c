"""Callback handlers for the models and tools inside an agent: they record usage and tool calls, and stream tokens."""

import math
from collections.abc import AsyncIterator, Iterator
from typing import Any, TypeVar, cast
from uuid import UUID

from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.callbacks.base import BaseCallbackManager
from langchain_core.outputs import LLMResult
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tracers._streaming import (
    _StreamingCallbackHandler,  # pyright: ignore[reportPrivateUsage]
)

from orchestrator.core.context import RunContext, SubCall
from orchestrator.core.enums import PartKind
from orchestrator.core.route import Candidate

from .conversation import unanswered_call
from .model_spans import span_handler
from .models.accounting import RECORD

T = TypeVar("T")


def config_for(ctx: RunContext[Any], *own: BaseCallbackHandler) -> RunnableConfig:
    """The config of a call inside an agent: `own` handlers, those that stream tokens if a subscriber follows the run,
    and those of the LangGraph around the run that stream messages. Nothing else of that graph is passed on: what is
    invoked is a run of its own, no subgraph.
    """
    handlers: list[BaseCallbackHandler] = [*own, ChoiceListener(ctx)]
    traced = span_handler()
    handlers += [traced] if traced is not None else []
    outer = var_child_runnable_config.get() or {}
    callbacks: Any = outer.get("callbacks")
    around: list[Any] = callbacks.handlers if isinstance(callbacks, BaseCallbackManager) else callbacks or []
    streaming: list[Any] = [handler for handler in around if isinstance(handler, _StreamingCallbackHandler)]
    handlers += [handler for handler in streaming if isinstance(handler, BaseCallbackHandler)]
    if ctx.streamed:
        handlers.append(TokenListener(ctx))
    made: RunnableConfig = {"callbacks": handlers} if handlers else {}
    metadata: Any = outer.get("metadata")
    return {**made, "metadata": dict(metadata)} if streaming and metadata else made


class TokenListener(AsyncCallbackHandler, _StreamingCallbackHandler[Any]):
    """Reports each token. Being a streaming handler, it makes chat models stream."""

    def __init__(self, ctx: RunContext[Any]) -> None:
        self._ctx = ctx

    async def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        """Report a token."""
        del kwargs
        if isinstance(token, str) and token:
            self._ctx.report(token)

    def tap_output_aiter(self, run_id: UUID, output: AsyncIterator[T]) -> AsyncIterator[T]:
        """The output itself."""
        del run_id
        return output

    def tap_output_iter(self, run_id: UUID, output: Iterator[T]) -> Iterator[T]:
        """The output itself."""
        del run_id
        return output


class ChoiceListener(AsyncCallbackHandler):
    """Records which of several models answered (`HealingChatModel`), as a decision of the run."""

    def __init__(self, ctx: RunContext[Any]) -> None:
        self._ctx = ctx

    async def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        """A model has answered."""
        del kwargs
        for generation in response.generations[0] if response.generations else ():
            choice: Any = getattr(getattr(generation, "message", None), "response_metadata", {}).get(RECORD)
            if isinstance(choice, dict):
                self._record(cast("dict[str, Any]", choice))

    def _record(self, choice: dict[str, Any]) -> None:
        failed = {each["model"]: each["error"] for each in choice["failed"]}
        prices = {each["model"]: each["price"] for each in choice["candidates"]}
        listed = [
            Candidate(name, price if math.isfinite(price) else None, failed.get(name, ""))
            for name, price in prices.items()
        ]
        self._ctx.chose(choice["model"], listed, choice["reason"], {"models": list(prices)})


class UsageListener(AsyncCallbackHandler):
    """Adds up the usage of models, and records which tools are called."""

    raise_error = True

    def __init__(self, ctx: RunContext[Any], mark: str) -> None:
        self._ctx = ctx
        self.answered: frozenset[tuple[str, str]] = frozenset()
        """Tool calls that were answered before the agent continued: a repetition by the model is not executed."""
        self._mark = mark
        """The name under which the first tool call is recorded, for later calls of the step."""
        self._usage = ctx.usage
        self._parts: dict[Any, SubCall] = {}

    async def on_tool_start(self, serialized: dict[str, Any] | None, input_str: str, **kwargs: Any) -> None:
        """A tool is called. It cannot be prevented here: the call counts, and the next step sees it."""
        del input_str
        name = str(kwargs.get("name") or (serialized or {}).get("name") or "tool")
        if (str(kwargs.get("tool_call_id") or ""), name) in self.answered:
            raise unanswered_call(name)
        self._usage["tool_calls"] += 1
        label = f"tool{self._usage['tool_calls']}"
        self._parts[kwargs.get("run_id")] = self._ctx.part(name, PartKind.TOOL, label, anyway=True)
        if not self._ctx.kept(self._mark):
            await self._ctx.keep(self._mark, name)

    async def on_tool_end(self, output: Any, **kwargs: Any) -> None:
        """A tool has answered."""
        del output
        part = self._parts.pop(kwargs.get("run_id"), None)
        if part is not None:
            part.ended()

    async def on_tool_error(self, error: BaseException, **kwargs: Any) -> None:
        """A tool has failed."""
        part = self._parts.pop(kwargs.get("run_id"), None)
        if part is not None and isinstance(error, Exception):
            part.ended(error)

    async def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        """A model has answered."""
        del kwargs
        self._usage["model_calls"] += 1
        for generation in response.generations[0] if response.generations else ():
            used: Any = getattr(getattr(generation, "message", None), "usage_metadata", None)
            if used:
                self._usage["input_tokens"] += used["input_tokens"]
                self._usage["output_tokens"] += used["output_tokens"]


__all__ = ["ChoiceListener", "TokenListener", "UsageListener", "config_for"]
