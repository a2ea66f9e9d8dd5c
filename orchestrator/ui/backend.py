"""`Backend`: the data and actions of the viewer: a store, and an orchestrator if a project is loaded."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Final

from orchestrator.agents.agent import Agent
from orchestrator.api import Orchestrator
from orchestrator.core.enums import START
from orchestrator.core.errors import InputError, OrchestratorError, nearest
from orchestrator.core.text import plain
from orchestrator.engine.lifecycle.feedback import feedback_on_record
from orchestrator.graph.spec import ToolSpec
from orchestrator.health import HealthRegistry, ToolHealth, sharing
from orchestrator.health.status import worst_first
from orchestrator.observability.answering import keep_answer, missing_tools
from orchestrator.observability.recorded import recorded_agents, recorded_tools, stored_health
from orchestrator.selection import Handbook
from orchestrator.selection.skills.storage import stored_handbook
from orchestrator.store import Store

FORM_TIMEOUT: Final = 3.0
"""Seconds that a form waits for a run to continue; after that the page shows its progress."""


@dataclass
class Backend:
    """A store, and an orchestrator that can act on its runs.

    `orchestrator` is one of this process; `opening` makes a new one over the same store for one action, so that a
    viewer that stays open has no stale health and drives no run.
    """

    store: Store
    orchestrator: Orchestrator | None = None
    opening: Callable[[], Orchestrator] | None = None
    reading: Callable[[], Orchestrator] | None = None
    """Makes an orchestrator with the project's tools and without a store, for reading."""
    no_project: str = ""
    """Why there is no orchestrator although one was requested."""
    problems: dict[str, str] = field(default_factory=dict[str, str])
    """Run -> why continuing it failed, after the response to the form was sent."""
    _project: Orchestrator | None = None
    _work: set[asyncio.Task[Any]] = field(default_factory=set[asyncio.Task[Any]])

    @property
    def can_act(self) -> bool:
        """Whether runs can be answered in this viewer."""
        return self.orchestrator is not None or self.opening is not None

    async def answer(self, run_id: str, answer: Any, by: str) -> None:
        """Answer a waiting run; returns when it has ended, waits again, or after `FORM_TIMEOUT` seconds.

        If its tools are not loaded, the answer is stored for its program or a worker of its project. Raises
        `OrchestratorError` for an invalid answer.
        """
        self.problems.pop(run_id, None)
        task = asyncio.create_task(self._resume(run_id, answer, by), name=f"viewer:{run_id}")
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        done, _ = await asyncio.wait([task], timeout=FORM_TIMEOUT)
        if done:
            task.result()
        else:
            task.add_done_callback(lambda ended: self._note(run_id, ended))

    async def _resume(self, run_id: str, answer: Any, by: str) -> None:
        async with AsyncExitStack() as stack:
            orc = self.orchestrator
            if orc is None and self.opening is not None:
                orc = await stack.enter_async_context(await asyncio.to_thread(self.opening))
            if orc is None or await asyncio.to_thread(self._is_foreign, orc, run_id):
                await asyncio.to_thread(keep_answer, self.store, run_id, answer, by)
            else:
                await orc.resume(run_id, answer, by=by)

    def _is_foreign(self, orc: Orchestrator, run_id: str) -> bool:
        """Whether the run plans with tools that the orchestrator does not have."""
        return bool(missing_tools(self.store, run_id, orc.graph))

    def _note(self, run_id: str, ended: "asyncio.Task[Any]") -> None:
        error = None if ended.cancelled() else ended.exception()
        if error is not None:
            self.problems[run_id] = str(error) if isinstance(error, OrchestratorError) else type(error).__name__

    async def aclose(self) -> None:
        """Wait for running actions, and cancel those that do not end."""
        if self._work:
            _, pending = await asyncio.wait(list(self._work), timeout=FORM_TIMEOUT)
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)

    def project(self) -> Orchestrator | None:
        """An orchestrator with the project's tools and agents for reading only; created once."""
        if self._project is None and self.reading is not None:
            self._project = self.reading()
        return self._project

    # -- health ------------------------------------------------------------------------------------------------------

    def health(self) -> HealthRegistry:
        """The health of tools: the orchestrator's registry, or one loaded from the store."""
        if self.orchestrator is not None:
            return self.orchestrator.health
        return stored_health(self.store)

    def statuses(self) -> tuple[list[ToolHealth], list[tuple[str, str, ToolHealth]]]:
        """The health of the tools, and of transitions with observations."""
        registry = self.health()
        registry.poll()
        names = set(registry.touched()) | self._planned_tools()
        pairs = registry.touched_transitions()
        if self.orchestrator is not None and registry.known is not None:
            known = {*registry.known(), START}  # without tools of other programs that share the store
            names &= known
            pairs = tuple((a, b) for a, b in pairs if a in known and b in known)
        tools = sorted((registry.status(name) for name in names), key=worst_first)
        return tools, [(a, b, registry.status(a, b)) for a, b in pairs]

    def set_circuit(self, name: str, to: str | None, trip: bool, reason: str, by: str = "") -> None:
        """Trip or restore a tool or transition by hand, and keep that in the store.

        Raises `InputError` for a tool that neither the project nor the store knows, and without a reason.
        """
        registry = self.health()
        known = self._tool_names(registry)
        for each in (name, *(() if to is None else (to,))):
            if each not in known and each != START:
                raise InputError(f"There is no tool {plain(each, 60)!r}.{nearest(each, known)}")
        if not reason:
            raise InputError(f"Say why {plain(name, 60)!r} is {'taken out' if trip else 'put back'}: a reason is kept.")
        why = f"{reason} (by {by})" if by else reason
        if trip:
            registry.trip(name, to=to, reason=why)
        else:
            registry.restore(name, to, reason=why)
        sharing.publish(registry, self.store)
        self.store.flush()

    def _tool_names(self, registry: HealthRegistry) -> set[str]:
        names = set(registry.touched())
        for a, b in registry.touched_transitions():
            names |= {a, b}
        return names | self._planned_tools()

    def _planned_tools(self) -> set[str]:
        """The tools of the orchestrator; else those of recent runs' records, replaced by the project's if it has
        them.
        """
        if self.orchestrator is not None:
            return set(self.orchestrator.graph.view().nodes)
        recorded, project = set(recorded_tools(self.store)), self.project()
        own: set[str] = set() if project is None else set(project.graph.view().nodes)
        return own if recorded <= own else recorded

    def _is_program(self, orc: Orchestrator) -> bool:
        """Whether an orchestrator has every tool of the recent runs, so that it is their program."""
        return orc is self.orchestrator or set(recorded_tools(self.store)) <= set(orc.graph.view().nodes)

    # -- agents ------------------------------------------------------------------------------------------------------

    def agents(self) -> dict[str, tuple[Agent | ToolSpec, float | None]]:
        """Agents with the price of each now: those of the orchestrator; else those that recent runs recorded, with the
        project's where it has the tools of those runs."""
        orc = self.orchestrator or self.project()
        if orc is not None and self._is_program(orc):
            return {each.name: (each, orc.price(each.name)) for each in orc.graph if isinstance(each, Agent)}
        return {name: (spec, None) for name, spec in recorded_agents(self.store).items()}

    def handbook(self) -> Handbook:
        """The current handbook."""
        if self.orchestrator is not None:
            return self.orchestrator.selector.handbook
        return stored_handbook(self.store) or Handbook()

    def feedback(self, run_id: str, key: str, success: bool) -> None:
        """Record how good the work behind a key was. Raises `OrchestratorError`."""
        if self.orchestrator is not None:
            self.orchestrator.feedback(run_id, key, success)
        else:
            feedback_on_record(self.store, run_id, key, success)
