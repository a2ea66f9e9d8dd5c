"""The phases of a run as a LangGraph, for `orc.compile`.

LangGraph carries planning, escalation, interrupt and resume; the dataflow of a route runs inside `execute`, because
LangGraph's supersteps are barriers (a slow sibling would hold up a fast branch). Checkpoints hold plain data only: the
run's id, its phase and the values of the graph's keys. The live run is looked up by its id.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, TypedDict, cast

from orchestrator.core.events import Event

from .lifecycle.phases import PHASES, Phase
from .run import Run

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph

FindRun = Callable[[Mapping[str, Any]], Awaitable[Run]]
"""The live run of a graph's state."""


class Nodes:
    """The four phases as nodes."""

    def __init__(self, find: FindRun, tell: Callable[[Run], Mapping[str, Any]]) -> None:
        self._find = find
        self._tell = tell
        """What the graph's state gets at the end, beside the phase."""

    async def node(self, phase: Phase, state: Mapping[str, Any]) -> dict[str, Any]:
        """Run one phase; interrupts where the run waits for a person."""
        run = await self._find(state)
        with run.traced():
            following = await PHASES[phase](run)
            if following is Phase.WAIT:
                following = await self._interrupted(run)
        return {"run_id": run.state.run_id, "phase": str(following), **self._tell(run)}

    async def _interrupted(self, run: Run) -> Phase:
        from langgraph.types import interrupt

        assert run.asked is not None
        run.runtime.observers.waits(run.state.run_id)  # the graph's checkpointer keeps the question
        question = run.asked.question
        given: Any = interrupt(
            {"run_id": run.state.run_id, "question": question.text, "choices": list(question.choices)}
        )
        run.give((given, ""))
        return await PHASES[Phase.ESCALATE](run)


def _phase(state: Any) -> str:
    return str(state.get("phase") or Phase.PLAN)


def build(
    nodes: Nodes, schema: Any, *, checkpointer: Any = None, input_schema: Any = None, output_schema: Any = None
) -> "CompiledStateGraph[Any, Any, Any, Any]":
    """Compile the graph of a run."""
    from langgraph.graph import END, START, StateGraph

    def as_node(phase: Phase) -> Callable[[Any], Awaitable[dict[str, Any]]]:
        async def node(state: Any) -> dict[str, Any]:
            return await nodes.node(phase, state)

        return node

    graph: Any = StateGraph(schema, input_schema=input_schema, output_schema=output_schema)
    for phase in PHASES:
        graph.add_node(str(phase), as_node(phase))
    graph.add_conditional_edges(START, _phase, [str(phase) for phase in PHASES])
    graph.add_conditional_edges("plan", _phase, ["execute", "escalate"])
    graph.add_conditional_edges("execute", _phase, ["finish", "escalate"])
    graph.add_conditional_edges("escalate", _phase, ["plan", "finish"])
    graph.add_edge("finish", END)
    compiled: CompiledStateGraph[Any, Any, Any, Any] = graph.compile(checkpointer=checkpointer)
    return compiled


def schemas(keys: Mapping[str, Any], goal: tuple[str, ...]) -> tuple[Any, Any, Any]:
    """State, input and output of `orc.compile(goal)`: every key of the graph in, the goal's keys and `outcome` out."""
    from langgraph.channels import UntrackedValue

    make = cast("Any", TypedDict)
    fields: dict[str, Any] = dict.fromkeys(keys, Any) | dict.fromkeys(goal, Any)
    outcome = Annotated[Any, UntrackedValue]
    state = make("state", {**fields, "run_id": str, "phase": str, "outcome": outcome}, total=False)
    taken = make("taken", {**fields, "run_id": str}, total=False)
    given = make("given", {**dict.fromkeys(goal, Any), "outcome": outcome}, total=False)
    return state, taken, given


class StreamSink:
    """Hands the events of a compiled graph's run to LangGraph's custom stream."""

    def __init__(self) -> None:
        from langgraph.config import get_stream_writer

        self._write = get_stream_writer()

    def on_event(self, event: Event) -> None:
        """Write one event."""
        self._write(event)
