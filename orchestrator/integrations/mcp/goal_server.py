"""`GoalServer`: answers the requests of an MCP client, each call with a run; clients are told when tools change."""

import asyncio
import logging
import uuid
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

import mcp_types as types
from mcp import MCPError
from mcp.server import Server
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    ListenHandler,
    PromptsListChanged,
    ResourcesListChanged,
    ResourceUpdated,
    ServerEvent,
    ToolsListChanged,
)

from orchestrator.api import Orchestrator
from orchestrator.core.calls.options import checked
from orchestrator.core.conventions import __version__
from orchestrator.core.errors import OrchestratorError, nearest
from orchestrator.core.events import Decided, Event
from orchestrator.core.goal import Budget
from orchestrator.core.types.schema import type_name
from orchestrator.intent.needs import needs_of

from .answers import call_result_of, refusal
from .goals import STATUS_TOOL, Offered, offered_goals, status_tool

SEND_SECONDS: Final = 5.0
"""Seconds in which a client must accept a notification."""
MAX_CONNECTIONS: Final = 1000
"""Maximum number of connections that are notified; beyond it the oldest is dropped."""
_CHANGES: Final[dict[str, tuple[ServerEvent, str]]] = {
    "tools": (ToolsListChanged(), "send_tool_list_changed"),
    "resources": (ResourcesListChanged(), "send_resource_list_changed"),
    "prompts": (PromptsListChanged(), "send_prompt_list_changed"),
}
"""Kind of change -> the event for subscribers, and the method that notifies a client of an older protocol."""


class Listeners:
    """The clients that have requested a list, or, since protocol 2026-07-28, have subscribed to changes."""

    def __init__(self) -> None:
        self._bus = InMemorySubscriptionBus()
        self.on_listen = ListenHandler(self._bus)
        """Serves the subscriptions of clients."""
        self._sessions: OrderedDict[int, Any] = OrderedDict()
        """Connection -> the newest session on it; the client library makes a session for each request."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._work: set[asyncio.Task[None]] = set()

    def add(self, session: Any) -> bool:
        """A client was shown a list, in the running loop; whether it is the first that it is shown."""
        connection, known = id(getattr(session, "_connection", session)), len(self._sessions)
        self._sessions[connection] = session
        is_new = len(self._sessions) > known
        if len(self._sessions) > MAX_CONNECTIONS:
            self._sessions.popitem(last=False)
        self._loop = asyncio.get_running_loop()
        return is_new

    @property
    def sessions(self) -> list[Any]:
        """Of the clients that were shown a list, the newest last."""
        return [*self._sessions.values()]

    async def updated(self, uri: str) -> None:
        """Notify the clients that have subscribed to a resource by `on_listen`."""
        await self._bus.publish(ResourceUpdated(uri))

    def notify(self, kind: str = "tools") -> None:
        """Notify each client that the tools, the resources or the prompts changed; from any thread."""
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # the loop is closed, and its clients are gone
                loop.call_soon_threadsafe(self._start, kind)

    def _start(self, kind: str) -> None:
        task = asyncio.get_running_loop().create_task(self._notify_all(kind), name=f"mcp:{kind} changed")
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _notify_all(self, kind: str) -> None:
        event, method = _CHANGES[kind]
        sending = (self._send(method, *known) for known in list(self._sessions.items()))
        await asyncio.gather(self._bus.publish(event), *sending)

    async def _send(self, method: str, connection: int, session: Any) -> None:
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await getattr(session, method)()
        except Exception:  # a client that has disconnected, or subscribes instead
            self._sessions.pop(connection, None)


RUN_PREFIX: Final = "mcp-"
"""Prefix of the ids of runs that were started over MCP."""
INSTRUCTIONS: Final = (
    "Each tool is a goal: it is reached by the cheapest route of tools that work, with healing when one fails. "
    "An answer names its run; the tool orchestrator_run returns the state of a run. "
    "A run that waits for a person is answered by a person, outside this server."
)


class GoalServer:
    """Goals of an orchestrator as the tools of an MCP server. Each call is a run, recorded like any other.

    `budget`, in US dollars, is the limit of each call. No tool answers the question of a waiting run, because the
    caller may be a model and approvals are for people.
    """

    @checked()
    def __init__(self, orc: Orchestrator, goals: Iterable[str] | None = None, budget: float | None = None) -> None:
        self.orc = orc
        self._goals = None if goals is None else tuple(goals)
        self._revision = orc.graph.view().revision
        self._listeners = Listeners()
        self.offered: dict[str, Offered] = offered_goals(orc.graph.view(), self._goals)
        orc.graph.on_change(self._listeners.notify)
        self.budget = budget
        self._progress = _Progress()
        orc.add_sink(self._progress)
        self.server: Server[Any] = Server(
            "orchestrator",
            version=__version__,
            instructions=INSTRUCTIONS,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            on_subscriptions_listen=self._listeners.on_listen,
        )

    async def _list_tools(self, ctx: Any, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        del params
        self._listeners.add(ctx.session)
        self._refresh()
        return types.ListToolsResult(tools=[*(one.tool for one in self.offered.values()), status_tool()])

    def _refresh(self) -> None:
        """Update the offered goals; one that no tool gives any more is left out."""
        view = self.orc.graph.view()
        if view.revision == self._revision:
            return
        self._revision = view.revision
        given = None
        if self._goals is not None:
            given = [goal for goal in self._goals if all(view.producers(key.strip()) for key in goal.split("+"))]
        self.offered = offered_goals(view, given)

    async def _call_tool(self, ctx: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        arguments = params.arguments or {}
        if params.name == STATUS_TOOL:
            return await self._status(arguments)
        self._refresh()
        offered = self.offered.get(params.name)
        if offered is None:
            raise MCPError(
                types.INVALID_PARAMS, f"There is no tool {params.name!r}.{nearest(params.name, self.offered)}"
            )
        unknown = sorted(set(arguments) - set(offered.tool.input_schema["properties"]))
        if unknown:
            takes = ", ".join(offered.tool.input_schema["properties"]) or "nothing"
            return refusal(f"The goal {params.name} does not take {', '.join(map(repr, unknown))}. It takes: {takes}.")
        view = self.orc.graph.view()
        missing = needs_of(view, offered.goal.keys, arguments).required
        if missing:
            named = ", ".join(f"{key} ({type_name(view.key_type(key))})" for key in missing)
            return refusal(f"To get {offered.goal.name}, please give: {named}.")
        run_id = f"{RUN_PREFIX}{uuid.uuid4().hex[:16]}"
        self._progress.sessions[run_id] = ctx.session
        try:
            budget = None if self.budget is None else Budget(usd=self.budget)
            return call_result_of(await self.orc.run(offered.goal, arguments, run_id=run_id, budget=budget))
        except OrchestratorError as error:
            return refusal(str(error))
        finally:
            self._progress.sessions.pop(run_id, None)

    async def _status(self, arguments: dict[str, Any]) -> types.CallToolResult:
        run_id = arguments.get("run_id")
        if not isinstance(run_id, str) or not run_id.startswith(RUN_PREFIX):
            return refusal(f"run_id names a run that was started here; its id begins with {RUN_PREFIX!r}.")
        try:
            return call_result_of(await asyncio.to_thread(self.orc.outcome, run_id))
        except OrchestratorError as error:
            return refusal(str(error))


class _Progress:
    """Reports the decisions of runs as progress, if the client requested it."""

    def __init__(self) -> None:
        self.sessions: dict[str, Any] = {}
        """Run -> the client that started it."""
        self._work: set[asyncio.Task[None]] = set()

    def on_event(self, event: Event) -> None:
        """Take one event."""
        session = self.sessions.get(event.run_id)
        if session is not None and isinstance(event, Decided):
            number, message = event.decision.id.lstrip("d"), f"{event.decision.kind}: {event.decision.chosen}"
            progress = float(number) if number.isdigit() else 0.0
            task = asyncio.get_running_loop().create_task(self._report(session, progress, message))
            self._work.add(task)
            task.add_done_callback(self._work.discard)

    async def _report(self, session: Any, progress: float, message: str) -> None:
        try:
            await session.report_progress(progress, None, message)
        except Exception:  # a client that has disconnected must not fail the run
            logging.getLogger("orchestrator.mcp").debug("progress could not be reported", exc_info=True)
