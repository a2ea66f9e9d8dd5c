"""How an MCP server is spoken to: a process of ours over its standard streams, or an address over HTTP."""

import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
from mcp import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from orchestrator.core.errors import DefinitionError

Opening = Callable[[], Any]
"""Makes a transport of the official client, anew for each session."""


def over_stdio(
    command: Sequence[str], env: Mapping[str, str] | None, cwd: str | Path | None, log: str | Path | None
) -> Opening:
    """A process that is started with `env` beside the few variables that every process needs.

    What it writes to its standard error goes to the file `log`, or nowhere: it is foreign text.

    Raises `DefinitionError` for a command that is one string: no shell splits it.
    """
    if isinstance(command, str):
        raise DefinitionError(f"The command of an MCP server is a list, its words apart: not {command!r}.")
    program, *arguments = (str(word) for word in command)
    given = StdioServerParameters(
        command=program, args=arguments, env=dict(env) if env else None, cwd=cwd, encoding_error_handler="replace"
    )

    @asynccontextmanager
    async def transport() -> AsyncGenerator[Any]:
        with open(os.devnull if log is None else log, "a", encoding="utf-8") as errors:  # noqa: ASYNC230
            async with stdio_client(given, errlog=errors) as streams:
                yield streams

    return transport


def over_http(url: str, headers: Mapping[str, str] | None, seconds: float) -> Opening:
    """Streamable HTTP. Raises `DefinitionError` for what is no http or https address."""
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise DefinitionError(f"An MCP server's url is an http or https address, not {url!r}.")

    @asynccontextmanager
    async def transport() -> AsyncGenerator[Any]:
        timeout = httpx2.Timeout(seconds, read=max(seconds, 300.0))
        async with (
            httpx2.AsyncClient(headers=dict(headers or {}), timeout=timeout) as client,
            streamable_http_client(url, http_client=client) as streams,
        ):
            yield streams

    return transport
