"""Planning from the current state of a run: expired values, conditions, the route, and the record of the decision."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from orchestrator.core.calls.user_code import truth_of
from orchestrator.core.enums import DecisionKind, Effect
from orchestrator.core.events import ConditionChecked, GraphChanged, ToolExcluded, ValuesExpired
from orchestrator.core.route import Candidate
from orchestrator.engine.failures import note_user_failure
from orchestrator.engine.interruption import Stopped, call_function
from orchestrator.engine.run import Run
from orchestrator.engine.state import RunState
from orchestrator.graph.graph import GraphRevision
from orchestrator.graph.tool import Tool

from . import planning
from .agents import NOBODY, UNCONSTRAINED
from .candidates import pricer
from .selection import decide_agents, exclude_refused
from .waits import NONE as NO_WAITS
from .waits import known_waits

CONSISTENT_READS = 10
"""Maximum number of times that a plan is repeated because prices changed while it was made."""


def replan(run: Run, kind: DecisionKind, reason: str, *, subject: str | None = None) -> bool:
    """Plan from the current state of the run and record the decision; False when there is no route.

    The decision answers the open failures. Without a route nothing is decided yet: calls in flight finish first, then
    the impasse is escalated.
    """
    if run.runtime.graph.view().digest != run.state.graph:
        follow_graph(run)
    run.runtime.health.poll()
    if run.state.done_at:
        _expire(run)
    if run.state.constraints or run.runtime.selector.options.constraints != UNCONSTRAINED:
        exclude_refused(run)
    planned, candidates, facts = _planned(run)
    run.use(planned)
    if limited := run.view.cone(run.state.goal).limited:
        _announce(run, limited)
    if planned.route is None:
        return False
    chosen = candidates[0]  # the route itself; the others are its alternatives
    run.decide(
        kind,
        chosen.name,
        reason=reason + (" (tools with an open circuit admitted as a last resort)" if planned.last_resort else ""),
        answers=run.state.to_answer if kind is DecisionKind.REROUTE else (),
        candidates=candidates,
        price=chosen.price,
        subject=subject,
        facts=facts,
    )
    if planned.cast is not NOBODY:
        decide_agents(run, planned)
    return True


def _planned(run: Run) -> tuple[planning.Planned, tuple[Candidate, ...], dict[str, Any]]:
    """The plan, its candidates and its facts, all at the same prices.

    Runs in other threads share the prices: when a price changed meanwhile, all three are made again.
    """
    for _ in range(CONSISTENT_READS):
        cursor = run.runtime.prices.now
        planned = plan_for(run, run.state)
        if planned.route is None:
            return planned, (), {}
        candidates = route_candidates(run, planned)
        facts = planning.route_facts(run.runtime, run.view, planned, run.state.revision)
        if run.runtime.prices.now == cursor:
            break
    return planned, candidates, facts  # pyright: ignore[reportPossiblyUnboundVariable]


def route_candidates(run: Run, planned: planning.Planned) -> tuple[Candidate, ...]:
    """A planned route and its alternatives: see `Pricer.route`."""
    route, view = planned.route, run.view
    assert route is not None
    if not view.cone(route.goal).has_rivals:
        return (planning.chosen_route(route),)
    return pricer(run.runtime, view, run.state.unusable(), planned).route(route)


def plan_for(run: Run, state: RunState) -> planning.Planned:
    """Plan for the current state of the run, or for that state with a lesser goal; includes its waits and its
    deadline.
    """
    waits = NO_WAITS
    if run.not_before or run.runtime.limits or run.runtime.health.entries.restless:  # else no tool has a wait
        left = run.account.seconds_left()
        waits = known_waits(run.runtime, run.view, state.goal, run.own_waits(), left, run.state.run_id)
    return planning.solve(
        run.runtime,
        state.problem(),
        run.view,
        run.values.values,
        allowed=state.allowed,
        turn=state.turn,
        waits=waits,
    )


def _announce(run: Run, limited: Collection[str]) -> None:
    """Count the calls of limited tools that the run makes next, for the prices of runs that plan at the same moment."""
    runtime, state = run.runtime, run.state
    first = {step.tool for step in run.route.steps if not step.after} if run.route is not None else set[str]()
    for name in limited:
        if name in first and name not in state.doing:
            if (slots := runtime.limit(run.view.tools[name])) is not None:
                slots.announce(state.run_id, runtime.clock.monotonic())
        elif (slots := runtime.limits.get(name)) is not None:
            slots.withdraw(state.run_id)


def replan_by_latencies(run: Run) -> None:
    """Plan again where new values determine the latency of a tool that depends on its inputs.

    A decision is recorded if that changes the route.
    """
    if run.plan is None or run.route is None:
        return
    known = planning.latencies_of_inputs(run.view, run.state.goal, run.values.values)
    new = sorted(name for name in known.keys() - run.plan.latencies.keys() if name not in run.state.done)
    if not new:
        return
    found = plan_for(run, run.state).route
    if found is None or found.tools == tuple(name for name in run.route.tools if name not in run.state.done):
        run.use(replace(run.plan, latencies=known))
    else:
        replan(run, DecisionKind.BRANCH, f"the latency of {', '.join(new)} for its inputs is now known", subject=new[0])


def follow_graph(run: Run) -> None:
    """Plan on the newest revision; calls in flight continue."""
    view = run.runtime.graph.view()
    if view is not run.view:
        run.follow(view)
    if view.digest != run.state.graph:
        run.emit(GraphChanged(**run.stamp(), graph=run.runtime.store_graph(view), revision=view.revision))


def changed_since(run: Run, tool: Tool, view: GraphRevision) -> str:
    """Why a planned tool may not start as it was declared: it was removed, has new transitions, or was declared anew.

    `view` is the newest revision. Empty when nothing has changed. A run sees a change before its next call of the tool,
    and plans again: what the tool needs, costs and does, and whether it needs approval, may be different.
    """
    newest = view.tools.get(tool.name)
    if newest is None:
        return "it was removed"
    if view.incoming(tool.name) != run.view.incoming(tool.name):
        return "its transitions have changed"
    if newest is tool:
        return ""
    if newest.approval and newest.approval is not tool.approval:
        return "it was declared anew, with an approval"
    conditional = newest.when is not None and newest.when is not tool.when
    return "it was declared anew, with a condition" if conditional else "it was declared anew"


def _expire(run: Run) -> None:
    """Drop reads that are older than their `ttl`, unless a completed step used them; they run again."""
    state = run.state
    now, taken = run.runtime.clock.time(), {key for done in state.done.values() for key in done.keys}
    old = [
        name
        for name, at in state.done_at.items()
        if name in state.done
        and (tool := run.view.tools.get(name)) is not None
        and tool.ttl is not None
        and tool.effect is Effect.READ
        and now - at > tool.ttl
        and not taken.intersection(tool.gives)
    ]
    if old:
        for name in old:
            run.values.drop(name)
        run.emit(ValuesExpired(**run.stamp(), tools=tuple(sorted(old))))


async def check_conditions(run: Run, again: Collection[str] = ()) -> list[str]:
    """Call every `when` whose inputs have become available; returns the tools whose condition was checked.

    `again`: tools that were declared again. A condition that raises is a failure of its tool, which is excluded from
    the plan; the next decision answers it.
    """
    asked: list[str] = []
    for name in run.view.cone(run.state.goal).conditional:
        tool = run.view.tools[name]
        checked = name in run.state.conditions and name not in again
        known = checked or name in run.state.done or name in run.state.excluded
        if tool.when is None or known:
            continue
        inputs = run.inputs_of(tool)
        wanted = planning.function_parameters(tool.when)
        required = [p for p in tool.needs if wanted is None or p in wanted]
        if all(parameter in inputs for parameter in required):
            await _check_condition(run, tool, inputs)
            asked.append(name)
    return asked


async def _check_condition(run: Run, tool: Tool, inputs: Mapping[str, Any]) -> None:
    assert tool.when is not None
    given, limit = run.accepted(tool.when, inputs), tool.timeout or run.runtime.policy.timeout
    try:
        holds = truth_of(await call_function(run, tool.when, kwargs=given, seconds=limit))
    except Stopped:
        return  # nothing of the run begins any more
    except Exception as error:
        failure = note_user_failure(run, tool, "when", error)
        run.emit(ToolExcluded(**run.stamp(), tool=tool.name, reason=failure.message))
        return
    run.emit(ConditionChecked(**run.stamp(), tool=tool.name, holds=holds))


__all__ = ["check_conditions", "follow_graph", "plan_for", "replan", "replan_by_latencies"]
