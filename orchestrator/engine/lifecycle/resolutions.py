"""Applies a resolution: a lesser goal, a value, a wait, an approval, a larger budget, or the end of the run."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from orchestrator.core.enums import Effect
from orchestrator.core.events import BudgetRaised, GoalLowered, ToolAllowed, ToolExcluded, ValueProvided
from orchestrator.core.route import Impasse
from orchestrator.core.types.schema import validate
from orchestrator.engine.run import Run
from orchestrator.escalation import Resolution, ResolutionKind


async def apply_resolution(
    run: Run, impasse: Impasse, resolution: Resolution, *, subject: Impasse | None = None, by_model: bool = False
) -> bool:
    """Apply an admissible resolution; returns whether the run continues.

    `subject`: the entry of `Run.open` that the impasse is about.
    """
    stamp = run.stamp()
    tool = resolution.tool or resolution.what or impasse.subject
    match resolution.kind:
        case ResolutionKind.DEMOTE:
            run.emit(GoalLowered(**stamp, goal=resolution.goal))
        case ResolutionKind.PROVIDE:
            _provide(run, impasse, resolution, by_model=by_model)
        case ResolutionKind.WAIT:
            await wait_for(run, tool, resolution.seconds or 0.0)
            _allow(run, tool, forced=False)
        case ResolutionKind.APPROVE:
            _approve(run, tool)
        case ResolutionKind.ALLOW:
            _allow(run, tool, forced=True)
        case ResolutionKind.RAISE_BUDGET:
            _raise_budget(run, resolution)
        case ResolutionKind.REPLAN:
            for name in impasse.tools:
                _allow(run, name, forced=False)
        case ResolutionKind.STOP:
            return _stopped(run, impasse, resolution, subject)
    settled(run, subject)
    return True


def settled(run: Run, subject: Impasse | None) -> None:
    """Remove the impasse of the run, or of this step."""
    run.stop_at(None)
    run.open[:] = [impasse for impasse in run.open if impasse is not subject]


def _stopped(run: Run, impasse: Impasse, resolution: Resolution, subject: Impasse | None) -> bool:
    """Apply `stop`: an unapproved step is excluded and the run plans again; any other impasse ends the run."""
    tool = impasse.subject
    if impasse.kind == "approval" and tool is not None and tool not in run.state.done:
        run.emit(ToolExcluded(**run.stamp(), tool=tool, reason="it was not approved"))
        settled(run, subject)
        return True
    stopped = f"Stopped: {resolution.message}" if resolution.message else ""
    reason = ". ".join(part for part in (impasse.reason.rstrip("."), stopped) if part)
    run.stop_at(replace(impasse, reason=reason))
    return False


def _provide(run: Run, impasse: Impasse, resolution: Resolution, *, by_model: bool) -> None:
    key = resolution.key
    assert key is not None
    settles = impasse.subject if impasse.kind == "ambiguous" else None
    value = validate_answer(run, impasse, key, resolution.value)
    run.values.put(settles or "", {key: value}, run.view)
    by = "model" if by_model else resolution.by or "person"
    run.emit(ValueProvided(**run.stamp(), key=key, by=by, tainted=by_model, settles=settles))


def _approve(run: Run, tool: str | None) -> None:
    if tool is None:
        return
    known = run.view.tools.get(tool)
    abandons = tool in run.state.done and known is not None and known.effect is not Effect.READ
    run.emit(ToolAllowed(**run.stamp(), tool=tool, approved=not abandons, abandon=abandons))


def _allow(run: Run, tool: str | None, *, forced: bool) -> None:
    if tool is not None:
        run.emit(ToolAllowed(**run.stamp(), tool=tool, forced=forced))


def _raise_budget(run: Run, resolution: Resolution) -> None:
    budget = run.state.budget
    raised = {
        name: None if getattr(budget, name) is None else getattr(budget, name) + (more or 0)
        for name, more in (("usd", resolution.usd), ("seconds", resolution.seconds), ("calls", resolution.calls))
    }
    run.emit(BudgetRaised(**run.stamp(), budget=raised))
    for tool in sorted(run.state.over_budget):
        _allow(run, tool, forced=False)


def validate_answer(run: Run, impasse: Impasse | None, key: str, value: Any) -> Any:
    """A provided value, validated by the type of its key. Raises `InvalidOutput`."""
    if impasse is not None and impasse.kind == "question":
        return value  # the call that asked knows its type
    return validate(key, run.view.key_type(key), value)


async def wait_for(run: Run, tool: str | None, seconds: float) -> None:
    """Wait at most so many seconds: for a tool with an open circuit until it closes, for any other the whole time."""
    health, clock = run.runtime.health, run.runtime.clock
    shut = tool is not None and tool in run.view.tools and not health.usable(tool)

    def over() -> bool:
        return run.cancelled is not None or (shut and tool is not None and health.usable(tool))

    def look(targets: Iterable[Any]) -> None:
        if tool in targets:
            run.wake_up()

    forget = health.subscribe(look)
    time_over = asyncio.ensure_future(clock.sleep(seconds))
    try:
        while not over() and not time_over.done():
            run.wake.clear()
            woken = asyncio.ensure_future(run.wake.wait())
            try:
                await asyncio.wait({time_over, woken}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                woken.cancel()
    finally:
        time_over.cancel()
        forget()


__all__ = ["apply_resolution", "settled", "validate_answer", "wait_for"]
