"""An MCP server for tests of the gateway, by hand: `primary` fails as a file says, `spare` answers."""

import json
import os
import sys
from pathlib import Path
from typing import Any

WHICH, STATE = sys.argv[1], Path(sys.argv[2])
TEXT = {"type": "string"}
PRIMARY = [
    {
        "name": "search",
        "description": "Search.",
        "inputSchema": {"type": "object", "properties": {"query": TEXT}, "required": ["query"]},
        "annotations": {"readOnlyHint": True},
        "outputSchema": {"type": "object", "properties": {"found": TEXT}, "required": ["found"]},
    },
    {"name": "order", "inputSchema": {"type": "object", "properties": {"item": TEXT}, "required": ["item"]}},
]
SPARE = [
    {"name": "find", "inputSchema": {"type": "object", "properties": {"q": TEXT}, "required": ["q"]}},
    {"name": "order", "inputSchema": {"type": "object", "properties": {"item": TEXT}, "required": ["item"]}},
]


def say(**message: Any) -> None:
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def text(said: str, error: bool = False) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": said}], "isError": error}


def called(name: str, arguments: dict[str, Any]) -> dict[str, Any] | None:
    with STATE.open("a") as log:
        log.write(f"{WHICH} {name}\n")
    how = (STATE.parent / "how").read_text() if (STATE.parent / "how").is_file() else ""
    if WHICH == "primary" and how == "die":
        os._exit(1)
    if WHICH == "primary" and how == "hang":
        return None
    if WHICH == "primary" and how == "busy":
        return text("429 too many requests", error=True)
    if WHICH == "primary" and how == "broke":
        return text(f"Error executing tool {name}", error=True)
    if WHICH == "primary" and how == "no":
        return text("no such thing", error=True)
    answer = f"{WHICH} {name} {next(iter(arguments.values()), '')}"
    return {**text(answer), **({"structuredContent": {"found": answer}} if name == "search" else {})}


for line in sys.stdin:
    message = json.loads(line)
    number, method = message.get("id"), message.get("method")
    if number is None:
        continue
    if method == "initialize":
        info = {"capabilities": {"tools": {"listChanged": True}}, "serverInfo": {"name": WHICH, "version": "1"}}
        say(id=number, result={"protocolVersion": "2025-06-18", **info})
    elif method == "tools/list":
        tools = PRIMARY if WHICH == "primary" else SPARE
        more = [{"name": "late", "inputSchema": {"type": "object"}}] if (STATE.parent / "late").exists() else []
        say(id=number, result={"tools": [*tools, *more]})
    elif method == "tools/call":
        params = message["params"]
        if params["name"] == "order" and params["arguments"].get("item") == "change":
            (STATE.parent / "late").touch()
            say(method="notifications/tools/list_changed")
        with (STATE.parent / "traces").open("a") as traces:
            traces.write(f"{WHICH} {params.get('_meta', {}).get('traceparent')}\n")
        result = called(params["name"], params["arguments"])
        if result is not None:
            say(id=number, result=result)
    else:
        say(id=number, error={"code": -32601, "message": "no"})
