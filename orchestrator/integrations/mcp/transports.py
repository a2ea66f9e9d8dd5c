"""Transports of MCP: a child process over its standard streams, or an address over HTTP."""

import json
import os
import threading
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import httpx2
from mcp import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from orchestrator.core.errors import DefinitionError
from orchestrator.core.text import clean

CALL_ID: Final = "orchestrator/call"
"""The field of `_meta` that identifies a call's HTTP response."""
UNKNOWN_METHOD: Final = (400, 404, 405)
"""Error codes of servers of older protocols for `server/discover`; then `initialize` is sent."""
LAST_WORDS: Final = 2000
"""Characters of a server's standard error that are kept for the error message."""


class Transport(Protocol):
    """Makes a transport of the official client for each session."""

    def __call__(self) -> Any:
        """The async context manager of a transport."""
        ...

    def last_words(self) -> str:
        """The end of the server's standard error; empty over HTTP."""
        ...

    def answer_to(self, call: str) -> httpx2.Response | None:
        """The HTTP response with an error status to a call; returned once."""
        ...

    def declined(self) -> httpx2.Response | None:
        """The last HTTP response with an error status while the newest session was opened."""
        ...


class StdioTransport:
    """A process that is started with `env` and the few variables that every process needs.

    What it writes to its standard error goes to the file `log`, and its end into error messages: it is foreign text.
    Raises `DefinitionError` for a command that is one string: no shell splits it.
    """

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str] | None, cwd: str | Path | None, log: str | Path | None
    ) -> None:
        if isinstance(command, str):
            raise DefinitionError(f"The command of an MCP server is a list, its words apart: not {command!r}.")
        program, *arguments = (str(word) for word in command)
        self._given = StdioServerParameters(
            command=program, args=arguments, env=dict(env) if env else None, cwd=cwd, encoding_error_handler="replace"
        )
        self._log = log
        self._tail: _Tail | None = None

    @asynccontextmanager
    async def __call__(self) -> AsyncGenerator[Any]:
        """Start the process, and end it."""
        tail = self._tail = _Tail(self._log)
        try:
            async with stdio_client(self._given, errlog=tail.writer) as streams:
                yield streams
        finally:
            tail.writer.close()

    def last_words(self) -> str:
        """The end of the process's standard error."""
        return self._tail.text() if self._tail is not None else ""

    def answer_to(self, call: str) -> httpx2.Response | None:
        """`None`: there is no HTTP."""
        del call
        return None

    def declined(self) -> httpx2.Response | None:
        """`None`: there is no HTTP."""
        return None


class _Tail:
    """A pipe that keeps the end of what is written to it, and copies it to a file if given."""

    def __init__(self, log: str | Path | None) -> None:
        reader, writer = os.pipe()
        self.writer = os.fdopen(writer, "w", encoding="utf-8", errors="replace")
        self._kept: deque[bytes] = deque()
        self._size = 0
        copy = None if log is None else open(log, "ab", buffering=0)  # noqa: SIM115
        self._thread = threading.Thread(target=self._read, args=(reader, copy), name="mcp-stderr", daemon=True)
        self._thread.start()

    def _read(self, reader: int, copy: Any) -> None:
        try:
            while part := os.read(reader, 65536):
                self._kept.append(part[-LAST_WORDS:])
                self._size += len(self._kept[-1])
                while self._size - len(self._kept[0]) > LAST_WORDS:
                    self._size -= len(self._kept.popleft())
                if copy is not None:
                    copy.write(part)
        finally:
            os.close(reader)
            if copy is not None:
                copy.close()

    def text(self) -> str:
        """The last lines, once the process has ended or a moment has passed."""
        self._thread.join(timeout=0.2)
        output = b"".join(self._kept).decode("utf-8", "replace")[-LAST_WORDS:]
        lines = [clean(line, 300) for line in output.splitlines() if line.strip()]
        return " | ".join(lines[-4:])


class HttpTransport:
    """Streamable HTTP. Raises `DefinitionError` for what is no http or https address."""

    def __init__(self, url: str, headers: Mapping[str, str] | None, seconds: float) -> None:
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise DefinitionError(f"An MCP server's url is an http or https address, not {url!r}.")
        self._url = url
        self._headers = dict(headers or {})
        self._seconds = seconds
        self._answers: OrderedDict[str, httpx2.Response] = OrderedDict()
        self._declined: httpx2.Response | None = None

    @asynccontextmanager
    async def __call__(self) -> AsyncGenerator[Any]:
        """Open connections, and close them."""
        self._declined = None
        timeout = httpx2.Timeout(self._seconds, read=max(self._seconds, 300.0))
        hooks: Any = {"response": [self._note]}
        async with (
            httpx2.AsyncClient(headers=self._headers, timeout=timeout, event_hooks=hooks) as client,
            streamable_http_client(self._url, http_client=client) as streams,
        ):
            yield streams

    async def _note(self, response: httpx2.Response) -> None:
        """Keep a response with an error status, because the client maps all of them to the same error."""
        if response.status_code < 400 or response.request.method != "POST":
            return
        try:
            await response.aread()
            message: Any = json.loads(response.request.content)
            meta: Any = message["params"].get("_meta")
            call: Any = meta.get(CALL_ID) if meta else None
        except (ValueError, KeyError, TypeError, AttributeError, httpx2.HTTPError):
            return
        if call is None:
            method = message.get("method")
            if method == "initialize" or (method == "server/discover" and response.status_code not in UNKNOWN_METHOD):
                self._declined = response
            return
        self._answers[str(call)] = response
        while len(self._answers) > 256:
            self._answers.popitem(last=False)

    def last_words(self) -> str:
        """Always empty."""
        return ""

    def answer_to(self, call: str) -> httpx2.Response | None:
        """The HTTP response with an error status to a call; returned once."""
        return self._answers.pop(call, None)

    def declined(self) -> httpx2.Response | None:
        """The last HTTP response with an error status while the newest session was opened."""
        return self._declined


__all__ = ["CALL_ID", "HttpTransport", "StdioTransport", "Transport"]
