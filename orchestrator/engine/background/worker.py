"""A worker: takes queued runs from the store and drives many of them at once in one event loop."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from orchestrator.core.calls.options import checked_init
from orchestrator.core.errors import DefinitionError, InputError, OrchestratorError, OwnershipLost, StoreError
from orchestrator.core.goal import Budget, Goal
from orchestrator.engine.lifecycle.driver import give_up
from orchestrator.engine.lifecycle.queued import NotForThisWorker, drive_taken, submit
from orchestrator.engine.run import Run
from orchestrator.engine.runtime import Runtime
from orchestrator.store.rows import ClaimedRun
from orchestrator.store.signals import QUEUE
from orchestrator.store.unclaimed import UnclaimedRuns

from .heartbeat import LEASE_SECONDS
from .schedules import Schedule, Timetable, labels_of

QUEUE_POLL_SECONDS: Final = 0.2
"""Seconds between two polls of an empty queue without notifications."""
TOLD_POLL_SECONDS: Final = 1.0
"""The same where notifications or a queue engine announce new runs: a lost announcement is made up for after this time.
"""
SWEEP_SECONDS: Final = 1.0
"""Seconds between two sweeps, over all workers of a store; the worker that holds the sweep lease does it."""
STOP_ENGINE_SECONDS: Final = 5.0
"""Seconds that a queue engine may take to stop."""
ELSEWHERE_SECONDS: Final = 2.0
"""Seconds for which this worker does not claim a run that it cannot drive."""


@checked_init()
@dataclass(frozen=True)
class WorkerOptions:
    """The limits and the schedules of a worker."""

    concurrency: int = 100
    """Maximum number of concurrent runs of this worker."""
    limits: Mapping[str, int] | None = None
    """Maximum number of concurrent runs of a tenant, over all workers; `"*"`: of each tenant, `"**"`: of all together.
    """
    tool_limits: Mapping[str, int] | None = None
    """Maximum number of concurrent calls of a tool, over all workers with this option."""
    most_attempts: int = 5
    """How many owners of a run may die before it is set aside."""
    schedules: Sequence[Schedule] = ()
    """Goals that are submitted at given times, by whichever worker is first."""
    drain_seconds: float = 30.0
    """How long runs may continue after `stop` before they are returned to the queue."""

    def __post_init__(self) -> None:
        for name, least in (("concurrency", 1), ("most_attempts", 1), ("drain_seconds", 0)):
            _check_least(name, getattr(self, name), least)
        for name, limits, least in (("limits", self.limits, 0), ("tool_limits", self.tool_limits, 1)):
            for of, number in (limits or {}).items():
                _check_least(f"{name}[{of!r}]", number, least)


def _check_least(name: str, number: float, least: int) -> None:
    """Raises `DefinitionError` for a number below the least."""
    if not number >= least:
        raise DefinitionError(f"{name} of a worker is {least} or more; it was {number!r}")


class Worker:
    """Claims and drives runs until it is stopped. A run that waits for a person is released; its answer queues it
    again.
    """

    def __init__(self, runtime: Runtime, options: WorkerOptions | None = None) -> None:
        self._runtime = runtime
        self._options = options or WorkerOptions()
        self._tasks: dict[asyncio.Task[None], str] = {}
        self._stopping = asyncio.Event()
        self._hint = asyncio.Event()
        self._swept_at = float("-inf")
        runtime.fleet_limits.update(self._options.tool_limits or {})
        self._timetable = Timetable(self._options.schedules)
        self._engine_runs = False
        self._broken = False
        """Whether the last poll failed; this is reported once."""
        self._unclaimed = UnclaimedRuns(lambda key: bool(runtime.graph.view().producers(key)))
        self._undriven: dict[str, ClaimedRun] = {}
        """Claimed runs that could not be started: they are returned to the queue as soon as the store accepts that."""
        self.moved = ""
        """Why it stopped by itself: the store was migrated to a schema that this version does not read."""
        self.done = 0
        """Number of runs that this worker has driven to an end or a question."""

    @property
    def busy(self) -> int:
        """Runs that are driven now."""
        return len(self._tasks)

    @property
    def ready(self) -> bool:
        """Whether the worker claims runs."""
        return not self._stopping.is_set()

    def hint(self) -> None:
        """Poll the queue now: a run was added."""
        self._hint.set()

    def stop(self, drain_seconds: float | None = None) -> None:
        """Claim no more runs; runs in progress continue for the grace period and are then returned to the queue."""
        if drain_seconds is not None:
            self._options = replace(self._options, drain_seconds=drain_seconds)
        self._stopping.set()
        self._hint.set()

    async def run(self) -> None:
        """Work until stopped, then drain."""
        store, loop = self._runtime.store, asyncio.get_running_loop()
        unsubscribe = store.signals.subscribe(QUEUE, lambda: loop.call_soon_threadsafe(self._hint.set))
        receiving = asyncio.create_task(self._receive(), name="orchestrator:jobs")
        self._runtime.heartbeat.workers += 1
        try:
            while not self._stopping.is_set():
                self._hint.clear()
                took = await self._guarded(self._take)
                await self._guarded(self._look_after)
                if not took:
                    await self._pause()
        finally:
            unsubscribe()
            receiving.cancel()
            await asyncio.wait([receiving], timeout=STOP_ENGINE_SECONDS)
            await self._drain()
            self._runtime.heartbeat.workers -= 1

    async def _receive(self) -> None:
        """Subscribe to the store's queue engine; it is restarted whenever it stops."""
        transport, broken = self._runtime.store.transport, False
        while transport is not None:
            self._engine_runs = True
            try:
                await transport.receive(lambda _: self._hint.set())
                problem = "it stopped"
            except Exception as error:
                problem = f"{type(error).__name__}: {error}"
            self._engine_runs = False
            if not broken:
                self._runtime.store.on_problem(f"the queue engine {transport.name} is started again: {problem}")
            broken = not broken
            await asyncio.sleep(SWEEP_SECONDS)

    async def until_idle(self) -> int:
        """Drive the runs that are queued now, and those that they submit; returns how many there were."""
        idle = False
        while not idle:
            await self._look_after()
            if self.moved:
                await self._drain()
                break
            took = await self._take()
            idle = not took and not self._tasks
            if not took and self._tasks:
                await asyncio.wait(self._tasks, timeout=QUEUE_POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        return self.done

    async def _guarded(self, step: Any) -> bool:
        """Do a step that may fail with the store: an error is reported once, and the step is tried again at the next
        poll.
        """
        try:
            done = bool(await step())
        except OrchestratorError as error:
            if not self._broken:
                self._runtime.store.on_problem(f"the worker could not look into the queue: {error}")
            self._broken = True
            return False
        self._broken = self._broken and not done
        return done

    async def _take(self) -> int:
        free = self._options.concurrency - len(self._tasks)
        if free <= 0:
            return 0
        runtime, limits = self._runtime, self._options.limits
        take = partial(runtime.store.queue.take, runtime.owner, LEASE_SECONDS, free, limits, self._unclaimed)
        taken = await runtime.threads.run(take)
        for goal in self._unclaimed.newly_left():
            runtime.store.on_problem(f"runs of goal {goal!r} are left to other workers: no tool here gives it")
        for run in taken:
            task = asyncio.create_task(self._drive(run), name=f"work:{run.run_id}")
            self._tasks[task] = run.run_id
            task.add_done_callback(self._ended)
        return len(taken)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.pop(task, None)
        self._hint.set()
        if not task.cancelled() and task.exception() is not None:
            self._runtime.store.on_problem(f"a run could not be driven: {task.exception()}")

    async def _drive(self, taken: ClaimedRun) -> None:
        try:
            run = await drive_taken(self._runtime, taken)
        except NotForThisWorker as error:
            await self._leave_to_others(taken, str(error))
            return
        except OwnershipLost:
            return
        except OrchestratorError as error:
            self._runtime.store.on_problem(f"run {taken.run_id!r} could not be begun and is handed back: {error}")
            self._undriven[taken.run_id] = taken
            return
        except Exception as error:  # this process is alive, so no other would claim a run that it owns
            await self._leave_to_others(taken, f"{type(error).__name__}: {error}")
            return
        if run is not None:
            await self._ends_or_is_lost(run)
            self.done += not run.left

    async def _hand_back(self) -> None:
        """Return runs that could not be started: while this process is alive, no other would claim them."""
        for run_id, taken in list(self._undriven.items()):
            live = self._runtime.runs.live(run_id)
            if live is not None and live.token is not None and live.token >= taken.token:
                del self._undriven[run_id]  # it was started meanwhile, or claimed again
                continue
            await self._runtime.threads.run(partial(self._runtime.store.queue.requeue, run_id, taken.token))
            self._undriven.pop(run_id, None)

    async def _ends_or_is_lost(self, run: Run) -> None:
        """Wait until the run has ended, waits for a person, or another owner has it."""
        with contextlib.suppress(OrchestratorError, BaseExceptionGroup):
            await asyncio.wait([asyncio.ensure_future(_settled(run))])

    async def _leave_to_others(self, taken: ClaimedRun, why: str) -> None:
        runtime = self._runtime
        runtime.store.on_problem(f"run {taken.run_id!r} is left to another worker: {why}")
        self._unclaimed.leave(taken.run_id, ELSEWHERE_SECONDS)
        await runtime.threads.run(partial(runtime.store.queue.requeue, taken.run_id, taken.token, note=why))

    async def _look_after(self) -> bool:
        """Once a second: sweep (one worker of all), and cancel the runs whose cancellation was requested."""
        now = self._runtime.clock.monotonic()
        if now - self._swept_at < SWEEP_SECONDS:
            return False
        self._swept_at = now
        self.moved = await self._runtime.threads.run(self._runtime.store.moved)
        if self.moved:
            self._runtime.store.on_problem(f"{self.moved}; this worker stops and hands its runs back")
            self.stop(drain_seconds=0.0)
            return False
        await self._hand_back()
        await self._submit_due()
        for run_id in await self._runtime.threads.run(self._sweep):
            run = self._runtime.runs.live(run_id)
            if run is not None:
                run.scope.cancel("cancelled")
        return False

    async def _submit_due(self) -> None:
        """Submit the runs of schedules whose time has come, by the store's clock."""
        if not self._timetable:
            return
        runtime = self._runtime
        for schedule, at in self._timetable.due(await runtime.threads.run(runtime.store.now)):
            try:
                await submit(
                    runtime,
                    Goal(schedule.goal, demotions=schedule.demotions),
                    schedule.inputs,
                    run_id=schedule.run_id(at),
                    labels=labels_of(schedule),
                    priority=schedule.priority,
                    budget=None if schedule.budget is None else Budget(usd=schedule.budget),
                )
            except (DefinitionError, InputError) as error:  # the next time may find another graph
                runtime.store.on_problem(f"the schedule {schedule.name!r} was not submitted: {error}")
            self._timetable.submitted(schedule, at)

    def _sweep(self) -> list[str]:
        store, owner = self._runtime.store, self._runtime.owner
        try:
            mine = store.try_lease("sweep", owner, SWEEP_SECONDS * 0.9)
        except StoreError:  # no answer in time: another worker sweeps, or this one at its next poll
            mine = False
        if mine:
            swept = store.queue.sweep(self._options.most_attempts, proven=self._runtime.heartbeat.lapsed())
            for run_id in swept.set_aside:
                store.on_problem(f"run {run_id!r} was set aside: its owners died {self._options.most_attempts} times")
        return store.queue.cancelled(owner) if self._tasks else []

    async def _pause(self) -> None:
        """Wait for a notification, the time of the next run, or the next poll."""
        pause = QUEUE_POLL_SECONDS
        if self._engine_runs or self._runtime.store.signals.live:
            pause = TOLD_POLL_SECONDS
            if len(self._tasks) < self._options.concurrency:
                with contextlib.suppress(OrchestratorError):
                    look = partial(self._runtime.store.queue.next_due, self._unclaimed)
                    due = await self._runtime.threads.run(look)
                    pause = pause if due is None else min(pause, max(due, QUEUE_POLL_SECONDS))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._hint.wait()

    async def _drain(self) -> None:
        """Wait for runs to end during the grace period, then return the others to the queue."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._options.drain_seconds)
        for run_id in list(self._tasks.values()):
            run = self._runtime.runs.live(run_id)
            if run is not None:
                await give_up(run)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5.0)


async def _settled(run: Run) -> None:
    with contextlib.suppress(BaseException):
        await run.result.wait()


__all__ = ["Worker", "WorkerOptions"]
