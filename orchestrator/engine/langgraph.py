"""The phases of a run as a LangGraph, for `orc.compile`.

LangGraph executes planning, escalation, interrupt and resume; the steps of a route run inside the node `execute`,
because LangGraph's supersteps are barriers (a slow step would delay an independent fast one). Checkpoints hold plain
data only: the run's id, its phase and the values of the graph's keys. The live run is looked up by its id.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

from typing_extensions import TypedDict

from orchestrator.core.enums import Status
from orchestrator.core.errors import InputError
from orchestrator.core.events import Event
from orchestrator.core.outcome import Outcome
from orchestrator.core.process.loops import cancelled_once, in_a_loop
from orchestrator.engine.lifecycle.driver import (
    check_answer,
    drive_child,
    enlist,
    join,
    let_go,
    note_end,
    own_again,
    ready_to_answer,
    watch_calls,
)
from orchestrator.engine.lifecycle.finish import end_as_it_stands, outcome_of
from orchestrator.engine.lifecycle.phases import PHASES, Phase, drive

from .run import Run

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph

BEGIN: Final = "begin"
"""Name of the first node, which starts one run per invocation."""
Begin = Callable[[Mapping[str, Any]], Awaitable[Run]]
"""Starts a run with the inputs of an invocation."""
Find = Callable[[str], Awaitable[Run | Outcome[Any]]]
"""Finds the run with an id, or its outcome if it has ended."""


class Nodes:
    """The four phases as nodes, and a node that starts the run."""

    def __init__(self, begin: Begin, find: Find, goal: tuple[str, ...]) -> None:
        self._begin = begin
        self._find = find
        self._goal = goal

    async def begin(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Start a run with the inputs of this invocation."""
        run = await self._begin(state)
        return {"run_id": run.state.run_id, "phase": str(Phase.PLAN)}

    async def node(self, phase: Phase, state: Mapping[str, Any]) -> dict[str, Any]:
        """Run one phase; interrupts where the run waits for a person."""
        found = await self._find(state["run_id"])
        if isinstance(found, Outcome):
            return self._over(found)
        if found.loop is not asyncio.get_running_loop():
            found.rebind()
        if found.task is not None and found.state.status is not Status.WAITING:  # it was answered outside the graph
            enlist(found)
            return self._over(await join(found))
        await own_again(found)  # while it waited, any process could take its answer
        with found.runtime.tracing.within(found.state.run_id):
            following = await _drive_on(found, phase)
            if following is Phase.WAIT:
                following = await self._interrupted(found)
                following = Phase.ESCALATE if following is Phase.WAIT else following
        if following is Phase.END:
            return self._over(_finished(found))
        return {"phase": str(following)}

    async def _interrupted(self, run: Run) -> Phase:
        """Ask through LangGraph's `interrupt` until an answer is valid; the graph's checkpointer keeps the question."""
        from langgraph.types import interrupt

        await let_go(run)
        run.runtime.observers.waits(run.state.run_id)
        watch_calls(run)
        shown, problem = next(iter(run.asked.values())), ""
        question = shown.question
        while True:
            asked = {
                "run_id": run.state.run_id,
                "id": question.id,
                "question": question.text,
                "choices": list(question.choices),
            }
            given: Any = interrupt({**asked, "problem": problem} if problem else asked)
            try:
                check_answer(run, shown.impasse, question, given)
            except InputError as error:
                problem = str(error)
            else:
                break
        path = await ready_to_answer(run, question.id, given)
        for each in path:
            if each is not run:
                drive_child(each)
        return await _drive_on(run, Phase.ESCALATE)

    def _over(self, outcome: Outcome[Any]) -> dict[str, Any]:
        values = {key: outcome.values[key] for key in self._goal if key in outcome.values}
        return {"run_id": outcome.run_id, "phase": str(Phase.END), **values, "outcome": outcome.portable()}


async def _drive_on(run: Run, phase: Phase) -> Phase:
    """Run one phase for a compiled graph. When the caller is cancelled, the run is cancelled and ended."""

    async def work() -> Phase:
        return await PHASES[phase](run)

    task = asyncio.create_task(work())
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        run.scope.cancel("its caller left")
        with cancelled_once(), contextlib.suppress(Exception, asyncio.CancelledError):
            following = await run.runtime.clock.wait_for(task, run.runtime.policy.patience)
            await drive(run, following)
        note_end(run, run.final or end_as_it_stands(run))
        raise


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
    nodes: Nodes, schema: Any, *, checkpointer: Any = None, input_schema: Any = None, output_schema: Any = None
) -> "CompiledStateGraph[Any, Any, Any, Any]":
    """Compile the graph of a run, for `invoke` and `ainvoke` alike."""
    from langchain_core.runnables import RunnableLambda
    from langgraph.graph import END, START, StateGraph

    def as_node(call: Callable[[Any], Any]) -> Any:
        return RunnableLambda(lambda state: in_a_loop(call(state)), afunc=call)

    def of_phase(phase: Phase) -> Callable[[Any], Any]:
        async def node(state: Any) -> dict[str, Any]:
            return await nodes.node(phase, state)

        return node

    graph: Any = StateGraph(schema, input_schema=input_schema, output_schema=output_schema)
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
    return compiled


def schemas(keys: Mapping[str, Any], goal: tuple[str, ...]) -> tuple[Any, Any, Any]:
    """State, input and output schema of `orc.compile(goal)`: the keys of the graph in, the goal's keys and `outcome`
    out.

    The goal's own keys are never inputs; the inputs of an invocation are cleared when the next one starts.
    """
    from langgraph.channels import EphemeralValue

    make = cast("Any", TypedDict)
    inputs: dict[str, Any] = {key: Annotated[Any, EphemeralValue] for key in keys if key not in goal}
    given: dict[str, Any] = {**dict.fromkeys(goal, Any), "outcome": Outcome}
    state = make("state", {**inputs, **given, "run_id": str, "phase": str}, total=False)
    return state, make("taken", inputs, total=False), make("given", given, total=False)


class StreamSink:
    """Forwards the events of a compiled graph's run to LangGraph's custom stream."""

    def __init__(self) -> None:
        from langgraph.config import get_stream_writer

        self._write = get_stream_writer()

    def on_event(self, event: Event) -> None:
        """Write one event to the stream."""
        self._write(event)
