"""An MCP server over stdio, of protocol 2026-07-28: what it needs of its client it asks for between rounds."""

import asyncio
import json
import sys
from typing import Any

import mcp_types as types
from mcp.server import NotificationOptions, Server
from mcp.server.stdio import stdio_server
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ResourceUpdated

BUS = InMemorySubscriptionBus()
ASKS: dict[str, Any] = {
    "think": types.CreateMessageRequest(
        params=types.CreateMessageRequestParams(
            messages=[types.SamplingMessage(role="user", content=types.TextContent(text="secret question"))],
            max_tokens=10,
        )
    ),
    "where": types.ListRootsRequest(),
}


async def list_tools(ctx: Any, params: Any) -> types.ListToolsResult:
    names = (*ASKS, "chatter", "touch")
    return types.ListToolsResult(tools=[types.Tool(name=name, input_schema={"type": "object"}) for name in names])


async def list_resources(ctx: Any, params: Any) -> types.ListResourcesResult:
    return types.ListResourcesResult(resources=[types.Resource(uri="note://one", name="one")])


async def call_tool(ctx: Any, params: types.CallToolRequestParams) -> Any:
    text = params.name
    if params.name in ASKS:
        given = (params.input_responses or {}).get("ask")
        if given is None:
            return types.InputRequiredResult(input_requests={"ask": ASKS[params.name]}, request_state="s")
        text = json.dumps(given.model_dump(by_alias=True, mode="json", exclude_none=True))
    elif params.name == "touch":
        await BUS.publish(ResourceUpdated("note://one"))
        await BUS.publish(ResourceUpdated("note://two"))
    elif params.name == "chatter":
        for level in ("debug", "info", "error"):
            wanted = dict(params.meta or {}).get(types.LOG_LEVEL_META_KEY)
            if wanted == "info" and level != "debug":
                sent = types.LoggingMessageNotificationParams(level=level, data=f"{level} words", logger="talk")  # pyright: ignore[reportArgumentType]
                await ctx.session.send_notification(
                    types.LoggingMessageNotification(params=sent), related_request_id=ctx.request_id
                )
    return types.CallToolResult(content=[types.TextContent(text=text)])


async def main() -> None:
    server: Server[Any] = Server(
        "modern",
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=list_resources,
        on_subscriptions_listen=ListenHandler(BUS),
    )
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options(NotificationOptions()))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
