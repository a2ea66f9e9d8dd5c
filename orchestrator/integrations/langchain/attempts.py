"""The attempts of one request to a healed chat model: the next model, the models that were tried, and the result."""

import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, Final

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from orchestrator.agents.models.accounting import RECORD
from orchestrator.agents.models.pool import ModelPool
from orchestrator.core.privacy.redaction import message_of
from orchestrator.health.failures.classify import retry_after_of

REST: Final = 10.0
"""Seconds after a failure during which a model is tried only after the others."""


class Attempts:
    """Yields the indices of the models to try until one has answered; `made` is the context of each attempt."""

    def __init__(self, pool: ModelPool, last: str, resting: dict[int, float], longest: float) -> None:
        """`last` answered in this conversation before; a wait for a model of more than `longest` seconds is not
        made.
        """
        self._pool = pool
        self._resting = resting
        self._longest = longest
        now = time.monotonic()
        self._order = sorted(pool.order(), key=lambda place: resting.get(place, 0.0) > now)
        self._worth = [(pool.name(place), pool.price(place)) for place in self._order]
        self._errors: list[tuple[int, Exception]] = []
        self._later: tuple[float, int] | None = None
        self._pause = 0.0
        self._began = 0.0
        self._held: list[ChatGenerationChunk] = []
        """Chunks before the first one with content: another model may still answer instead."""
        self._has_begun = False
        self._tokens: tuple[int, int] | None = None
        """Input and output tokens, if the model reports them."""
        self._reason = "it is the cheapest by price and health"
        for place in self._order:
            if pool.name(place) == last and pool.usable(place) and resting.get(place, 0.0) <= now:
                self._order.remove(place)
                self._order.insert(0, place)
                self._reason = "the conversation stays with it"
                break

    def __iter__(self) -> Iterator[int]:
        """The models in order; after all have failed, once more the one that stated a `Retry-After`."""
        while self._order:
            yield self._order.pop(0)
        if self._later is not None:
            self._pause, place = self._later
            yield place

    def pause(self) -> float:
        """Seconds to wait before this attempt."""
        seconds, self._pause = self._pause, 0.0
        return seconds

    @contextmanager
    def made(self, place: int) -> Generator[None]:
        """Context of one attempt: keeps its error, unless a part of its answer was already returned."""
        self._began, self._held, self._tokens = time.monotonic(), [], None
        try:
            yield
        except Exception as error:
            self._failed(place, error)
            if self._has_begun:
                raise

    def _failed(self, place: int, error: Exception) -> None:
        self._pool.failed(place, error, time.time())
        again = retry_after_of(error, time.time())
        self._resting[place] = time.monotonic() + max(REST, again or 0.0)
        first = not any(earlier == place for earlier, _ in self._errors)
        self._errors.append((place, error))
        if first and again is not None and again <= self._longest and (self._later is None or again < self._later[0]):
            self._later = again, place

    def result(self, place: int, answer: AIMessage) -> ChatResult:
        """The answer of a model, with the record of its attempts."""
        self._count(answer)
        self._answered(place)
        noted = {**answer.response_metadata, RECORD: self._record(place)}
        return ChatResult(generations=[ChatGeneration(message=answer.model_copy(update={"response_metadata": noted}))])

    def chunks(self, place: int, chunk: Any) -> list[ChatGenerationChunk]:
        """The chunks that can be returned now; the first one contains the record."""
        message: Any = (
            chunk if isinstance(chunk, AIMessageChunk) else AIMessageChunk(**chunk.model_dump(exclude={"type"}))
        )
        self._count(message)
        if not self._held and not self._has_begun:
            noted = {**message.response_metadata, RECORD: self._record(place)}
            message = message.model_copy(update={"response_metadata": noted})
        self._held.append(ChatGenerationChunk(message=message))
        if self._has_begun or message.content or message.tool_call_chunks or message.additional_kwargs:
            return self._given()
        return []

    def ended(self, place: int) -> list[ChatGenerationChunk]:
        """The remaining chunks after a stream has ended without an error."""
        self._answered(place)
        return self._given()

    def _given(self) -> list[ChatGenerationChunk]:
        self._has_begun = True
        given, self._held = self._held, []
        return given

    def _count(self, message: AIMessage) -> None:
        used = message.usage_metadata
        if used is not None:
            before = self._tokens or (0, 0)
            self._tokens = before[0] + used["input_tokens"], before[1] + used["output_tokens"]

    def _answered(self, place: int) -> None:
        usd = None if self._tokens is None else self._pool.usd(place, self._tokens)
        self._pool.answered(place, time.monotonic() - self._began, usd)
        self._resting.pop(place, None)

    def _record(self, place: int) -> dict[str, Any]:
        tried = [
            {"model": self._pool.name(p), "error": f"{type(e).__name__}: {message_of(e)}"} for p, e in self._errors
        ]
        prices = [{"model": name, "price": price} for name, price in self._worth]
        reason = f"{', '.join(each['model'] for each in tried)} failed" if tried else self._reason
        return {"model": self._pool.name(place), "candidates": prices, "failed": tried, "reason": reason}

    def error(self) -> Exception:
        """The error when every model has failed."""
        _, first = self._errors[0]
        for place, error in self._errors[1:]:
            first.add_note(f"{self._pool.name(place)}: {type(error).__name__}: {message_of(error)}")
        return first


__all__ = ["Attempts"]
