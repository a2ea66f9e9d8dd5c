"""Executes a route: every step starts as soon as its inputs are at hand, without supersteps or barriers."""

import asyncio
import contextlib
from typing import Final

from orchestrator.core.enums import DecisionKind
from orchestrator.core.events import ToolExcluded
from orchestrator.core.route import Impasse, Route, Step
from orchestrator.engine.planning.agents import NOBODY
from orchestrator.engine.planning.demand_model import ask_what_is_demanded
from orchestrator.engine.planning.replan import check_conditions, follow_graph, replan, replan_by_latencies
from orchestrator.engine.planning.selection import newly_demanded
from orchestrator.engine.run import Run
from orchestrator.graph.revision import Cone

from .executor import StepExecutor
from .result import Done, Failed, InvalidEffect, NeedsApproval, NeedsPerson, NotStarted, StepResult, Uncertain

TURNS: Final = 32
"""Iterations of the event loop after which the end of a child or question has reached the code that awaited it."""


class StepScheduler:
    """Executes the current route of a run until the goal is reached, or nothing can continue."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.tasks: dict[str, asyncio.Task[StepResult]] = {}
        self._executors: dict[str, StepExecutor] = {}
        self._route: Route | None = None
        self._after: dict[str, list[Step]] = {}
        """Tool -> the steps of the route that wait for it."""
        self._ended: list[str] = []
        self._checked: list[str] = []
        """Tools whose condition was checked since the route was chosen."""

    async def drive(self) -> bool:
        """Execute until every key of the goal has a value (True), or nothing can continue without an answer (False).

        Calls that wait for a person stay suspended; call it again when there is an answer.
        """
        run = self.run
        try:
            while not await self._is_over():
                if (run.pending.questions or run.pending.reaches) and await self._waits_for_people():
                    return False
                ended = await self._some()
                anew = list[str]()
                done = False
                for name, result in ended:
                    done = done or isinstance(result, Done)
                    if isinstance(result, NotStarted) and result.declared_anew:
                        anew.append(name)
                if done:
                    if run.runtime.demands.model is not None:
                        await ask_what_is_demanded(run)
                    if run.view.cone(run.state.goal).conditional:
                        self._checked += await check_conditions(run)
                if anew:
                    follow_graph(run)
                    await check_conditions(run, anew)
                for name, result in ended:
                    self._take(name, result)
                if run.repriced:
                    self._apply_health()
            return run.state.reached and run.scope.reason is None
        except asyncio.CancelledError:  # the run is abandoned
            await self._give_up()
            raise

    async def _is_over(self) -> bool:
        """Start the ready steps; returns whether the goal is reached, the run must end, or nothing can continue."""
        over = self.run.scope.reason is not None or self.run.state.reached
        if not over:
            self._start_ready()
        if over or not self.tasks:
            await self.settle_down()
            return True
        return False

    @property
    def only_waits(self) -> bool:
        """Whether every call in flight can only continue after a person's answer."""
        return all(map(self._waits, self.tasks))

    async def _waits_for_people(self) -> bool:
        """As `only_waits`, after ended children and questions have reached the code that awaited them."""
        for _ in range(TURNS):
            if not self.only_waits:
                return False
            await asyncio.sleep(0)
        return self.only_waits

    async def _some(self) -> list[tuple[str, StepResult]]:
        """Wait for calls to end; empty when a cancellation or a signal woke the run."""
        ended = self._collect()  # one may have ended while the run waited
        if not ended:
            await self.run.wake.wait()
            ended = self._collect()
        self.run.wake.clear()
        return ended

    def _collect(self) -> list[tuple[str, StepResult]]:
        ended = list[tuple[str, StepResult]]()
        for name, task in tuple(self.tasks.items()):
            if task.done():
                del self.tasks[name], self._executors[name]
                ended.append((name, task.result()))
        return ended

    async def settle_down(self) -> None:
        """Cancel reads and writes that have not started, and let writes in flight finish.

        A write that outlasts the policy's patience is cancelled too and uncertain; so are all when the run is
        abandoned.
        """
        for name, task in self.tasks.items():
            executor = self._executors[name]
            executor.dropped = True
            if not executor.may_have_effect or self._waits(name):
                task.cancel()
        if not self.tasks:
            return
        patience = asyncio.ensure_future(self._patience())
        try:
            while self.tasks:
                await asyncio.wait({patience, *self.tasks.values()}, return_when=asyncio.FIRST_COMPLETED)
                self._take_ended()
                if patience.done() and self.tasks:
                    await self._give_up(settling=False)
        except asyncio.CancelledError:  # the run is abandoned
            await self._give_up()
            raise
        finally:
            patience.cancel()

    def _waits(self, name: str) -> bool:
        """Whether a call in flight can only continue after a person's answer."""
        executor = self._executors[name]
        return executor.in_call and not self.tasks[name].done() and self.run.call_waits(executor.call_id)

    def is_torn_down(self, call_id: str) -> bool:
        """Whether the event loop ends, not the run, while this call is in flight."""
        mine = {n for n, executor in self._executors.items() if executor.call_id == call_id and not executor.dropped}
        return any(self.tasks[name].cancelling() > 0 for name in mine & self.tasks.keys())

    @property
    def ends(self) -> bool:
        """Whether calls are being ended because the event loop ends or this process releases the run."""
        return any(task.cancelled() or task.cancelling() > 0 for task in self.tasks.values())

    def abandon(self) -> None:
        """Cancel the suspended calls without waiting for their end; the run keeps its state."""
        self.run.on_wake = None
        for task in self.tasks.values():
            task.cancel()

    async def leave(self) -> None:
        """Cancel the suspended calls; the run keeps its state, and they are made again when there is an answer."""
        self.run.on_wake = None
        tasks = list(self.tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self.tasks.clear()

    async def _patience(self) -> None:
        clock, seconds = self.run.runtime.clock, self.run.runtime.policy.patience
        with contextlib.suppress(TimeoutError):
            await clock.wait_for(asyncio.Event().wait(), seconds)

    async def _give_up(self, *, settling: bool = True) -> None:
        """Cancel the calls in flight, except those whose `reconcile` is running (`settling`)."""
        for name, task in self.tasks.items():
            if settling or not self._executors[name].settling:
                task.cancel()
        if self.tasks:
            await asyncio.wait(list(self.tasks.values()))
        self._take_ended()

    def _take_ended(self) -> None:
        for name, task in list(self.tasks.items()):
            if task.done():
                del self.tasks[name], self._executors[name]
                if not task.cancelled():
                    self._take(name, task.result(), replan=False)

    # -- starting ----------------------------------------------------------------------------------------------------

    def _start_ready(self) -> None:
        waiting = self.run.open
        if self.run.route is None or (waiting and any(impasse.kind != "approval" for impasse in waiting)):
            return
        asked = [impasse.subject for impasse in waiting] if waiting else []
        for step in self._candidates():
            name = step.tool
            if name in self.tasks or name in asked or name in self.run.state.done or not self._ready(step):
                continue
            tool = self.run.view.tools.get(name)
            if tool is None:
                continue
            executor = self._executors[name] = StepExecutor(self.run, step, tool)
            task = asyncio.create_task(self._made(executor), name=f"{self.run.state.run_id}:{name}")
            self.tasks[name] = task

    async def _made(self, executor: StepExecutor) -> StepResult:
        """Execute a step, and wake the run in the same iteration of the event loop in which the step ends or fails.

        A step that is cancelled before it begins wakes nobody: its caller waits for the task.
        """
        try:
            result = await executor.make()
        except GeneratorExit:  # its event loop is gone
            raise
        except BaseException:
            self.run.woken()
            raise
        self.run.woken()
        return result

    def _candidates(self) -> list[Step]:
        """The steps that may be ready now: all steps of a new route, else those that waited for ended steps."""
        route = self.run.route
        assert route is not None
        if route is not self._route:
            self._route, self._ended = route, []
            self._after = {}
            for step in route.steps:
                for name in step.after:
                    self._after.setdefault(name, []).append(step)
            return list(route.steps)
        ended, self._ended = self._ended, []
        return [step for name in ended for step in self._after.get(name, ())]

    def _ready(self, step: Step) -> bool:
        state = self.run.state
        return state.done.keys() >= set(step.after) and state.at_hand.keys() >= step.sources.keys()

    # -- what came of a step -----------------------------------------------------------------------------------------

    def _take(self, name: str, result: StepResult, *, replan: bool = True) -> None:
        match result:
            case Done():
                self._ended.append(name)
                if replan and self.run.route is None:
                    self._reroute(f"{name} is done after all")  # the plan did not count on it while it was uncertain
                elif replan and (self._checked or self.run.cast is not NOBODY or self._cone().timed):
                    self._branch()
            case Failed(reason, usable_later):
                if not usable_later:
                    self._exclude(name, reason)
                if replan:
                    self.run.runtime.healing.allow(name)  # a fallback draws on the retry budget
                    self._reroute(f"{name} failed: {reason}")
            case NotStarted(reason, over_budget, usable_later):
                if not usable_later:
                    self._exclude(name, reason, over_budget=over_budget)
                if replan:
                    self._reroute(f"{name} cannot be started: {reason}")
            case NeedsApproval() | Uncertain() | InvalidEffect():
                self.run.open.append(question_of(self.run, name, result))

    def _exclude(self, tool: str, reason: str, *, over_budget: bool = False) -> None:
        self.run.emit(ToolExcluded(**self.run.stamp(), tool=tool, reason=reason, over_budget=over_budget))

    def _reroute(self, reason: str) -> None:
        if not self.run.open and not self.run.state.reached:
            replan(self.run, DecisionKind.REROUTE, reason)

    def _branch(self) -> None:
        """Evaluate the conditions that new values determine: a decision of kind branch, no failure."""
        asked, self._checked = self._checked, []
        raised = [name for name in asked if name in self.run.state.excluded]
        if raised:
            self._reroute(f"the condition of {', '.join(raised)} raised")
            return
        if not asked:
            self._demand()
            return
        planned = set(self.run.route.tools) if self.run.route else set[str]()
        settled = [name for name in asked if name in planned]
        if settled and not self.run.state.reached and not self.run.open:
            said = ", ".join(f"{name}: {'yes' if self.run.state.conditions[name] else 'no'}" for name in asked)
            replan(self.run, DecisionKind.BRANCH, f"conditions now known ({said})", subject=settled[0])
        else:
            self._demand()

    def _cone(self) -> Cone:
        return self.run.view.cone(self.run.state.goal)

    def _demand(self) -> None:
        """Choose the agent of a later step again when new values determine its demand."""
        run = self.run
        key = "" if run.state.reached or run.open else newly_demanded(run)
        if key:
            replan(run, DecisionKind.BRANCH, f"what is demanded for {key} is now known", subject=key)
        elif not (run.state.reached or run.open) and self._cone().timed:
            replan_by_latencies(run)

    def _apply_health(self) -> None:
        """Plan again at once when a tool of the remaining route went down."""
        run = self.run
        if run.route is None or run.open or run.state.reached or run.cancelled is not None:
            return
        changed = run.take_repriced() - (run.state.done.keys() | self.tasks.keys())
        if not changed:
            return
        ahead = [step.tool for step in run.route.steps if step.tool in changed]
        down = [n for n in ahead if n not in run.state.allowed and not run.runtime.health.usable(n, run.last_resort)]
        if down:
            replan(run, DecisionKind.REROUTE, f"{', '.join(down)} went down")


def question_of(run: Run, name: str, result: NeedsPerson) -> Impasse:
    """The impasse of a step that only a person, or a rung of the ladder, can settle."""
    match result:
        case NeedsApproval(why):
            kind, reason = "approval", f"{name} waits for approval: {why}"
        case Uncertain(why):
            kind, reason = "ambiguous", f"{name} may have happened: {why}"
        case InvalidEffect(why):
            kind, reason = "ambiguous", f"{name} happened, but its output is not valid: {why}"
    tool = run.view.tools.get(name)
    return Impasse(
        goal=run.state.goal,
        unreachable=tuple(sorted(tool.gives)) if tool else (),
        blame=(),
        reason=reason,
        kind=kind,
        run_id=run.state.run_id,
        subject=name,
    )
