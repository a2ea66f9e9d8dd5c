"""Learns the competence of agents from ended runs, in the background, and stores it."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from orchestrator.agents.agent import Agent
from orchestrator.core.errors import DefinitionError, StoreError
from orchestrator.core.events import CallEnded, SignalRaised
from orchestrator.engine.run import Run
from orchestrator.engine.runtime import Runtime
from orchestrator.engine.state import RunState
from orchestrator.graph.tool import Tool
from orchestrator.health.monitors import Drift, MonitorHub, Signal, WinningSignal
from orchestrator.selection import Demand
from orchestrator.selection.learning.updates import CHECKED, Observation, Spent
from orchestrator.selection.skills.storage import Keeper
from orchestrator.store.memory import MemoryStore

T = TypeVar("T")


class LearningQueue:
    """Applies pending observations in a thread, after a run has ended or before one begins, and stores the result
    periodically.

    Read and write errors are reported; runs continue with the state in memory.
    """

    def __init__(self, runtime: Runtime, hub: MonitorHub) -> None:
        self._runtime = runtime
        self._hub = hub
        self.unreported: dict[tuple[str, str], Signal] = {}
        """Drift, by agent and kind, found while no run used that agent; the next run reports it. It is in the handbook
        too, so that the next run may be in another process.
        """
        self._keeper = None if isinstance(runtime.store, MemoryStore) else Keeper(runtime.selector, runtime.store)
        try:
            if self._keeper is not None:
                self._keeper.begin()
        except StoreError as error:
            runtime.store.on_problem(f"what is known of agents cannot be read now: {error}")
        except DefinitionError as error:
            self._keeper = None
            runtime.store.on_problem(f"what agents have shown is neither read nor kept: {error}")

    async def learn(self) -> None:
        """Apply the pending observations in a thread; returns when that is done."""
        runtime = self._runtime
        if not runtime.selector.has_news:
            return
        if runtime.selector.pending:
            try:
                await runtime.threads.run(runtime.selector.apply_pending)
            except Exception as error:
                runtime.store.on_problem(f"learning failed: {type(error).__name__}: {error}")
                return
        if not runtime.selector.alarmed:
            return
        for monitor in self._hub.monitors:
            if isinstance(monitor, Drift):
                await self._hub.look(monitor, self._hub.facts(()))

    def sync(self) -> None:
        """Store local updates and apply those of other processes. Raises `StoreError`."""
        selector = self._runtime.selector
        if self._keeper is not None and (selector.agents or selector.unstored):
            self._keeper.sync()

    async def synced(self, work: Callable[[], Awaitable[T]]) -> T:
        """Apply `work` to the stored handbook, merged with the local updates before and after; returns its result."""
        runtime = self._runtime
        await self.learn()
        await runtime.threads.run(self.sync)
        result = await work()
        await runtime.threads.run(self.sync)
        return result

    def signal_won(self, verdict: WinningSignal, *, by_a_run: bool) -> None:
        """Keep drift that no live run can report, for the next run."""
        signal = verdict.winner
        if not signal.kind.startswith("drift"):
            return
        if by_a_run:
            self._runtime.selector.drift_recorded(signal.label)
        else:
            self.unreported[signal.label, signal.kind] = signal

    def run_began(self, run: Run) -> None:
        """Record drift that was found between runs in a run that may use the agent."""
        agents = run.view.cone(run.state.goal).agents
        for agent, kind in sorted(key for key in self.unreported if key[0] in agents):
            run.emit(raised(run, self.unreported.pop((agent, kind))))
            self._runtime.selector.drift_recorded(agent)


def raised(run: Run, signal: Signal) -> SignalRaised:
    """The event of a signal in a run."""
    return SignalRaised(
        **run.stamp(),
        target=signal.label,
        kind=signal.kind,
        action=str(signal.action),
        priority=signal.priority,
        reason=signal.reason,
        monitor=signal.monitor,
        factor=signal.factor,
    )


def recorded_demand(state: RunState, agent: str) -> Demand | None:
    """The demand under which an agent was last chosen for a step of the run; `None` if it was not chosen."""
    for decision in reversed(state.decisions):
        if decision.chose_agent(agent):
            return Demand(decision.facts["demand"], size=decision.facts.get("size"))
    return None


def demanded(runtime: Runtime, state: RunState, agent: Agent, values: Mapping[str, Any]) -> Demand:
    """The demand on an agent in a run: as recorded with its selection, else derived from the stored values."""
    recorded = recorded_demand(state, agent.name)
    return runtime.demands.of(agent, runtime.graph.view(), values)[0] if recorded is None else recorded


def note_outcome(run: Run, tool: Tool, success: bool, event: CallEnded) -> None:
    """Enqueue the outcome of an agent's call as an observation."""
    if not isinstance(tool, Agent) or (event.failure and not event.failure.kind.says_something_of_the_work):
        return
    demand, text = run.runtime.demands.of(tool, run.view, run.values.values)
    usage = event.usage
    spent: Spent = {"seconds": event.seconds, "usd": event.cost}
    spent["tokens"] = sum(amount for name, amount in usage.items() if name.endswith("tokens"))
    if "tool_calls" in usage:
        spent["tool_calls"] = usage["tool_calls"]
    run.runtime.selector.observe(Observation(tool.name, demand, success, CHECKED, text=text or None, **spent))


__all__ = ["LearningQueue", "demanded", "note_outcome", "raised", "recorded_demand"]
