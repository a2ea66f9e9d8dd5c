"""The run as a compiled LangGraph: plan, execute, escalate, finish.

The graph carries planning, escalation, interrupt and resume; the dataflow of a route runs inside `execute`, because
LangGraph's supersteps are barriers (a slow sibling would hold up a fast branch). Checkpoints hold plain data only: the
run's id and phase, and for `compile` its values. The live run is looked up by its id.
"""

from collections.abc import Awaitable, Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, TypedDict, cast

from orchestrator.core.enums import DecisionKind
from orchestrator.core.events import Event
from orchestrator.engine.lifecycle.escalation import Escalator
from orchestrator.engine.lifecycle.finish import close
from orchestrator.engine.planning.demand_model import ask_what_is_demanded
from orchestrator.engine.steps.scheduler import StepScheduler

from .run import Run

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph

PHASES = ("plan", "execute", "escalate", "finish")


class Phases(TypedDict, total=False):
    """The state of a run's graph."""

    run_id: str
    phase: str


FindRun = Callable[[Mapping[str, Any]], Awaitable[Run]]
"""The live run of a graph's state."""


class Nodes:
    """The four nodes."""

    def __init__(self, find: FindRun, tell: Callable[[Run], Mapping[str, Any]] = lambda run: {}) -> None:
        self._find = find
        self._tell = tell
        """What the graph's state is told at the end, beside the phase."""

    async def plan(self, state: Any) -> dict[str, Any]:
        """Choose a route from where the run stands."""
        run = await self._find(state)
        if run.open:
            return self._to(run, "escalate")
        again = bool(run.state.unanswered) or run.first_route is not None
        kind = DecisionKind.REROUTE if run.state.unanswered else DecisionKind.ROUTE
        with run.traced():
            await ask_what_is_demanded(run)
            found = run.replan(kind, "from where the run stands" if again else "the cheapest feasible route")
        return self._to(run, "execute" if found else "escalate")

    async def execute(self, state: Any) -> dict[str, Any]:
        """Run the route; steps start the moment their inputs are there."""
        run = await self._find(state)
        with run.traced():
            reached = await StepScheduler(run).drive()
        return self._to(run, "finish" if reached else "escalate")

    async def escalate(self, state: Any) -> dict[str, Any]:
        """Take the impasse to the ladder; wait for a person where one is asked."""
        run = await self._find(state)
        with run.traced():
            return self._to(run, await self._escalated(run))

    async def _escalated(self, run: Run) -> str:
        from langgraph.types import interrupt

        if run.escalator is None:
            run.escalator = Escalator(run)
        escalator = run.escalator
        if escalator.question is None:
            goes_on = await escalator.escalate()
        if escalator.question is not None:
            if run.task is None:  # it is a node of the user's own graph, whose checkpointer keeps the question
                run.runtime.announce(run.state.run_id)
            given: Any = interrupt(self._asked(run, escalator))
            answer, by = run.answer if run.answer is not None else (given, "")
            run.answer = None
            goes_on = await escalator.answered(answer, by)
        return "plan" if goes_on else "finish"  # pyright: ignore[reportPossiblyUnboundVariable]

    async def finish(self, state: Any) -> dict[str, Any]:
        """Undo what is not used, and tell the outcome."""
        run = await self._find(state)
        with run.traced():
            run.final = await close(run)
        return self._to(run, "finish")

    def _to(self, run: Run, phase: str) -> dict[str, Any]:
        return {"run_id": run.state.run_id, "phase": phase, **self._tell(run)}

    @staticmethod
    def _asked(run: Run, escalator: Escalator) -> dict[str, Any]:
        question = escalator.question
        assert question is not None
        return {"run_id": run.state.run_id, "question": question.text, "choices": list(question.choices)}


def load() -> None:
    """Import LangGraph, which takes about a second: not when somebody only looks, and before a run's time begins."""
    for name in ("langgraph.checkpoint.memory", "langgraph.graph"):
        import_module(name)


def _phase(state: Any) -> str:
    return str(state.get("phase") or "plan")


def build(
    nodes: Nodes, schema: Any = Phases, *, checkpointer: Any = None, input_schema: Any = None, output_schema: Any = None
) -> "CompiledStateGraph[Any, Any, Any, Any]":
    """Compile the graph of a run."""
    from langgraph.graph import END, START, StateGraph

    graph: Any = StateGraph(schema, input_schema=input_schema, output_schema=output_schema)
    for name in PHASES:
        graph.add_node(name, getattr(nodes, name))
    graph.add_conditional_edges(START, _phase, list(PHASES))
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
