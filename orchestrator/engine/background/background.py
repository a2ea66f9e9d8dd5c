"""Background work of an orchestrator: runs the monitors, applies their signals, synchronises health with the store."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from orchestrator.core.enums import SignalAction
from orchestrator.core.errors import OrchestratorError
from orchestrator.core.events import ProblemReported
from orchestrator.engine.run import Run
from orchestrator.engine.runtime import Runtime
from orchestrator.escalation import NotificationSink
from orchestrator.graph.tool import Tool
from orchestrator.health import sharing
from orchestrator.health.monitors import WHOLE_RUN, MonitorHub, Signal, WinningSignal, default_monitors
from orchestrator.store.memory import MemoryStore
from orchestrator.store.signals import HEALTH

from .evaluation import WorkEvaluator
from .learning import LearningQueue, raised
from .worker import Worker

PUBLISH_SECONDS = 5.0
"""How often statistics are published to the other processes that share a store."""
REFRESH_SECONDS = 1.0
"""How often a process reads the circuit changes of other processes."""
FLEET_REFRESH_SECONDS = 0.1
"""The same on a database server without notifications, so that all processes soon see an opened circuit."""
SIGNALLED_REFRESH_SECONDS = 2.0
"""The same where the store notifies of circuit changes: a lost notification is made up for after this time."""


class Background:
    """The background tasks of an orchestrator: they start with the first run in an event loop and stop with the
    orchestrator.
    """

    def __init__(self, runtime: Runtime, monitors: Iterable[Any] | None) -> None:
        self._runtime = runtime
        self.hub = MonitorHub(
            default_monitors(runtime.selector) if monitors is None else monitors,
            runtime.clock,
            runtime.health,
            runtime.policy,
            tools=lambda: runtime.graph.view().tools,
            on_verdict=self._on_verdict,
            on_problem=self._on_problem,
            in_thread=runtime.threads.run,
        )
        runtime.sinks.append(self.hub)
        self.learning = LearningQueue(runtime, self.hub)
        self._durable = not isinstance(runtime.store, MemoryStore)
        self._task: asyncio.Task[None] | None = None
        self._worker: Worker | None = None
        self._working: asyncio.Task[None] | None = None
        self._turned = asyncio.Event()
        """Set when a circuit opened or closed in another process."""
        self._unsubscribe: Callable[[], None] = _nothing
        self._broken = False
        """Whether the store was unreachable at the last heartbeat; it is reported once."""
        if self._durable:
            runtime.health.restore_snapshot(runtime.store.load_health())
            runtime.health.entries.publish_deltas()
            runtime.health.subscribe(self._note_urgent)

    def start(self) -> None:
        """Start the tasks, once per event loop."""
        if self.hub.loop is not asyncio.get_running_loop():
            self.hub.start()
        if not self._durable:
            return
        self._runtime.heartbeat.start()
        task = self._task
        if task is None or task.done() or not task.get_loop().is_running():
            self._turned, loop = asyncio.Event(), asyncio.get_running_loop()
            turned = self._turned
            self._unsubscribe()
            signals = self._runtime.store.signals
            self._unsubscribe = signals.subscribe(HEALTH, lambda: loop.call_soon_threadsafe(turned.set))
            self._task = asyncio.create_task(self._beat(), name="orchestrator:background")

    def work_on_queue(self) -> None:
        """Drive queued runs in this process too."""
        working = self._working
        if self._worker is None or working is None or working.done() or working.get_loop() is not _loop():
            self._worker = Worker(self._runtime)
            self._working = asyncio.create_task(self._worker.run(), name="orchestrator:worker")
        self._worker.hint()

    async def _stop_working(self) -> None:
        """Return claimed runs to the queue in their current state."""
        if self._working is not None and self._working.get_loop() is asyncio.get_running_loop():
            assert self._worker is not None
            self._worker.stop(drain_seconds=0.0)
            await asyncio.wait([self._working], timeout=10.0)
            self._working.cancel()

    async def stop(self) -> None:
        """Stop the tasks, and store the health statistics."""
        await self._stop_working()
        self._unsubscribe()
        await self.hub.stop()
        if self._task is not None and self._task.get_loop() is asyncio.get_running_loop():
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        elif self._task is not None and not self._task.get_loop().is_closed():
            self._task.get_loop().call_soon_threadsafe(self._task.cancel)
        if self._durable:
            self._runtime.heartbeat.stop()
            self._save_health()
            await self._runtime.threads.run(self._store_learning)

    # -- the store ---------------------------------------------------------------------------------------------------

    async def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        published = loop.time()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause()):
                    await self._turned.wait()
            self._turned.clear()
            try:
                await self._runtime.threads.run(self._refresh)
                if loop.time() - published >= PUBLISH_SECONDS:
                    published = loop.time()
                    await self._runtime.threads.run(self._publish)
            except Exception as error:
                if not self._broken:
                    self._on_problem("store", error)
                self._broken = True
            else:
                self._broken = False

    def _pause(self) -> float:
        store = self._runtime.store
        if store.embedded:
            return REFRESH_SECONDS
        return SIGNALLED_REFRESH_SECONDS if store.signals.live else FLEET_REFRESH_SECONDS

    def _refresh(self) -> None:
        sharing.refresh(self._runtime.health, self._runtime.store)

    def _publish(self) -> None:
        self._save_health()
        self._store_learning()

    def _store_learning(self) -> None:
        try:
            self.learning.sync()
        except OrchestratorError as error:
            self._runtime.store.on_problem(f"what was learned of agents could not be kept: {error}")

    def _save_health(self) -> None:
        sharing.publish(self._runtime.health, self._runtime.store)

    def _note_urgent(self, targets: Iterable[Any]) -> None:
        """Store health at once when a circuit changed or a server asked for a wait; only statistics may be late."""
        if self._runtime.health.entries.is_urgent(targets):
            self._save_health()
            self._runtime.store.signals.send(HEALTH)

    # -- signals -----------------------------------------------------------------------------------------------------

    def _on_verdict(self, verdict: WinningSignal) -> None:
        """Record a winning signal in every run that it concerns, and apply it there."""
        signal = verdict.winner
        concerned = [run for run in self._runtime.runs.all_live() if _concerns(signal, run)]
        for run in concerned:
            run.publish_from_anywhere(raised(run, signal))
            _act(signal, run)
        self.learning.signal_won(verdict, by_a_run=bool(concerned))

    def run_began(self, run: Run) -> None:
        for signal in self.hub.active_signals(run.state.run_id):
            _act(signal, run)
        self.learning.run_began(run)

    def _on_problem(self, source: str, error: BaseException) -> None:
        """Report a problem of the background work to every live run. The runs continue."""
        for run in self._runtime.runs.all_live():
            run.publish_from_anywhere(
                ProblemReported(**run.stamp(), source=source, message=f"{type(error).__name__}: {error}")
            )


class BackgroundObservers:
    """The `Observers` of a runtime. The background work is looked up at each call, since it is built on the runtime."""

    def __init__(
        self,
        background: Callable[[], Background],
        evaluator: Callable[[], WorkEvaluator],
        notifications: NotificationSink,
    ) -> None:
        self._background = background
        self._evaluator = evaluator
        self._notifications = notifications

    def start(self) -> None:
        self._background().start()

    def begun(self, run: Run) -> None:
        background = self._background()
        if background.learning.unreported or background.hub.board.held:
            background.run_began(run)

    def ended(self, run: Run) -> None:
        self._evaluator().observe(run)

    def waits(self, run_id: str) -> None:
        self._notifications.on_record(run_id)

    def gate(self, tool: Tool, run_id: str, values: Mapping[str, Any]) -> tuple[Signal, ...]:
        return self._background().hub.gate(tool, run_id, values)

    async def learn(self) -> None:
        await self._background().learning.learn()


def _nothing() -> None:
    """The `unsubscribe` of a subscription that was not made."""


def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def _concerns(signal: Signal, run: Run) -> bool:
    if signal.run_id:
        return signal.run_id == run.state.run_id
    if signal.target == WHOLE_RUN:
        return True
    targets = {signal.target} if isinstance(signal.target, str) else set(signal.target)
    return bool(targets & set(run.route.tools if run.route else ()))


def _act(signal: Signal, run: Run) -> None:
    """Apply a signal to one run: approval and halt. Health has already applied changes of price and exclusions."""
    if signal.action is SignalAction.HALT:
        run.scope.cancel(f"{signal.monitor} halted the run: {signal.reason or signal.kind}")
    elif signal.action is SignalAction.APPROVE and isinstance(signal.target, str):
        run.approval_wanted[signal.target] = f"{signal.monitor}: {signal.reason or signal.kind}"
