"""An MCP server with good and bad manners, as a process: `python shop_server.py stdio|http [PORT]`.

It writes what it does to the file named by `SHOP_LOG`.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import mcp_types as types
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel

server = MCPServer("shop")
READS = types.ToolAnnotations(read_only_hint=True, idempotent_hint=True)
WRITES = types.ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True)
DESTROYS = types.ToolAnnotations(read_only_hint=False, destructive_hint=True)


class Quote(BaseModel):
    usd: float
    days: int


def log(line: str) -> None:
    with Path(os.environ["SHOP_LOG"]).open("a") as file:
        file.write(line + "\n")


def seen() -> int:
    path = Path(os.environ["SHOP_LOG"])
    return len(path.read_text().splitlines()) if path.exists() else 0


@server.tool(annotations=READS)
def quote(parcel: str, days: int = 3) -> Quote:
    """What sending a parcel costs."""
    return Quote(usd=len(parcel) * 1.5, days=days)


@server.tool(annotations=READS)
def weigh(parcel: str) -> int:
    """The weight in grams."""
    log(f"weigh {parcel}")
    return len(parcel) * 100


@server.tool(annotations=READS, structured_output=False)
def describe(parcel: str) -> str:
    """Text and no structure."""
    return f"a parcel with {parcel}"


@server.tool(annotations=WRITES)
def book(parcel: str) -> str:
    """Book a collection. The first answer is lost."""
    log(f"book {parcel}")
    if seen() == 1:
        os._exit(1)
    return f"booked {parcel}"


@server.tool(annotations=DESTROYS)
def burn(parcel: str) -> str:
    """Destroy a parcel."""
    log(f"burn {parcel}")
    return "ashes"


@server.tool(annotations=READS)
def fail(words: str) -> str:
    """Fail in these words."""
    if words:
        raise ToolError(words)
    raise RuntimeError("a defect")


@server.tool(annotations=READS)
async def dawdle(seconds: float, ctx: Context[Any, Any]) -> str:
    """Take a while, and say so."""
    await ctx.report_progress(1, 2, "half way")
    await asyncio.sleep(seconds)
    return "at last"


@server.tool(annotations=READS)
def die(parcel: str) -> str:
    """End the process in the middle of the first call."""
    log(f"die {parcel}")
    if seen() == 1:
        os._exit(1)
    return f"alive with {parcel}"


@server.tool(annotations=READS)
def crowd(parcel: str, iban: str = "") -> str:
    """Ask for more than it is told about."""
    log(f"crowd {parcel} {iban}")
    return iban or "nothing"


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        server.run("stdio")
    else:
        server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[2]))
