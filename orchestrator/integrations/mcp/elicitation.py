"""What an MCP server asks during a call: elicitation as a question of the run, sampling by a chat model."""

import asyncio
from collections import deque
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import mcp_types as types

from orchestrator.agents.chat import load_model
from orchestrator.core.context import RunContext
from orchestrator.core.text import clean


@dataclass(eq=False)
class PendingElicitation:
    """One elicitation that waits for its answer."""

    params: types.ElicitRequestParams
    result: "asyncio.Future[types.ElicitResult]"

    @property
    def fields(self) -> Mapping[str, Any]:
        """The fields of its form; none where a person is sent to an address."""
        form = self.params
        return {} if isinstance(form, types.ElicitRequestURLParams) else form.requested_schema.get("properties", {})

    @property
    def question(self) -> str:
        """What a person is asked."""
        url: Any = getattr(self.params, "url", None)
        named = f" ({url})" if url else f" ({', '.join(self.fields)})" if self.fields else ""
        return f"{clean(str(self.params.message), 500)}{clean(named, 300)}"

    def settle(self, given: Any) -> None:
        """Take the answer: `None` or `False` declines; one value answers a form with one field."""
        if not self.result.done():
            self.result.set_result(_result(given, self.fields))


def _result(given: Any, fields: Mapping[str, Any]) -> types.ElicitResult:
    if given is None or given is False or given == "decline":
        return types.ElicitResult(action="decline")
    if isinstance(given, dict):
        return types.ElicitResult(action="accept", content=given)  # pyright: ignore[reportUnknownArgumentType]
    content = {next(iter(fields)): given} if len(fields) == 1 else {}
    return types.ElicitResult(action="accept", content=content)


class Inbox:
    """What a server asks during one call."""

    def __init__(self) -> None:
        self._waiting: deque[PendingElicitation] = deque()
        self._wake: asyncio.Future[None] | None = None

    def put(self, asked: PendingElicitation) -> None:
        """Take one."""
        self._waiting.append(asked)
        self.wake_up()

    def wake_up(self, _: object = None) -> None:
        """Have `next` return."""
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def next(self) -> PendingElicitation | None:
        """The next one, or `None` after `wake_up`."""
        if not self._waiting:
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
        return self._waiting.popleft() if self._waiting else None


class Elicitations:
    """Hands what a server asks to the call that is under way; without one it is declined.

    The protocol does not say which call a question belongs to, so it goes to the newest.
    """

    def __init__(self) -> None:
        self._open: list[Inbox] = []
        self.asked: dict[str, PendingElicitation] = {}
        """Run -> what a server asks in it now."""

    @contextmanager
    def open(self) -> Generator[Inbox]:
        """Take questions for the length of a call."""
        inbox = Inbox()
        self._open.append(inbox)
        try:
            yield inbox
        finally:
            self._open.remove(inbox)

    async def answer(self, asked: PendingElicitation, ctx: RunContext[Any]) -> None:
        """Ask a person through the run."""
        self.asked[ctx.run_id] = asked
        try:
            asked.settle(await ctx.wait(asked.question))
        finally:
            self.asked.pop(ctx.run_id, None)

    async def on_elicitation(self, context: Any, params: types.ElicitRequestParams) -> types.ElicitResult:
        """The client's callback."""
        del context
        if not self._open:
            return types.ElicitResult(action="decline")
        asked = PendingElicitation(params, asyncio.get_running_loop().create_future())
        self._open[-1].put(asked)
        return await asked.result


class Sampling:
    """Answers a server's sampling requests with a chat model."""

    def __init__(self, model: Any) -> None:
        self._model = model

    async def on_sampling(self, context: Any, params: types.CreateMessageRequestParams) -> types.CreateMessageResult:
        """The client's callback."""
        del context
        messages: list[tuple[str, str]] = [("system", params.system_prompt)] if params.system_prompt else []
        for message in params.messages:
            content: Any = message.content if isinstance(message.content, list) else [message.content]
            text = "\n".join(str(getattr(block, "text", f"[{block.type}]")) for block in content)
            messages.append(("human" if message.role == "user" else "ai", text))
        model = await asyncio.to_thread(load_model, self._model)
        answer = await model.ainvoke(messages, max_tokens=params.max_tokens)
        name = str(getattr(model, "model_name", None) or getattr(model, "model", None) or type(model).__name__)
        return types.CreateMessageResult(role="assistant", content=types.TextContent(text=answer.text), model=name)


__all__ = ["Elicitations", "PendingElicitation", "Sampling"]
