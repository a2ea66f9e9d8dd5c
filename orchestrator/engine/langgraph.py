"""The phases of a run as a LangGraph, for `orc.compile`.

LangGraph executes planning, escalation, interrupt and resume; the steps of a route run inside the node `execute`,
because LangGraph's supersteps are barriers (a slow step would delay an independent fast one). Checkpoints hold plain
data only: the run's id, its phase and the values of the graph's keys. The live run is looked up by its id.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Future
from functools import cache
from itertools import count
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

from typing_extensions import TypedDict

from orchestrator.core.enums import Status
from orchestrator.core.errors import InputError, OwnershipLost
from orchestrator.core.events import Event
from orchestrator.core.outcome import Outcome
from orchestrator.core.process.loops import cancelled_once
from orchestrator.engine.lifecycle.driver import (
    check_answer,
    dismiss,
    drive_child,
    enlist,
    join,
    note_end,
    ready_to_answer,
    settle_lost,
    start,
    watch_calls,
)
from orchestrator.engine.lifecycle.finish import end_as_it_stands, outcome_of
from orchestrator.engine.lifecycle.ownership import let_go, own_again
from orchestrator.engine.lifecycle.phases import PHASES, Phase, drive

from .run import Run

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph

INVOCATION: Final = "__orchestrator_invocation"
"""Where the configuration of a graph's nodes has the `Invocation`; LangGraph keeps such names out of checkpoints."""
BEGIN: Final = "begin"
"""Name of the first node, which starts one run per invocation."""
Begin = Callable[[Mapping[str, Any]], Awaitable[Run]]
"""Starts a run with the inputs of an invocation."""
Find = Callable[[str], Awaitable[Run | Outcome[Any]]]
"""Finds the run with an id, or its outcome if it has ended."""


class Invocation:
    """One invocation of a compiled graph. Its caller has left where it is over before its run, which no thread can
    continue, has ended: a stream that is closed between two steps, an error of the graph.
    """

    def __init__(self) -> None:
        self.run: Run | None = None
        """The run, where the graph is on no thread."""

    def within(self, config: Any) -> dict[str, Any]:
        """The configuration of the invocation's nodes."""
        given: dict[str, Any] = dict(config or {})
        return {**given, "configurable": {**(given.get("configurable") or {}), INVOCATION: self}}

    def over(self) -> None:
        """Cancel the run, unless it has ended; from any thread."""
        if self.run is not None and self.run.state.status is Status.RUNNING:
            with contextlib.suppress(RuntimeError):  # its event loop is closed: it stays as it stands
                self.run.loop.call_soon_threadsafe(_cancel, self.run)


def _cancel(run: Run) -> None:
    if run.task is None and run.phase is None and run.state.status is Status.RUNNING and not run.fenced:
        run.scope.cancel("its caller left")
        start(run, Phase.ESCALATE)
        dismiss(run)


class Nodes:
    """The four phases as nodes, and a node that starts the run."""

    def __init__(self, begin: Begin, find: Find, goal: tuple[str, ...]) -> None:
        self._begin = begin
        self._find = find
        self._goal = goal

    async def begin(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Begin a run with what this invocation gave."""
        run = await self._begin(state)
        invocation: Invocation | None = _configured(INVOCATION) or None
        if invocation is not None and not run.named:
            invocation.run = run
        return {"run_id": run.state.run_id, "phase": str(Phase.PLAN), "asked": ""}

    async def node(self, phase: Phase, state: Mapping[str, Any]) -> dict[str, Any]:
        """Run one phase, or all that are left where no further step is allowed; interrupts where the run waits for a
        person.

        Where another process has taken the run over, this waits for the outcome that it records, and continues where
        that process died or left a question.
        """
        try:
            return await self._phase(phase, state)
        except OwnershipLost:
            found = await self._find(state["run_id"])
            if isinstance(found, Outcome):
                return self._over(found)
            again = Phase.ESCALATE if found.state.status is Status.WAITING else Phase.PLAN
            return await self.node(again, state)

    async def _phase(self, phase: Phase, state: Mapping[str, Any]) -> dict[str, Any]:
        """As `node`. Raises `OwnershipLost` where another process has taken the run over."""
        found = await self._find(state["run_id"])
        while isinstance(found, Run) and (outcome := await _driven_elsewhere(found)) is not None:
            found, phase = (
                await self._find(state["run_id"]) if outcome.status is Status.WAITING else outcome,
                Phase.ESCALATE,
            )
        if isinstance(found, Outcome):
            return self._over(found)
        return await self._driven(found, phase, state)

    async def _driven(self, run: Run, phase: Phase, state: Mapping[str, Any]) -> dict[str, Any]:
        """Drive a run by one phase, or to its end where no further step is allowed, while its events go to the stream
        of this invocation.
        """
        left = run.node = Future()
        leave, last = run.recorder.follow(StreamSink()), state.get("remaining_steps", 3) <= 2
        following = phase
        try:
            await _made_ours(run)
            with run.runtime.tracing.within(run.state.run_id):
                following = await _drive_on(run, phase)
                while following is Phase.WAIT or (last and following in PHASES):
                    if following is not Phase.WAIT:
                        following = await _drive_on(run, following)
                    elif last or state.get("asked"):
                        following = await _interrupted(run, state.get("asked", ""))
                    else:  # the next step asks, so that the checkpoint before it says which question
                        return {"phase": str(Phase.ESCALATE), "asked": next(iter(run.asked))}
        finally:
            leave()
            left.set_result(None)
        if following is Phase.END:
            return self._over(_finished(run))
        return {"phase": str(following), "asked": ""}

    def _over(self, outcome: Outcome[Any]) -> dict[str, Any]:
        values = {key: outcome.values[key] for key in self._goal if key in outcome.values}
        return {"run_id": outcome.run_id, "phase": str(Phase.END), **values, "outcome": outcome.portable()}


async def _made_ours(run: Run) -> None:
    """Own a run that waited, and bind it to this event loop. Raises `InputError` when another process has it."""
    if run.state.status is Status.WAITING:
        await own_again(run)
    await settle_lost(run)
    if run.loop is not asyncio.get_running_loop():
        run.rebind()


async def _interrupted(run: Run, expected: str) -> Phase:
    """Ask through LangGraph's `interrupt` until an answer fits, and continue with it; the graph's checkpointer keeps
    the questions. `expected`: the one that this step of the graph was to ask.
    """
    from langgraph.types import interrupt

    shown, problem, given = next(iter(run.asked.values())), "", None
    question = shown.question
    await _rest(run)
    known = _task_id() in run.interrupts
    before = run.interrupts.setdefault(_task_id(), [expected or question.id])
    for number in count():
        asked = {
            "run_id": run.state.run_id,
            "id": question.id,
            "question": question.text,
            "choices": list(question.choices),
        }
        fresh = number == len(before)
        if fresh:
            before.append(question.id)
        given = interrupt({**asked, "problem": problem} if problem else asked)
        if before[number] != question.id or (fresh and known):  # the thread was forked, or was answered twice
            problem = "The answer before was to another question, which is no longer open."
            continue
        try:
            check_answer(run, shown.impasse, question, given)
            break
        except InputError as error:
            problem = str(error)
    path = await ready_to_answer(run, question.id, given)
    for each in path:
        if each is not run:
            drive_child(each)
    return await _drive_on(run, Phase.ESCALATE)


async def _rest(run: Run) -> None:
    """Note that the run waits, and release it, so that any process may take its answer."""
    outcome = outcome_of(run)
    note_end(run, outcome)
    await let_go(run)
    run.runtime.observers.waits(run.state.run_id)
    if not run.result.done():
        run.result.set_result(outcome)
    watch_calls(run)


def on_a_thread() -> bool:
    """Whether this invocation of a graph is on a thread, whose checkpoints may ask for its run again."""
    return bool(_configured("thread_id"))


def _task_id() -> str:
    """What LangGraph knows this execution of the node by; the same when it is executed again with an answer."""
    return str(_configured("checkpoint_ns"))


def _configured(name: str) -> Any:
    from langgraph.config import get_config

    return get_config().get("configurable", {}).get(name, "")


async def _driven_elsewhere(run: Run) -> Outcome[Any] | None:
    """The outcome of a run that another invocation of its graph, or a task, drives; `None` for one that none drives."""
    if run.node is not None and not run.node.done():
        await asyncio.wrap_future(run.node)
        return outcome_of(run) if run.state.status is Status.WAITING else await run.result.wait()
    if run.task is None or run.state.status is Status.WAITING:
        return None
    enlist(run)
    return await join(run)


async def _drive_on(run: Run, phase: Phase) -> Phase:
    """One phase of a run that a compiled graph drives. Where the caller leaves, the run is cancelled and ended."""

    async def work() -> Phase:
        return await PHASES[phase](run)

    task = run.phase = asyncio.create_task(work())
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if run.fenced:
            here = asyncio.current_task()
            if here is None or not here.cancelling():
                raise OwnershipLost(f"another process has taken over the run {run.state.run_id!r}") from None
            raise
        run.scope.cancel("its caller left")
        with cancelled_once(), contextlib.suppress(Exception, asyncio.CancelledError):
            following = await run.runtime.clock.wait_for(task, run.runtime.policy.patience)
            await drive(run, following)
        note_end(run, run.final or end_as_it_stands(run))
        raise
    finally:
        run.phase = None


def _finished(run: Run) -> Outcome[Any]:
    """Note the end of a run that a compiled graph has driven; returns its outcome."""
    outcome = run.final or outcome_of(run)
    note_end(run, outcome)
    if not run.result.done():
        run.result.set_result(outcome)
    return outcome


def _phase(state: Any) -> str:
    return str(state.get("phase") or Phase.PLAN)


def build_graph(
    nodes: Nodes, schemas: tuple[Any, Any, Any], checkpointer: Any, run_sync: Callable[[Coroutine[Any, Any, Any]], Any]
) -> "CompiledStateGraph[Any, Any, Any, Any]":
    """Compile the graph of a run, of state, input and output of these schemas, for `invoke` and `ainvoke` alike.

    `run_sync` awaits a node for a caller that is not async, in a loop that outlives the call: there a suspended call
    of a run that waits goes on.
    """
    from langchain_core.runnables import RunnableLambda
    from langgraph.graph import END, START, StateGraph

    def as_node(call: Callable[[Any], Any]) -> Any:
        return RunnableLambda(lambda state: run_sync(call(state)), afunc=call)

    def of_phase(phase: Phase) -> Callable[[Any], Any]:
        async def node(state: Any) -> dict[str, Any]:
            return await nodes.node(phase, state)

        return node

    schema, taken, given = schemas
    graph: Any = StateGraph(schema, input_schema=taken, output_schema=given)
    graph.add_node(BEGIN, as_node(nodes.begin))
    for phase in PHASES:
        graph.add_node(str(phase), as_node(of_phase(phase)))
    graph.add_edge(START, BEGIN)
    graph.add_edge(BEGIN, "plan")
    ends = {"end": END}
    following = {"plan": "plan", "execute": "execute", "escalate": "escalate", "finish": "finish", **ends}
    graph.add_conditional_edges("plan", _phase, {"execute": "execute", "escalate": "escalate", **ends})
    graph.add_conditional_edges("execute", _phase, {"finish": "finish", "escalate": "escalate", **ends})
    graph.add_conditional_edges("escalate", _phase, following)
    graph.add_edge("finish", END)
    compiled: CompiledStateGraph[Any, Any, Any, Any] = graph.compile(checkpointer=checkpointer)
    made: CompiledStateGraph[Any, Any, Any, Any] = _run_graph()(**vars(compiled))
    return made


@cache
def _run_graph() -> Any:
    from langgraph.graph.state import CompiledStateGraph

    compiled: Any = CompiledStateGraph

    class RunGraph(compiled):  # type: ignore[misc]
        """A compiled graph that knows when an invocation is over. `invoke`, `ainvoke` and events are streams too."""

        def stream(self, input: Any, config: Any = None, **options: Any) -> Iterator[Any]:
            """As LangGraph's."""
            invocation = Invocation()
            inner: Any = super()
            try:
                yield from inner.stream(input, invocation.within(config), **options)
            finally:
                invocation.over()

        async def astream(self, input: Any, config: Any = None, **options: Any) -> AsyncIterator[Any]:
            """As LangGraph's."""
            invocation = Invocation()
            inner: Any = super()
            try:
                async with contextlib.aclosing(inner.astream(input, invocation.within(config), **options)) as parts:
                    async for part in parts:
                        yield part
            finally:
                invocation.over()

    return RunGraph


def schemas(keys: Mapping[str, Any], goal: tuple[str, ...]) -> tuple[Any, Any, Any]:
    """State, input and output schema of `orc.compile(goal)`: the keys of the graph in, the goal's keys and `outcome`
    out.

    The goal's own keys are never inputs; the inputs of an invocation are cleared when the next one starts.
    """
    from langgraph.channels import EphemeralValue
    from langgraph.managed import RemainingSteps

    make = cast("Any", TypedDict)
    inputs: dict[str, Any] = {key: Annotated[Any, EphemeralValue] for key in keys if key not in goal}
    given: dict[str, Any] = {
        **dict.fromkeys(goal, Annotated[Any, EphemeralValue]),
        "outcome": Annotated[Outcome, EphemeralValue],
    }
    own = {"run_id": str, "phase": str, "asked": str, "remaining_steps": RemainingSteps}
    state = make("state", {**inputs, **given, **own}, total=False)
    return state, make("taken", inputs, total=False), make("given", given, total=False)


class StreamSink:
    """Forwards the events of a compiled graph's run to LangGraph's custom stream."""

    def __init__(self) -> None:
        from langgraph.config import get_stream_writer

        self._write = get_stream_writer()

    def on_event(self, event: Event) -> None:
        """Write one event to the stream."""
        self._write(event)
