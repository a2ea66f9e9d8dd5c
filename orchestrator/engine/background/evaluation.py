"""`WorkEvaluator`: has the work of agents judged after their run has ended, in the background."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from orchestrator.agents.agent import Agent
from orchestrator.core.calls.user_code import UserCall, must_propagate
from orchestrator.core.events import WorkJudged
from orchestrator.core.text import counted
from orchestrator.engine.run import Run
from orchestrator.engine.runtime import Runtime
from orchestrator.selection import Demand
from orchestrator.selection.learning.evaluation import Judge, Judgement, as_judgement, judge_name, keep_judgement
from orchestrator.store import Store

from .learning import demanded

AT_ONCE: Final = 4
"""Pieces of work that are judged concurrently."""
JUDGE_TIMEOUT: Final = 60.0
"""Time-out of one judgement, in seconds."""
MAX_WAITING: Final = 1000
"""Length of the queue of pieces of work; when it is full, the oldest are dropped."""


@dataclass(frozen=True, slots=True)
class FinishedWork:
    """What an agent did in a run that has ended."""

    run_id: str
    agent: Agent
    judge: Judge
    keys: tuple[str, ...]
    inputs: Mapping[str, Any]
    """Values by key."""
    output: Any
    demand: Demand
    traceparent: str


@dataclass(slots=True, eq=False)
class _Evaluation:
    """How far the evaluation of a piece of work is; whoever takes it over continues from there."""

    work: FinishedWork
    judgement: Judgement | None = None
    """The answer of the judge, which is asked once."""
    event: WorkJudged | None = None
    """The result, which was learned from and passed to the sinks."""
    kept: bool = False
    """Whether the store has the result."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def keep(self, store: Store) -> None:
        """Store the result, once. Raises `StoreError`."""
        with self.lock:
            if self.event is not None and not self.kept:
                keep_judgement(store, self.event)
                self.kept = True


class WorkEvaluator:
    """Queues ended runs, has the work of their agents judged in the background, and records the results for learning.

    `judge` is the default evaluator. Errors and time-outs are reported. Pending evaluations survive a change of event
    loop; the rest is done when the orchestrator is closed.
    """

    def __init__(self, runtime: Runtime, spent_today: Callable[[], float] = lambda: 0.0) -> None:
        self.judge: Judge | None = None
        self._runtime = runtime
        self._spent_today = spent_today
        self._waiting: deque[_Evaluation] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._at_work: dict[asyncio.Task[Any], _Evaluation] = {}
        """The piece of work that each task judges now."""

    def observe(self, run: Run) -> None:
        """Enqueue the work of a run's agents for judging; returns at once. Called in the run's event loop."""
        found = self._works(run)
        limit = self._runtime.policy.max_spend_per_day
        if found and limit is not None and self._spent_today() >= limit:
            self._problem(f"the work of run {run.state.run_id} is not judged: today's ${limit:g} are spent")
        elif found:
            self._waiting.extend(map(_Evaluation, found))
            lost = len(self._waiting) - MAX_WAITING
            for _ in range(lost):
                self._waiting.popleft()
            if lost > 0:
                self._problem(f"the judges do not keep up: {counted(lost, 'piece')} of work without a judgement")
            self._begin()

    async def drain(self, seconds: float) -> None:
        """Wait at most `timeout` seconds until the queue is empty; the rest is reported and dropped."""
        self._take_over()
        self._begin()
        tasks = {task for task in self._tasks if task.get_loop() is asyncio.get_running_loop()}
        if tasks:
            try:
                await self._runtime.clock.wait_for(asyncio.wait(tasks), seconds)
            except TimeoutError:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
        if self._waiting:
            self._problem(f"{counted(len(self._waiting), 'piece')} of work: not judged before the end")
            self._waiting.clear()

    def _take_over(self) -> None:
        """Judge here the work of tasks in other event loops, which may be blocked or closed."""
        here = asyncio.get_running_loop()
        for task in [task for task in self._tasks if task.get_loop() is not here]:
            work = self._at_work.pop(task, None)
            if work is not None:
                self._waiting.appendleft(work)
            if not task.done() and not task.get_loop().is_closed():
                task.get_loop().call_soon_threadsafe(task.cancel)

    def _works(self, run: Run) -> list[FinishedWork]:
        state, found = run.state, list[FinishedWork]()
        for name, taken in state.done.items():
            agent = run.view.tools.get(name)
            if not isinstance(agent, Agent) or not run.values.has_output(name):
                continue
            judge = self._judge_of(agent, run)
            if judge is None:
                continue
            values = run.values.values
            found.append(
                FinishedWork(
                    run_id=state.run_id,
                    agent=agent,
                    judge=judge,
                    keys=tuple(agent.gives),
                    inputs={key: values[key] for key in taken.keys if key in values},
                    output=run.values.output(name),
                    demand=demanded(run.runtime, state, agent, values),
                    traceparent=state.traceparent,
                )
            )
        return found

    def _judge_of(self, agent: Agent, run: Run) -> Judge | None:
        """The judge of an agent's work in a run; `None` when there is none, or when it may not see the data."""
        judge = self.judge if agent.judge is None else agent.judge or None
        limits = (run.state.constraints, run.runtime.selector.options.constraints)
        if judge is None or not all(limit.lets_see(judge) for limit in limits if limit is not None):
            return None
        return judge

    # -- judging -----------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        self._tasks = {task for task in self._tasks if not task.done()}
        here = sum(task.get_loop() is loop for task in self._tasks)
        for _ in range(min(AT_ONCE - here, len(self._waiting))):
            self._tasks.add(asyncio.create_task(self._work(), name="orchestrator:judge"))

    async def _work(self) -> None:
        """Judge the queued work in order, then learn from the judgements."""
        while self._waiting:
            evaluation = self._waiting.popleft()
            task = asyncio.current_task()
            assert task is not None
            self._at_work[task] = evaluation
            try:
                await self._judged(evaluation)
            except asyncio.CancelledError:
                if self._at_work.pop(task, None) is evaluation:  # no other task has taken it over
                    self._waiting.appendleft(evaluation)
                raise
            except Exception as error:
                self._problem(
                    f"a judgement of {evaluation.work.agent.name} could not be taken in: {_error_line(error)}"
                )
            self._at_work.pop(task, None)
        await self._runtime.observers.learn()

    async def _judged(self, evaluation: _Evaluation) -> None:
        """Ask the judge, learn from the answer and store it. A task that takes the work over repeats none of these."""
        clock = self._runtime.clock
        began, problem = clock.monotonic(), ""
        if evaluation.judgement is None:
            try:
                await clock.wait_for(self._ask(evaluation), JUDGE_TIMEOUT)
            except TimeoutError:
                problem = f"gave no judgement within {JUDGE_TIMEOUT:g} s"
            except Exception as error:
                problem = f"failed: {_error_line(error)}"
        if evaluation.event is None:
            evaluation.event = self._learned(
                evaluation.work, evaluation.judgement or Judgement(None), max(0.0, clock.monotonic() - began), problem
            )
        await self._runtime.threads.run(partial(evaluation.keep, self._runtime.store))

    async def _ask(self, evaluation: _Evaluation) -> None:
        work = evaluation.work
        call = UserCall(work.judge, (work.inputs, work.output), in_thread=self._runtime.threads.run)
        evaluation.judgement = as_judgement(await call.result())

    def _learned(self, work: FinishedWork, judgement: Judgement, seconds: float, problem: str) -> WorkJudged:
        runtime = self._runtime
        event = WorkJudged(
            run_id=work.run_id,
            at=runtime.clock.time(),
            tool=work.agent.name,
            keys=work.keys,
            by=judge_name(work.judge),
            good=judgement.good,
            weight=0.0 if judgement.good is None else judgement.sure,
            cost=judgement.usd,
            tokens=judgement.tokens,
            seconds=seconds,
            problem=problem,
            traceparent=work.traceparent,
        )
        if problem:
            self._problem(f"the judge {event.by} of {work.agent.name} in run {work.run_id} {problem}")
        if judgement.good is not None:
            runtime.selector.learn(work.agent, work.demand, judgement.good, judgement.sure)
        emit_judgement(runtime, event)
        return event

    def _problem(self, message: str) -> None:
        self._runtime.store.on_problem(message)


def emit_judgement(runtime: Runtime, event: WorkJudged) -> None:
    """Send a judgement to every sink; a sink that fails is reported."""
    for sink in list(runtime.sinks):
        try:
            sink.on_event(event)
        except BaseException as error:
            if must_propagate(error):
                raise
            runtime.store.on_problem(f"{type(sink).__name__} did not take a judgement in: {_error_line(error)}")


def _error_line(error: BaseException) -> str:
    """The class of an error, without its message, which may quote the work."""
    return type(error).__name__


__all__ = ["FinishedWork", "WorkEvaluator", "emit_judgement"]
