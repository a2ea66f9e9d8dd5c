"""`Gateway`: serves the tools of several MCP servers to a client, each call a run."""

import asyncio
import logging
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import mcp_types as types
from mcp import MCPError
from mcp.server import Server
from opentelemetry import context as otel
from opentelemetry.propagate import extract

from orchestrator.api import Orchestrator
from orchestrator.core.conventions import __version__
from orchestrator.core.enums import Effect, FailureKind, Status
from orchestrator.core.errors import OrchestratorError, nearest
from orchestrator.core.events import Decided, Event, Progressed
from orchestrator.core.goal import Goal
from orchestrator.core.outcome import Outcome
from orchestrator.core.text import clean
from orchestrator.integrations.mcp.answers import refusal
from orchestrator.integrations.mcp.goal_server import Listeners
from orchestrator.integrations.mcp.remote import McpServer
from orchestrator.integrations.mcp.serving import serve_opened
from orchestrator.integrations.tool_results import statement

from .config import GatewayConfig
from .graph import GatewayGraph, arguments_key, result_key

_TELLS: Final = (FailureKind.REFUSAL, FailureKind.CALLER_ERROR)


class Gateway:
    """Use it as `async with Gateway(config, orc) as gateway`; `gateway.server` is the MCP server."""

    def __init__(self, config: GatewayConfig, orc: Orchestrator) -> None:
        self.config = config
        self.orc = orc
        self.graph = GatewayGraph(orc, config)
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
        """Server -> why it could not be asked for its tools."""
        self._progress = _Progress()
        self._listeners = Listeners()
        orc.add_sink(self._progress)
        self.server: Server[Any] = Server(
            "orchestrator-gateway",
            version=__version__,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            on_subscriptions_listen=self._listeners.on_listen,
        )

    async def __aenter__(self) -> "Gateway":
        await self.refresh()
        if not self.problems:
            self.graph.check()
        for server in self.servers.values():
            server.on_change(self._changed)
        return self

    async def __aexit__(self, *error: object) -> None:
        await asyncio.gather(*(server.aclose() for server in self.servers.values()), return_exceptions=True)

    async def refresh(self) -> None:
        """Ask every server for its tools. One that does not answer is left out until it does."""
        asked = [(name, server) for name, server in self.servers.items() if server.listed is None]
        found = await asyncio.gather(*(server.list_tools() for _, server in asked), return_exceptions=True)
        for (name, _), result in zip(asked, found, strict=True):
            self.problems.pop(name, None)
            if isinstance(result, BaseException):
                self.problems[name] = clean(str(result), 500)
                logging.getLogger("orchestrator.gateway").warning("%s: %s", name, self.problems[name])
        self.graph.update(self.servers)

    async def _changed(self) -> None:
        self.graph.update(self.servers)
        self._listeners.notify()

    # -- requests ----------------------------------------------------------------------------------------------------

    async def _list_tools(self, ctx: Any, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        del params
        self._listeners.add(ctx.session)
        if self.problems:
            await self.refresh()
        return types.ListToolsResult(tools=[self.graph.definition(one) for one in self.graph.served.values()])

    async def _call_tool(self, ctx: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        if params.name not in self.graph.served and self.problems:
            await self.refresh()
        if params.name not in self.graph.served:
            known = nearest(params.name, self.graph.served)
            raise MCPError(types.INVALID_PARAMS, f"There is no tool {params.name!r}.{known}")
        run_id = f"gateway-{uuid.uuid4().hex[:16]}"
        self._progress.sessions[run_id] = ctx.session
        carrier: dict[str, str] = {k: v for k, v in dict(params.meta or {}).items() if isinstance(v, str)}
        token = otel.attach(extract(carrier))
        try:
            goal = Goal[Any](result_key(params.name))
            outcome = await self.orc.run(goal, {arguments_key(params.name): params.arguments or {}}, run_id=run_id)
            while outcome.status is Status.WAITING:
                answer = await self._ask(ctx, outcome)
                if answer is None:
                    return refusal(_waiting(outcome))
                outcome = await self.orc.resume(outcome.run_id, answer)
            return self._answer(params.name, outcome)
        except OrchestratorError as error:
            return refusal(str(error))
        finally:
            otel.detach(token)
            self._progress.sessions.pop(run_id, None)
            self.graph.error_results.pop(run_id, None)

    def _answer(self, name: str, outcome: Outcome[Any]) -> types.CallToolResult:
        if outcome.ok:
            return types.CallToolResult.model_validate(outcome.value)
        result = self.graph.error_results.get(outcome.run_id, {}).get(name)
        tried = {failure.tool for failure in outcome.failures}
        kinds = {failure.kind for failure in outcome.failures}
        if result is not None and tried <= {name} and kinds <= set(_TELLS):
            return result  # its own no
        return refusal(statement(name, outcome, f"effects.{name} = 'read' in the rules"))

    async def _ask(self, ctx: Any, outcome: Outcome[Any]) -> bool | None:
        """Have the person at the client approve; `None` where it cannot be asked."""
        text = outcome.questions[0].text if outcome.questions else "Go on?"
        form: Any = {"type": "object", "properties": {"approve": {"type": "boolean"}}, "required": ["approve"]}
        try:
            result = await ctx.session.elicit_form(text, form)
        except Exception:  # a client without elicitation, or one that is gone
            return None
        content: dict[str, Any] = result.content or {}
        return result.action == "accept" and bool(content.get("approve"))

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


def _waiting(outcome: Outcome[Any]) -> str:
    asked = outcome.questions[0].text if outcome.questions else "a question"
    return f"A person is asked first: {asked} Answer with: orchestrator resume {outcome.run_id}"


class _Progress:
    """Reports reroutes and retries, and what tools report, to the client that made the call."""

    def __init__(self) -> None:
        self.sessions: dict[str, Any] = {}
        self._count: dict[str, float] = {}
        self._work: set[asyncio.Task[None]] = set()

    def on_event(self, event: Event) -> None:
        """Take one event."""
        session = self.sessions.get(event.run_id)
        if session is None:
            return
        message = ""
        if isinstance(event, Decided):
            message = f"{event.decision.kind}: {event.decision.chosen}"
        elif isinstance(event, Progressed):
            message = str(event.progress)
        if message:
            number = self._count[event.run_id] = self._count.get(event.run_id, 0.0) + 1
            task = asyncio.get_running_loop().create_task(self._report(session, number, message))
            self._work.add(task)
            task.add_done_callback(self._work.discard)

    async def _report(self, session: Any, number: float, message: str) -> None:
        with suppress(Exception):  # a client that is gone or does not listen is no reason to fail
            await session.report_progress(number, None, message)


@asynccontextmanager
async def _opened(config: GatewayConfig, policy: Any, store: Any) -> AsyncGenerator[Gateway]:
    async with Orchestrator(policy=policy, store=store) as orc, Gateway(config, orc) as gateway:
        yield gateway


def serve_gateway(
    config: GatewayConfig, *, policy: Any = None, store: Any = None, http: tuple[str, int] | None = None
) -> None:
    """Serve until the client hangs up (standard input and output) or Ctrl-C (HTTP, behind a token)."""
    serve_opened(_opened(config, policy, store), http)


def explain_gateway(config: GatewayConfig) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """What would heal, per tool, and the servers that did not answer."""

    async def work() -> tuple[list[dict[str, Any]], dict[str, str]]:
        async with _opened(config, None, None) as gateway:
            return gateway.explain(), gateway.problems

    return asyncio.run(work())


__all__ = ["Gateway", "explain_gateway", "serve_gateway"]
