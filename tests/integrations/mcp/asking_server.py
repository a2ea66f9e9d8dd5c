"""An MCP server over stdio whose tool asks by elicitation first: for `size`, and with an argument for `count`."""

import json
import sys
from typing import Any

FIELDS = {"size": {"type": "string"}, **({"count": {"type": "integer"}} if sys.argv[1:] else {})}


def say(**message: Any) -> None:
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


for line in sys.stdin:
    asked = json.loads(line)
    number, method = asked.get("id"), asked.get("method")
    if number is None:
        continue
    if method == "initialize":
        info = {"capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "1"}}
        say(id=number, result={"protocolVersion": "2025-06-18", **info})
    elif method == "tools/list":
        say(id=number, result={"tools": [{"name": "order", "inputSchema": {"type": "object"}}]})
    elif method == "tools/call":
        form = {"type": "object", "properties": FIELDS, "required": ["size"]}
        say(id="ask", method="elicitation/create", params={"message": "Which size?", "requestedSchema": form})
        while (answer := json.loads(sys.stdin.readline())).get("id") != "ask":
            pass
        say(id=number, result={"content": [{"type": "text", "text": json.dumps(answer["result"])}]})
    else:
        say(id=number, error={"code": -32601, "message": "no"})
