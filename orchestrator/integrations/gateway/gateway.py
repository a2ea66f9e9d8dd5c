"""`Gateway`: serves the tools of several MCP servers to a client, each call a run."""

import asyncio
import logging
import uuid
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Final

import mcp_types as types
from mcp import Client, MCPError
from mcp.server import Server
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from opentelemetry import context as otel
from opentelemetry.propagate import extract

from orchestrator.api import Orchestrator
from orchestrator.core.conventions import __version__
from orchestrator.core.enums import ABOUT_THE_CALL, Effect, Status
from orchestrator.core.errors import OrchestratorError, nearest
from orchestrator.core.goal import Goal
from orchestrator.core.outcome import Outcome
from orchestrator.core.text import clean
from orchestrator.integrations.mcp.answers import refusal
from orchestrator.integrations.mcp.connection import set_level
from orchestrator.integrations.mcp.goal_server import Listeners
from orchestrator.integrations.mcp.remote import McpServer
from orchestrator.integrations.mcp.requests import request
from orchestrator.integrations.mcp.serving import serve_opened
from orchestrator.integrations.tool_results import arguments_key, statement

from .asking import UNASKED, answer_of, ask, asked_by_server, asks_between_rounds, can_ask, request_of
from .callers import Caller, Callers
from .config import GatewayConfig
from .graph import GatewayGraph, result_key
from .passing import Passing
from .subscriptions import Subscriptions

MAX_ROUNDS: Final = 1000
"""Maximum number of calls whose clients ask a person; beyond it, the oldest can only be answered from the command
line.
"""


class Gateway:
    """Use it as `async with Gateway(config, orc) as gateway`; `gateway.server` is the MCP server."""

    def __init__(self, config: GatewayConfig, orc: Orchestrator) -> None:
        self.config = config
        self.orc = orc
        self._listeners = Listeners()
        self._callers = Callers(self._listeners)
        self.graph = GatewayGraph(orc, config, self._callers.meta_of)
        self.servers = {
            name: McpServer(
                name,
                command=[entry.command, *entry.args] if entry.command else (),
                url=entry.url,
                env=entry.env or None,
                cwd=entry.cwd,
                headers=entry.headers or None,
                timeout=config.rules.timeout,
                trust=name in config.rules.trust,
            )
            for name, entry in config.servers.items()
            if not entry.disabled
        }
        self.problems: dict[str, str] = {}
        """Server -> why its tools could not be listed."""
        self._rounds: OrderedDict[str, str] = OrderedDict()
        """Run -> the tool whose call continues after a person's answer."""
        orc.add_sink(self._callers)
        passing = Passing(self.servers, self._listeners)
        subscriptions = Subscriptions(passing.located, self._listeners)
        for server in self.servers.values():
            server.pass_on()
            server.on_log = partial(self._callers.log, server)
            server.connection.requests.roots = self._callers.roots
            subscriptions.watch(server)
        self.server: Server[Any] = Server(
            "orchestrator-gateway",
            version=__version__,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            on_list_resources=passing.list_resources,
            on_list_resource_templates=passing.list_templates,
            on_read_resource=passing.read,
            on_list_prompts=passing.list_prompts,
            on_get_prompt=passing.get_prompt,
            on_completion=passing.complete,
            on_subscriptions_listen=subscriptions.listen,
            on_subscribe_resource=subscriptions.subscribe,
            on_unsubscribe_resource=subscriptions.unsubscribe,
        )
        # clients before protocol 2026-07-28; as arguments of `Server` both warn that they are deprecated
        self.server.add_request_handler("logging/setLevel", types.SetLevelRequestParams, self._set_level)
        self.server.add_notification_handler(
            "notifications/roots/list_changed", types.NotificationParams, self._roots_changed
        )

    async def __aenter__(self) -> "Gateway":
        await self.refresh()
        if not self.problems:
            self.graph.check()
        for server in self.servers.values():
            server.on_change(self._tools_changed)
            for kind in ("resources", "prompts"):
                server.on_change(partial(self._changed, kind), kind)
        return self

    async def __aexit__(self, *error: object) -> None:
        await asyncio.gather(*(server.aclose() for server in self.servers.values()), return_exceptions=True)

    async def refresh(self) -> None:
        """List the tools of every server. A server without a response is left out until it responds."""
        asked = [(name, server) for name, server in self.servers.items() if server.listed is None]
        found = await asyncio.gather(*(server.list_tools() for _, server in asked), return_exceptions=True)
        for (name, _), result in zip(asked, found, strict=True):
            self.problems.pop(name, None)
            if isinstance(result, BaseException):
                self.problems[name] = clean(str(result), 500)
                logging.getLogger("orchestrator.gateway").warning("%s: %s", name, self.problems[name])
        self.graph.update(self.servers)

    async def _tools_changed(self) -> None:
        self.graph.update(self.servers)
        self._listeners.notify()

    async def _changed(self, kind: str) -> None:
        self._listeners.notify(kind)

    async def _set_level(self, ctx: Any, params: types.SetLevelRequestParams) -> types.EmptyResult:
        """Set the log level. It applies to all clients, because a server has one session."""
        self._listeners.add(ctx.session)
        self._callers.level = params.level
        for server in self.servers.values():
            server.connection.log_level = params.level
            if server.connection.is_open:
                with suppress(Exception):  # it is asked again when it is there
                    await request(server.connection, partial(_set_level, params.level))
        return types.EmptyResult()

    async def _roots_changed(self, ctx: Any, params: Any) -> None:
        del params
        self._listeners.add(ctx.session)
        await self._pass_roots()

    async def _pass_roots(self) -> None:
        """Notify servers of older protocols that the roots changed."""
        for server in self.servers.values():
            if server.connection.is_open:
                with suppress(Exception):
                    await request(server.connection, _roots_changed)

    # -- requests ----------------------------------------------------------------------------------------------------

    async def _list_tools(self, ctx: Any, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        del params
        if self._listeners.add(ctx.session) and can_ask(ctx, types.ListRootsRequest()):
            await self._pass_roots()
        if self.problems:
            await self.refresh()
        return types.ListToolsResult(tools=[self.graph.definition(one) for one in self.graph.served.values()])

    async def _call_tool(
        self, ctx: Any, params: types.CallToolRequestParams
    ) -> types.CallToolResult | types.InputRequiredResult:
        if params.name not in self.graph.served and self.problems:
            await self.refresh()
        if params.name not in self.graph.served:
            known = nearest(params.name, self.graph.served)
            raise MCPError(types.INVALID_PARAMS, f"There is no tool {params.name!r}.{known}")
        run_id = params.request_state or f"gateway-{uuid.uuid4().hex[:16]}"
        if params.request_state is not None and self._rounds.pop(run_id, None) != params.name:
            raise MCPError(types.INVALID_PARAMS, "This call answers no open question of this gateway.")
        meta = dict(params.meta or {})
        caller = self._callers.by_run[run_id] = Caller(ctx, meta)
        carrier: dict[str, str] = {k: v for k, v in meta.items() if isinstance(v, str)}
        token = otel.attach(extract(carrier))
        try:
            goal = Goal[Any](result_key(params.name))
            outcome = await self.orc.run(goal, {arguments_key(params.name): params.arguments or {}}, run_id=run_id)
            return await self._settled(ctx, params, outcome)
        except OrchestratorError as error:
            return refusal(str(error))
        finally:
            otel.detach(token)
            if self._callers.by_run.get(run_id) is caller:
                del self._callers.by_run[run_id]
            self.graph.error_results.pop(run_id, None)

    async def _settled(
        self, ctx: Any, params: types.CallToolRequestParams, outcome: Outcome[Any]
    ) -> types.CallToolResult | types.InputRequiredResult:
        """The result of a run, after a person has answered its questions."""
        given: dict[str, Any] = dict(params.input_responses or {})
        while outcome.status is Status.WAITING:
            question = outcome.questions[0]
            asked = asked_by_server(self.servers.values(), outcome.run_id)
            wanted = request_of(question, asked)
            if asks_between_rounds(ctx):
                if question.id not in given and can_ask(ctx, wanted):
                    self._rounds[outcome.run_id] = params.name
                    if len(self._rounds) > MAX_ROUNDS:
                        self._rounds.popitem(last=False)
                    return types.InputRequiredResult(input_requests={question.id: wanted}, request_state=outcome.run_id)
                result = given.pop(question.id, UNASKED)
            else:
                result = await ask(ctx, wanted)
            if result is UNASKED and asked is None:
                return refusal(_waiting(outcome))
            answer = answer_of(result, approval=asked is None)
            outcome = await self.orc.resume(outcome.run_id, answer, question=question.id)
        return self._answer(params.name, outcome)

    def _answer(self, name: str, outcome: Outcome[Any]) -> types.CallToolResult:
        if outcome.ok:
            return types.CallToolResult.model_validate(outcome.value)
        result = self.graph.error_results.get(outcome.run_id, {}).get(name)
        tried = {failure.tool for failure in outcome.failures}
        kinds = {failure.kind for failure in outcome.failures}
        if result is not None and tried <= {name} and kinds <= ABOUT_THE_CALL:
            return result  # its own refusal
        return refusal(statement(name, outcome, f"effects.{name} = 'read' in the rules"))

    # -- what would heal ---------------------------------------------------------------------------------------------

    def explain(self) -> list[dict[str, Any]]:
        """For each tool, what happens when it fails."""
        rows: list[dict[str, Any]] = []
        for one in self.graph.served.values():
            stand_ins = [alternative.name for alternative in self.graph.alternatives.get(one.name, ())]
            reads = one.effect is Effect.READ
            again = reads or (
                one.name in self.orc.graph.view().tools and self.orc.graph[one.name].reconcile is not None
            )
            rows.append(
                {
                    "tool": one.name,
                    "server": one.server.name,
                    "effect": str(one.effect),
                    "because": one.because,
                    "alternatives": stand_ins,
                    "retried": "any failure" if again else "only failures that prove that nothing happened",
                    "rerouted": "to nothing: no alternative is declared"
                    if not stand_ins
                    else "any failure"
                    if reads
                    else "only failures that prove that nothing happened",
                    "approval": one.name in self.config.rules.approval,
                    "to heal more": ""
                    if reads
                    else f"effects.{one.name} = 'read' if it only reads"
                    + ("" if one.server.trust else f", or trust = ['{one.server.name}']"),
                }
            )
        return rows


async def _set_level(level: types.LoggingLevel, client: Client, meta: Any) -> None:
    del meta
    await set_level(client, level)


async def _roots_changed(client: Client, meta: Any) -> None:
    del meta
    if client.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        await client.session.send_notification(types.RootsListChangedNotification())


def _waiting(outcome: Outcome[Any]) -> str:
    asked = outcome.questions[0].text if outcome.questions else "a question"
    return f"A person is asked first: {asked} Answer with: orchestrator resume {outcome.run_id}"


@asynccontextmanager
async def _opened(config: GatewayConfig, policy: Any, store: Any) -> AsyncGenerator[Gateway]:
    async with Orchestrator(policy=policy, store=store) as orc, Gateway(config, orc) as gateway:
        yield gateway


def serve_gateway(
    config: GatewayConfig, *, policy: Any = None, store: Any = None, http: tuple[str, int] | None = None
) -> None:
    """Serve until the client disconnects (standard input and output) or Ctrl-C (HTTP, with a token)."""
    serve_opened(_opened(config, policy, store), http)


def explain_gateway(config: GatewayConfig) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Print for each tool what happens when it fails, and the servers that did not respond."""

    async def work() -> tuple[list[dict[str, Any]], dict[str, str]]:
        async with _opened(config, None, None) as gateway:
            return gateway.explain(), gateway.problems

    return asyncio.run(work())


__all__ = ["Gateway", "explain_gateway", "serve_gateway"]
