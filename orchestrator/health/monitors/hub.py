"""`MonitorHub`: runs monitors in the background, isolated from runs: a slow or failing monitor delays nothing."""

import asyncio
import inspect
import math
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar

from orchestrator.core.calls.options import shown_value
from orchestrator.core.calls.user_code import call_plain, call_user
from orchestrator.core.clock import Clock
from orchestrator.core.enums import SignalAction
from orchestrator.core.errors import DefinitionError
from orchestrator.core.events import Event, ProblemReported, Progressed, RunEnded, SignalRaised
from orchestrator.core.policy import Policy
from orchestrator.core.process.forks import renew_after_fork
from orchestrator.graph.tool import Tool
from orchestrator.health import HealthRegistry

from .board import SignalBoard
from .facts import DailySpend, Monitor, MonitorFacts, RunStatistics
from .signal import WHOLE_RUN, Signal, WinningSignal, arbitrate

T = TypeVar("T")
MAX_BACKLOG: Final = 1024
"""Length of a monitor's event queue; when it is full, the oldest events are dropped."""
MONITOR_TIMEOUT: Final = 10.0
"""Time-out of one call of a monitor, in seconds."""
_OURS: Final = (SignalRaised, ProblemReported)
"""Events that monitors cause; these wake no monitor, because monitors would wake each other forever."""


class MonitorHub:
    """A sink of events that wakes each monitor in a task of its own.

    `on_verdict` is called with each new winning signal; `on_problem` with a monitor's name and its error, once until it
    works again. Neither may raise. A call of a monitor may take `patience` seconds; a slow monitor misses the oldest
    events and does not delay runs.
    """

    def __init__(
        self,
        monitors: Iterable[Monitor],
        clock: Clock,
        health: HealthRegistry,
        policy: Policy,
        *,
        tools: Callable[[], Mapping[str, Tool]],
        on_verdict: Callable[[WinningSignal], None],
        on_problem: Callable[[str, BaseException], None],
        today: DailySpend | None = None,
        patience: float = MONITOR_TIMEOUT,
        in_thread: Callable[[Callable[[], Any]], Awaitable[Any]] = asyncio.to_thread,
    ) -> None:
        self.monitors = check_monitors(monitors)
        self._clock = clock
        self._health = health
        self._policy = policy
        self._tools = tools
        self._on_verdict = on_verdict
        self._on_problem = on_problem
        self._patience = patience
        self._in_thread = in_thread
        self._fold = RunStatistics(today)
        self.board = SignalBoard(health)
        self._watchers = [_Watcher(monitor, self) for monitor in self.monitors]
        self._woken_by: dict[type[Event], tuple[_Watcher, ...]] = {}
        self.loop: asyncio.AbstractEventLoop | None = None
        """The event loop of the monitors."""
        renew_after_fork(self)

    @property
    def today(self) -> DailySpend:
        """The spending of all runs since midnight UTC; can be passed on to a new process."""
        return self._fold.today

    def after_fork(self) -> None:
        """In a forked child: drop the parent's event loop and tasks."""
        self.loop = None

    def start(self) -> None:
        """Start the monitors in the running event loop, unless they run in another live one."""
        loop = asyncio.get_running_loop()
        if self.loop is not None and (self.loop is loop or self.loop.is_running()):
            return  # one loop is enough
        self.loop = loop
        for watcher in self._watchers:
            watcher.start(loop)

    async def stop(self) -> None:
        """Stop every monitor, and wait until they have ended."""
        self.loop = None
        await asyncio.gather(*(watcher.stop() for watcher in self._watchers))

    def on_event(self, event: Event) -> None:
        """Apply one event and wake the monitors; never waits, never raises."""
        now = self._clock.monotonic()
        self._fold.apply(event, now)
        kind = type(event)
        if kind is RunEnded:
            self.board.forget_run(event.run_id)
        if kind is Progressed:  # tokens: frequent and irrelevant for health
            return
        for watcher in self._watchers:
            watcher.events.append(event)
        woken = self._woken_by.get(kind)
        if woken is None:
            woken = self._woken_by[kind] = tuple(w for w in self._watchers if kind not in _OURS and w.is_woken_by(kind))
        for watcher in woken:
            try:
                asked = watcher.asks is None or watcher.asks(event)
            except Exception:  # it gets the event with its next call
                asked = True
            if asked:
                watcher.wake_up()

    def active_signals(self, run_id: str) -> tuple[Signal, ...]:
        """The active signals for a run that the engine carries out; read when the run starts."""
        if not self.board.held:
            return ()
        holding = [signal for signal in self.board.holding(self._clock.monotonic()) if signal.run_id in ("", run_id)]
        return tuple(
            verdict.winner
            for verdict in arbitrate(holding)
            if verdict.winner.run_id or verdict.winner.action in (SignalAction.HALT, SignalAction.APPROVE)
        )

    def gate(self, tool: Tool, run_id: str, values: Mapping[str, Any]) -> tuple[Signal, ...]:
        """The signals that prevent the start of a write: active ones, and those of monitors with a `gate`.

        A monitor that raises is ignored.
        """
        run = self._fold.runs.get(run_id)
        keeping = (SignalAction.HALT, SignalAction.FORBID, SignalAction.APPROVE)
        about = (tool.name, WHOLE_RUN)
        found = [s for s in self.active_signals(run_id) if s.target in about and s.action in keeping]
        for monitor in self.monitors:
            ask: Any = getattr(monitor, "gate", None)
            if run is None or ask is None:
                continue
            try:
                signal = call_plain(ask, tool, values, run, self._policy)
            except Exception as error:
                self._on_problem(monitor.name, error)
                continue
            if signal is not None:
                found.append(replace(signal, monitor=monitor.name, run_id=run_id))
        return tuple(found)

    def facts(self, events: tuple[Event, ...]) -> MonitorFacts:
        """The facts for a monitor now."""
        return MonitorFacts(
            events=events,
            now=self._clock.monotonic(),
            time=self._clock.time(),
            runs=dict(self._fold.runs),
            tools=self._tools(),
            health=self._health,
            policy=self._policy,
            today=self._fold.today,
            in_thread=self._in_thread,
        )

    def post(self, signals: Iterable[Signal]) -> None:
        """Apply signals; returns the new winners."""
        for verdict in self.board.post(tuple(signals), self._clock.monotonic()):
            self._on_verdict(verdict)

    async def look(self, monitor: Monitor, facts: MonitorFacts) -> None:
        """Call a monitor once. Raises whatever it raises, and `TimeoutError` when it takes too long."""
        found = await self._clock.wait_for(call_user(_awaited_list, monitor, facts), self._patience)
        self.post([_signed(signal, monitor) for signal in found])

    async def look_in_thread(self, monitor: Monitor, facts: MonitorFacts) -> "asyncio.Task[Any] | None":
        """As `look`, in a thread; after a time-out the running thread is returned, because it cannot be ended."""
        task = asyncio.ensure_future(_awaited(self._in_thread(lambda: call_plain(_listed, monitor, facts))))
        # signals after the time-out are ignored
        task.add_done_callback(lambda late: late.cancelled() or late.exception())
        try:
            found = await self._clock.wait_for(asyncio.shield(task), self._patience)
        except TimeoutError as error:
            if task.done():
                raise
            self.trouble(monitor, error)
            return task
        self.post([_signed(signal, monitor) for signal in found])
        return None

    def trouble(self, monitor: Monitor, error: BaseException) -> None:
        """Report an error."""
        self._on_problem(monitor.name, error)

    async def pause(self, wake: asyncio.Event, seconds: float) -> None:
        """Wait for an event, at most `seconds`."""
        try:
            await self._clock.wait_for(wake.wait(), None if math.isinf(seconds) else seconds)
        except TimeoutError:
            for verdict in self.board.sweep(self._clock.monotonic()):
                self._on_verdict(verdict)


class _Watcher:
    """One monitor's task and its backlog of events."""

    def __init__(self, monitor: Monitor, hub: MonitorHub) -> None:
        self._monitor = monitor
        self.asks: Any = getattr(monitor, "wakes", None)
        """Whether an event wakes the monitor; `None`: every event does."""
        self._hub = hub
        self.events: deque[Event] = deque(maxlen=MAX_BACKLOG)
        self._wake: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._broken = False
        self._stuck: asyncio.Task[Any] | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._task is not None and not self._task.done():
            self._task.cancel()  # its event loop is closed
        self._loop, self._wake = loop, asyncio.Event()
        if self.events:
            self._wake.set()
        self._task = loop.create_task(self._run(self._wake), name=f"orchestrator:monitor:{self._monitor.name}")

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is None or self._loop is None:
            return
        if self._loop is asyncio.get_running_loop():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(task.cancel)

    def is_woken_by(self, kind: type[Event]) -> bool:
        """Whether an event of this type may wake the monitor."""
        kinds = getattr(self._monitor, "woken_by", None)
        return kinds is None or kind in kinds

    def wake_up(self) -> None:
        """Wake the monitor; callable from any thread."""
        wake, loop = self._wake, self._loop
        if wake is None or loop is None or wake.is_set() or loop.is_closed():
            return
        if _running_loop() is loop:
            wake.set()
        else:
            loop.call_soon_threadsafe(wake.set)

    async def _run(self, wake: asyncio.Event) -> None:
        while True:
            wake.clear()
            events: list[Event] = []
            while self.events:
                events.append(self.events.popleft())
            try:
                await self._look(tuple(events))
            except Exception as error:
                if not self._broken:
                    self._hub.trouble(self._monitor, error)
                self._broken = True
            await self._hub.pause(wake, self._monitor.interval)

    async def _look(self, events: tuple[Event, ...]) -> None:
        if self._stuck is not None and not self._stuck.done():
            return
        facts = self._hub.facts(events)
        if inspect.iscoroutinefunction(self._monitor.watch):
            await self._hub.look(self._monitor, facts)
            self._stuck = None
        else:
            self._stuck = await self._hub.look_in_thread(self._monitor, facts)
        self._broken = self._stuck is not None


def check_monitors(monitors: Iterable[Any]) -> tuple[Monitor, ...]:
    """Validate monitors. Raises `DefinitionError` for an object that is no monitor, and for a name used twice."""
    found: list[Monitor] = []
    names: set[str] = set()
    for monitor in monitors:
        name, interval = getattr(monitor, "name", None), getattr(monitor, "interval", None)
        if not isinstance(name, str) or not name or not callable(getattr(monitor, "watch", None)):
            hint = f" Did you mean {monitor.__name__}()?" if isinstance(monitor, type) else ""
            raise DefinitionError(
                "A monitor has a name, an interval in seconds and watch(facts), which "
                f"{shown_value(monitor)} has not.{hint}"
            )
        if isinstance(interval, bool) or not isinstance(interval, int | float) or not interval > 0:
            raise DefinitionError(f"Monitor {name!r}: interval is a number of seconds above 0, not {interval!r}.")
        if name in names:
            raise DefinitionError(f"Two monitors are called {name!r}. Give one of them another name.")
        names.add(name)
        found.append(monitor)
    return tuple(found)


def _listed(monitor: Monitor, facts: MonitorFacts) -> list[Any]:
    found = monitor.watch(facts)
    if inspect.isawaitable(found):
        raise DefinitionError(f"Monitor {monitor.name!r}: a watch that awaits is written async def.")
    return list(found or ())


async def _awaited_list(monitor: Monitor, facts: MonitorFacts) -> list[Any]:
    found: Any = monitor.watch(facts)
    return list(await found or ())


def _signed(signal: Any, monitor: Monitor) -> Signal:
    if not isinstance(signal, Signal):
        raise DefinitionError(f"Monitor {monitor.name!r} gave {signal!r}. A monitor gives signals.")
    return replace(signal, monitor=monitor.name)


async def _awaited(awaitable: Awaitable[T]) -> T:
    return await awaitable


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
