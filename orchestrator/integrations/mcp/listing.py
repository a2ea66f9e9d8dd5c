"""Lists the items of an MCP server over all pages: tools, resources, resource templates, prompts."""

from typing import Any, Final

import mcp_types as types
from mcp import Client

from orchestrator.core.errors import Unavailable

from .connection import Connection
from .requests import request

MAX_LISTED: Final = 1000
"""Maximum number of items of one kind of one server."""
MAX_PAGES: Final = 100
"""Maximum number of pages; a hostile server may return pages without end."""
KINDS: Final = {
    "tools": ("list_tools", "tools", "tools"),
    "resources": ("list_resources", "resources", "resources"),
    "templates": ("list_resource_templates", "resource_templates", "resources"),
    "prompts": ("list_prompts", "prompts", "prompts"),
}
"""Kind -> the client's method, the field of its result, and the required server capability."""


async def list_all(connection: Connection, kind: str) -> list[Any]:
    """All items of a kind in `KINDS`; none if the server lacks the capability.

    Raises `Unavailable` for pages without end, else as `request`.
    """
    method, field, capability = KINDS[kind]
    found: list[Any] = []
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        at = cursor

        async def ask(client: Client, meta: Any, at: str | None = at) -> types.PaginatedResult | None:
            if getattr(client.server_capabilities, capability, None) is None and kind != "tools":
                return None
            page: types.PaginatedResult = await getattr(client, method)(cursor=at, meta=meta, cache_mode="refresh")
            return page

        page = await request(connection, ask)
        if page is None:
            return []
        found += getattr(page, field)
        if page.next_cursor is None or page.next_cursor == cursor or len(found) >= MAX_LISTED:
            return found[:MAX_LISTED]
        cursor = page.next_cursor
    raise Unavailable(f"The MCP server {connection.name!r} lists more than {MAX_PAGES} pages of {kind}.")


__all__ = ["KINDS", "MAX_LISTED", "list_all"]
