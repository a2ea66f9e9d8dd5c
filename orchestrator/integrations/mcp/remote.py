"""`McpServer`: an MCP server whose tools become tools of the graph; the user decides what it is trusted for."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import mcp_types as types
from mcp import Client
from mcp.client.session import LoggingFnT
from typing_extensions import Unpack

from orchestrator.core.calls.options import checked
from orchestrator.core.checks import check_number
from orchestrator.core.enums import NOT_DONE, Effect
from orchestrator.core.errors import DefinitionError, nearest
from orchestrator.core.text import clean
from orchestrator.core.types.json_schema import type_of
from orchestrator.core.types.schema import given_types
from orchestrator.graph.tool import Tool
from orchestrator.graph.tool_options import ToolOptions
from orchestrator.integrations.tool_results import reported_kind

from .calling import Terms, remote_call
from .connection import Connection
from .listing import list_all
from .requests import request
from .server_requests import Sampling
from .transports import HttpTransport, StdioTransport, Transport


def effect_of(annotations: types.ToolAnnotations | None, *, trusted: bool) -> Effect:
    """`read`, `write` or `irreversible`. Declarations of an untrusted server are ignored: it writes."""
    if not trusted or annotations is None or not annotations.read_only_hint:
        destroys = trusted and annotations is not None and annotations.destructive_hint
        return Effect.IRREVERSIBLE if destroys else Effect.WRITE
    return Effect.READ


def reconcile_of(annotations: types.ToolAnnotations | None, *, trusted: bool) -> Callable[..., Any] | None:
    """A `reconcile` for idempotent tools: it does not matter whether an uncertain call took place."""
    return _call_again if trusted and annotations is not None and annotations.idempotent_hint else None


def _call_again(**inputs: Any) -> Any:
    """The call may have happened; repeating it has no further effect."""
    del inputs
    return NOT_DONE


@dataclass(frozen=True, slots=True)
class RemoteTool:
    """A tool as its server describes it. All fields are untrusted claims of the server."""

    name: str
    description: str = ""
    takes: Mapping[str, Any] | None = None
    """Parameter -> type, the required ones first; `None` before the tools were listed."""
    required: tuple[str, ...] = ()
    annotations: types.ToolAnnotations | None = None
    definition: types.Tool | None = None
    """The original definition of the server."""


_CHANGED: Final[Mapping[type[Any], str]] = {
    types.ToolListChangedNotification: "tools",
    types.ResourceListChangedNotification: "resources",
    types.PromptListChangedNotification: "prompts",
}


class McpServer:
    """An MCP server: `McpServer("files", command=["files-server", "/data"])` or `McpServer("crm", url="http://...")`.

    `timeout`, in seconds, is for opening a session and for each answer. `env` and `cwd` are those of the process that a
    `command` starts, `log` the file that takes what it writes to standard error (default: nobody), `headers` those of
    each request to a `url`. A tool counts as a write until `trust=True` says that the server's declarations
    (parameters, and which tools only read) are used.

    Elicitations of the server during a call are questions of the run; `sampling` is the chat model, or its name, for
    its sampling requests, which are declined without one.

    Sessions are opened on first use, and again after the server has disconnected. `async with` opens one at once, lists
    the tools, and closes it at the end. Raises `DefinitionError` for invalid arguments.
    """

    @checked()
    def __init__(
        self,
        name: str,
        *,
        command: Sequence[str] = (),
        url: str = "",
        env: Mapping[str, str] | None = None,
        cwd: str | Path | None = None,
        log: str | Path | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 30.0,
        trust: bool = False,
        sampling: Any = None,
    ) -> None:
        if bool(command) == bool(url):
            raise DefinitionError(f"The MCP server {name!r} has either command=[...] or url='http://...'.")
        if check_number(f"The MCP server {name!r}: timeout", timeout, 1e7) == 0:
            raise DefinitionError(f"The MCP server {name!r}: timeout is a positive number of seconds.")
        self.name = name
        self.timeout = timeout
        self.trust = trust
        self.listed: dict[str, RemoteTool] | None = None
        """The server's tools by name; `None` before they were listed."""
        transport: Transport = HttpTransport(url, headers, timeout) if url else StdioTransport(command, env, cwd, log)
        self._sampling = Sampling(sampling) if sampling is not None else None
        self._passes_on = False
        self.on_log: LoggingFnT | None = None
        """Called with each log message of the server; set it before a session opens."""
        self._on_change: dict[str, list[Callable[[], Awaitable[None]]]] = {kind: [] for kind in _CHANGED.values()}
        self._changes: set[asyncio.Task[None]] = set()
        self.connection = Connection(name, self._opening(transport), timeout, transport)
        self.connection.on_changed = self._take_change

    def _opening(self, transport: Transport) -> Callable[[], AbstractAsyncContextManager[Client]]:
        def opened() -> Client:
            requests = self.connection.requests
            sampling = self._sampling.on_sampling if self._sampling is not None else None
            return Client(
                transport(),
                read_timeout_seconds=self.timeout,
                elicitation_callback=requests.on_elicitation,
                sampling_callback=requests.on_sampling if self._passes_on else sampling,
                list_roots_callback=requests.on_roots if self._passes_on else None,
                logging_callback=self.on_log,
                message_handler=self._on_message,
            )

        return opened

    def pass_on(self) -> None:
        """Turn requests for sampling and roots into questions of the run that made the call."""
        self._passes_on = True

    async def _on_message(self, message: Any) -> None:
        """Something changed: handle it in a task of its own, because the session must continue reading."""
        if self.connection.listens:
            return
        kind = next((kind for changed, kind in _CHANGED.items() if isinstance(message, changed)), "")
        if kind:
            self._start(self._take_change(kind), kind)
        elif isinstance(message, types.ResourceUpdatedNotification) and self.connection.on_updated is not None:
            self._start(self.connection.on_updated(str(message.params.uri)), "updated")

    def _start(self, work: Coroutine[Any, Any, None], kind: str) -> None:
        task = asyncio.create_task(work, name=f"mcp:{self.name}:{kind}")
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)

    async def _take_change(self, kind: str) -> None:
        with contextlib.suppress(Exception):  # the next call reports the problem of the server
            if kind == "tools":
                await self.list_tools()
            for listener in self._on_change[kind]:
                await listener()

    def on_change(self, listener: Callable[[], Awaitable[None]], kind: str = "tools") -> None:
        """Call a function after the server said that its `tools`, `resources` or `prompts` changed; `listed` holds the
        new tools then.
        """
        self._on_change[kind].append(listener)

    async def __aenter__(self) -> Self:
        await self.list_tools()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the session; the process of a started server ends. The next call opens another one."""
        await self.connection.aclose()

    async def list_tools(self) -> dict[str, RemoteTool]:
        """Ask the server what tools it has. Raises `Unavailable`, `httpx2.HTTPStatusError` with its own status, and
        `MCPError` when it does not say.
        """
        found = {one.name: _described(one) for one in await list_all(self.connection, "tools")}
        self.listed = found
        return found

    async def ping(self) -> None:
        """Ping the server; for use as a `health_check`. Raises when it does not respond."""
        await request(self.connection, lambda client, meta: client.list_tools(meta=meta, cache_mode="refresh"))

    @checked(what="McpServer.tools()")
    def tools(
        self,
        only: Iterable[str] | None = None,
        *,
        prefix: str = "",
        effects: Mapping[str, str] | None = None,
        gives: Mapping[str, Any] | None = None,
    ) -> list[Tool]:
        """All of the server's tools, or those in `only`, named as there with `prefix` before it.

        A tool gives a key of its own name, unless `gives` (remote name -> its `gives`) says otherwise, and needs its
        parameters. A parameter is the key of its name where the server is trusted, else `tool.parameter`, so that no
        value reaches the server that was not meant for it. `effects` is remote name -> effect. Raises `DefinitionError`
        when the server was not asked (`async with`, or `await list_tools()`), and for unknown names.
        """
        if self.listed is None:
            raise DefinitionError(f"The MCP server {self.name!r} has not been asked for its tools: await list_tools().")
        chosen = self.listed if only is None else {name: self._known(name) for name in only}
        for name in (*(effects or {}), *(gives or {})):
            self._known(name)
        made: list[Tool] = []
        for remote, known in chosen.items():
            name = prefix + _tool_name(remote)
            own: ToolOptions = {"name": name, "gives": (gives or {}).get(remote, f"{name}.result")}
            own["needs"] = {p: p if self.trust else f"{name}.{p}" for p in known.takes or {}}
            if remote in (effects or {}):
                own["effect"] = (effects or {})[remote]
            made.append(self.tool(remote, **own))
        return made

    @checked(what="McpServer.tool()")
    def tool(self, remote: str, *, fixed: Mapping[str, Any] | None = None, **options: Unpack[ToolOptions]) -> Tool:
        """A tool of the graph that calls `remote`; `options` are those of `Tool`; `fixed` arguments are always sent.

        `gives` is required: a server gives only keys that the user mapped. `needs` lists or maps the parameters that
        are filled from keys; only where the server is trusted and was asked may it be left out. Whether it reads or
        writes, a trusted server says; else it writes unless `effect` says otherwise. Its cost is what the user states.

        Raises `DefinitionError` for a tool that the server does not have, and for parameters that it does not take.
        """
        known = self._known(remote)
        name = options.get("name") or _tool_name(remote)
        if "gives" not in options:
            raise DefinitionError(f"MCP tool {remote!r}: state gives=, the key or keys that its result becomes.")
        always = dict(fixed or {})
        needs = self._needs(known, options, always)
        terms = Terms(
            server=self.name,
            remote=remote,
            takes={parameter: (known.takes or {}).get(parameter, Any) for parameter in needs},
            required=tuple(p for p in needs if known.takes is None or p in known.required),
            gives=given_types(name, options["gives"], Any),
            timeout=self.timeout,
            fixed=always,
        )
        trusted = self.trust and known.takes is not None
        defaults: ToolOptions = {
            "name": name,
            "description": known.description or f"The tool {remote} of the MCP server {self.name}.",
            "effect": effect_of(known.annotations, trusted=trusted),
            "classify": reported_kind,
        }
        reconcile = reconcile_of(known.annotations, trusted=trusted)
        if reconcile is not None and options.get("effect", defaults["effect"]) != Effect.READ:
            defaults["reconcile"] = reconcile
        merged: ToolOptions = {**defaults, **options, "needs": needs}
        return Tool(remote_call(self.connection, terms), **merged)

    def _known(self, remote: str) -> RemoteTool:
        if self.listed is None:
            return RemoteTool(remote)
        if remote not in self.listed:
            raise DefinitionError(
                f"The MCP server {self.name!r} has no tool {remote!r}.{nearest(remote, self.listed)} "
                f"It has: {', '.join(clean(name, 60) for name in sorted(self.listed)[:20]) or 'none'}."
            )
        return self.listed[remote]

    def _needs(self, known: RemoteTool, options: ToolOptions, fixed: Mapping[str, Any]) -> dict[str, str]:
        """Parameter -> key. What the user did not name is never sent."""
        stated: Any = options.get("needs")
        if stated is None:
            if not self.trust or known.takes is None:
                raise DefinitionError(
                    f"MCP tool {known.name!r}: state needs=[...]; which values a server gets is for you to say"
                    + ("." if self.trust else ", until trust=True.")
                )
            return {parameter: parameter for parameter in known.required if parameter not in fixed}
        names: list[str] = [stated] if isinstance(stated, str) else [*stated]
        needs: dict[str, str] = dict(stated) if isinstance(stated, Mapping) else {name: name for name in names}  # pyright: ignore[reportUnknownArgumentType]
        if known.takes is not None:
            wrong = sorted({*needs, *fixed} - set(known.takes))
            lacking = sorted(set(known.required) - {*needs, *fixed})
            if wrong or lacking:
                takes = ", ".join(clean(parameter, 60) for parameter in known.takes) or "nothing"
                difference = (
                    f"does not take {wrong!r}" if wrong else f"also takes {lacking!r}, which needs= does not name"
                )
                raise DefinitionError(f"The MCP tool {known.name!r} {difference}. It takes: {takes}.")
        return needs


def _described(one: types.Tool) -> RemoteTool:
    properties: Any = one.input_schema.get("properties")
    fields: Mapping[str, Any] = properties if isinstance(properties, Mapping) else {}  # pyright: ignore[reportUnknownVariableType]
    wanted: Any = one.input_schema.get("required")
    required = tuple(name for name in fields if isinstance(wanted, list) and name in wanted)
    ordered = (*required, *(name for name in fields if name not in required))
    return RemoteTool(
        one.name,
        clean(one.description or "", 1000),
        {name: type_of(fields[name]) for name in ordered},
        required,
        one.annotations,
        one,
    )


def _tool_name(remote: str) -> str:
    """A server's name for a tool as one of ours."""
    return "".join(c if c.isalnum() or c in "_-." else "_" for c in remote) or "tool"
