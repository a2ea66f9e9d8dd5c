"""`orc.compile`: a LangGraph graph that reaches a goal. Each invocation is a run."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from typing_extensions import Unpack

from orchestrator.core.errors import InputError
from orchestrator.core.goal import Goal
from orchestrator.core.outcome import Outcome
from orchestrator.core.types.assignable import Fit, fit
from orchestrator.engine import langgraph as machine
from orchestrator.engine.options import Preferences, Wanted
from orchestrator.engine.run import Run
from orchestrator.engine.runtime import Runtime
from orchestrator.graph.graph import GraphRevision

from .known import NotYet, in_turn
from .ownership import live_run
from .recovery import recover
from .resume import live_or_recorded
from .start import begin, check_goal, check_inputs, new_run_id, refuse_unknown


def compile_goal(
    runtime: Runtime,
    goal: Goal[Any],
    inputs: Mapping[str, Any] | Sequence[str] | None,
    checkpointer: Any,
    run_sync: Callable[[Coroutine[Any, Any, Any]], Any],
    **preferences: Unpack[Preferences],
) -> Any:
    """A `CompiledStateGraph` that takes input keys and gives the keys of the goal and `outcome`.

    Raises `InputError` for an unknown goal or input, one of the goal's own keys as input, or a wrong dial.
    """
    keys = sorted(runtime.graph.view().keys)
    check_goal(goal, set(keys))
    fixed, read = _inputs(runtime, goal, keys, inputs)
    nodes = _nodes(runtime, goal, fixed, read, **preferences)
    return machine.build_graph(nodes, machine.schemas(dict.fromkeys(read, Any), goal.keys), checkpointer, run_sync)


def _inputs(
    runtime: Runtime, goal: Goal[Any], keys: Sequence[str], inputs: Mapping[str, Any] | Sequence[str] | None
) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """The values that every run starts with, and the keys that are read from the graph's state.

    Raises `InputError` for an input that is no key of the graph, or one of the goal's own.
    """
    read = tuple(key for key in keys if key not in goal.keys)
    if inputs is None:
        return {}, read
    for key in inputs:
        if key in goal.keys:
            raise InputError(f"compile(): {key!r} is a key of the goal: a compiled goal never takes it in.")
    refuse_unknown(runtime, goal, dict.fromkeys(inputs), named_only=True)
    return (check_inputs(runtime.graph.view(), inputs), read) if isinstance(inputs, Mapping) else ({}, tuple(inputs))


def _nodes(
    runtime: Runtime,
    goal: Goal[Any],
    fixed: Mapping[str, Any],
    read: tuple[str, ...],
    **preferences: Unpack[Preferences],
) -> machine.Nodes:
    """The nodes of the graph: a run starts with `fixed` and with the values of the keys `read` in the graph's state.

    Raises `InputError` for a dial outside [0, 1].
    """
    dial = preferences.get("dial")
    dialled = runtime.dialled(dial)
    wanted = Wanted(None, dial, preferences.get("constraints"))

    async def start_run(state: Mapping[str, Any]) -> Run:
        runtime.runs.check_open()
        runtime.observers.start()
        view = runtime.graph.view()
        given = {**fixed, **{key: state[key] for key in read if key in state and _is_given(view, key, state[key])}}
        checked = check_inputs(view, given)
        run_id, kept = new_run_id(), machine.on_a_thread()
        return await begin(dialled, goal, checked, wanted, run_id=run_id, named=kept, in_graph=True)

    async def find(run_id: str) -> Run | Outcome[Any]:
        return await in_turn(runtime, run_id, lambda _: _found(runtime, run_id))

    return machine.Nodes(start_run, find, goal.keys)


def _is_given(view: GraphRevision, key: str, value: Any) -> bool:
    """Whether a key of the state has a value. `None` is one where the key is needed, no tool gives it and its type
    takes it; else it is the default of a state that has none.
    """
    if value is not None:
        return True
    needed = any(key in view.nodes[name].needs for name in view.consumers(key))
    return needed and not view.producers(key) and fit(type(None), view.key_type(key)) is Fit.YES


async def _found(runtime: Runtime, run_id: str) -> Run | Outcome[Any]:
    """The run of a node, or its outcome. Raises `NotYet` while another process drives it."""
    if live_run(runtime, run_id) is None:  # the node of a live run ends with that run
        runtime.runs.check_open()
    runtime.observers.start()
    found = await live_or_recorded(runtime, run_id)
    if isinstance(found, Run | Outcome):
        return found
    run = await recover(runtime, run_id)
    if run is None:
        raise NotYet
    return run


__all__ = ["compile_goal"]
