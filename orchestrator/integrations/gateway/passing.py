"""Passes resources, resource templates and prompts of servers through the gateway unchanged."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote

import httpx2
import mcp_types as types
from mcp import Client, MCPError

from orchestrator.core.errors import ToolError, nearest
from orchestrator.core.text import clean
from orchestrator.integrations.mcp.goal_server import Listeners
from orchestrator.integrations.mcp.listing import list_all
from orchestrator.integrations.mcp.remote import McpServer
from orchestrator.integrations.mcp.requests import request

from .graph import served_name

T = TypeVar("T")
Naming = Callable[[str, str], str]
"""The name in the gateway of an item whose own name another server uses too: the server's name and its own."""


class _Kind:
    """The items of one kind: their names in the gateway, and their servers."""

    def __init__(self, kind: str, field: str, naming: Naming) -> None:
        self.kind = kind
        self.field = field
        self._naming = naming
        self.places: dict[str, tuple[McpServer, str]] = {}
        """Name in the gateway -> its server, and its name there."""

    async def listed(self, servers: Mapping[str, McpServer]) -> list[Any]:
        """The tools, prompts and resources of every server, under unique names. A server without a response is left
        out.
        """
        asked = (list_all(server.connection, self.kind) for server in servers.values())
        answers = await asyncio.gather(*asked, return_exceptions=True)
        places: dict[str, tuple[McpServer, str]] = {}
        shown: list[Any] = []
        for (name, server), answer in zip(servers.items(), answers, strict=True):
            if isinstance(answer, BaseException):
                logging.getLogger("orchestrator.gateway").warning("%s: %s", name, clean(str(answer), 500))
                continue
            for one in answer:
                own = getattr(one, self.field)
                here = own if own not in places else self._naming(name, own)
                places[here] = (server, own)
                shown.append(one.model_copy(update={self.field: here}))
        self.places = places
        return shown


class Passing:
    """Lists the items of all servers, and forwards each request to the item's server.

    These requests are no runs: they are not recorded and have no alternatives. A lost session is opened again, and a
    request to a server that disconnected is repeated once.
    """

    def __init__(self, servers: Mapping[str, McpServer], listeners: Listeners) -> None:
        self._servers = servers
        self._listeners = listeners
        self._resources = _Kind("resources", "uri", _address)
        self._templates = _Kind("templates", "uri_template", _address)
        self._prompts = _Kind("prompts", "name", served_name)

    async def list_resources(self, ctx: Any, params: Any) -> types.ListResourcesResult:
        """The resources of every server."""
        del params
        self._listeners.add(ctx.session)
        return types.ListResourcesResult(resources=await self._resources.listed(self._servers))

    async def list_templates(self, ctx: Any, params: Any) -> types.ListResourceTemplatesResult:
        """The templates of resources of every server."""
        del ctx, params
        return types.ListResourceTemplatesResult(resource_templates=await self._templates.listed(self._servers))

    async def list_prompts(self, ctx: Any, params: Any) -> types.ListPromptsResult:
        """The prompts of every server."""
        del params
        self._listeners.add(ctx.session)
        return types.ListPromptsResult(prompts=await self._prompts.listed(self._servers))

    async def read(self, ctx: Any, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        """A resource of the server that lists it, or has a template for it; else of the first that has it."""
        del ctx
        uri = str(params.uri)
        problem: Exception | None = None
        for server, own in await self._having(uri):
            try:
                result = await _asked(server, partial(_read, own))
            except MCPError as error:
                problem = problem or error
                continue
            same = [one.model_copy(update={"uri": uri}) if str(one.uri) == own else one for one in result.contents]
            return result.model_copy(update={"contents": same})
        raise problem or MCPError(types.INVALID_PARAMS, f"No server has the resource {clean(uri, 300)}.")

    async def get_prompt(self, ctx: Any, params: types.GetPromptRequestParams) -> types.GetPromptResult:
        """A prompt of its server."""
        del ctx
        server, own = await self._prompt(params.name)
        return await _asked(server, lambda client, meta: client.get_prompt(own, params.arguments, meta=meta))

    async def complete(self, ctx: Any, params: types.CompleteRequestParams) -> types.CompleteResult:
        """The completion by its server for an argument of a prompt or template."""
        del ctx
        stated: Any = params.ref
        if isinstance(params.ref, types.PromptReference):
            server, own = await self._prompt(params.ref.name)
            ref = stated.model_copy(update={"name": own})
        else:
            server, own = (await self._having(params.ref.uri))[0]
            ref = stated.model_copy(update={"uri": own})
        argument = {"name": params.argument.name, "value": params.argument.value}
        known = params.context.arguments if params.context is not None else None

        async def send(client: Client, meta: Any) -> types.CompleteResult:
            del meta
            if client.server_capabilities.completions is None:
                return types.CompleteResult(completion=types.Completion(values=[]))
            return await client.complete(ref, argument, known)

        return await _asked(server, send)

    async def located(self, uri: str) -> tuple[McpServer, str]:
        """The server that has a resource, and its address there: the first one that may have it."""
        return (await self._having(uri))[0]

    async def _prompt(self, name: str) -> tuple[McpServer, str]:
        if name not in self._prompts.places:
            await self._prompts.listed(self._servers)
        if name not in self._prompts.places:
            known = nearest(name, self._prompts.places)
            raise MCPError(types.INVALID_PARAMS, f"There is no prompt {clean(name, 100)!r}.{known}")
        return self._prompts.places[name]

    async def _having(self, uri: str) -> list[tuple[McpServer, str]]:
        """The servers that may have a resource, and its address there."""
        for name, server in self._servers.items():
            if uri.startswith(begin := _address(name, "")):
                return [(server, uri.removeprefix(begin))]
        if uri not in self._resources.places and uri not in self._templates.places:
            await asyncio.gather(self._resources.listed(self._servers), self._templates.listed(self._servers))
        for places in (self._resources.places, self._templates.places):
            if uri in places:
                return [places[uri]]
        for template, (server, own) in self._templates.places.items():
            if template == own and _pattern(template).fullmatch(uri):
                return [(server, uri)]
        return [(server, uri) for server in self._servers.values()]


async def _read(uri: str, client: Client, meta: Any) -> types.ReadResourceResult:
    if client.server_capabilities.resources is None:
        raise MCPError(types.INVALID_PARAMS, f"No server has the resource {clean(uri, 300)}.")
    return await client.read_resource(uri, meta=meta)


async def _asked(server: McpServer, send: Callable[[Client, Any], Awaitable[T]]) -> T:
    """The response of a server; one that disconnected is asked again in a new session. Raises only `MCPError`."""
    problem: Exception | None = None
    for _ in range(2):
        try:
            return await request(server.connection, send)
        except MCPError as error:
            if error.code not in (types.CONNECTION_CLOSED, types.INTERNAL_ERROR):
                raise
            problem = error
        except (ToolError, httpx2.HTTPError, OSError) as error:
            problem = error
    if isinstance(problem, MCPError):
        raise problem
    raise MCPError(types.INTERNAL_ERROR, clean(str(problem), 500)) from problem


def _address(server: str, uri: str) -> str:
    """The address of a resource that another server has, too."""
    return f"gateway://{quote(server, safe='')}/{uri}"


def _pattern(template: str) -> re.Pattern[str]:
    """The regular expression of the addresses of a template (RFC 6570)."""
    parts = re.split(r"(\{[^{}]*\})", template)
    return re.compile("".join(".*" if part.startswith("{") else re.escape(part) for part in parts), re.DOTALL)


__all__ = ["Passing"]
