"""Requests of an MCP server during a call, as questions of the run: elicitation, sampling, roots."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import mcp_types as types

from orchestrator.agents.chat import load_model
from orchestrator.core.context import RunContext
from orchestrator.core.text import clean

ClientRequest = types.ElicitRequest | types.CreateMessageRequest | types.ListRootsRequest
"""The requests that a server may send to its client."""
DECLINED: Final = types.ErrorData(code=types.INVALID_REQUEST, message="The client declined.")


@dataclass(eq=False)
class PendingRequest:
    """One request of a server that waits for its answer."""

    server: str
    request: ClientRequest
    result: "asyncio.Future[Any]"

    @property
    def fields(self) -> Mapping[str, Any]:
        """The form fields of an elicitation; none if a person is sent to an address."""
        form: Any = self.request.params
        return form.requested_schema.get("properties", {}) if isinstance(form, types.ElicitRequestFormParams) else {}

    @property
    def question(self) -> str:
        """The text of the question. It does not contain the prompt of a sampling request."""
        params: Any = self.request.params
        if isinstance(self.request, types.CreateMessageRequest):
            return f"The MCP server {self.server} asks the client's model for an answer."
        if isinstance(self.request, types.ListRootsRequest):
            return f"The MCP server {self.server} asks for the client's roots."
        url: Any = getattr(params, "url", None)
        named = f" ({url})" if url else f" ({', '.join(self.fields)})" if self.fields else ""
        return f"{clean(str(params.message), 500)}{clean(named, 300)}"

    def settle(self, given: Any) -> None:
        """Set the answer: `None`, `False` or `decline` declines; a single value answers a form with one field."""
        if not self.result.done():
            self.result.set_result(self._answer(given))

    def _answer(self, given: Any) -> Any:
        declined = given is None or given is False or given == "decline"
        if isinstance(self.request, types.ElicitRequest):
            return types.ElicitResult(action="decline") if declined else _filled(given, self.fields)
        if isinstance(given, dict):
            kind = types.ListRootsResult if isinstance(self.request, types.ListRootsRequest) else _sampled(given)  # pyright: ignore[reportUnknownArgumentType]
            return kind.model_validate(given)
        if declined or isinstance(self.request, types.ListRootsRequest):
            return DECLINED
        return types.CreateMessageResult(
            role="assistant", content=types.TextContent(text=str(given)), model="a person", stop_reason="endTurn"
        )


def _filled(given: Any, fields: Mapping[str, Any]) -> types.ElicitResult:
    if isinstance(given, dict):
        return types.ElicitResult(action="accept", content=given)  # pyright: ignore[reportUnknownArgumentType]
    content = {next(iter(fields)): given} if len(fields) == 1 else {}
    return types.ElicitResult(action="accept", content=content)


def _sampled(given: Mapping[Any, Any]) -> type[Any]:
    return types.CreateMessageResultWithTools if isinstance(given.get("content"), list) else types.CreateMessageResult


class Inbox:
    """Requests of a server during one call."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self._waiting: deque[PendingRequest] = deque()
        self._wake: asyncio.Future[None] | None = None

    def put(self, asked: PendingRequest) -> None:
        """Add a request."""
        self._waiting.append(asked)
        self.wake_up()

    def wake_up(self, _: object = None) -> None:
        """Make `next` return."""
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def next(self) -> PendingRequest | None:
        """The next request, or `None` after `wake_up`."""
        if not self._waiting:
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
        return self._waiting.popleft() if self._waiting else None


class ServerRequests:
    """Passes requests of a server to the call in progress; without a call they are declined.

    The protocol does not state which call a request belongs to, so it goes to the newest one.
    """

    def __init__(self, server: str) -> None:
        self._server = server
        self._open: list[Inbox] = []
        self.asked: dict[str, PendingRequest] = {}
        """Run -> the open request of the server in it."""
        self.roots: Callable[[], Awaitable[types.ListRootsResult | types.ErrorData]] | None = None
        """Returns the roots when no call is in progress."""

    @property
    def newest(self) -> str:
        """The run of the newest call in progress; empty for none."""
        return self._open[-1].run_id if self._open else ""

    @contextmanager
    def open(self, run_id: str) -> Generator[Inbox]:
        """Receive requests for the duration of a call."""
        inbox = Inbox(run_id)
        self._open.append(inbox)
        try:
            yield inbox
        finally:
            self._open.remove(inbox)

    async def answer(self, asked: PendingRequest, ctx: RunContext[Any]) -> None:
        """Ask through the run."""
        self.asked[ctx.run_id] = asked
        try:
            asked.settle(await ctx.wait(asked.question))
        finally:
            self.asked.pop(ctx.run_id, None)

    async def on_elicitation(self, context: Any, params: types.ElicitRequestParams) -> types.ElicitResult:
        """The client's callback for an elicitation."""
        del context
        if not self._open:
            return types.ElicitResult(action="decline")
        result: types.ElicitResult = await self._answered(types.ElicitRequest(params=params))
        return result

    async def on_sampling(self, context: Any, params: types.CreateMessageRequestParams) -> Any:
        """The client's callback for a sampling request."""
        del context
        return await self._answered(types.CreateMessageRequest(params=params)) if self._open else DECLINED

    async def on_roots(self, context: Any) -> Any:
        """The client's callback for its roots."""
        del context
        if self._open:
            return await self._answered(types.ListRootsRequest())
        return DECLINED if self.roots is None else await self.roots()

    async def _answered(self, request: ClientRequest) -> Any:
        asked = PendingRequest(self._server, request, asyncio.get_running_loop().create_future())
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


__all__ = ["ClientRequest", "PendingRequest", "Sampling", "ServerRequests"]
