"""The thread of a compiled graph inside an agent: one per run and inputs; failures and questions resume it."""

import asyncio
import hashlib
from collections import OrderedDict, defaultdict
from collections.abc import Mapping
from typing import Any, Final, cast

from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.pregel import Pregel
from langgraph.types import Command, Interrupt

from orchestrator.core.context import RunContext

from .chat_tools import as_text

MAX_THREADS: Final = 1000
"""Threads of failed or waiting runs that are kept for a graph that has no checkpointer of its own."""


class ReferenceSerializer:
    """Copies containers and keeps what is in them by reference: checkpoints of one process, of state of any type."""

    def dumps_typed(self, obj: Any) -> tuple[str, Any]:
        """A copy of the containers."""
        return "object", _copied(obj)

    def loads_typed(self, data: tuple[str, Any]) -> Any:
        """Another copy of the containers."""
        return _copied(data[1])


def _copied(obj: Any) -> Any:
    kind = type(obj)  # pyright: ignore[reportUnknownVariableType]
    if kind is dict or kind is defaultdict:
        return {key: _copied(value) for key, value in obj.items()}
    if kind is list or kind is set or kind is tuple:
        return kind(map(_copied, obj))  # pyright: ignore[reportUnknownVariableType]
    return obj


class ThreadedGraph:
    """A compiled graph with a checkpointer: its own, or one in memory, so that a failed run of it can continue."""

    def __init__(self, graph: Any) -> None:
        self.in_memory = isinstance(graph, Pregel) and not graph.checkpointer  # pyright: ignore[reportUnknownMemberType]
        self._saver = InMemorySaver(serde=ReferenceSerializer())
        self._threads: OrderedDict[str, None] = OrderedDict()
        self.graph: Any = graph.copy({"checkpointer": self._saver}) if self.in_memory else graph  # pyright: ignore[reportUnknownMemberType]
        self.resumes = self.in_memory or isinstance(graph, Pregel)
        """Whether its state can be read, and a run of it gone on with."""

    def thread(self, ctx: RunContext[Any], inputs: Mapping[str, Any]) -> str:
        """The id of the thread of this step with these inputs."""
        digest = hashlib.sha256(repr(sorted(inputs.items(), key=lambda item: item[0])).encode()).hexdigest()[:12]
        return f"{ctx.run_id}/{ctx.tool}/{digest}"

    async def state(self, config: RunnableConfig) -> Any:
        """The state of a thread; `None` when it has none."""
        if not self.resumes:
            return None
        found = await self.graph.aget_state(config)
        return found if found.values or found.next else None

    def note(self, thread: str) -> None:
        """Keep a thread; the oldest beyond the limit is dropped."""
        if not self.in_memory:
            return
        self._threads[thread] = None
        self._threads.move_to_end(thread)
        if len(self._threads) > MAX_THREADS:
            self.forget(next(iter(self._threads)))

    def forget(self, thread: str) -> None:
        """Drop a thread that has ended."""
        if self.in_memory and thread in self._threads:
            del self._threads[thread]
            self._saver.delete_thread(thread)


def answered_calls(state: Any) -> frozenset[tuple[str, str]]:
    """Ids and names of the tool calls that are answered in the messages of a state."""
    values: Any = state.values
    messages: Any = cast("Mapping[str, Any]", values).get("messages", ()) if isinstance(values, Mapping) else ()
    return frozenset((m.tool_call_id, m.name or "") for m in messages if isinstance(m, ToolMessage))


def interrupts_of(found: Any) -> tuple[Interrupt, ...]:
    """What a graph's output or state says that it waits for."""
    if isinstance(found, Mapping):
        return tuple(found.get("__interrupt__", ()))  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType, reportUnknownArgumentType]
    return tuple(each for task in getattr(found, "tasks", ()) for each in task.interrupts)


class InterruptQuestions:
    """Asks what the interrupts of a graph ask, as questions of the run.

    A repeated call of the step first asks what was asked before, in the same order, so that the recorded answers are
    those of the same questions.
    """

    def __init__(self, ctx: RunContext[Any], thread: str) -> None:
        self._ctx = ctx
        self._key = f"{thread}.asked"
        self._rounds: list[list[str]] | None = None

    async def ask(self, interrupts: tuple[Interrupt, ...]) -> "Command[Any]":
        """Ask; returns what resumes the graph."""
        texts = [as_text(each.value) for each in interrupts]
        if self._rounds is None:
            await self._catch_up(texts)
        else:
            self._rounds.append(texts)
        await self._ctx.keep(self._key, self._rounds)
        answers = await asyncio.gather(*(self._ctx.wait(text) for text in texts))
        return Command(resume={each.id: answer for each, answer in zip(interrupts, answers, strict=True)})

    async def _catch_up(self, texts: list[str]) -> None:
        """Ask again what was asked in earlier calls before the pending interrupts."""
        kept: list[list[str]] = self._ctx.kept(self._key) or []
        self._rounds = [list(texts) for texts in kept]
        if not self._rounds or self._rounds[-1] != texts:
            self._rounds.append(texts)
        for earlier in self._rounds[:-1]:
            await asyncio.gather(*(self._ctx.wait(text) for text in earlier))


__all__ = ["InterruptQuestions", "ReferenceSerializer", "ThreadedGraph", "answered_calls", "interrupts_of"]
