"""Driving a route: every step starts the moment its inputs are there. No supersteps, no barriers."""

import asyncio
from typing import TYPE_CHECKING

from orchestrator.core.enums import DecisionKind, Effect
from orchestrator.core.events import ToolExcluded
from orchestrator.core.route import Impasse, Route, Step
from orchestrator.engine.planning.demand_model import ask_what_is_demanded
from orchestrator.engine.planning.selection import newly_demanded

from .approval import why_approval
from .context import WaitForAnswer
from .executor import StepExecutor
from .result import Finished, StepStatus

if TYPE_CHECKING:
    from orchestrator.engine.run import Run


class StepScheduler:
    """Executes the current route of a run until the goal is reached, or nothing can go on."""

    def __init__(self, run: "Run") -> None:
        self.run = run
        self.tasks: dict[str, asyncio.Task[Finished]] = {}
        self._route: Route | None = None
        self._after: dict[str, list[Step]] = {}
        """Tool -> the steps of the route that wait for it."""
        self._ended: list[str] = []

    async def drive(self) -> bool:
        """True when every key of the goal has a value; False for an impasse."""
        try:
            return await self._drive()
        except asyncio.CancelledError:
            await self.settle_down()
            raise

    async def _drive(self) -> bool:
        run = self.run
        while True:
            if run.cancelled is None and not run.state.reached:
                self._start_ready()
            if not self.tasks or run.cancelled is not None or run.state.reached:
                await self.settle_down()
                return run.state.reached and run.cancelled is None
            ended = await self._some()
            if any(finished.ending is StepStatus.DONE for finished in ended):
                await ask_what_is_demanded(run)
            for finished in ended:
                self._take(finished)
            self._heed_health()

    async def _some(self) -> list[Finished]:
        """Calls that ended; empty when something else woke the run (a cancellation, a signal)."""
        await self.run.wake.wait()
        self.run.wake.clear()
        return self._collect()

    def _collect(self) -> list[Finished]:
        ended = [name for name, task in self.tasks.items() if task.done()]
        return [self.tasks.pop(name).result() for name in ended]

    async def settle_down(self) -> None:
        """Cancel the reads in flight, which lose nothing, and let writes finish."""
        for name, task in self.tasks.items():
            if self.run.view.tools[name].effect is Effect.READ:
                task.cancel()
        while self.tasks:
            await asyncio.shield(asyncio.wait(list(self.tasks.values())))
            for name, task in list(self.tasks.items()):
                del self.tasks[name]
                if not task.cancelled():
                    self._take(task.result(), replan=False)

    # -- starting ----------------------------------------------------------------------------------------------------

    def _start_ready(self) -> None:
        if self.run.route is None or self.run.open:
            return
        for step in self._candidates():
            name = step.tool
            if name in self.tasks or name in self.run.state.done or not self._ready(step):
                continue
            tool = self.run.view.tools.get(name)
            if tool is None:
                continue
            caller = StepExecutor(self.run, step, tool)
            task = asyncio.create_task(caller.make(), name=f"{self.run.state.run_id}:{name}")
            task.add_done_callback(self._woken)
            self.tasks[name] = task

    def _candidates(self) -> list[Step]:
        """The steps that may have become ready: all of a new route, else those that waited for what has just ended."""
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

    def _woken(self, task: asyncio.Task[Finished]) -> None:
        del task
        self.run.wake.set()

    def _ready(self, step: Step) -> bool:
        state = self.run.state
        return all(name in state.done for name in step.after) and all(key in state.at_hand for key in step.sources)

    # -- what came of a step -----------------------------------------------------------------------------------------

    def _take(self, finished: Finished, *, replan: bool = True) -> None:
        name = finished.tool
        if finished.ending is StepStatus.DONE:
            self._ended.append(name)
            if replan and self.run.route is None:
                self._reroute(f"{name} is done after all")  # what it gave was not counted on while it was uncertain
            elif replan:
                self._branch()
        elif finished.ending is StepStatus.FAILED:
            self._exclude(name, finished.reason)
            if replan:
                self.run.runtime.healing.allow(name)  # a fallback draws on what retries may cost
                self._reroute(f"{name} failed: {finished.reason}")
        elif finished.ending in (StepStatus.NOT_ADMITTED, StepStatus.OVER_BUDGET):
            self._exclude(name, finished.reason, over_budget=finished.ending is StepStatus.OVER_BUDGET)
            if replan:
                self._reroute(f"{name} cannot be started: {finished.reason}")
        else:
            self.run.open.append(question_of(self.run, name, finished.ending, finished.reason, finished.asked))

    def _exclude(self, tool: str, reason: str, *, over_budget: bool = False) -> None:
        self.run.emit(ToolExcluded(**self.run.stamp(), tool=tool, reason=reason, over_budget=over_budget))

    def _reroute(self, reason: str) -> None:
        if not self.run.open and not self.run.state.reached:
            self.run.replan(DecisionKind.REROUTE, reason)

    def _branch(self) -> None:
        """New values may settle conditions: a choice that is made now, and no failure."""
        asked = self.run.check_conditions()
        if not asked:
            self._demand()
            return
        planned = set(self.run.route.tools) if self.run.route else set[str]()
        settled = [name for name in asked if name in planned]
        if settled and not self.run.state.reached and not self.run.open:
            said = ", ".join(f"{name}: {'yes' if self.run.state.conditions[name] else 'no'}" for name in asked)
            self.run.replan(DecisionKind.BRANCH, f"conditions now known ({said})", subject=settled[0])
        else:
            self._demand()

    def _demand(self) -> None:
        """New values may tell what a step ahead demands of the agent that does it: who that is, is chosen now."""
        run = self.run
        key = "" if run.state.reached or run.open else newly_demanded(run)
        if key:
            run.replan(DecisionKind.BRANCH, f"what is demanded for {key} is now known", subject=key)

    def _heed_health(self) -> None:
        """A tool that the rest of the route relies on went down beside the work: recompute at once."""
        run = self.run
        if run.route is None or run.open or run.state.reached or run.cancelled is not None:
            return
        changed, run.repriced = run.repriced, set()
        changed -= run.state.done.keys() | self.tasks.keys()
        if not changed:
            return
        ahead = [step.tool for step in run.route.steps if step.tool in changed]
        down = [n for n in ahead if n not in run.state.allowed and not run.runtime.health.usable(n, run.last_resort)]
        if down:
            run.replan(DecisionKind.REROUTE, f"{', '.join(down)} went down")


def question_of(run: "Run", name: str, ending: StepStatus, reason: str, asked: WaitForAnswer | None = None) -> Impasse:
    """The impasse of one step that only a person, or a rung of the ladder, can settle."""
    kinds = {StepStatus.NEEDS_APPROVAL: "approval", StepStatus.ASKED: "question"}
    tool = run.view.tools[name]
    reasons = {
        StepStatus.NEEDS_APPROVAL: f"{name} waits for approval: {why_approval(run, tool, run.inputs_of(tool))}",
        StepStatus.ASKED: f"{name} asks a person",
        StepStatus.UNCERTAIN: f"{name} may have happened: {reason}",
        StepStatus.INVALID_EFFECT: f"{name} happened, but its output is not valid: {reason}",
    }
    return Impasse(
        goal=run.state.goal,
        unreachable=tuple(sorted(tool.gives)),
        blame=(),
        reason=reasons[ending],
        kind=kinds.get(ending, "ambiguous"),
        question=asked.question if asked else None,
        answer_type=asked.wanted if asked else "",
        run_id=asked.child if asked and asked.child else run.state.run_id,
        subject=name,
    )
