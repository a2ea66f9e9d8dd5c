"""Asks the person at a gateway's client: within the call or, since protocol 2026-07-28, between rounds of the call."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import mcp_types as types
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from orchestrator.integrations.mcp.remote import McpServer

UNASKED: Final = object()
"""The answer if the client cannot ask a person."""
_FORM: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"approve": {"type": "boolean"}},
    "required": ["approve"],
}


def asked_by_server(servers: Iterable[McpServer], run_id: str) -> types.ElicitRequestParams | None:
    """The server's elicitation in a run, unchanged."""
    for server in servers:
        if (pending := server.connection.elicitations.asked.get(run_id)) is not None:
            return pending.params
    return None


def request_of(question: Any, asked: types.ElicitRequestParams | None) -> types.ElicitRequest:
    """The request for a question: the server's own form, or an approval."""
    if asked is not None:
        return types.ElicitRequest(params=asked.model_copy(update={"meta": None}))
    return types.ElicitRequest(params=types.ElicitRequestFormParams(message=question.text, requested_schema=_FORM))


def answer_of(result: Any, *, approval: bool) -> Any:
    """The answer for the run. A declined request is not an approval; a form is passed back to its server."""
    content: Mapping[str, Any] = getattr(result, "content", None) or {}
    accepted = getattr(result, "action", "") == "accept"
    if approval:
        return accepted and bool(content.get("approve"))
    return dict(content) if accepted else "decline"


def asks_between_rounds(ctx: Any) -> bool:
    """Whether the client is asked by a result that requests more input, and not by a request of the server."""
    return ctx.session.protocol_version in MODERN_PROTOCOL_VERSIONS


def can_ask(ctx: Any) -> bool:
    """Whether the client said that it can ask a person."""
    capabilities = ctx.session.client_capabilities
    return capabilities is not None and capabilities.elicitation is not None


async def ask(ctx: Any, request: types.ElicitRequest) -> Any:
    """The answer of the person at the client; `UNASKED` if it cannot ask, or has disconnected."""
    params: Any = request.params
    try:
        if isinstance(params, types.ElicitRequestURLParams):
            return await ctx.session.elicit_url(params.message, params.url, params.elicitation_id, ctx.request_id)
        return await ctx.session.elicit_form(params.message, params.requested_schema, ctx.request_id)
    except Exception:
        return UNASKED


__all__ = ["UNASKED", "answer_of", "ask", "asked_by_server", "asks_between_rounds", "can_ask", "request_of"]
