"""`ChildRuns`: the child runs of one call. Each `ctx.reach` is a call of its own."""

import asyncio
import contextvars
import hashlib
import re
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final
from urllib.parse import quote

from orchestrator.core.checks import check_name
from orchestrator.core.errors import InputError, OwnershipLost, Refused
from orchestrator.core.events import ChildDiscarded, ChildEnded
from orchestrator.core.goal import Goal
from orchestrator.core.outcome import Outcome
from orchestrator.engine.run import Run
from orchestrator.engine.state import ChildRecord, RunState, label_of

GoalAndInputs = tuple[tuple[str, ...], str]
"""A goal's keys, and the digest of the inputs."""
LONGEST_KEY: Final = 512
"""Characters of a `key` that names a child run."""
_CHILD: Final = re.compile(r"/~|/[^/]+/(@[^/]*|[^/]+-(hmac:[0-9a-f]{7}|[0-9a-f]{12}|[0-9a-f]{32})(-\d+)?(~\d+)?)$")
LONGEST_ID: Final = 600
"""Maximum bytes of a child's id; a longer one (of a deep tree or a long key) is replaced by its digest below the
root.
"""
GIVE_UP_SECONDS: Final = 1.0
"""Seconds that an abandoned child may take to end."""


class ChildRuns:
    """Starts and ends the child runs of one call, and records their costs and effects.

    A child's id consists of its parent, step, and key or (goal, inputs, repetition), and of the number of failed
    attempts of the step if the child of an earlier attempt cannot be reused.
    """

    def __init__(self, run: Run, tool: str, call_id: str, usage: "Counter[str]") -> None:
        self._run = run
        self._tool = tool
        self._call_id = call_id
        self._usage = usage
        self._keys: dict[str, GoalAndInputs] = {}
        self._times: Counter[GoalAndInputs] = Counter()
        self._tasks: dict[str, asyncio.Task[Outcome[Any]]] = {}
        self._waiting: Counter[str] = Counter()
        """Number of waiters of each child here."""
        self.cost = 0.0
        """US dollars of children that were not counted before."""
        self.llm_calls = 0

    async def reach(self, goal: Goal[Any], inputs: Mapping[str, Any], key: str | None) -> Outcome[Any]:
        """The outcome of a child goal.

        Raises `Refused` when a run above has the same goal with equal inputs, and `InputError` for a key that was used
        with another goal or other inputs.
        """
        run, digest = self._run, self._run.digest(inputs)
        if run.is_open(goal.keys, digest):
            raise Refused(f"the goal {goal.name} with equal inputs is already being worked on above")
        child_id = self._id(goal, digest, key)
        try:
            with run.pending.reaching(self._call_id, child_id):
                return await self._reached(child_id, goal, inputs)
        finally:
            run.wake_up()  # its call may only wait for people now

    async def _reached(self, child_id: str, goal: Goal[Any], inputs: Mapping[str, Any]) -> Outcome[Any]:
        """The outcome of a child. When its last waiter here is cancelled, the child is cancelled and its end awaited.

        A second cancellation no longer waits; the child ends at the latest with its call.
        """
        task = self._tasks.get(child_id)
        if task is None or task.done():
            context = contextvars.copy_context()
            _leave_langgraph(context)
            work = self._child(child_id, goal, inputs)
            task = self._tasks[child_id] = asyncio.create_task(work, name=f"reach:{child_id}", context=context)
        self._waiting[child_id] += 1
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if self._waiting[child_id] == 1:
                self._leave(child_id, task)
                await asyncio.wait({task})
            raise
        finally:
            self._waiting[child_id] -= 1

    def _leave(self, child_id: str, task: "asyncio.Task[Outcome[Any]]") -> None:
        run = self._run
        child = run.children.get(child_id)
        torn_down = run.scheduler is not None and run.scheduler.is_torn_down(self._call_id)
        if child is None or run.left or torn_down:
            task.cancel()  # it is being started, or the run is released without ending it
        elif task.cancelling() == 0:
            child.scope.cancel("its caller left")

    def _id(self, goal: Goal[Any], digest: str, key: str | None) -> str:
        asked: GoalAndInputs = (goal.keys, digest)
        if key is not None:
            check_name("a child run (key=)", key, longest=LONGEST_KEY)
            if self._keys.setdefault(key, asked) != asked:
                raise InputError(f"The key {key!r} was used for another goal or other inputs in this call.")
            part = f"@{quote(key, safe='')}".replace("~", "%7E")
        else:
            self._times[asked] += 1
            named = digest.rpartition(":")[2][:32] if self._run.state.child_ids > 1 else digest[:12]
            part = f"{_plain(goal.name)}-{named}"
            part += f"-{self._times[asked]}" if self._times[asked] > 1 else ""
        state = self._run.state
        base, generation = f"{state.run_id}/{_plain(self._tool)}/{part}", state.generation(self._tool)
        for earlier in range(generation, -1, -1):
            child_id = _shortened(f"{base}~{earlier}" if earlier else base)
            known = state.children.get(child_id)
            if known is not None and (earlier == generation or (known.reached and self._fresh(known, goal))):
                return child_id
        return _shortened(f"{base}~{generation}" if generation else base)

    def _fresh(self, known: ChildRecord, goal: Goal[Any]) -> bool:
        """Whether the values of an earlier attempt's child are within the `ttl` of the tools that gave them."""
        run = self._run
        givers = [run.view.tools[name] for key in goal.keys for name in run.view.producers(key)]
        ttl = min((tool.ttl for tool in givers if tool.ttl is not None), default=None)
        return ttl is None or run.runtime.clock.time() - known.at_end <= ttl

    async def _child(self, child_id: str, goal: Goal[Any], inputs: Mapping[str, Any]) -> Outcome[Any]:
        run = self._run
        try:
            outcome, state = await run.runtime.reach(
                run, child_id, goal, inputs, self._call_id, tainted=self._is_tainted()
            )
        except asyncio.CancelledError:
            child = run.ended_children.get(child_id)
            if child is not None and child.final is not None:
                self.take(child.final, child.state)
            raise
        self.take(outcome, state)
        return outcome

    def _is_tainted(self) -> bool:
        """Whether the inputs of the call derive from a value that a model provided."""
        state = self._run.state
        doing = state.doing.get(self._tool)
        taken = doing.taken.keys if doing is not None else ()
        return self._call_id in state.tainted_calls or bool(state.tainted.intersection(taken))

    def take(self, outcome: Outcome[Any], state: RunState) -> None:
        """Record an ended child in the run."""
        run, child_id = self._run, outcome.run_id
        first = child_id not in run.state.children
        run.child_outcomes[child_id] = outcome
        if first:
            self.cost += outcome.cost
            self.llm_calls += outcome.llm_calls
            self._usage.update(outcome.usage)  # pyright: ignore[reportArgumentType, reportCallIssue]
        reached = outcome.ok
        with suppress(OwnershipLost):
            run.emit(
                ChildEnded(
                    **run.stamp(),
                    call_id=self._call_id,
                    tool=self._tool,
                    child=child_id,
                    status=outcome.status,
                    cost=outcome.cost,
                    calls=state.started_calls + state.own_calls + state.child_calls,
                    effects=state.standing_of_tree() if reached else (),
                    compensated=tuple(label_of(child_id, label) for label in state.compensated),
                    uncompensated=tuple(label_of(child_id, label) for label in state.uncompensated),
                    tainted=bool(state.tainted.intersection(state.goal)),
                    generation=run.state.generation(self._tool),
                    at_end=state.ended_at,
                )
            )
        run.account.close_child(self._call_id, child_id, outcome.cost, counted=first)

    def discard(self, outcome: Outcome[Any]) -> None:
        """Mark the effects of a child as not used. Raises `InputError` for an outcome that does not belong to this
        step.
        """
        if outcome.run_id not in self._run.state.children:
            raise InputError(f"The run {outcome.run_id!r} is no child of {self._run.state.run_id!r}.")
        self._run.emit(ChildDiscarded(**self._run.stamp(), child=outcome.run_id))

    async def end(self, reason: str = "the call that reached for it has ended") -> None:
        """Cancel the children that are still live after the call, and wait for them within the policy's patience.

        A cancellation meanwhile is raised when they have ended; a second one abandons them.
        """
        tasks = {task for task in self._tasks.values() if not task.done()}
        if not tasks:
            return
        for child_id, task in self._tasks.items():
            child = self._run.children.get(child_id)
            if not task.done() and child is not None:
                child.scope.cancel(reason)
        ending = asyncio.ensure_future(self._ended_within_patience(tasks))
        try:
            await asyncio.shield(ending)
        except asyncio.CancelledError:
            await ending
            raise

    async def _ended_within_patience(self, tasks: "set[asyncio.Task[Outcome[Any]]]") -> None:
        try:
            await self._run.runtime.clock.wait_for(_all(tasks), self._run.runtime.policy.patience)
        except TimeoutError:
            await _given_up(tasks)
        except asyncio.CancelledError:
            await _given_up(tasks)
            raise


def is_child_id(run_id: str) -> bool:
    """Whether an id has the form of a child run's: a parent, a step, and a key, or a goal and the digest of inputs."""
    return _CHILD.search(run_id) is not None


def _plain(name: str) -> str:
    """A name as a part of an id, in which a slash separates parts."""
    return name.replace("%", "%25").replace("/", "%2F") if "/" in name or "%" in name else name


def _shortened(run_id: str) -> str:
    if len(run_id.encode()) <= LONGEST_ID:
        return run_id
    return f"{run_id.partition('/')[0]}/~{hashlib.sha256(run_id.encode()).hexdigest()}"


async def _given_up(tasks: "set[asyncio.Task[Outcome[Any]]]") -> None:
    for _ in range(2):  # the second cancellation abandons a child
        left = {task for task in tasks if not task.done()}
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=GIVE_UP_SECONDS)


async def _all(tasks: "set[asyncio.Task[Outcome[Any]]]") -> None:
    await asyncio.wait(tasks)


def _leave_langgraph(context: contextvars.Context) -> None:
    """Clear LangGraph's context: a child is a run of its own, no subgraph of the graph that called the tool."""
    config = sys.modules.get("langchain_core.runnables.config")  # not imported: LangGraph is not the caller
    if config is not None:
        context.run(config.var_child_runnable_config.set, None)


__all__ = ["ChildRuns"]
