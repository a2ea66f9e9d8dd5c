"""Describes an impasse for the rungs of the ladder: the tools to blame, the values at hand, the choices."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from orchestrator.core.enums import CircuitState
from orchestrator.core.goal import Goal
from orchestrator.core.route import Blame, Impasse, LesserGoal
from orchestrator.engine.planning.planning import Planned
from orchestrator.engine.planning.replan import follow_graph, plan_for
from orchestrator.engine.run import Run
from orchestrator.engine.steps.compensate import can_be_undone
from orchestrator.engine.values import describe_values


def impasse_now(run: Run, subject: Impasse | None) -> tuple[Impasse, tuple[Planned, ...]]:
    """The impasse of a run on the newest graph, and the facts that its lesser goals were planned on.

    `subject`: the step (an entry of `Run.open`) that it is about; `None`: the run as a whole.
    """
    state = run.state
    follow_graph(run)
    if run.cancelled is not None:
        base = Impasse(goal=state.goal, unreachable=(), blame=(), reason=run.cancelled, kind="cancelled")
    elif subject is not None:
        base = subject
    else:
        base = run.impasse or Impasse(goal=state.goal, unreachable=(), blame=(), reason="The run makes no progress")
    return described(run, base)


def described(run: Run, base: Impasse) -> tuple[Impasse, tuple[Planned, ...]]:
    """An impasse with everything that a decision needs, and the facts that its lesser goals were planned on."""
    state = run.state
    spent = bool(base.blame) and all(blame.tool in state.over_budget for blame in base.blame)
    offers, offered = ((), ()) if base.kind == "ambiguous" else _offers(run)
    impasse = replace(
        base,
        kind="budget" if spent and base.kind == "no_route" else base.kind,
        blame=tuple(_blame(run, blame) for blame in base.blame),
        at_hand=describe_values(run.values.values, state.at_hand),
        offers=offers,
        providable=state.wanted.providable,
        effects=_effects(run),
        budget_left=_budget_left(run),
        run_id=base.run_id or state.run_id,
    )
    return impasse, offered


def _blame(run: Run, blame: Blame) -> Blame:
    """Add the tool's health and its last error, in this run or else in any."""
    name = blame.tool
    own = [failure.message for failure in run.state.failures.values() if failure.tool == name]
    if name not in run.view.tools:
        return replace(blame, last_error=own[-1] if own else blame.last_error)
    health = run.runtime.health.status(name)
    shut = health.circuit is CircuitState.OPEN
    return replace(
        blame,
        reason=f"{blame.reason}: {health.reason}" if shut and health.reason else blame.reason,
        last_error=own[-1] if own else blame.last_error or health.last_failure,
        health=f"circuit {health.circuit.replace('_', ' ')}, {health.failures} of {health.calls} calls failed",
    )


def _offers(run: Run) -> tuple[tuple[LesserGoal, ...], tuple[Planned, ...]]:
    """The remaining lesser goals, and the facts that they were planned on."""
    state = run.state
    goals = [goal.keys for goal in lesser_goals(state.wanted, state.goal)]
    offered = tuple(plan_for(run, state.lowered_to(keys)) for keys in goals)
    return tuple(offer_of(keys, planned) for keys, planned in zip(goals, offered, strict=True)), offered


def _effects(run: Run) -> Mapping[str, str]:
    found = {
        name: "undoable" if (tool := run.view.tools.get(name)) and can_be_undone(tool) else "standing"
        for name in run.state.effects
        if name not in run.state.compensated
    }
    return found | dict.fromkeys(run.state.doubt, "uncertain")


def _budget_left(run: Run) -> dict[str, float]:
    budget, left = run.state.budget, dict[str, float]()
    if budget.usd is not None:
        left["usd"] = max(0.0, budget.usd - run.account.spent())
    seconds = run.account.seconds_left()
    if seconds is not None:
        left["seconds"] = max(0.0, seconds)
    if budget.calls is not None:
        left["calls"] = max(0, budget.calls - run.account.calls())
    return left


def judged_now(run: Run, impasse: Impasse) -> Impasse:
    """The impasse on the current graph: tools that were added since and give the missing keys are included."""
    if impasse.kind not in ("no_route", "progress"):
        return impasse
    view = run.runtime.graph.view()
    known = set(impasse.tools)
    added = [
        Blame(tool=name, reason="it was added meanwhile")
        for key in impasse.unreachable
        for name in view.producers(key)
        if name not in known
    ]
    return replace(impasse, blame=(*impasse.blame, *added)) if added else impasse


def offer_of(goal: tuple[str, ...], planned: Planned) -> LesserGoal:
    """A lesser goal with its price, if it can be reached."""
    route = planned.route
    return LesserGoal(goal, route.price if route else None, route.tools if route else ())


def lesser_goals(goal: Goal[Any], now: tuple[str, ...]) -> list[Goal[Any]]:
    """The remaining declared lesser goals, best first: those after the current goal of the run."""
    flat = list[Goal[Any]]()

    def walk(one: Goal[Any]) -> None:
        for lesser in one.demotions:
            flat.append(lesser)
            walk(lesser)

    walk(goal)
    keys = [lesser.keys for lesser in flat]
    return flat[keys.index(now) + 1 :] if now in keys else flat


__all__ = ["described", "impasse_now", "judged_now", "lesser_goals", "offer_of"]
