"""An MCP server over stdio, of protocol 2025-06-18, that makes requests of its client, and notifies it.

Its argument is a folder in which it notes what it was sent.
"""

import json
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(sys.argv[1])
TOOLS = ("think", "where", "chatter", "touch", "slow", "count")
ABLE = {"tools": {}, "logging": {}, "resources": {"subscribe": True, "listChanged": True}}
level = "warning"
waiting: dict[Any, Any] = {}
"""Id of a call that waits to be cancelled."""


def say(**message: Any) -> None:
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def note(what: str) -> None:
    with (FOLDER / "noted").open("a") as file:
        file.write(f"{what}\n")


def asked(method: str, params: Any = None) -> Any:
    say(id="ask", method=method, **({} if params is None else {"params": params}))
    while True:
        answer = json.loads(sys.stdin.readline())
        if answer.get("id") == "ask":
            return answer.get("result") or {"error": answer["error"]["message"]}
        handle(answer)


def log(at: str, data: str) -> None:
    levels = ["debug", "info", "notice", "warning", "error"]
    if levels.index(at) >= levels.index(level):
        say(method="notifications/message", params={"level": at, "data": data, "logger": "talk"})


def call(number: Any, params: Any) -> None:
    name, text = params["name"], ""
    if name == "think":
        message = {"role": "user", "content": {"type": "text", "text": "secret question"}}
        text = json.dumps(asked("sampling/createMessage", {"messages": [message], "maxTokens": 10}))
    elif name == "where":
        text = json.dumps(asked("roots/list"))
    elif name == "chatter":
        for at in ("debug", "info", "error"):
            log(at, f"{at} words")
    elif name == "touch":
        say(method="notifications/resources/updated", params={"uri": "note://one"})
        say(method="notifications/resources/updated", params={"uri": "note://two"})
    elif name == "count":
        for done in (1, 2, 3):
            token = params["_meta"]["progressToken"]
            say(method="notifications/progress", params={"progressToken": token, "progress": done, "total": 3})
    elif name == "slow":
        note("slow began")
        waiting[number] = params
        return
    say(id=number, result={"content": [{"type": "text", "text": text or name}]})


def handle(message: Any) -> None:
    global level
    number, method, params = message.get("id"), message.get("method"), message.get("params") or {}
    if method == "notifications/cancelled" and waiting.pop(params["requestId"], None):
        note("slow cancelled")
    elif method == "notifications/roots/list_changed":
        note(f"roots {json.dumps(asked('roots/list'))}")
    elif number is None:
        return
    elif method == "initialize":
        note(f"client {json.dumps(sorted(params['capabilities']))}")
        info = {"capabilities": ABLE, "serverInfo": {"name": "s", "version": "1"}}
        say(id=number, result={"protocolVersion": "2025-06-18", **info})
    elif method == "tools/list":
        tools = [{"name": name, "inputSchema": {"type": "object"}} for name in TOOLS]
        say(id=number, result={"tools": tools})
    elif method == "resources/list":
        say(id=number, result={"resources": [{"uri": f"note://{name}", "name": name} for name in ("one", "two")]})
    elif method in ("resources/subscribe", "resources/unsubscribe"):
        note(f"{method.partition('/')[2]} {params['uri']}")
        say(id=number, result={})
    elif method == "logging/setLevel":
        level = params["level"]
        note(f"level {level}")
        say(id=number, result={})
    elif method == "tools/call":
        call(number, params)
    else:
        say(id=number, error={"code": -32601, "message": "no"})


for line in sys.stdin:
    handle(json.loads(line))
