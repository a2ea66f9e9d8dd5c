"""The graph of a gateway: one goal per tool of its servers, reached by that tool or by an alternative."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import mcp_types as types

from orchestrator.api import Orchestrator
from orchestrator.core.context import RunContext
from orchestrator.core.enums import Effect
from orchestrator.core.errors import DefinitionError, nearest
from orchestrator.graph.tool import Tool
from orchestrator.integrations.alternatives import FallbackTool
from orchestrator.integrations.mcp.calling import call_remote
from orchestrator.integrations.mcp.remote import McpServer, RemoteTool, effect_of, reconcile_of
from orchestrator.integrations.mcp.results import content_text
from orchestrator.integrations.tool_results import arguments_key, reported_error, reported_kind

from .config import GatewayConfig


@dataclass(frozen=True)
class Served:
    """A tool of a server as the gateway serves it."""

    name: str
    server: McpServer
    remote: RemoteTool
    effect: Effect
    because: str
    """The source of its effect."""

    @property
    def output_schema(self) -> Any:
        """The server's schema of its structured output."""
        return self.remote.definition.output_schema if self.remote.definition is not None else None


def result_key(name: str) -> str:
    """The key of the result of a tool."""
    return f"{name}.result"


def served_name(server: str, name: str) -> str:
    """The name of a tool or a prompt whose own name another server uses too."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", f"{server}_{name}")[:64]


class GatewayGraph:
    """Synchronises a graph with the tools of the servers."""

    def __init__(
        self, orc: Orchestrator, config: GatewayConfig, meta_of: Callable[[str], Mapping[str, Any]] | None = None
    ) -> None:
        """`meta_of`: more fields for `_meta` of the requests of a run."""
        self.orc = orc
        self.config = config
        self.meta_of: Callable[[str], Mapping[str, Any]] = meta_of or (lambda _: {})
        self.alternatives = config.alternatives
        self.served: dict[str, Served] = {}
        self.error_results: dict[str, dict[str, types.CallToolResult]] = {}
        """Run -> tool -> its error result."""
        self._mine: set[str] = set()

    def update(self, servers: Mapping[str, McpServer]) -> None:
        """Update the graph to the servers' current tools. Raises `DefinitionError` for rules that name no tool or are
        inconsistent.
        """
        self.served = {}
        for name, server in servers.items():
            for remote in (server.listed or {}).values():
                self._serve(name, server, remote)
        for name in self._mine & set(self.orc.graph.view().tools):
            self.orc.remove(name)
        self._mine.clear()
        for one in self.served.values():
            self._add(one)
        for name in self.served:
            for alternative in self.alternatives.get(name, ()):
                if alternative.name in self.served:
                    self._connect(self.served[name], alternative)

    def definition(self, one: Served) -> types.Tool:
        """The definition for clients. They reject results that do not fit the output schema, so it is left out if an
        alternative has another one.
        """
        shown = one.remote.definition
        assert shown is not None
        stand_ins = [self.served[each.name] for each in self.alternatives.get(one.name, ()) if each.name in self.served]
        alike = all(each.output_schema == one.output_schema for each in stand_ins)
        return shown.model_copy(update={"name": one.name, **({} if alike else {"output_schema": None})})

    def check(self) -> None:
        """Raises `DefinitionError` for rules that name a tool which no server has."""
        stand_ins = {one.name for listed in self.alternatives.values() for one in listed}
        rules = self.config.rules
        for where, names in (
            ("alternatives", {*self.alternatives, *stand_ins}),
            ("effects", set(rules.effects)),
            ("approval", set(rules.approval)),
        ):
            for name in sorted(names - set(self.served)):
                raise DefinitionError(
                    f"The rules name {name!r} in {where}; no server has it.{nearest(name, self.served)}"
                )

    def _serve(self, server_name: str, server: McpServer, remote: RemoteTool) -> None:
        name = remote.name
        if name in self.served:
            name = served_name(server_name, remote.name)
        stated = self.config.rules.effects.get(name)
        effect = stated or effect_of(remote.annotations, trusted=server.trust)
        because = "the rules say so" if stated else f"{server_name} is trusted" if server.trust else "nothing says more"
        self.served[name] = Served(name, server, remote, effect, because)

    def _stands_in(self, name: str) -> list[str]:
        return [other for other, listed in self.alternatives.items() if any(one.name == name for one in listed)]

    def _add(self, one: Served) -> None:
        names = [one.name, *(n for n in self._stands_in(one.name) if n in self.served)]

        async def work(run_context: RunContext[Any], arguments: dict[str, Any]) -> Any:
            connection, seconds = one.server.connection, one.server.timeout
            more = self.meta_of(run_context.run_id)
            result = await call_remote(connection, one.remote.name, arguments, seconds, run_context, more=more)
            if result.is_error:
                self.error_results.setdefault(run_context.run_id, {})[one.name] = result
                raise reported_error(content_text(result.content))
            plain = result.model_dump(by_alias=True, mode="json", exclude_none=True)
            return plain if len(names) == 1 else dict.fromkeys(map(result_key, names), plain)

        options: Any = {}
        reconcile = reconcile_of(one.remote.annotations, trusted=one.server.trust)
        if reconcile is not None and one.effect is not Effect.READ:
            options["reconcile"] = reconcile
        self._put(
            Tool(
                work,
                name=one.name,
                description=one.remote.description,
                needs={"arguments": arguments_key(one.name)},
                gives=dict.fromkeys(map(result_key, names), Any),
                effect=one.effect,
                approval=one.name in self.config.rules.approval,
                timeout=one.server.timeout + 5,
                classify=reported_kind,
                share=True,
                **options,
            )
        )

    def _connect(self, one: Served, alternative: FallbackTool) -> None:
        other = self.served[alternative.name]
        takes, has = other.remote.takes or {}, one.remote.takes or {}
        given = alternative.arguments
        names: Mapping[str, str] = {} if given is None or callable(given) else given
        lacking = [p for p in other.remote.required if names.get(p, p) not in has]
        if lacking:
            line = f"{{tool = '{other.name}', arguments = {{{lacking[0]} = '...'}}}}"
            raise DefinitionError(
                f"{other.name!r} cannot answer for {one.name!r} without its argument {lacking[0]!r}: say which "
                f"argument of {one.name!r} that is, {line}. {one.name!r} has: {', '.join(has) or 'none'}."
            )

        def convert(arguments: dict[str, Any]) -> dict[str, Any]:
            return alternative.mapped(arguments, takes)

        self._put(
            Tool(
                convert,
                name=f"{one.name} -> {other.name}",
                needs={"arguments": arguments_key(one.name)},
                gives={arguments_key(other.name): Any},
                share=True,
            )
        )

    def _put(self, tool: Tool) -> None:
        self._mine.add(tool.name)
        self.orc.add(tool)


__all__ = ["GatewayGraph", "Served", "result_key", "served_name"]
