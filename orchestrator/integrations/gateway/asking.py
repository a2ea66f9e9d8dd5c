"""Asks a gateway's client: within the call or, since protocol 2026-07-28, between rounds of the call."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import mcp_types as types
from mcp.shared.message import ServerMessageMetadata
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from orchestrator.integrations.mcp.remote import McpServer
from orchestrator.integrations.mcp.server_requests import ClientRequest, PendingRequest

UNASKED: Final = object()
"""The answer if the client cannot be asked."""
_FORM: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"approve": {"type": "boolean"}},
    "required": ["approve"],
}
_KINDS: Final[Mapping[type[Any], tuple[type[Any], str]]] = {
    types.ElicitRequest: (types.ElicitResult, "elicitation"),
    types.CreateMessageRequest: (types.CreateMessageResult, "sampling"),
    types.ListRootsRequest: (types.ListRootsResult, "roots"),
}
"""Request -> its result, and the capability of clients that answer it."""


def asked_by_server(servers: Iterable[McpServer], run_id: str) -> PendingRequest | None:
    """The server's request in a run, unchanged."""
    for server in servers:
        if (pending := server.connection.requests.asked.get(run_id)) is not None:
            return pending
    return None


def request_of(question: Any, asked: PendingRequest | None) -> ClientRequest:
    """The request for a question: the server's own, or an approval."""
    if asked is None:
        return types.ElicitRequest(params=types.ElicitRequestFormParams(message=question.text, requested_schema=_FORM))
    params: Any = asked.request.params
    if params is None:
        return asked.request
    return asked.request.model_copy(update={"params": params.model_copy(update={"meta": None})})


def answer_of(result: Any, *, approval: bool) -> Any:
    """The answer for the run. A declined request is no approval; other answers are passed back to their server."""
    if isinstance(result, types.CreateMessageResult | types.CreateMessageResultWithTools | types.ListRootsResult):
        return result.model_dump(by_alias=True, mode="json", exclude_none=True)
    content: Mapping[str, Any] = getattr(result, "content", None) or {}
    accepted = getattr(result, "action", "") == "accept"
    if approval:
        return accepted and bool(content.get("approve"))
    return dict(content) if accepted else "decline"


def asks_between_rounds(ctx: Any) -> bool:
    """Whether the client is asked by a result that requests more input, and not by a request of the server."""
    return ctx.session.protocol_version in MODERN_PROTOCOL_VERSIONS


def can_ask(ctx: Any, request: ClientRequest) -> bool:
    """Whether the client said that it answers such requests."""
    return getattr(ctx.session.client_capabilities, _KINDS[type(request)][1], None) is not None


async def ask(ctx: Any, request: ClientRequest) -> Any:
    """The answer of the client; `UNASKED` if it cannot be asked, or has disconnected."""
    if not can_ask(ctx, request):
        return UNASKED
    metadata = ServerMessageMetadata(related_request_id=ctx.request_id)
    try:
        return await ctx.session.send_request(request, _KINDS[type(request)][0], metadata=metadata)
    except Exception:
        return UNASKED


__all__ = ["UNASKED", "answer_of", "ask", "asked_by_server", "asks_between_rounds", "can_ask", "request_of"]
